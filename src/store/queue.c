/*
 * Places and records of waiting deliveries; see queue.h. A worked key, of webhook
 * 3, lane 7, due 2026-01-01T00:00:00.000Z: 0000000000000003 0007019b76da2c00 and the 16
 * bytes of the delivery's id.
 */
#include "store/queue.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/record.h"

#define KEY_SIZE (8 + 8 + UUID_SIZE)
#define PASSED_MAX 1000 /* rows that one claim passes by: bounds its work */
#define RECORD_MAX 128  /* bytes; a delivery's record has a fixed size below it */

/*
 * A place as it lies on disk: the lane above 48 bits of time, which last beyond the year 10000.
 * What was written before there were lanes is in LANE_NONE.
 */
#define TIME_BITS 48
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

static uint64_t pack_place(uint16_t lane, int64_t place_ms)
{
	return (uint64_t)lane << TIME_BITS | ((uint64_t)place_ms & TIME_MASK);
}

static int64_t unpack_place(uint64_t packed, uint16_t *lane)
{
	*lane = (uint16_t)(packed >> TIME_BITS);
	return (int64_t)(packed & TIME_MASK);
}

/*
 * The record of a delivery. To change it: raise DELIVERY_VERSION, decode the old one below as
 * well, and say in docs/architecture.md what moved.
 */
#define DELIVERY_VERSION 2
#define VERSION_WITHOUT_LETTER 1 /* without `replays` and `letter` */

void delivery_encode(const struct delivery *d, struct buf *out)
{
	put_u8(out, DELIVERY_VERSION);
	put_u8(out, (uint8_t)d->status);
	buf_append(out, d->event_id.bytes, UUID_SIZE);
	put_u64(out, d->webhook);
	put_i64(out, d->created_ms);
	put_u64(out, pack_place(d->lane, d->place_ms));
	put_i64(out, d->due_ms);
	put_i64(out, d->queued_ms);
	put_u32(out, d->attempts);
	put_u32(out, d->replayed_at);
	put_u32(out, d->replays);
	buf_append(out, d->letter.bytes, UUID_SIZE);
}

/* What version 1 does not have: only dead letters were replayed, after an attempt or more. */
static void decode_rest(struct reader *r, uint8_t version, struct delivery *d)
{
	d->replays = d->replayed_at > 0 ? 1 : 0;
	d->letter = (struct uuid){0};
	if (version == VERSION_WITHOUT_LETTER)
		return;
	d->replays = get_u32(r);
	struct slice letter = get_bytes(r, UUID_SIZE);
	memcpy(d->letter.bytes, letter.ptr, letter.len);
}

enum err delivery_decode(struct reader *r, struct delivery *d)
{
	uint8_t version = get_u8(r);
	if (version != DELIVERY_VERSION && version != VERSION_WITHOUT_LETTER)
		return ERR_CORRUPT;
	uint8_t status = get_u8(r);
	struct slice event = get_bytes(r, UUID_SIZE);
	d->webhook = get_u64(r);
	d->created_ms = get_i64(r);
	d->place_ms = unpack_place(get_u64(r), &d->lane);
	d->due_ms = get_i64(r);
	d->queued_ms = get_i64(r);
	d->attempts = get_u32(r);
	d->replayed_at = get_u32(r);
	decode_rest(r, version, d);
	if (r->failed || r->left != 0)
		return ERR_CORRUPT;
	if (status < DELIVERY_WAITING || status > DELIVERY_CANCELLED)
		return ERR_CORRUPT;
	memcpy(d->event_id.bytes, event.ptr, UUID_SIZE);
	d->status = status;
	return OK;
}

static struct slice make_key(uint64_t webhook, const struct queue_place *place,
    unsigned char out[KEY_SIZE])
{
	codec_store_u64(out, webhook);
	codec_store_u64(out + 8, pack_place(place->lane, place->place_ms));
	memcpy(out + 16, place->id.bytes, UUID_SIZE);
	return (struct slice){.ptr = (const char *)out, .len = KEY_SIZE};
}

