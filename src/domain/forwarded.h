/*
 * Who a request comes from when it came through proxies: Forwarded (RFC 7239) and
 * X-Forwarded-For. Anybody can write these headers, so only what a trusted proxy has
 * added is believed: from the peer one goes back, hop by hop, as long as the hop is
 * trusted. What a client wrote itself stands before what the first proxy added about
 * it, and is never reached.
 *
 * It never: looks a name up, believes a peer that is not trusted, fails.
 */
#ifndef DOMAIN_FORWARDED_H
#define DOMAIN_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "domain/address.h"

#define FORWARDED_HOPS_MAX 16 /* trusted proxies in a row; further back nobody looks */

/* The proxies that are believed. */
struct proxies {
	struct cidr *networks; /* owned by whoever fills it */
	size_t count;
	bool is_unix; /* peers of unix sockets too */
};

/* Whether `a`, a peer's or a hop's, is one of them. */
bool proxies_trust(const struct proxies *p, const struct cidr *a);

/*
 * Finds the client behind `peer`: the nearest hop that is not trusted, or the furthest
 * one that is named. A hop that gives no address (RFC 7239 section 6: "unknown",
 * "_hidden"; or nonsense) ends the way: the proxy that passed it on then counts as the
 * client.
 *
 * `forwarded`, `x_forwarded_for`: the values of all lines of the header, joined with
 * commas; empty: not there. A proxy that writes one of them lets the other through as
 * the client wrote it, and which one it writes is not known here: where both are there
 * they must name the same client, else neither is believed and it is `peer`. The same
 * holds for a Forwarded that cannot be parsed. O(bytes of the headers).
 */
struct cidr forwarded_client(const struct proxies *p, const struct cidr *peer,
    struct slice forwarded, struct slice x_forwarded_for);

#endif
