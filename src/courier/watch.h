/*
 * The sockets that curl wants watched. curl says so anew for each transfer; on a connection
 * that it keeps, the watch stays between transfers, which saves two system calls each.
 *
 * What curl opens through watch_open() must end with watch_close(). Descriptors that it makes
 * behind our back (those of its resolver) are watched no longer than it asks.
 */
#ifndef COURIER_WATCH_H
#define COURIER_WATCH_H

#include "base/reactor.h"

struct watches;

/* Calls `fn` when a socket is ready that is wanted at that time. */
struct watches *watches_new(struct reactor *r, reactor_io_fn fn, void *arg);

/* Frees it, after all sockets are closed or dropped; NULL is fine. */
void watches_free(struct watches *w);

/* A socket of a connection that curl may keep. */
void watch_open(struct watches *w, int fd);

/* Such a socket is about to be closed. */
void watch_close(struct watches *w, int fd);

/* Watches `fd` for reading and writing as asked. */
void watch_want(struct watches *w, int fd, bool read, bool write);

/* No transfer is on it now. */
void watch_drop(struct watches *w, int fd);

#endif
