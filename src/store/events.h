/*
 * The table of events: each event's head and body, written once whatever its
 * fan-out, until its last delivery is settled and retention lets go of it.
 *
 * Key: event id (16 bytes), piece number (2 bytes). Piece 0 holds the head and
 * the first bytes of the body, pieces 1, 2, … the rest. A piece is at most 4000
 * bytes: a larger value would take a run of pages, found by a linear
 * search of the free list, which a fragmented file makes slow.
 */
#ifndef STORE_EVENTS_H
#define STORE_EVENTS_H

#include "base/buf.h"
#include "base/codec.h"
#include "domain/id.h"
#include "domain/name.h"
#include "store/db.h"

#define EVENT_BODY_MAX (8u << 20) /* bytes; no setting allows a larger body */

#define EVENT_DELIVERIES_MAX UINT16_MAX /* above what max_webhooks_per_session allows */

struct event {
	struct uuid id;
	char session[SESSION_MAX + 1];
	char name[EVENT_MAX + 1];
	int64_t created_ms; /* wall */
	uint32_t
	    deliveries; /* made when it was published; their ids are the range behind `id` */
	uint32_t open;  /* of these, waiting or dead: while there are any, it stays */
	uint32_t body_bytes;
	int64_t settled_ms; /* wall; when the last of them was over; 0: it never was */
};

/* Writes an event whose `open` deliveries the caller adds in the same transaction. */
MUST_CHECK enum err events_put(struct db_txn *txn, const struct event *e, struct slice body);

/*
 * Reads head and body; `body` is emptied first, NULL for the head alone. ERR_NOTFOUND,
 * ERR_CORRUPT.
 */
MUST_CHECK enum err events_get(struct db_txn *txn, const struct uuid *id, struct event *e,
    struct buf *body);

/*
 * One delivery less is open at `now_ms`; *left is the event as it is then, with `open` 0 when
 * that was the last. ERR_NOTFOUND where there is no such event, or one that cannot be read.
 */
MUST_CHECK enum err events_release(struct db_txn *txn, const struct uuid *id, int64_t now_ms,
    struct event *left);

/*
 * One delivery more is open: one that was over is sent again. *before is the event as it was.
 * ERR_NOTFOUND as in events_release().
 */
MUST_CHECK enum err events_reopen(struct db_txn *txn, const struct uuid *id,
    struct event *before);

/* Names the newest id there is, of an event or a dead letter; all zero where there is none. */
MUST_CHECK enum err events_newest_id(struct db_txn *txn, struct uuid *id);

/* Takes a key of the table apart; false for one of another form. */
bool events_parse_key(struct slice key, struct uuid *id, uint16_t *piece);

/*
 * Decodes the record of piece 0, all of *e but its id; what is left in *r then is the body's
 * first bytes. ERR_CORRUPT.
 */
MUST_CHECK enum err events_decode_head(struct slice value, struct event *e, struct reader *r);

/* Removes an event, its deliveries' records apart. ERR_NOTFOUND. */
MUST_CHECK enum err events_drop(struct db_txn *txn, const struct uuid *id);

#endif