bool queue_parse_key(struct slice key, uint64_t *webhook, struct queue_place *place)
{
	struct reader r = reader_of(key);
	*webhook = get_u64(&r);
	place->place_ms = unpack_place(get_u64(&r), &place->lane);
	struct slice id = get_bytes(&r, UUID_SIZE);
	memcpy(place->id.bytes, id.ptr, id.len);
	return !r.failed && r.left == 0;
}

bool queue_place_before(const struct queue_place *a, const struct queue_place *b)
{
	if (a->lane != b->lane)
		return a->lane < b->lane;
	if (a->place_ms != b->place_ms)
		return a->place_ms < b->place_ms;
	return uuid_before(&a->id, &b->id);
}

struct queue_place queue_place_of(const struct delivery *d)
{
	return (struct queue_place){.place_ms = d->place_ms, .id = d->id, .lane = d->lane};
}

/* Writes the record; of one that is new, `is_new`, the key is mostly the last. */
static enum err put_record(struct db_txn *txn, const struct delivery *d, bool is_new)
{
	struct buf value = BUF_INIT(RECORD_MAX);
	delivery_encode(d, &value);
	record_seal(&value, record_at(DB_DELIVERIES, uuid_slice(&d->id)));
	enum err err = ERR_EXISTS;
	if (is_new)
		err = db_append(txn, DB_DELIVERIES, uuid_slice(&d->id), buf_view(&value));
	if (err == ERR_EXISTS)
		err = db_put(txn, DB_DELIVERIES, uuid_slice(&d->id), buf_view(&value));
	buf_fini(&value);
	return err;
}

enum err queue_put(struct db_txn *txn, const struct delivery *d)
{
	return put_record(txn, d, false);
}

enum err queue_decode(const struct uuid *id, struct slice value, struct delivery *out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_DELIVERIES, uuid_slice(id)), &r);
	if (err == OK)
		err = delivery_decode(&r, out);
	out->id = *id;
	return err;
}

enum err queue_get(struct db_txn *txn, const struct uuid *id, struct delivery *out)
{
	struct slice value;
	enum err err = db_get(txn, DB_DELIVERIES, uuid_slice(id), &value);
	if (err == OK)
		err = queue_decode(id, value, out);
	out->id = *id;
	return err;
}

/* Writes the record of `d`, which may be new, and its place. */
static enum err put_place(struct db_txn *txn, const struct delivery *d, bool is_new)
{
	unsigned char key[KEY_SIZE];
	struct queue_place place = queue_place_of(d);
	enum err err = put_record(txn, d, is_new);
	if (err != OK)
		return err;
	return db_put(txn, DB_QUEUE, make_key(d->webhook, &place, key), SLICE(""));
}

enum err queue_add(struct db_txn *txn, const struct delivery *d)
{
	enum err err = put_place(txn, d, d->attempts == 0);
	if (err == OK)
		backlog_change(txn, d->webhook, 1);
	return err;
}

static enum err remove_place(struct db_txn *txn, uint64_t webhook,
    const struct queue_place *place)
{
	unsigned char key[KEY_SIZE];
	return db_del(txn, DB_QUEUE, make_key(webhook, place, key));
}

enum err queue_find_place(struct db_txn *txn, const struct delivery *d)
{
	unsigned char key[KEY_SIZE];
	struct queue_place place = queue_place_of(d);
	struct slice nothing;
	return db_get(txn, DB_QUEUE, make_key(d->webhook, &place, key), &nothing);
}

enum err queue_move(struct db_txn *txn, const struct delivery *d, int64_t old_place_ms)
{
	struct queue_place old = queue_place_of(d);
	old.place_ms = old_place_ms;
	enum err err = remove_place(txn, d->webhook, &old);
	return err == OK ? put_place(txn, d, false) : err;
}

enum err queue_remove(struct db_txn *txn, const struct delivery *d)
{
	struct queue_place place = queue_place_of(d);
	enum err err = remove_place(txn, d->webhook, &place);
	if (err == OK)
		backlog_change(txn, d->webhook, -1);
	return err;
}

enum err queue_forget(struct db_txn *txn, const struct uuid *id)
{
	return db_del(txn, DB_DELIVERIES, uuid_slice(id));
}

