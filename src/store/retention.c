/*
 * What is kept after it has been settled; see retention.h. Key of DB_SETTLED: time (8),
 * event id (16); value: bytes (8), sealed. An event that is open again is entered again when
 * it is settled again, and says when that was: its older entry does not count any more.
 */
#include "store/retention.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/usage.h"

#define KEY_SIZE (8 + UUID_SIZE)
#define ROOM_MAX 10000 /* records that one request drops to make room for itself */
#define LOOK_MAX 2000  /* events that a slice looks at, most of them open */

static struct slice settled_key(int64_t settled_ms, const struct uuid *id,
    unsigned char out[KEY_SIZE])
{
	codec_store_u64(out, (uint64_t)settled_ms);
	memcpy(out + 8, id->bytes, UUID_SIZE);
	return (struct slice){.ptr = (const char *)out, .len = KEY_SIZE};
}

/* Most come in the order of time, whose pages are then filled to the full. */
static enum err put_cost(struct db_txn *txn, struct slice key, uint64_t cost)
{
	unsigned char bytes[RECORD_NUMBER];
	struct slice value = record_seal_number(cost, record_at(DB_SETTLED, key), bytes);
	enum err err = db_append(txn, DB_SETTLED, key, value);
	return err == ERR_EXISTS ? db_put(txn, DB_SETTLED, key, value) : err;
}

/* Decodes a number; 0 for one that cannot be read. */
static uint64_t decode_number(struct slice key, struct slice value)
{
	uint64_t n = 0;
	return record_open_number(value, record_at(DB_SETTLED, key), &n) == OK ? n : 0;
}

enum err retention_cost(struct db_txn *txn, const struct event *e, uint64_t *out)
{
	uint64_t attempts = 0;
	enum err err = attempts_cost(txn, e, &attempts);
	*out = event_cost(e) + attempts;
	return err;
}

/* Enters an event that counts for `cost` bytes, since `settled_ms`. */
static enum err enter(struct db_txn *txn, const struct event *e, int64_t settled_ms,
    uint64_t cost)
{
	unsigned char key[KEY_SIZE];
	return put_cost(txn, settled_key(settled_ms, &e->id, key), cost);
}

enum err retention_enter(struct db_txn *txn, const struct event *e, int64_t settled_ms)
{
	uint64_t cost = 0;
	enum err err = retention_cost(txn, e, &cost);
	return err == OK ? enter(txn, e, settled_ms, cost) : err;
}

/* Whether the same pay for an event at two times (event_charge()). */
static bool is_paid_alike(const struct event_state *a, const struct event_state *b)
{
	return (a->open == 0) == (b->open == 0) && (a->open_all > 0) == (b->open_all > 0) &&
	    (a->open > a->open_all) == (b->open > b->open_all);
}

/* From now on those pay for an event who do so as it is now; *cost is what it counts for. */
static enum err recharge(struct db_txn *txn, const struct event *e,
    const struct event_state *before, const struct event_state *now, uint64_t *cost)
{
	enum err err = retention_cost(txn, e, cost);
	if (err != OK)
		return err;
	event_charge(txn, e, before, -(int64_t)*cost);
	event_charge(txn, e, now, (int64_t)*cost);
	return OK;
}

enum err retention_settle(struct db_txn *txn, const struct delivery *d, int64_t now_ms)
{
	struct event e = {0};
	struct event_state before = {0};
	struct event_state left = {0};
	struct delivery over = *d;
	uint64_t cost = 0;
	over.queued_ms = now_ms;
	enum err err = queue_put(txn, &over);
	if (err == OK)
		err = events_release(txn, d, now_ms, &e, &before, &left);
	if (err != OK || (left.open > 0 && is_paid_alike(&before, &left)))
		return err == ERR_NOTFOUND ? OK : err;
	err = recharge(txn, &e, &before, &left, &cost);
	return err == OK && left.open == 0 ? enter(txn, &e, left.settled_ms, cost) : err;
}

/* Whether who is to pay for an event again, as `d` is open again, may hold it. */
static enum err may_reopen(struct db_txn *txn, const struct event *e,
    const struct event_state *s, const struct delivery *d)
{
	const struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	bool for_all = webhook_is_for_all(d->webhook);
	bool pays = for_all ? s->open_all > 0 : s->open > s->open_all;
	uint64_t cost = 0;
	enum err err = pays ? OK : retention_cost(txn, e, &cost);
	if (err != OK || pays)
		return err;
	return usage_allows(u, webhook_owner(d->webhook, slice_of(e->session)), cost, 1);
}

