/*
 * The sockets that curl wants watched, by their descriptors.
 *
 * libcurl 7.88.1 closes a socket that has not connected yet without a word, and says only
 * then that nobody wants it (cf_socket_close()). Where the next one gets its number before
 * that, curl takes it for watched, although the kernel has forgotten the number with the first:
 * watch_open() mends that. 8.14.1 says so in time.
 */
#ifndef COURIER_WATCH_H
#define COURIER_WATCH_H

#include "base/reactor.h"

struct watches;

/* Calls `fn` when a socket is ready that is wanted at that time. */
struct watches *watches_new(struct reactor *r, reactor_io_fn fn, void *arg);

/* Frees it, after all sockets are closed or dropped; NULL is fine. */
void watches_free(struct watches *w);

/* A socket was opened that got the number `fd`: it is watched as its predecessor still is. */
void watch_open(struct watches *w, int fd);

/* Watches `fd` for reading and writing as asked. */
void watch_want(struct watches *w, int fd, bool read, bool write);

/* Nobody wants `fd` now; it may be closed already. */
void watch_drop(struct watches *w, int fd);

#endif