/*
 * Reads the delivery of `webhook` at `place`; where its record cannot be read, *out has what is
 * known all the same.
 */
static enum err read_row(struct db_txn *txn, uint64_t webhook, const struct queue_place *place,
    struct delivery *out)
{
	enum err err = queue_get(txn, &place->id, out);
	if (err == OK)
		return OK;
	char id[UUID_TEXT_SIZE];
	uuid_format(&place->id, id);
	log_error("delivery cannot be read", LOG_S("delivery", id),
	    LOG_S("error", err_text(err)));
	*out = (struct delivery){.id = place->id,
	    .webhook = webhook,
	    .place_ms = place->place_ms,
	    .lane = place->lane};
	return err;
}

enum stand { STAND_DUE, STAND_LATER, STAND_PASSED };

/*
 * How the row at `place` stands: due, due later (and everything behind it), or not for
 * now though others behind it may be. Reads its record where the place does not tell.
 */
static enum stand find_stand(struct db_txn *txn, const struct queue_claim *c,
    const struct queue_place *place, struct delivery *d, int64_t *due_ms)
{
	*due_ms = place->place_ms;
	if (!c->fifo && place->place_ms > c->now_ms && c->forced_ms == 0)
		return STAND_LATER;
	enum err err = read_row(txn, c->webhook, place, d);
	if (err == ERR_CORRUPT || err == ERR_NOTFOUND)
		return STAND_DUE;
	if (err != OK)
		return STAND_PASSED; /* the store's error, which ends the walk */
	if (d->queued_ms < c->forced_ms)
		return STAND_DUE;
	if (c->fifo) {
		*due_ms = d->due_ms;
		return d->due_ms <= c->now_ms ? STAND_DUE : STAND_LATER;
	}
	return place->place_ms <= c->now_ms ? STAND_DUE : STAND_PASSED;
}

static enum err walk(struct db_txn *txn, struct db_cursor *cursor, struct queue_claim *c,
    struct delivery *out, size_t *count, int64_t *next_due_ms)
{
	struct slice key;
	struct slice value;
	unsigned char from[KEY_SIZE];
	size_t passed = 0;
	enum err err = db_seek(cursor, make_key(c->webhook, &c->place, from), &key, &value);
	for (; err == OK; err = db_next(cursor, &key, &value)) {
		uint64_t webhook = 0;
		struct queue_place place;
		if (!queue_parse_key(key, &webhook, &place) || webhook != c->webhook)
			return OK;
		if (!queue_place_before(&c->place, &place) || c->skip(c->arg, &place.id))
			continue;
		if (*count == c->max) {
			*next_due_ms = c->fifo ? c->now_ms : place.place_ms;
			return OK;
		}
		enum stand stand = find_stand(txn, c, &place, &out[*count], next_due_ms);
		if (stand == STAND_LATER)
			return OK;
		*next_due_ms = QUEUE_NEVER;
		c->place = place;
		*count += stand == STAND_DUE ? 1 : 0;
		if (stand == STAND_PASSED && ++passed == PASSED_MAX) {
			*next_due_ms = c->now_ms;
			return OK;
		}
	}
	return err;
}

enum err queue_claim(struct db_txn *txn, struct queue_claim *c, struct delivery *out,
    size_t *count, int64_t *next_due_ms)
{
	struct db_cursor *cursor = NULL;
	*count = 0;
	*next_due_ms = QUEUE_NEVER;
	enum err err = db_cursor(txn, DB_QUEUE, &cursor);
	if (err != OK)
		return err;
	err = walk(txn, cursor, c, out, count, next_due_ms);
	db_cursor_close(cursor);
	if (c->forced_ms != 0 && *count > 0)
		/* places do not tell what is forced */
		*next_due_ms = out[*count - 1].queued_ms;
	return err == ERR_NOTFOUND ? OK : err;
}

