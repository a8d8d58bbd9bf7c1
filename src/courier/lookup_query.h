/*
 * One question for a name's addresses, to the hosts file and the name servers: the one user of
 * c-ares. Each has a channel of its own. So it can be ended alone, its port is drawn anew, and
 * it reads resolv.conf, nsswitch.conf and the hosts file as they are now, 0.1 ms.
 */
#ifndef COURIER_LOOKUP_QUERY_H
#define COURIER_LOOKUP_QUERY_H

#include "courier/lookup.h"

struct lookup_query;

/* Valid for the call in which it is told. */
struct lookup_found {
	enum lookup_status status;
	union lookup_address addresses[LOOKUP_ADDRESSES_MAX];
	size_t count;
	int64_t ttl_s;   /* the shortest of its records; 0 from the hosts file */
	bool heard;      /* something of a name server */
	const char *why; /* what went wrong, for LOOKUP_OURS */
};

typedef void (*lookup_query_fn)(void *arg, const struct lookup_found *found);

struct lookup_query_conf {
	struct reactor *reactor;
	const char *name_servers; /* separated by commas; NULL: those of resolv.conf */
	const char *resolv_conf;  /* NULL: the system's */
	int64_t query_ms;         /* after so long it is LOOKUP_TIMEOUT */
};

/*
 * Asks for `name`. `fn` is called once, from the loop and not from within this call, and frees
 * the query.
 */
struct lookup_query *lookup_query_new(const struct lookup_query_conf *conf, const char *name,
    lookup_query_fn fn, void *arg);

/* Ends it, without a word where it is not over. NULL is fine. */
void lookup_query_free(struct lookup_query *q);

#endif
