/*
 * The guard against guessing: says who a request comes from, and slows down clients that
 * send wrong tokens or signatures, as peers.h says. Refusals beyond a client's budget are
 * held back for GUARD_HOLD_MS; of a client that has as many held back as it may, nothing is
 * looked at: 429. A right token is let through at once in all other cases.
 *
 * It never: decides whether a token is right, holds anything once the server stops.
 */
#ifndef API_GUARD_H
#define API_GUARD_H

#include "base/reactor.h"
#include "http/peers.h"

#define GUARD_HOLD_MS 1000

struct call;
struct guard;
struct http_request;

/* All borrowed. */
struct guard *guard_new(struct reactor *r, struct peers *peers, const struct proxies *proxies);

/* No answer may be held. NULL is fine. */
void guard_free(struct guard *g);

/* Who a request comes from: an address or a network, or nothing but "unix" (family 0). */
struct cidr guard_client(const struct guard *g, const struct http_request *q);

/* Whether the token or signature of `c` may be looked at; false: it has been answered. */
bool guard_admits(struct guard *g, struct call *c);

/*
 * Answers 401 with `message`, a constant, now or later, which ends the call. `is_guess`: it
 * had a token or signature, and that was wrong; without one it is refused at no cost.
 */
void guard_refuse(struct guard *g, struct call *c, bool is_guess, const char *message);

/* Answers all that is held, and from now on holds nothing. */
void guard_stop(struct guard *g);

#endif