enum err retention_reopen(struct db_txn *txn, const struct delivery *d)
{
	unsigned char key[KEY_SIZE];
	struct event e = {0};
	struct event_state before = {0};
	struct event_state now = {0};
	uint64_t cost = 0;
	enum err err = events_get(txn, &d->event_id, &e, NULL);
	if (err == OK)
		err = events_state_by(txn, &e, d, &before);
	if (err == OK)
		err = may_reopen(txn, &e, &before, d);
	if (err == OK || err == ERR_CORRUPT) /* which it logs */
		err = events_reopen(txn, d, &e, &before, &now);
	if (err == OK && !is_paid_alike(&before, &now))
		err = recharge(txn, &e, &before, &now, &cost);
	if (err != OK || before.open > 0)
		return err;
	/* of an old record nobody knows when it was settled: that entry is overtaken */
	if (before.settled_ms != 0)
		err = db_del(txn, DB_SETTLED, settled_key(before.settled_ms, &e.id, key));
	return err == ERR_NOTFOUND ? OK : err;
}

enum err retention_cancel_queue(struct db_txn *txn, uint64_t webhook, int64_t now_ms,
    size_t max, size_t *cancelled)
{
	enum err err = OK;
	for (*cancelled = 0; err == OK && *cancelled < max;) {
		struct delivery d;
		err = queue_first(txn, webhook, &d);
		if (err == OK)
			err = queue_remove(txn, &d);
		if (err != OK)
			break;
		d.status = DELIVERY_CANCELLED;
		err = retention_settle(txn, &d, now_ms);
		(*cancelled)++;
	}
	return err == ERR_NOTFOUND ? OK : err;
}

static bool parse_key(struct slice key, struct settled *out)
{
	struct reader r = reader_of(key);
	out->at_ms = get_i64(&r);
	struct slice id = get_bytes(&r, UUID_SIZE);
	memcpy(out->event.bytes, id.ptr, id.len);
	return !r.failed && r.left == 0;
}

enum err retention_decode(struct slice key, struct slice value, struct settled *out)
{
	if (!parse_key(key, out))
		return ERR_CORRUPT;
	return record_open_number(value, record_at(DB_SETTLED, key), &out->cost);
}

/* Whether the event was open again behind the entry; one of an old record does not tell. */
static bool is_overtaken(const struct settled *s, const struct event_state *now)
{
	return now->open > 0 || (now->settled_ms != 0 && now->settled_ms != s->at_ms);
}

/* Removes a settled event with the records of its deliveries, its attempts, its place. */
static enum err drop_event(struct db_txn *txn, const struct event *e, size_t *dropped)
{
	uint64_t cost = event_cost(e);
	for (uint32_t n = 1; n <= e->deliveries; n++) {
		struct uuid delivery;
		uuid_step(&e->id, n, &delivery);
		enum err err = queue_forget(txn, &delivery);
		if (err != OK && err != ERR_NOTFOUND)
			return err;
		(*dropped)++;
	}
	enum err err = attempts_drop(txn, e, dropped, &cost);
	if (err == OK && e->session[0] != '\0') /* else its head cannot be read */
		err = history_del(txn, slice_of(e->session), &e->id);
	if (err != OK && err != ERR_NOTFOUND)
		return err;
	usage_change(txn, slice_of(e->session), USAGE_HISTORY, -(int64_t)cost);
	return events_drop(txn, &e->id);
}

/*
 * Drops the entry's event, whose deliveries and attempts are the range behind its id; not one
 * that was open again: another entry counts for it, or will.
 */
static enum err drop_entry(struct db_txn *txn, const struct settled *s, size_t *dropped)
{
	struct event e = {.id = s->event};
	struct event_state now;
	enum err err = events_get(txn, &s->event, &e, NULL);
	if (err == ERR_NOTFOUND)
		return OK;
	if (err == OK)
		err = events_state(txn, &e, &now);
	if (err == OK && is_overtaken(s, &now))
		return OK;
	return err == OK || err == ERR_CORRUPT ? drop_event(txn, &e, dropped) : err;
}

