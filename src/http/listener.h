/*
 * The sockets that a server accepts on: the one user of libevent's listeners. Opens
 * them, lets them rest when the server is full or descriptors have run out, and
 * closes them. Who gets the connections is up to the owner of each one (evhttp).
 *
 * It never: removes a file that is no socket, or a socket that somebody else listens on.
 */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include <stdbool.h>

#include "base/reactor.h"
#include "domain/problem.h"
#include "http/unix_access.h"

struct listeners;
struct evconnlistener;

/* `unix_access`: of the socket files that will be made. */
struct listeners *listeners_new(struct reactor *r, const struct unix_access *unix_access);

/* Frees the set after listeners_close(). NULL is fine. */
void listeners_free(struct listeners *ls);

/*
 * Binds `where`, as listen_address_parse() reads it, and listens. A socket file has its mode
 * and owner before anybody can connect. *ev is for evhttp, which owns it from then on; *shown
 * is how clients write the address, the caller's to free.
 * Errors: ERR_INVALID; ERR_IO with what the system says. Nothing is open then.
 */
MUST_CHECK enum err listeners_open(struct listeners *ls, const char *where,
    struct evconnlistener **ev, char **shown, struct problem *p);

/*
 * The same for `fd`, a socket that listens already and that others have made: `where` is its
 * listen_address_name(). It is closed with its owner, its file is theirs. Errors: ERR_IO, and
 * `fd` is as it was.
 */
MUST_CHECK enum err listeners_adopt(struct listeners *ls, int fd, const char *where,
    struct evconnlistener **ev, char **shown, struct problem *p);

/*
 * Whether `where` could be listened on, but for who listens there now: binds it, if it is free,
 * and lets go of it. ERR_INVALID or ERR_IO, as listeners_open().
 */
MUST_CHECK enum err listener_try(const char *where, const struct unix_access *unix_access,
    struct problem *p);

/* Accepts connections, or leaves them in the kernel's backlog. At first they are accepted. */
void listeners_accept(struct listeners *ls, bool on);

/* Removes the socket files and forgets all listeners, whose owner frees them next. */
void listeners_close(struct listeners *ls);

#endif
