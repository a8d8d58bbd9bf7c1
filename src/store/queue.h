/*
 * The persistent retry queue: the deliveries that wait, each webhook's in the
 * order in which they fall due.
 *
 * Two tables: DB_DELIVERIES has the record (key: delivery id), DB_QUEUE its
 * place (key: webhook number, lane and due time, delivery id; no value); how many places each
 * webhook has is kept by the backlog below. A webhook whose ordering has no key has one lane,
 * LANE_NONE. One index per
 * webhook and not one global: a pass must not walk past the thousands of due
 * rows of a dead endpoint to find the next one's.
 *
 * Claimed deliveries stay in the queue, so that a crash makes them due again.
 */
#ifndef STORE_QUEUE_H
#define STORE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/codec.h"
#include "domain/delivery.h"
#include "domain/lane.h"
#include "store/db.h"
#include "store/registry.h"

#define QUEUE_NEVER INT64_MAX /* due time of what is not there */

/* A place in one webhook's queue; all zero is the front. */
struct queue_place {
	int64_t place_ms; /* delivery.place_ms */
	struct uuid id;
	uint16_t lane; /* delivery.lane; it comes first */
};

/* Appends the record of `d`. */
void delivery_encode(const struct delivery *d, struct buf *out);

/* Reads a record into *d, whose id the caller sets. ERR_CORRUPT. */
MUST_CHECK enum err delivery_decode(struct reader *r, struct delivery *d);

/* The place of `d`. */
struct queue_place queue_place_of(const struct delivery *d);

/* Whether place `a` comes before place `b`. */
bool queue_place_before(const struct queue_place *a, const struct queue_place *b);

/* Adds a new delivery, or a replayed one, at its due time. */
MUST_CHECK enum err queue_add(struct db_txn *txn, const struct delivery *d);

/*
 * Moves a waiting delivery from `old_place_ms` of its lane to the place in `d`, with the rest
 * of `d`. ERR_NOTFOUND where it is not in the queue.
 */
MUST_CHECK enum err queue_move(struct db_txn *txn, const struct delivery *d,
    int64_t old_place_ms);

/*
 * Takes a waiting delivery out of the queue; its record stays as it is. ERR_NOTFOUND where
 * it is not in the queue (its webhook was deleted meanwhile).
 */
MUST_CHECK enum err queue_remove(struct db_txn *txn, const struct delivery *d);

/* Decodes the row of delivery `id`, which *out names either way. ERR_CORRUPT. */
MUST_CHECK enum err queue_decode(const struct uuid *id, struct slice value,
    struct delivery *out);

/* Reads the record of one delivery. ERR_NOTFOUND, ERR_CORRUPT. */
MUST_CHECK enum err queue_get(struct db_txn *txn, const struct uuid *id, struct delivery *out);

/* Writes the record of one delivery, not its place. */
MUST_CHECK enum err queue_put(struct db_txn *txn, const struct delivery *d);

/* Looks whether the queue has `d` at its place. ERR_NOTFOUND. */
MUST_CHECK enum err queue_find_place(struct db_txn *txn, const struct delivery *d);

/* Takes a key of DB_QUEUE apart; false for one of another form. */
bool queue_parse_key(struct slice key, uint64_t *webhook, struct queue_place *place);

struct queue_claim {
	uint64_t webhook;
	int64_t now_ms;    /* wall; what is due later is left */
	int64_t forced_ms; /* what was queued before this is due at once; 0: nothing is */
	size_t max;        /* at most so many */
	bool fifo; /* strictly in the order of places: the first one's due time counts */
	struct queue_place place; /* in: start behind it; out: the last one passed */
	bool (*skip)(void *arg, const struct uuid *id); /* true for those in flight already */
	void *arg;
};

/*
 * Reads the next due deliveries behind `c->place` into out[0 … *count - 1], in the order of
 * the queue; *next_due_ms is when the one behind them is due, QUEUE_NEVER if there is none.
 * None due is OK with *count 0. The store's error. One whose record cannot be read is logged
 * and due, with only id, webhook and place, and an event id of zeros: for the caller to bury.
 * A claim that passed many without finding enough says "due now" and goes on from its place
 * the next time. One with forced_ms that found any says when the last of them was queued. When
 * it finds none, all has been looked at: claims then begin at the front, without forced_ms.
 * O(max · log n).
 */
