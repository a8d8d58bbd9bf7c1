/*
 * The rule that shares whatever one thread has to give: slots, connections, bytes of the store,
 * bytes of answers. A taker (a session, a webhook, a client, a token) asks for more of a
 * resource; the rule says whether it may have that now.
 *
 *   0                                                 capacity - reserve      capacity
 *   |████ held by all ████|······ free, for anybody ······|·· for small takers ··|
 *
 *  - Nobody takes the last: a taker may hold SHARE_PART times what is then left free for
 *    anybody. One alone comes to hold nearly all, two nearly a half each, and so on, and
 *    something is always free for who comes next (dynamic thresholds; Choudhury and Hahne,
 *    1998).
 *  - The last SHARE_RESERVE-th is for takers that stay within their guarantee: half of an equal
 *    share, at least one, and no more than half of what the others leave, so that there is some
 *    for the next. Whatever others hold, a taker that holds little is not refused.
 *
 * A taker that holds more than the rule now gives keeps it, and gets no more until it has given
 * back: a newcomer gets its share as fast as others give back. Pure: it knows no resource.
 */
#ifndef SHARES_SHARE_H
#define SHARES_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#define SHARE_PART 16    /* of what is free one may hold so many times */
#define SHARE_RESERVE 16 /* the capacity divided by this is for small takers */

/* A resource, as it is held now. */
struct share {
	uint64_t capacity;
	uint64_t held;   /* by all takers together; may pass the capacity if that shrank */
	uint64_t takers; /* that hold something */
};

/* Half of an equal share: a taker with no more than that does not hold too much. */
uint64_t share_equal(const struct share *s, uint64_t held);

/* Up to how much a taker that holds `held` is never refused, as long as there is any. */
uint64_t share_guarantee(const struct share *s, uint64_t held);

/* Whether a taker that holds `held` of it may have `more`. Units are the resource's. */
bool share_allows(const struct share *s, uint64_t held, uint64_t more);

/* How much more a taker that holds `held` may have now. */
uint64_t share_room(const struct share *s, uint64_t held);

#endif
