/*
 * Where curl connects to for a request. Its host is looked up, or the proxy's where there is
 * one, and curl is told one of the addresses: CONNECT_TO leaves the name to the Host line, to
 * TLS and to the search for a connection that is open, which has to be one to that address; a
 * proxy's name is of no use to it. A proxy of the request's own is looked up as a receiver is,
 * and the policy holds for its addresses. So curl never looks a name up, for which it would
 * make a thread.
 */
#ifndef COURIER_CLIENT_WAY_H
#define COURIER_CLIENT_WAY_H

#include "courier/client.h"
#include "courier/failures.h"
#include "courier/route.h"

/* What all requests share: the look-ups, the configured proxy, the policy. */
struct ways;

/* `conf` is borrowed. */
struct ways *ways_new(struct reactor *r, const struct client_conf *conf);

/* The look-ups themselves. Borrowed. */
struct lookup *ways_lookup(const struct ways *ways);

/* Frees it, after all of its own. NULL is fine. */
void ways_free(struct ways *ways);

void ways_lookups(const struct ways *ways, struct lookup_figures *out);
/* The port of a CURLU, or its scheme's. */
uint16_t way_url_port(void *url);

struct way;
typedef void (*way_fn)(void *arg);

/* For `easy`, a handle of curl. `fn` is called when way_find() has had to wait. */
struct way *way_new(struct ways *ways, void *easy, way_fn fn, void *arg);
void way_free(struct way *w);

/* Sets host and port of the URL; an empty host stands for a URL that curl will refuse. */
void way_set_host(struct way *w, struct slice host, uint16_t port);

/*
 * Which proxy the next request goes through, borrowed until way_find(); NULL, after it: the
 * configured one again, and nothing of its own is kept.
 */
void way_choose(struct way *w, const struct proxy_choice *choice);

/* What decides where the request may connect to; NULL: the configured proxy does, or nobody. */
const struct address_policy *way_policy(const struct way *w);

/* Whether the request goes through the configured proxy. */
bool way_is_set(const struct way *w);

/*
 * Begins a request of a taker's (lookup.h). True: way_is_found() says what came of it; false:
 * `fn` is called later.
 */
bool way_find(struct way *w, uint64_t taker);

/* The request is over: `fn` is not called any more. */
void way_stop(struct way *w);

/* Whether curl has been told an address, and may begin. */
bool way_is_found(const struct way *w);

/* The current address took no connection: for a while it is tried after the others, if any. */
void way_demote(struct way *w);

/* A connection to it stood. */
void way_promote(struct way *w);

/* The addresses that are left to try after the one that curl was told, and their port. */
struct route *way_route(struct way *w);
uint16_t way_port(const struct way *w);

/* Tells curl another address of these. */
void way_take(struct way *w, const union lookup_address *to);

/* Which addresses failed lately, on any way. */
struct failures *ways_failures(struct ways *ways);

/* How the addresses were found; LOOKUP_TIMEOUT while they are not. */
enum lookup_status way_status(const struct way *w);

/* How long the look-up took. */
int64_t way_lookup_us(const struct way *w);

/* Writes why nothing was found: "Could not resolve host: NAME". */
void way_explain(const struct way *w, char *out, size_t size);

#endif
