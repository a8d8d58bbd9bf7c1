/*
 * What is kept after it has been settled; see retention.h. Key of DB_SETTLED: time (8),
 * event id (16); value: bytes (8), sealed. An event that is open again is entered again when
 * it is settled again, and says when that was: its older entry does not count any more.
 */
#include "store/retention.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/attempts.h"
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
	unsigned char value[RECORD_NUMBER];
	return db_put(txn, t, key, record_seal_number(n, value));
}

/* Decodes a number; 0 for one that cannot be read. */
static uint64_t decode_number(struct slice value)
{
	uint64_t n = 0;
	return record_open_number(value, &n) == OK ? n : 0;
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

enum err retention_cost(struct db_txn *txn, const struct event *e, uint64_t *out)
{
	uint64_t attempts = 0;
	enum err err = attempts_cost(txn, e, &attempts);
	*out = e->body_bytes + EVENT_COST + (uint64_t)e->deliveries * DELIVERY_COST + attempts;
	return err;
}

/* Enters an event that has no open delivery any more. */
static enum err enter(struct db_txn *txn, const struct event *e)
{
	unsigned char key[KEY_SIZE];
	uint64_t cost = 0;
	enum err err = retention_cost(txn, e, &cost);
	if (err == OK)
		err = put_number(txn, DB_SETTLED, settled_key(e->settled_ms, &e->id, key),
		    cost);
	return err == OK ? count_bytes(txn, cost, 0) : err;
}

enum err retention_settle(struct db_txn *txn, const struct delivery *d, int64_t now_ms)
{
	struct event left = {0};
	enum err err = queue_put(txn, d);
	if (err == OK)
		err = events_release(txn, &d->event_id, now_ms, &left);
	if (err == OK && left.open == 0)
		return enter(txn, &left);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err retention_reopen(struct db_txn *txn, const struct delivery *d)
{
	unsigned char key[KEY_SIZE];
	struct slice value;
	struct event e = {0};
	enum err err = events_reopen(txn, &d->event_id, &e);
	/* of an old record nobody knows when it was settled: that entry is overtaken */
	if (err != OK || e.open > 0 || e.settled_ms == 0)
		return err;
	struct slice entry = settled_key(e.settled_ms, &e.id, key);
	err = db_get(txn, DB_SETTLED, entry, &value);
	uint64_t cost = err == OK ? decode_number(value) : 0;
	if (err == OK)
		err = db_del(txn, DB_SETTLED, entry);
	if (err == OK)
		err = count_bytes(txn, 0, cost);
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
	return record_open_number(value, &out->cost);
}

/* Whether the event was open again behind the entry; one of an old record does not tell. */
static bool is_overtaken(const struct settled *s, const struct event *e)
{
	return e->open > 0 || (e->settled_ms != 0 && e->settled_ms != s->at_ms);
}

/*
 * Drops the entry's event with the records of its deliveries and their attempts, whose ids are
 * the range behind its own; not one that was open again: another entry counts for it, or will.
 */
static enum err drop_event(struct db_txn *txn, const struct settled *s, size_t *dropped)
{
	struct event e = {0};
	enum err err = events_get(txn, &s->event, &e, NULL);
	if (err == ERR_NOTFOUND || (err == OK && is_overtaken(s, &e)))
		return OK;
	if (err != OK && err != ERR_CORRUPT)
		return err;
	for (uint32_t n = 1; n <= e.deliveries; n++) {
		struct uuid delivery;
		uuid_step(&s->event, n, &delivery);
		err = queue_forget(txn, &delivery);
		if (err != OK && err != ERR_NOTFOUND)
			return err;
		(*dropped)++;
	}
	err = attempts_drop(txn, &e, dropped);
	if (err == OK && e.session[0] != '\0') /* else its head cannot be read */
		err = history_del(txn, slice_of(e.session), &s->event);
	return err == OK || err == ERR_NOTFOUND ? events_drop(txn, &s->event) : err;
}

static enum err oldest_settled(struct db_txn *txn, struct settled *out)
{
	struct slice key;
	struct slice value;
	enum err err = db_first(txn, DB_SETTLED, &key, &value);
	if (err != OK)
		return err;
	out->cost = decode_number(value);
	if (parse_key(key, out))
		return OK;
	log_error("key is corrupt, the sweep stops", LOG_S("table", "settled"));
	return ERR_NOTFOUND; /* the others of this turn must go on */
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
	err = drop_event(txn, &s, dropped);
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
