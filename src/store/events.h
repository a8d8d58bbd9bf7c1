/*
 * The table of events: each event's head and body, written once whatever its fan-out, until
 * its last delivery is settled and retention lets go of it.
 *
 * Key: event id (16 bytes), piece number (2 bytes). Piece 0 holds the head and
 * the first bytes of the body, pieces 1, 2, … the rest. A piece is at most 4000
 * bytes: a larger value would take a run of pages, found by a linear
 * search of the free list, which a fragmented file makes slow.
 *
 * Whether it is open the record of its only delivery says; of several DB_OPEN has the count,
 * from the first that is over on: without a row all that were made are open.
 */
#ifndef STORE_EVENTS_H
#define STORE_EVENTS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/uuid.h"
#include "domain/attachment.h"
#include "domain/delivery.h"
#include "domain/name.h"
#include "domain/trace.h"
#include "store/db.h"
#include "store/queue.h"

#define EVENT_GIVEN_MAX (16u << 20) /* bytes; no setting allows a larger event */
#define EVENT_FRAME_MAX 256         /* bytes that its session, name and time may add */
/* What is stored is never larger: whoever reads has room for it, and needs no other limit. */
#define EVENT_BODY_MAX (EVENT_GIVEN_MAX + EVENT_FRAME_MAX)

#define EVENT_ATTACHED_MAX (EVENT_GIVEN_MAX + ATTACHMENT_FRONT_MAX) /* bytes */

#define EVENT_DELIVERIES_MAX UINT16_MAX /* above what max_webhooks_per_session allows */

/* How far the deliveries of an event are; events_state() reads it. */
struct event_state {
	uint32_t open;      /* of these, waiting or dead: while there are any, it stays */
	uint32_t open_all;  /* of the open ones, those to webhooks for all sessions */
	int64_t settled_ms; /* wall; when the last of them was over; 0: it never was */
};

struct event {
	struct uuid id;
	char session[SESSION_MAX + 1];
	char name[EVENT_MAX + 1];
	int64_t created_ms;  /* wall */
	uint32_t deliveries; /* made at its publication; their ids are the range behind `id` */
	uint32_t for_all;    /* of them, those made for webhooks for all sessions */
	uint32_t body_bytes;
	uint32_t attached_bytes; /* of what lies behind the body (attachment.h); 0: nothing */
	uint16_t trace_bytes;    /* of what lies behind that (trace.h); 0: nothing */
	bool has_state;          /* its record is one of before, which has `state`, too */
	struct event_state state;
};

/*
 * Writes an event whose deliveries, all open, the caller adds in the same transaction. A body
 * over EVENT_BODY_MAX, which nobody should come with, fails the transaction.
 */
MUST_CHECK enum err events_put(struct db_txn *txn, const struct event *e, struct slice body);

/* The same with e->attached_bytes bytes behind the body, at most EVENT_ATTACHED_MAX. */
MUST_CHECK enum err events_put_attached(struct db_txn *txn, const struct event *e,
    struct slice body, struct slice attached);

/* The same with e->trace_bytes bytes behind these, at most TRACE_MAX. */
MUST_CHECK enum err events_put_traced(struct db_txn *txn, const struct event *e,
    struct slice body, struct slice attached, struct slice trace);

/* Copies the e->trace_bytes bytes of an event's trace. ERR_NOTFOUND, ERR_CORRUPT. */
MUST_CHECK enum err events_read_trace(struct db_txn *txn, const struct event *e,
    char out[TRACE_MAX]);

/*
 * Reads head and body; `body` is emptied first, NULL for the head alone. ERR_NOTFOUND,
 * ERR_CORRUPT.
 */
MUST_CHECK enum err events_get(struct db_txn *txn, const struct uuid *id, struct event *e,
    struct buf *body);

/*
 * Copies bytes of an event's body and what is attached behind it, from `offset` on, into `out`,
 * at most `max`; *n is how many, 0 behind the end. ERR_NOTFOUND, ERR_CORRUPT. O(max).
 */
MUST_CHECK enum err events_read_body(struct db_txn *txn, const struct uuid *id, size_t offset,
    char *out, size_t max, size_t *n);

/* How far the deliveries of `e` are. ERR_CORRUPT where what tells is damaged or missing. */
MUST_CHECK enum err events_state(struct db_txn *txn, const struct event *e,
    struct event_state *out);

