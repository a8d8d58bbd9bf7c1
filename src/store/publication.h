/*
 * A publication: an event and those it goes to, written in one transaction. What
 * publishers send and what waybill itself has to say take this one way to disk.
 */
#ifndef STORE_PUBLICATION_H
#define STORE_PUBLICATION_H

#include "base/slice.h"
#include "store/db.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/registry.h"

struct target {           /* a webhook that a publication goes to */
	uint64_t webhook; /* its number */
	uint16_t lane;    /* in its queue (domain/lane.h) */
};

struct publication {
	struct event event;     /* deliveries: how many targets there are; for_all: unset */
	struct slice body;      /* borrowed: canonical bytes */
	struct slice attached;  /* borrowed: what lies behind them; mostly nothing */
	struct slice trace;     /* borrowed, as trace_keep() has it; mostly nothing */
	struct target *targets; /* owned */
};

/*
 * Names those of the session's webhooks that are enabled and want the event, whose session,
 * name and body are set, and the lanes that it has in their queues. Returns how many steps of
 * filters that took.
 */
uint64_t publication_match(struct publication *p, const struct registry *reg);

/*
 * The same without a look-up, where `same` has been matched, of the same session and name,
 * and no filter or key of the session looks into it.
 */
void publication_match_as(struct publication *p, const struct publication *same);

/* Takes a webhook out of those that it goes to, if it is among them. */
void publication_leave_out(struct publication *p, uint64_t webhook);

/* Makes it go to one webhook only. */
void publication_address(struct publication *p, const struct webhook *w);

/* How many of its deliveries go to webhooks for all sessions. */
uint32_t publication_for_all(const struct publication *p);

/* Gives the event its id and time, and each delivery the id behind it. */
void publication_stamp(struct publication *p, struct idgen *ids, int64_t now_ms);

/*
 * Writes the event and its deliveries; one that goes nowhere is not written. Where SESSION_ALL
 * may hold no more, those to webhooks for all sessions are cancelled, and counted (usage.h).
 */
MUST_CHECK enum err publication_write(struct db_txn *txn, const struct publication *p);

/* The place in its webhook's queue of delivery `n`, 0 … deliveries - 1. */
struct queue_place publication_place(const struct publication *p, uint32_t n);

void publication_fini(struct publication *p); /* frees what it owns */

#endif
