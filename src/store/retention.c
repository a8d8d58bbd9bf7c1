/*
 * What is kept after it has been settled; see retention.h. Key of DB_SETTLED: time (8),
 * event id (16); value: bytes (8), sealed. An event that is replayed is entered again when
 * it is settled again; the older entry is passed by while a delivery of it is open.
 */
#include "store/retention.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/record.h"

#define BYTES_KEY SLICE("settled_bytes")
#define KEY_SIZE (8 + UUID_SIZE)
#define EVENT_COST 256    /* bytes that an event takes beside its body */
#define DELIVERY_COST 160 /* bytes that the record of a delivery takes */

static struct slice settled_key(int64_t settled_ms, const struct uuid *id,
    unsigned char out[KEY_SIZE])
{
	codec_store_u64(out, (uint64_t)settled_ms);
	memcpy(out + 8, id->bytes, UUID_SIZE);
	return (struct slice){.ptr = (const char *)out, .len = KEY_SIZE};
}

static enum err put_number(struct db_txn *txn, enum db_table t, struct slice key, uint64_t n)
{
	struct buf value = BUF_INIT(64);
	put_u64(&value, n);
	record_seal(&value);
	enum err err = db_put(txn, t, key, buf_view(&value));
	buf_fini(&value);
	return err;
}

/* Decodes a number; 0 for one that cannot be read. */
static uint64_t decode_number(struct slice value)
{
	struct reader r;
	return record_open(value, &r) == OK ? get_u64(&r) : 0;
}

enum err retention_bytes(struct db_txn *txn, uint64_t *out)
{
	struct slice value;
	enum err err = db_get(txn, DB_META, BYTES_KEY, &value);
	*out = err == OK ? decode_number(value) : 0;
	return err == ERR_NOTFOUND ? OK : err;
}

/* Adds to the sum and takes from it. */
static enum err count_bytes(struct db_txn *txn, uint64_t more, uint64_t less)
{
	uint64_t sum = 0;
	enum err err = retention_bytes(txn, &sum);
	if (err != OK)
		return err;
	sum += more;
	return put_number(txn, DB_META, BYTES_KEY, sum > less ? sum - less : 0);
}

/* Enters an event that has no open delivery any more. */
static enum err enter(struct db_txn *txn, const struct event *e, int64_t now_ms)
{
	unsigned char key[KEY_SIZE];
	uint64_t cost = e->body_bytes + EVENT_COST + (uint64_t)e->deliveries * DELIVERY_COST;
	enum err err = put_number(txn, DB_SETTLED, settled_key(now_ms, &e->id, key), cost);
	return err == OK ? count_bytes(txn, cost, 0) : err;
}

enum err retention_settle(struct db_txn *txn, const struct delivery *d, int64_t now_ms)
{
	struct event left = {0};
	enum err err = queue_put(txn, d);
	if (err == OK)
		err = events_release(txn, &d->event_id, &left);
	if (err == OK && left.open == 0)
		return enter(txn, &left, now_ms);
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

/* Drops an event with the records of its deliveries, whose ids are the range behind its own. */
static enum err drop_event(struct db_txn *txn, const struct uuid *id, size_t *dropped)
{
	struct event e = {0};
	enum err err = events_get(txn, id, &e, NULL);
	if (err == ERR_NOTFOUND ||
	    (err == OK && e.open > 0)) /* replayed: it is settled again later */
		return OK;
	if (err != OK && err != ERR_CORRUPT)
		return err;
	for (uint32_t n = 1; n <= e.deliveries; n++) {
		struct uuid delivery;
		uuid_step(id, n, &delivery);
		err = queue_forget(txn, &delivery);
		if (err != OK && err != ERR_NOTFOUND)
			return err;
		(*dropped)++;
	}
	return events_drop(txn, id);
}

/* One entry of DB_SETTLED. */
struct settled {
	int64_t at_ms;
	struct uuid event;
	uint64_t cost;
};

static enum err oldest_settled(struct db_txn *txn, struct settled *out)
{
	struct slice key;
	struct slice value;
	enum err err = db_first(txn, DB_SETTLED, &key, &value);
	if (err != OK)
		return err;
	struct reader r = reader_of(key);
	out->at_ms = get_i64(&r);
	struct slice id = get_bytes(&r, UUID_SIZE);
	memcpy(out->event.bytes, id.ptr, id.len);
	out->cost = decode_number(value);
	if (r.failed)
		log_error("key is corrupt, the sweep stops", LOG_S("table", "settled"));
	return r.failed ? ERR_NOTFOUND : OK; /* the others of this turn must go on */
}

/* Drops the oldest settled event if it is not to be kept. ERR_NOTFOUND where there is none. */
static enum err drop_oldest(struct db_txn *txn, const struct retention *keep, int64_t now_ms,
    size_t *dropped)
{
	struct settled s = {0};
	unsigned char key[KEY_SIZE];
	uint64_t sum = 0;
	enum err err = oldest_settled(txn, &s);
	if (err == OK)
		err = retention_bytes(txn, &sum);
	if (err != OK)
		return err;
	if (s.at_ms > now_ms - keep->settled_ms && sum <= keep->settled_bytes)
		return ERR_NOTFOUND;
	err = drop_event(txn, &s.event, dropped);
	if (err == OK)
		err = count_bytes(txn, 0, s.cost);
	return err == OK ? db_del(txn, DB_SETTLED, settled_key(s.at_ms, &s.event, key)) : err;
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
	return err == ERR_NOTFOUND ? OK : err;
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
	return retention_settle(txn, &d, now_ms);
}

static enum err drop_oldest_dead(struct db_txn *txn, const struct retention *keep,
    int64_t now_ms, struct dead_letter *dead)
{
	char session[SESSION_MAX + 1];
	struct uuid id;
	enum err err = dead_letters_oldest(txn, &id, session);
	if (err != OK)
		return err;
	if (uuid_time(&id) + keep->dead_letters_ms > now_ms)
		return ERR_NOTFOUND;
	err = dead_letters_get(txn, slice_of(session), &id, dead);
	if (err == OK)
		err = cancel_dead(txn, &dead->delivery_id, now_ms);
	if (err != OK && err != ERR_NOTFOUND && err != ERR_CORRUPT)
		return err;
	return dead_letters_del(txn, slice_of(session), &id);
}

enum err retention_sweep_dead(struct db_txn *txn, const struct retention *keep, int64_t now_ms,
    size_t max, size_t *dropped)
{
	struct dead_letter *dead = mem_new(sizeof(*dead));
	enum err err = OK;
	for (*dropped = 0; err == OK && *dropped < max;) {
		err = drop_oldest_dead(txn, keep, now_ms, dead);
		*dropped += err == OK ? 1 : 0;
	}
	free(dead);
	return err == ERR_NOTFOUND ? OK : err;
}
