/*
 * Lanes: a webhook whose ordering has a key, a JSON pointer into the event, gets its deliveries
 * one after the other within a lane, and many lanes at once. Events with the same value at the
 * pointer have the same lane. Those that have nothing there share LANE_NONE, which is a lane as
 * any other. There are more values than lanes: some share one, which keeps their order too.
 *
 * Lanes lie on disk, in the places of the queue: what is here may not change.
 */
#ifndef DOMAIN_LANE_H
#define DOMAIN_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "domain/pointers.h"

#define LANE_NONE 0 /* of events without a value, and of all where there is no key */
#define LANE_MAX 255
#define LANES (LANE_MAX + 1)
#define LANE_LOOK_MAX 4096 /* bytes of a value that tell; of those behind, how many they are */

struct lane_key;

/*
 * Makes the key of a JSON string, canonical, with a pointer as pointer_names() lets it through;
 * NULL: it is none. lane_key_free() it.
 */
struct lane_key *lane_key_new(struct slice json);
void lane_key_free(struct lane_key *k); /* NULL is fine; it is in no use any more */

/* The JSON that it was made of. Borrowed. */
struct slice lane_key_json(const struct lane_key *k);

/* Whether both are the same pointer, or both NULL. */
bool lane_key_same(const struct lane_key *a, const struct lane_key *b);

/*
 * Puts its pointer among `ps`, of which it then asks, until lane_key_leave(). It is among one
 * `ps` at a time.
 */
void lane_key_enter(struct lane_key *k, struct pointers *ps);
void lane_key_leave(struct lane_key *k, struct pointers *ps);

/* The lane of the event that `ps` has looked at. O(LANE_LOOK_MAX). */
uint16_t lane_key_ask(const struct lane_key *k, const struct pointers *ps);

/* The same of `event`, canonical, whether or not the key is among any. O(its bytes). */
uint16_t lane_key_find(const struct lane_key *k, struct slice event);

/* The lane of a value, canonical; LANE_NONE where ptr is NULL. */
uint16_t lane_of(struct slice value);

#endif
