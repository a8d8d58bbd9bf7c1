/*
 * TLS sessions with receivers, kept to be resumed: a handshake that resumes one checks no
 * certificate. libcurl would keep eight of them for all receivers, and let a connection that
 * was cut off spoil one for the others. Each is under a name, which must say all that decided
 * whether its receiver was trusted; by no other name it is resumed. Of a taker at most a
 * quarter are kept, and the oldest go first. None is resumed for longer than SESSION_MAX_S: by
 * then its receiver's certificate is looked at again.
 * Source: RFC 8446 §2.2, RFC 5077.
 */
#ifndef COURIER_SESSIONS_H
#define COURIER_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct ssl_ctx_st; /* SSL_CTX of libssl */

#define SESSION_MAX_S 3600
#define SESSION_TICKET_MAX 4096 /* bytes of what the receiver sizes; a larger one is not kept */

struct sessions;

/* `most`: how many it keeps, at least one. */
struct sessions *sessions_new(size_t most);

/* Frees it after all contexts that were given to it. NULL is fine. */
void sessions_free(struct sessions *s);

/*
 * Has the one connection that `ctx` is made for, behind handshake_bound(), resume the session
 * of that name, if one is kept, and keeps those that it is given. `taker`: who it is made for;
 * `now_ms`: monotonic.
 */
void sessions_resume(struct sessions *s, struct ssl_ctx_st *ctx, struct slice name,
    uint64_t taker, int64_t now_ms);

size_t sessions_count(const struct sessions *s);

#endif
