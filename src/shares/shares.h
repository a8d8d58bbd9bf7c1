/*
 * A resource with its takers by name: who holds how much of it, who was refused. Decides by the
 * rule of share.h; those that keep their takers' figures themselves (the scheduler, the store)
 * ask that directly.
 *
 * It never waits and never answers anybody: its caller answers a refused taker with 429 or 503,
 * or lets it wait. Memory: one entry for each taker that holds something.
 */
#ifndef SHARES_SHARES_H
#define SHARES_SHARES_H

#include "base/err.h"
#include "base/slice.h"
#include "shares/share.h"

#define SHARES_NAME_MAX 128 /* bytes of a taker's name that figures keep */

struct shares;

/* Makes a resource of `capacity` units. shares_free() frees it, whatever is still held. */
struct shares *shares_new(uint64_t capacity);
void shares_free(struct shares *s);

/* Changes the capacity; what is held stays held. */
void shares_resize(struct shares *s, uint64_t capacity);

/*
 * Gives `taker` `n` units (0: none, and OK) and counts them as held. ERR_FULL where the rule
 * refuses: nothing is taken, and the refusal is counted.
 */
MUST_CHECK enum err shares_take(struct shares *s, struct slice taker, uint64_t n);

/* Takes for `taker` what it has already in fact, whatever the rule says. */
void shares_force(struct shares *s, struct slice taker, uint64_t n);

/* Counts a refusal that the caller made by another rule. */
void shares_refuse(struct shares *s, struct slice taker);

/* Gives back `n` of what the taker holds; more than that is a mistake of ours. */
void shares_give(struct shares *s, struct slice taker, uint64_t n);

/* What `taker` holds, and how much more it may have now. */
uint64_t shares_held(const struct shares *s, struct slice taker);
uint64_t shares_room(const struct shares *s, struct slice taker);

struct shares_figures {
	struct share share;
	uint64_t refused;                       /* askings, since it was made */
	char last_refused[SHARES_NAME_MAX + 1]; /* who was, last; "": nobody */
};

/* Counts a refusal of `taker` in figures: for who keeps a resource's takers himself. */
void shares_note_refusal(struct shares_figures *f, struct slice taker);

/* How it stands; borrowed until the next call. */
const struct shares_figures *shares_figures(const struct shares *s);

#endif