MUST_CHECK enum err queue_claim(struct db_txn *txn, struct queue_claim *c, struct delivery *out,
    size_t *count, int64_t *next_due_ms);

/*
 * Looks for the first delivery of `webhook` in `lane` that `skip` lets through. *found is the
 * lane, and *out as of queue_first(), due or not; or, where there is none in it, the next one
 * with any, LANES for none. The store's error. O(those that are skipped · log n).
 */
MUST_CHECK enum err queue_lane(struct db_txn *txn, uint64_t webhook, uint16_t lane,
    bool (*skip)(void *arg, const struct uuid *id), void *arg, struct delivery *out,
    uint16_t *found);

/* Calls `fn` with the first place of each webhook that has any: one step a webhook. */
MUST_CHECK enum err queue_heads(struct db_txn *txn,
    void (*fn)(void *arg, uint64_t webhook, int64_t place_ms), void *arg);

/*
 * Calls `fn` with how many places each webhook has that has any; O(queue). `fn` writes to no
 * place.
 */
MUST_CHECK enum err queue_count(struct db_txn *txn,
    void (*fn)(void *arg, uint64_t webhook, uint64_t waiting), void *arg);

/*
 * Reads the first delivery of `webhook`, due or not. ERR_NOTFOUND where it has none. One whose
 * record cannot be read has only id, webhook and place, and an event id of zeros.
 */
MUST_CHECK enum err queue_first(struct db_txn *txn, uint64_t webhook, struct delivery *out);

/* What a queue is put in the order of. */
struct queue_order {
	/*
	 * Each goes to the place that it had at first, but for those that were sent again,
	 * which stay; else those of lanes go to where they are due, and the others stay.
	 */
	bool by_publishing;
	/*
	 * Says the lane of `d`, and adds what that cost, in deliveries that are only looked
	 * at. NULL: all go to LANE_NONE. The store's error.
	 */
	enum err (*lane)(void *arg, struct db_txn *txn, const struct delivery *d,
	    uint16_t *lane, size_t *cost);
	void *arg;
};

/*
 * Puts the deliveries of `webhook` that lie behind `place` in order. Looks about at *max, of
 * which what is left comes out, as does the place that was reached; *more: others lie behind
 * it. The store's error.
 */
MUST_CHECK enum err queue_order(struct db_txn *txn, uint64_t webhook,
    const struct queue_order *order, struct queue_place *place, size_t *max, bool *more);

/* Removes the record of one delivery that is not in the queue. ERR_NOTFOUND. */
MUST_CHECK enum err queue_forget(struct db_txn *txn, const struct uuid *id);

/*
 * The backlog: how many deliveries wait for each webhook. Kept on disk, in DB_BACKLOG (key:
 * webhook number; value: how many, sealed; none waiting, no row), so that a start need not
 * count the queue, and in memory, so that asking costs nothing.
 *
 * queue.c tells it of every place that it makes or removes. In memory the numbers change at
 * once, so that an operation sees what those before it in its turn have added. On disk they
 * are written once a webhook right before the commit, in the same transaction as the places;
 * one that fails takes its changes out of memory again. Outside a transaction memory and disk
 * are the same.
 *
 * It never walks the queue, but for a migration.
 */

struct backlog;

/*
 * Reads the numbers of `db` and goes along with its transactions from then on: without it no
 * place of the queue may be made or removed. backlog_free() it, before the db is closed.
 * The store's error. One step a webhook that has any waiting.
 */
MUST_CHECK enum err backlog_new(struct db *db, struct backlog **out);
void backlog_free(struct backlog *b);

/* Adds `by` to what waits for `webhook`, in this write transaction. For queue.c. */
void backlog_change(struct db_txn *txn, uint64_t webhook, int by);

/* How many deliveries wait for `webhook`: its queue's depth. Those in flight wait too. */
uint64_t backlog_of(const struct backlog *b, uint64_t webhook);

/* The same over the session's webhooks, retired ones left out. One step a webhook. */
uint64_t backlog_of_session(const struct backlog *b, const struct registry *reg,
    struct slice session);

/* The same over all webhooks, retired ones too. */
uint64_t backlog_total(const struct backlog *b);

/* Counts the queue and writes the table anew; O(queue). For a store that never had it. */
MUST_CHECK enum err backlog_recount(struct db_txn *txn);

#endif