/* Walks from `lane` on to the first that `skip` lets through. */
static enum err walk_lane(struct db_cursor *cursor, uint64_t webhook, uint16_t lane,
    bool (*skip)(void *arg, const struct uuid *id), void *arg, struct queue_place *out)
{
	struct queue_place place = {.lane = lane};
	struct slice key;
	struct slice value;
	unsigned char from[KEY_SIZE];
	uint64_t owner = 0;
	enum err err = db_seek(cursor, make_key(webhook, &place, from), &key, &value);
	for (; err == OK; err = db_next(cursor, &key, &value)) {
		if (!queue_parse_key(key, &owner, &place) || owner != webhook)
			return ERR_NOTFOUND;
		if (!skip(arg, &place.id))
			break;
	}
	*out = place;
	return err;
}

enum err queue_lane(struct db_txn *txn, uint64_t webhook, uint16_t lane,
    bool (*skip)(void *arg, const struct uuid *id), void *arg, struct delivery *out,
    uint16_t *found)
{
	struct db_cursor *cursor = NULL;
	struct queue_place place = {0};
	enum err err = db_cursor(txn, DB_QUEUE, &cursor);
	if (err != OK)
		return err;
	err = walk_lane(cursor, webhook, lane, skip, arg, &place);
	db_cursor_close(cursor);
	*found = err == OK ? place.lane : LANES;
	if (err != OK || place.lane != lane)
		return err == ERR_NOTFOUND ? OK : err;
	err = read_row(txn, webhook, &place, out);
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}

