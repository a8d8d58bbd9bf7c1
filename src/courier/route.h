/*
 * Where one request may connect to: of its host's addresses those that the policy allows, one
 * after the other, in an order that spreads requests over them.
 */
#ifndef COURIER_ROUTE_H
#define COURIER_ROUTE_H

#include "courier/failures.h"
#include "courier/lookup.h"
#include "domain/address.h"

struct route {
	union lookup_address addresses[LOOKUP_ADDRESSES_MAX];
	size_t count;
	size_t next;
};

/*
 * Takes the addresses of a LOOKUP_OK. Those that `policy` (NULL: none) forbids are left out;
 * where it forbids all, the last stays: whoever opens its socket has the words for it.
 */
void route_set(struct route *r, const struct lookup_answer *answer,
    const struct address_policy *policy);

/*
 * Puts the addresses in the order in which they are tried: those that `failures` has at `port`
 * last, IPv6 and IPv4 by turns from the family on that came first (RFC 8305 §4), and of the
 * addresses of a family any one first, as `drawn`, a random number, says.
 */
void route_order(struct route *r, const struct failures *failures, uint16_t port,
    uint64_t drawn);

/* Whether there is another address to try. */
bool route_has_next(const struct route *r);

/* The same that route_next() will return; it has to have one. */
const union lookup_address *route_peek(const struct route *r);

/* Returns the next address to try; NULL: all have been tried. */
const union lookup_address *route_next(struct route *r);

#define ROUTE_NAME_SIZE 48 /* an IPv6 address in brackets, a NUL */

/* Writes an address as a host of a URL, "192.0.2.1" or "[2001:db8::1]". */
void route_name(const union lookup_address *a, char out[ROUTE_NAME_SIZE]);

#endif