/* The same by `d`, one of them, as it is stored: where it is the only one nothing is read. */
MUST_CHECK enum err events_state_by(struct db_txn *txn, const struct event *e,
    const struct delivery *d, struct event_state *out);

/* Writes how far they are, behind events_put(); of a single one its own record says it. */
MUST_CHECK enum err events_put_state(struct db_txn *txn, const struct event *e,
    const struct event_state *s);

/*
 * Delivery `d` is open no more since `now_ms`, as the caller has written in its record. *e is
 * its event, *before and *left how that stood and stands, with `open` 0 when it was the last.
 * ERR_NOTFOUND where there is no such event, or one that cannot be read.
 */
MUST_CHECK enum err events_release(struct db_txn *txn, const struct delivery *d, int64_t now_ms,
    struct event *e, struct event_state *before, struct event_state *left);

/*
 * Delivery `d`, which is over, will be open again; the caller writes it behind this. *e,
 * *before and *now, and ERR_NOTFOUND, as in events_release().
 */
MUST_CHECK enum err events_reopen(struct db_txn *txn, const struct delivery *d, struct event *e,
    struct event_state *before, struct event_state *now);

/* Decodes a row of DB_OPEN, of an event with several deliveries. ERR_CORRUPT. */
MUST_CHECK enum err events_decode_open(struct slice key, struct slice value, struct uuid *id,
    struct event_state *out);

/* Finds which event a delivery is of, by its id. ERR_NOTFOUND; of what cannot be read, too. */
MUST_CHECK enum err events_find_of(struct db_txn *txn, const struct uuid *delivery,
    struct uuid *event);

/* Names the newest event below `below`, of any session. ERR_NOTFOUND: there is none. */
MUST_CHECK enum err events_below(struct db_txn *txn, const struct uuid *below,
    struct uuid *event);

/* Names the newest id there is, of an event or a dead letter; all zero where there is none. */
MUST_CHECK enum err events_newest_id(struct db_txn *txn, struct uuid *id);

/* Takes a key of the table apart; false for one of another form. */
bool events_parse_key(struct slice key, struct uuid *id, uint16_t *piece);

/*
 * Decodes the record of piece 0 of event e->id, the rest of *e; what is left in *r then is the
 * body's first bytes. ERR_CORRUPT.
 */
MUST_CHECK enum err events_decode_head(struct slice value, struct event *e, struct reader *r);

/* What an event counts for, in bytes, with its deliveries and without their attempts. */
uint64_t event_cost(const struct event *e);

/*
 * Adds `bytes` to what is held by each who pays for `e` as it stands: its session while a
 * delivery to one of its webhooks is open, SESSION_ALL while one to a webhook for all is; then
 * it is history.
 */
void event_charge(struct db_txn *txn, const struct event *e, const struct event_state *s,
    int64_t bytes);

/* Removes an event, its deliveries' records apart. ERR_NOTFOUND. */
MUST_CHECK enum err events_drop(struct db_txn *txn, const struct uuid *id);

/*
 * The table of history: which events a session has, in the order of time. Key: session, a NUL,
 * event id (16); no value. A row is written with its event and dropped with it.
 */

/* Names the first event of `session` behind `passed`. ERR_NOTFOUND where it has none there. */
MUST_CHECK enum err history_next(struct db_txn *txn, struct slice session,
    const struct uuid *passed, struct uuid *event);

/* Names the newest event of `session` below `below`. ERR_NOTFOUND: it has none there. */
MUST_CHECK enum err history_below(struct db_txn *txn, struct slice session,
    const struct uuid *below, struct uuid *event);

/* Adds an event to its session's. The sticky error. */
MUST_CHECK enum err history_put(struct db_txn *txn, struct slice session,
    const struct uuid *event);

/* Removes it; looks whether it is there. ERR_NOTFOUND. */
MUST_CHECK enum err history_del(struct db_txn *txn, struct slice session,
    const struct uuid *event);
MUST_CHECK enum err history_find(struct db_txn *txn, struct slice session,
    const struct uuid *event);

/* Takes a key apart; *session is borrowed from it. False for one of another form. */
bool history_parse_key(struct slice key, struct slice *session, struct uuid *event);

/*
 * Fills the table from the events, for a migration: a slice of them behind those that it has
 * looked at, which it keeps in DB_META until it is through. *more: there are others.
 */
MUST_CHECK enum err history_fill(struct db_txn *txn, bool *more);

#endif