static enum err oldest_settled(struct db_txn *txn, struct settled *out)
{
	struct slice key;
	struct slice value;
	enum err err = db_first(txn, DB_SETTLED, &key, &value);
	if (err != OK)
		return err;
	out->cost = decode_number(key, value);
	if (parse_key(key, out))
		return OK;
	log_error("key is corrupt, the sweep stops", LOG_S("table", "settled"));
	return ERR_NOTFOUND; /* the others of this turn must go on */
}

/* Drops the oldest settled event if it is too old. ERR_NOTFOUND where there is none. */
static enum err drop_oldest(struct db_txn *txn, const struct retention *keep, int64_t now_ms,
    size_t *dropped)
{
	struct settled s = {0};
	unsigned char key[KEY_SIZE];
	enum err err = oldest_settled(txn, &s);
	if (err != OK)
		return err;
	if (s.at_ms > now_ms - keep->settled_ms)
		return ERR_NOTFOUND;
	err = drop_entry(txn, &s, dropped);
	return err == OK ? db_del(txn, DB_SETTLED, settled_key(s.at_ms, &s.event, key)) : err;
}

enum err retention_erase(struct db_txn *txn, struct slice session, const struct uuid *event,
    size_t *dropped)
{
	unsigned char key[KEY_SIZE];
	struct event e = {.id = *event};
	struct event_state now = {0};
	enum err err = events_get(txn, event, &e, NULL);
	if (err == OK)
		err = events_state(txn, &e, &now);
	if (err == OK || err == ERR_CORRUPT)
		err = drop_event(txn, &e, dropped);
	if (err == OK && now.settled_ms != 0)
		err = db_del(txn, DB_SETTLED, settled_key(now.settled_ms, event, key));
	if (err == OK || err == ERR_NOTFOUND)
		err = history_del(txn, session, event); /* of one that could not be read */
	return err == ERR_NOTFOUND ? OK : err;
}

/* By room: what is to go, and what went. */
struct yield {
	struct usage *usage;
	uint64_t bytes; /* that are still to go */
	size_t max;     /* records */
	size_t dropped;
	size_t look; /* events that stay and may still be looked at, of this session */
	bool more;   /* it could not go on for long enough */
};

/* Drops an event that is over; one that is open, or cannot be read, stays. */
static enum err yield_event(struct db_txn *txn, struct yield *y, const struct uuid *id,
    bool *went)
{
	unsigned char key[KEY_SIZE];
	struct event e = {.id = *id};
	struct event_state now = {0};
	enum err err = events_get(txn, id, &e, NULL);
	if (err == OK)
		err = events_state(txn, &e, &now);
	*went = err == OK && now.open == 0;
	if (!*went)
		return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
	err = drop_event(txn, &e, &y->dropped);
	if (err == OK && now.settled_ms != 0)
		err = db_del(txn, DB_SETTLED, settled_key(now.settled_ms, id, key));
	y->dropped++;
	return err == ERR_NOTFOUND ? OK : err;
}

static uint64_t history_of(const struct yield *y, const struct usage_walk *w)
{
	return usage_of(y->usage, w->session).n[USAGE_HISTORY];
}

static bool may_go_on(const struct yield *y)
{
	return y->dropped < y->max && y->look > 0;
}

/*
 * Drops events of one session behind the place of the walk, up to `most` bytes. A walk that
 * comes to the end begins anew; one that was all along the way and found nothing is the last.
 */
static enum err yield_of(struct db_txn *txn, struct yield *y, struct usage_walk *w,
    uint64_t most)
{
	static const struct uuid FRONT;
	uint64_t first = history_of(y, w);
	uint64_t gone = 0;
	enum err err = OK;
	if (uuid_eq(&w->passed, &FRONT))
		w->found = false;
	while (err == OK && gone < most && may_go_on(y)) {
		struct uuid event;
		bool went = false;
		err = history_next(txn, w->session, &w->passed, &event);
		if (err == OK)
			err = yield_event(txn, y, &event, &went);
		if (err == OK)
			w->passed = event;
		w->found = w->found || went;
		y->look -= went ? 0 : 1;
		gone = first - history_of(y, w);
	}
	y->bytes -= gone < y->bytes ? gone : y->bytes;
	if (err == ERR_NOTFOUND && !w->found) {
		usage_end_walk(y->usage, w);
		return OK;
	}
	if (err == ERR_NOTFOUND)
		w->passed = FRONT;
	usage_keep_walk(y->usage, w);
	return err == ERR_NOTFOUND ? OK : err;
}

