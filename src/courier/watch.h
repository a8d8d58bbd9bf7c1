/*
 * The sockets that curl wants watched. curl says so anew for each transfer; on a connection
 * that it keeps, the watch stays between transfers, which saves two system calls each.
 *
 * That is for sockets alone over which a request has been answered: their end is told to
 * watch_close(). One that has not connected yet curl closes without a word, and says only
 * then that nobody wants it (cf_socket_close() of 7.88.1); it is watched no longer than curl
 * asks, and so are descriptors that it makes behind our back (those of its resolver).
 */
#ifndef COURIER_WATCH_H
#define COURIER_WATCH_H

#include "base/reactor.h"

struct watches;

/* Calls `fn` when a socket is ready that is wanted at that time. */
struct watches *watches_new(struct reactor *r, reactor_io_fn fn, void *arg);

/* Frees it, after all sockets are closed or dropped; NULL is fine. */
void watches_free(struct watches *w);

/* `opener`, which is only compared, has opened a socket. */
void watch_open(struct watches *w, int fd, const void *opener);

/*
 * The request of `opener` was answered over this socket: from now on its watch is kept between
 * transfers. Nothing where the socket has been closed since, or its number is another's.
 */
void watch_keep(struct watches *w, int fd, const void *opener);

/* Such a socket is about to be closed. */
void watch_close(struct watches *w, int fd);

/* Watches `fd` for reading and writing as asked. */
void watch_want(struct watches *w, int fd, bool read, bool write);

/* No transfer is on it now. */
void watch_drop(struct watches *w, int fd);

#endif
