/*
 * Names that wait to be looked up. Turns go from taker to taker, that is from session to
 * session, and within one from domain to domain: a session that wants many names delays only
 * itself, and so does a domain with many names. A domain is the last two labels of a name; that
 * "co.uk" is one then does no harm.
 *
 * A taker of whom nothing waits comes next when it asks: a crowd that has come before waits
 * longer anyway.
 */
#ifndef COURIER_LOOKUP_QUEUE_H
#define COURIER_LOOKUP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/slice.h"

struct lookup_line;

/* Part of what waits. */
struct lookup_place {
	TAILQ_ENTRY(lookup_place) link;
	struct lookup_line *line; /* NULL: it does not wait */
	struct slice name;        /* in lower case; borrowed */
};

struct lookup_queue;

struct lookup_queue *lookup_queue_new(void);

/* Frees it and forgets who waits. NULL is fine. */
void lookup_queue_free(struct lookup_queue *q);

/* Puts `p`, which does not wait, in front of what `taker` waits for of its domain. */
void lookup_queue_put(struct lookup_queue *q, struct lookup_place *p, uint64_t taker);

/* The same behind all that waits: it has had a turn. */
void lookup_queue_put_last(struct lookup_queue *q, struct lookup_place *p, uint64_t taker);

/* Takes the next one; NULL: none waits. */
struct lookup_place *lookup_queue_take(struct lookup_queue *q);

/* `p` waits no longer; nothing where it does not wait. */
void lookup_queue_drop(struct lookup_queue *q, struct lookup_place *p);

/* How many names of a taker wait; the same of the taker for whom `p` waits. */
size_t lookup_queue_of(const struct lookup_queue *q, uint64_t taker);
size_t lookup_queue_beside(const struct lookup_place *p);

/* How many wait, of all takers. */
size_t lookup_queue_count(const struct lookup_queue *q);

bool lookup_queue_is_empty(const struct lookup_queue *q);

#endif
