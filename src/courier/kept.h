/*
 * Connections to receivers, by their ends: libcurl keeps them, and when it is about to use one
 * again it tells where that leads, not which socket it is. Knows sockets, not curl.
 */
#ifndef COURIER_KEPT_H
#define COURIER_KEPT_H

#include <stdbool.h>

struct kept;

struct kept *kept_new(void);

/* NULL is fine. */
void kept_free(struct kept *k);

/* The two ends of a connection, addresses as texts. */
struct kept_ends {
	const char *remote;
	const char *local;
	int remote_port;
	int local_port;
};

/* A connection stands. */
void kept_put(struct kept *k, int fd, const struct kept_ends *ends);

/*
 * Whether several requests share it at a time, as in HTTP/2: what comes on it is then always
 * somebody's. Nothing where it was not put; one that is put is not shared.
 */
void kept_share(struct kept *k, int fd, bool is_shared);

/* Its socket is about to be closed; nothing where it was not put. */
void kept_drop(struct kept *k, int fd);

/*
 * Whether something has come on a connection on which nothing was asked: an answer that nobody
 * wants, its end, a reset. No for one that was not put, or is shared.
 */
bool kept_is_stale(const struct kept *k, const struct kept_ends *ends);

#endif
