/* The sockets that curl wants watched, by their descriptors. */
#ifndef COURIER_WATCH_H
#define COURIER_WATCH_H

#include "base/reactor.h"

struct watches;

/* Calls `fn` when a socket is ready that is wanted at that time. */
struct watches *watches_new(struct reactor *r, reactor_io_fn fn, void *arg);

/* Frees it, after all sockets are closed or dropped; NULL is fine. */
void watches_free(struct watches *w);

/* Watches `fd` for reading and writing as asked. */
void watch_want(struct watches *w, int fd, bool read, bool write);

/* Nobody wants `fd` now; it may be closed already. */
void watch_drop(struct watches *w, int fd);

#endif
