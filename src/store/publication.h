/*
 * A publication: an event and those it goes to, written in one transaction. What
 * publishers send and what waybill itself has to say take this one way to disk.
 */
#ifndef STORE_PUBLICATION_H
#define STORE_PUBLICATION_H

#include "base/buf.h"
#include "domain/delivery.h"
#include "domain/id.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/registry.h"

/* A webhook that a publication goes to. */
struct target {
	uint64_t webhook; /* its number */
	bool fifo;        /* its queue is in the order of ids, whatever the clock does */
};

struct publication {
	struct event event;     /* deliveries: how many targets there are */
	struct slice body;      /* borrowed: canonical bytes */
	struct target *targets; /* owned */
};

/*
 * Names those of the session's webhooks that are enabled and want the event, whose session
 * and name are set.
 */
void publication_match(struct publication *p, const struct registry *reg);

/* Takes a webhook out of those that it goes to, if it is among them. */
void publication_leave_out(struct publication *p, uint64_t webhook);

/* Makes it go to one webhook only. */
void publication_address(struct publication *p, const struct webhook *w);

/* Gives the event its id and time, and each delivery the id behind it. */
void publication_stamp(struct publication *p, struct idgen *ids, int64_t now_ms);

/* Writes the event and its deliveries; one that goes nowhere is not written. */
MUST_CHECK enum err publication_write(struct db_txn *txn, const struct publication *p);

/* The place in its webhook's queue of delivery `n`, 0 … deliveries - 1. */
struct queue_place publication_place(const struct publication *p, uint32_t n);

/* Frees what it owns. */
void publication_fini(struct publication *p);

#endif
