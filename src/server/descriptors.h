/*
 * How the descriptors of the process are shared: between the connections of clients, the
 * attempts under way and idle connections to receivers. None of them can take another's, so
 * that the API is reachable whatever receivers do, and attempts are made whatever clients do.
 */
#ifndef SERVER_DESCRIPTORS_H
#define SERVER_DESCRIPTORS_H

#include <stdint.h>

/* What the settings ask for. */
struct descriptor_needs {
	uint64_t connections; /* of clients, to each server */
	uint64_t servers;     /* one, or two where /metrics has its own */
	uint64_t attempts;
};

struct descriptor_shares {
	uint64_t connections; /* of clients, to each server: at most as asked for */
	uint64_t attempts;    /* the same */
	uint64_t receivers;   /* connections to receivers: of attempts, and idle ones */
};

/* Raises the process's limit to the hard one, as far as that makes sense; returns it. */
uint64_t descriptors_raise(void);

/*
 * Shares `limit` descriptors. Where they are not enough, idle connections to receivers go
 * first; then connections and attempts are cut by the same ratio, to one at least.
 */
struct descriptor_shares descriptors_share(uint64_t limit, const struct descriptor_needs *n);

/*
 * How many connections of clients each of `servers` may have; the receivers' share stays as it
 * was made.
 */
uint64_t descriptors_left(uint64_t limit, const struct descriptor_shares *s, uint64_t servers);

/* How many descriptors `n` takes in all. */
uint64_t descriptors_wanted(const struct descriptor_needs *n);

#endif