enum err queue_heads(struct db_txn *txn,
    void (*fn)(void *arg, uint64_t webhook, int64_t due_ms), void *arg)
{
	static const struct queue_place FRONT;
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	unsigned char from[KEY_SIZE];
	uint64_t webhook = 0;
	struct queue_place place;
	enum err err = db_cursor(txn, DB_QUEUE, &cursor);
	if (err != OK)
		return err;
	err = db_seek(cursor, make_key(0, &FRONT, from), &key, &value);
	while (err == OK && queue_parse_key(key, &webhook, &place)) {
		fn(arg, webhook, place.place_ms);
		err = db_seek(cursor, make_key(webhook + 1, &FRONT, from), &key, &value);
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err queue_count(struct db_txn *txn,
    void (*fn)(void *arg, uint64_t webhook, uint64_t waiting), void *arg)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	uint64_t webhook = 0;
	uint64_t waiting = 0;
	enum err err = db_cursor(txn, DB_QUEUE, &cursor);
	if (err != OK)
		return err;
	for (err = db_next(cursor, &key, &value); err == OK;
	     err = db_next(cursor, &key, &value)) {
		uint64_t found = 0;
		struct queue_place place;
		if (!queue_parse_key(key, &found, &place))
			continue;
		if (waiting > 0 && found != webhook) {
			fn(arg, webhook, waiting);
			waiting = 0;
		}
		webhook = found;
		waiting++;
	}
	db_cursor_close(cursor);
	if (waiting > 0 && err == ERR_NOTFOUND)
		fn(arg, webhook, waiting);
	return err == ERR_NOTFOUND ? OK : err;
}

/* Reads the first place of `webhook` behind `place`. ERR_NOTFOUND where there is none. */
static enum err next_place(struct db_txn *txn, uint64_t webhook, struct queue_place *place)
{
	struct db_cursor *cursor = NULL;
	struct queue_place found;
	struct slice key;
	struct slice value;
	unsigned char from[KEY_SIZE];
	uint64_t owner = 0;
	enum err err = db_cursor(txn, DB_QUEUE, &cursor);
	if (err != OK)
		return err;
	err = db_seek_behind(cursor, make_key(webhook, place, from), &key, &value);
	if (err == OK && (!queue_parse_key(key, &owner, &found) || owner != webhook))
		err = ERR_NOTFOUND;
	if (err == OK)
		*place = found;
	db_cursor_close(cursor);
	return err;
}

enum err queue_first(struct db_txn *txn, uint64_t webhook, struct delivery *out)
{
	struct queue_place place = {0}; /* the front */
	enum err err = next_place(txn, webhook, &place);
	if (err != OK)
		return err;
	(void)read_row(txn, webhook, &place, out); /* what is known will do */
	out->id = place.id;
	out->webhook = webhook;
	out->place_ms = place.place_ms;
	out->lane = place.lane;
	return OK;
}

/* Whether the place alone says that its delivery has no other. */
static bool is_in_order(const struct queue_order *order, const struct queue_place *place)
{
	if (order->lane != NULL || place->lane != LANE_NONE)
		return false;
	/* its id says when it was published */
	return !order->by_publishing || uuid_time(&place->id) == place->place_ms;
}

/*
 * Puts the delivery at `place` where it belongs; one that cannot be read stays. *cost is what
 * that took.
 */
static enum err order_row(struct db_txn *txn, const struct queue_order *order,
    const struct queue_place *place, size_t *cost)
{
	struct delivery d;
	uint16_t lane = LANE_NONE;
	*cost = 1;
	if (is_in_order(order, place))
		return OK;
	enum err err = queue_get(txn, &place->id, &d);
	if (err == ERR_CORRUPT || err == ERR_NOTFOUND)
		return OK;
	if (err == OK && order->lane != NULL)
		err = order->lane(order->arg, txn, &d, &lane, cost);
	if (err != OK)
		return err;
	if (!order->by_publishing)
		d.place_ms = d.due_ms;
	else if (d.replays == 0)
		d.place_ms = d.created_ms;
	d.lane = lane;
	if (d.lane == place->lane && d.place_ms == place->place_ms)
		return OK;
	err = remove_place(txn, d.webhook, place);
	return err == OK ? put_place(txn, &d, false) : err;
}

enum err queue_order(struct db_txn *txn, uint64_t webhook, const struct queue_order *order,
    struct queue_place *place, size_t *max, bool *more)
{
	enum err err = OK;
	while (err == OK && *max > 0) {
		size_t cost = 1;
		err = next_place(txn, webhook, place);
		if (err == OK)
			err = order_row(txn, order, place, &cost);
		*max -= cost < *max ? cost : *max;
	}
	*more = err != ERR_NOTFOUND;
	return err == ERR_NOTFOUND ? OK : err;
}

#define BACKLOG_KEY_SIZE 8

struct row {
	uint64_t webhook;
	int64_t waiting; /* with what the open transaction changes */
	int64_t change;  /* by the open transaction */
	SLIST_ENTRY(row) link;
	bool touched; /* in the list of those that the open transaction changes */
};

struct backlog {
	struct db *db;
	struct map *rows; /* webhook number -> row */
	SLIST_HEAD(, row) touched;
	int64_t total;
};

static struct slice make_backlog_key(uint64_t webhook, unsigned char out[BACKLOG_KEY_SIZE])
{
	codec_store_u64(out, webhook);
	return (struct slice){.ptr = (const char *)out, .len = BACKLOG_KEY_SIZE};
}

/* Writes how many wait for `webhook`. The transaction's error sticks. */
static void write_number(struct db_txn *txn, uint64_t webhook, int64_t waiting)
{
	unsigned char key[BACKLOG_KEY_SIZE];
	unsigned char value[RECORD_NUMBER];
	struct slice at = make_backlog_key(webhook, key);
	enum err err = waiting > 0
	    ? db_put(txn, DB_BACKLOG, at,
		  record_seal_number((uint64_t)waiting, record_at(DB_BACKLOG, at), value))
	    : db_del(txn, DB_BACKLOG, at);
	if (err != OK && err != ERR_NOTFOUND)
		(void)db_txn_fail(txn, err); /* is its sticky error already */
}

static struct row *take_row(struct backlog *b, uint64_t webhook)
{
	struct row *row = map_get(b->rows, &webhook, sizeof(webhook));
	if (row != NULL)
		return row;
	row = mem_new(sizeof(*row));
	row->webhook = webhook;
	map_put(b->rows, &row->webhook, sizeof(row->webhook), row);
	return row;
}

static void flush(void *arg, struct db_txn *txn)
{
	struct backlog *b = arg;
	struct row *row;
	SLIST_FOREACH(row, &b->touched, link)
	{
		if (row->change != 0)
			write_number(txn, row->webhook, row->waiting);
	}
}

/* What the transaction changed stays, or is taken back. */
static void end_row(struct backlog *b, struct row *row, bool committed)
{
	int64_t kept = committed ? row->waiting : row->waiting - row->change;
	if (committed && kept < 0)
		kept = 0;
	b->total += kept - row->waiting;
	row->waiting = kept;
	row->change = 0;
	row->touched = false;
	if (kept == 0)
		free(map_del(b->rows, &row->webhook, sizeof(row->webhook)));
}

static void on_ended(void *arg, bool committed)
{
	struct backlog *b = arg;
	while (!SLIST_EMPTY(&b->touched)) {
		struct row *row = SLIST_FIRST(&b->touched);
		SLIST_REMOVE_HEAD(&b->touched, link);
		end_row(b, row, committed);
	}
}

static enum err load(struct backlog *b, struct db_txn *txn)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	enum err err = db_cursor(txn, DB_BACKLOG, &cursor);
	if (err != OK)
		return err;
	for (err = db_next(cursor, &key, &value); err == OK;
	     err = db_next(cursor, &key, &value)) {
		struct reader r = reader_of(key);
		uint64_t webhook = get_u64(&r);
		uint64_t waiting = 0;
		if (r.failed ||
		    record_open_number(value, record_at(DB_BACKLOG, key), &waiting) != OK) {
			log_error("count of waiting deliveries is corrupt",
			    LOG_N("webhook", webhook));
			continue;
		}
		take_row(b, webhook)->waiting = (int64_t)waiting;
		b->total += (int64_t)waiting;
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err backlog_new(struct db *db, struct backlog **out)
{
	struct db_txn *txn = NULL;
	struct backlog *b = mem_new(sizeof(*b));
	b->db = db;
	b->rows = map_new();
	SLIST_INIT(&b->touched);
	enum err err = db_read(db, &txn);
	if (err == OK) {
		err = load(b, txn);
		db_read_end(txn);
	}
	if (err != OK) {
		backlog_free(b);
		return err;
	}
	const struct db_companion companion = {.flush = flush, .ended = on_ended, .arg = b};
	db_accompany(db, DB_COUNTS_QUEUE, &companion);
	*out = b;
	return OK;
}

void backlog_free(struct backlog *b)
{
	static const struct db_companion NONE;
	if (b == NULL)
		return;
	db_accompany(b->db, DB_COUNTS_QUEUE, &NONE);
	map_free_all(b->rows);
	free(b);
}

void backlog_change(struct db_txn *txn, uint64_t webhook, int by)
{
	struct backlog *b = db_companion_of(txn, DB_COUNTS_QUEUE);
	struct row *row = take_row(b, webhook);
	row->waiting += by;
	row->change += by;
	b->total += by;
	if (row->touched)
		return;
	row->touched = true;
	SLIST_INSERT_HEAD(&b->touched, row, link);
}

/* Never less than none: see the head of this file. */
static uint64_t shown(int64_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

uint64_t backlog_of(const struct backlog *b, uint64_t webhook)
{
	const struct row *row = map_get(b->rows, &webhook, sizeof(webhook));
	return row == NULL ? 0 : shown(row->waiting);
}

uint64_t backlog_of_session(const struct backlog *b, const struct registry *reg,
    struct slice session)
{
	uint64_t sum = 0;
	size_t count = 0;
	struct webhook *const *list = registry_session(reg, session, &count);
	for (size_t i = 0; i < count; i++)
		sum += backlog_of(b, list[i]->number);
	return sum;
}

uint64_t backlog_total(const struct backlog *b)
{
	return shown(b->total);
}

/* What a recount has found so far. */
struct recount {
	struct db_txn *txn;
	uint64_t webhooks;
	uint64_t deliveries;
};

static void write_counted(void *arg, uint64_t webhook, uint64_t waiting)
{
	struct recount *c = arg;
	write_number(c->txn, webhook, (int64_t)waiting);
	c->webhooks++;
	c->deliveries += waiting;
}

enum err backlog_recount(struct db_txn *txn)
{
	struct recount c = {.txn = txn};
	enum err err = queue_count(txn, write_counted, &c);
	if (err == OK && c.deliveries > 0)
		log_info("waiting deliveries counted", LOG_N("deliveries", c.deliveries),
		    LOG_N("webhooks", c.webhooks));
	return err == OK ? db_txn_error(txn) : err;
}
