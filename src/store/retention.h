/*
 * What becomes of deliveries that are settled and of their events: they stay, for replay
 * and inspection, until they are too old or take too much room; dead letters until they
 * are too old. Swept in slices.
 *
 * By age the oldest of all go first. By room a session loses its own oldest first: the one that
 * has most of them where they take more than they may together, the one that holds most of the
 * store where the store fills up. So no session's traffic takes away another's history as long
 * as it has more of it.
 *
 * Tables: DB_SETTLED (time when its last delivery was settled, event id -> what it counts
 * for in bytes), DB_DEAD_BY_AGE (dead letter id -> session), DB_HISTORY (a session's events).
 */
#ifndef STORE_RETENTION_H
#define STORE_RETENTION_H

#include "domain/delivery.h"
#include "store/db.h"
#include "store/events.h"

struct retention {
	int64_t settled_ms;      /* how long settled events stay */
	uint64_t settled_bytes;  /* how much they may take together */
	int64_t dead_letters_ms; /* how long dead letters stay */
};

/*
 * Writes the record of a delivery that has left the queue for good, with its final status,
 * and lets go of its event.
 */
MUST_CHECK enum err retention_settle(struct db_txn *txn, const struct delivery *d,
    int64_t now_ms);

/*
 * The event of `d`, a delivery that is over, is open again: it is kept, and counts as open,
 * until it is settled anew. ERR_NOTFOUND where there is no such event, or one that cannot be
 * read. ERR_FULL, ERR_NOSPACE: whose webhook it goes to may hold no more (usage.h). Nothing is
 * written then.
 * The caller writes the delivery.
 */
MUST_CHECK enum err retention_reopen(struct db_txn *txn, const struct delivery *d);

/*
 * Enters an event whose last open delivery is over since `settled_ms` among those that are
 * swept. The sticky error.
 */
MUST_CHECK enum err retention_enter(struct db_txn *txn, const struct event *e,
    int64_t settled_ms);

/* Cancels at most `max` deliveries of `webhook`; *cancelled says how many. */
MUST_CHECK enum err retention_cancel_queue(struct db_txn *txn, uint64_t webhook, int64_t now_ms,
    size_t max, size_t *cancelled);

/*
 * Drops settled events that `keep` no longer keeps at `now_ms`, or that the store has no room
 * for, about `max` records; *dropped says how many, at least `max` when there may be more.
 */
MUST_CHECK enum err retention_sweep_settled(struct db_txn *txn, const struct retention *keep,
    int64_t now_ms, size_t max, size_t *dropped);

/*
 * Drops settled events until `bytes` more can be written, or a few thousand records are
 * dropped. Whether it was enough, usage_lacks() says.
 */
MUST_CHECK enum err retention_make_room(struct db_txn *txn, uint64_t bytes);

/*
 * Drops a dead letter; its delivery, where that is dead, is cancelled. ERR_NOTFOUND. One that
 * cannot be read is dropped alone.
 */
MUST_CHECK enum err retention_drop_dead(struct db_txn *txn, struct slice session,
    const struct uuid *letter, int64_t now_ms);

/*
 * Drops an event of which no delivery is open, with all that belongs to it; *dropped grows by
 * its records, deliveries and attempts. One that cannot be read goes as far as that is
 * possible, and with it its place in the history of `session`. OK where it is gone already.
 */
MUST_CHECK enum err retention_erase(struct db_txn *txn, struct slice session,
    const struct uuid *event, size_t *dropped);

/* Drops dead letters that are too old, as retention_sweep_settled() does events. */
MUST_CHECK enum err retention_sweep_dead(struct db_txn *txn, const struct retention *keep,
    int64_t now_ms, size_t max, size_t *dropped);

/* One entry of DB_SETTLED. */
struct settled {
	int64_t at_ms;
	struct uuid event;
	uint64_t cost; /* bytes */
};

/* Decodes a row of DB_SETTLED. ERR_CORRUPT. */
MUST_CHECK enum err retention_decode(struct slice key, struct slice value, struct settled *out);

/* What an event counts for once it is settled, in bytes. The sticky error. */
MUST_CHECK enum err retention_cost(struct db_txn *txn, const struct event *e, uint64_t *out);

#endif
