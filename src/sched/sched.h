/*
 * The scheduler: which webhook may start its next attempt now. Pure: it knows
 * no disk, no socket and no clock, so that a test drives thousands of endpoints
 * through virtual hours.
 *
 * An endpoint is the scheduler's part of a webhook with work; its owner embeds
 * it. The scheduler knows of an endpoint when its next unclaimed delivery is due
 * and how many of its attempts are in flight, never the deliveries themselves:
 * memory is bounded by the number of webhooks with work, not by the backlog.
 *
 *              due time reached, slot free
 *     IDLE ─────────────────────────────────▶ READY ──sched_next──▶ starts one,
 *      ▲  (tree by due time)                 (round-robin list)     goes to the end
 *      │                                        │
 *      └── no due work, in flight at its cap ───┘
 *
 * Fairness: READY endpoints take turns, one attempt a turn; one that is slow or
 * dead fills its own cap, then waits for itself alone.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct sched_endpoint {
	struct { /* what RB_ENTRY would declare: the tree's macros are the .c's alone */
		struct sched_endpoint *rbe_left, *rbe_right, *rbe_parent;
		int rbe_color;
	} node;
	TAILQ_ENTRY(sched_endpoint) link; /* in the list while READY */
	int64_t due_ms; /* wall; of the next unclaimed delivery; SCHED_NEVER: none known */
	uint32_t in_flight;
	uint32_t cap; /* most attempts in flight at once */
	uint8_t state;
	bool enabled;
};

#define SCHED_NEVER INT64_MAX

struct sched;

/* `slots`: attempts in flight over all endpoints. */
struct sched *sched_new(uint32_t slots);
void sched_free(struct sched *s);

/* Makes `e` known, with no work yet. */
void sched_add(struct sched *s, struct sched_endpoint *e, uint32_t cap, bool enabled);

/* Forgets `e`; attempts still in flight are given back by sched_finish() before. */
void sched_remove(struct sched *s, struct sched_endpoint *e);

/* Changes what the webhook allows. A disabled endpoint starts nothing. */
void sched_limit(struct sched *s, struct sched_endpoint *e, uint32_t cap, bool enabled);

/* Says when the next unclaimed delivery of `e` is due; SCHED_NEVER when it has none. */
void sched_set_due(struct sched *s, struct sched_endpoint *e, int64_t due_ms);

/*
 * Borrows the endpoint whose turn it is at `now_ms`, or NULL. The caller claims one
 * of its due deliveries and reports sched_start(), or that there is none by
 * sched_set_due() with a later time; else it would be offered again.
 */
struct sched_endpoint *sched_next(struct sched *s, int64_t now_ms);

/* One attempt of `e` started: takes a slot, and `e` goes to the end of the line. */
void sched_start(struct sched *s, struct sched_endpoint *e);

/* One attempt of `e` ended: gives the slot back. */
void sched_finish(struct sched *s, struct sched_endpoint *e);

/* When sched_next() could next have something that it has not now; SCHED_NEVER. O(log n). */
int64_t sched_wake(const struct sched *s, int64_t now_ms);

uint32_t sched_in_flight(const struct sched *s);

#endif