/*
 * Drops history of those who are first to yield, each its part, until enough went. Each has a
 * part of the looks, too: who has many open events does not use up those at the others.
 */
static enum err yield(struct db_txn *txn, struct yield *y, enum usage_order order)
{
	struct usage_walk walks[USAGE_YIELDERS];
	size_t count = y->bytes == 0 ? 0 : usage_yielders(y->usage, order, y->bytes, walks);
	enum err err = OK;
	for (size_t i = 0; err == OK && i < count && y->bytes > 0 && y->dropped < y->max; i++) {
		struct usage_walk *w = &walks[i];
		y->look = LOOK_MAX / count;
		err = yield_of(txn, y, w, w->surplus < y->bytes ? w->surplus : y->bytes);
	}
	y->more = y->more || (count > 0 && y->bytes > 0);
	return err;
}

enum err retention_make_room(struct db_txn *txn, uint64_t bytes)
{
	struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	struct yield y = {.usage = u, .bytes = usage_lacks(u, bytes), .max = ROOM_MAX};
	return yield(txn, &y, USAGE_MOST_HELD);
}

/* Drops what takes too much room. */
static enum err sweep_room(struct db_txn *txn, const struct retention *keep, size_t max,
    size_t *dropped)
{
	struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	struct yield y = {.usage = u,
	    .bytes = usage_excess(u),
	    .max = max,
	    .dropped = *dropped};
	enum err err = yield(txn, &y, USAGE_MOST_HELD);
	uint64_t history = usage_total(u).n[USAGE_HISTORY];
	y.bytes = history > keep->settled_bytes ? history - keep->settled_bytes : 0;
	if (err == OK)
		err = yield(txn, &y, USAGE_MOST_HISTORY);
	*dropped = y.more && y.dropped < max ? max : y.dropped;
	return err;
}

enum err retention_sweep_settled(struct db_txn *txn, const struct retention *keep,
    int64_t now_ms, size_t max, size_t *dropped)
{
	enum err err = OK;
	*dropped = 0;
	while (err == OK && *dropped < max) {
		err = drop_oldest(txn, keep, now_ms, dropped);
		*dropped += err == OK ? 1 : 0;
	}
	if (err == OK || err == ERR_NOTFOUND)
		err = sweep_room(txn, keep, max, dropped);
	return err;
}

/* The delivery of a dropped dead letter is over. */
static enum err cancel_dead(struct db_txn *txn, const struct uuid *id, int64_t now_ms)
{
	struct delivery d;
	enum err err = queue_get(txn, id, &d);
	if (err != OK)
		return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
	if (d.status != DELIVERY_DEAD)
		return OK;
	d.status = DELIVERY_CANCELLED;
	d.letter = (struct uuid){0};
	return retention_settle(txn, &d, now_ms);
}

enum err retention_drop_dead(struct db_txn *txn, struct slice session,
    const struct uuid *letter, int64_t now_ms)
{
	struct dead_letter *dead = mem_new(sizeof(*dead));
	enum err err = dead_letters_get(txn, session, letter, dead);
	if (err == OK)
		err = cancel_dead(txn, &dead->delivery_id, now_ms);
	free(dead);
	if (err != OK && err != ERR_CORRUPT)
		return err;
	return dead_letters_del(txn, session, letter);
}

static enum err drop_oldest_dead(struct db_txn *txn, const struct retention *keep,
    int64_t now_ms)
{
	char session[SESSION_MAX + 1];
	struct uuid id;
	enum err err = dead_letters_oldest(txn, &id, session);
	if (err != OK)
		return err;
	if (uuid_time(&id) + keep->dead_letters_ms > now_ms)
		return ERR_NOTFOUND;
	err = retention_drop_dead(txn, slice_of(session), &id, now_ms);
	return err == ERR_NOTFOUND ? dead_letters_del(txn, slice_of(session), &id) : err;
}

enum err retention_sweep_dead(struct db_txn *txn, const struct retention *keep, int64_t now_ms,
    size_t max, size_t *dropped)
{
	enum err err = OK;
	for (*dropped = 0; err == OK && *dropped < max;) {
		err = drop_oldest_dead(txn, keep, now_ms);
		*dropped += err == OK ? 1 : 0;
	}
	return err == ERR_NOTFOUND ? OK : err;
}
