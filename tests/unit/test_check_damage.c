/* The check of a store: each kind of damage is found and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/record.h"
#include "cli/commands.h"
#include "cli/fsck.h"
#include "fsck/check.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/schema.h"
#include "store/usage.h"
#include "store/webhooks.h"
#include "world.h"

static void assert_found(struct store *s, const char *want, const char *after)
{
	struct findings f;
	world_check(s, &f);
	if (f.result.findings == 0 || strstr(buf_cstr(&f.text), want) == NULL)
		fail_msg("%s: \"%s\" is not among:\n%s", after, want, buf_cstr(&f.text));
	buf_fini(&f.text);
}

static void put_number(struct db_txn *txn, enum db_table t, struct slice key, uint64_t n,
    size_t bytes)
{
	struct buf value = BUF_INIT(64);
	put_uint(&value, n, bytes);
	record_seal(&value, RECORD_ANYWHERE);
	assert_int_equal(db_put(txn, t, key, buf_view(&value)), OK);
	buf_fini(&value);
}

static void put_raw(struct sample *m, enum db_table t, const char *key, const char *value)
{
	assert_int_equal(db_put(m->w.txn, t, slice_of(key), slice_of(value)), OK);
}

/* The key of piece `n` of an event. */
static struct slice piece_key(const struct uuid *id, uint8_t n, char out[UUID_SIZE + 2])
{
	memcpy(out, id->bytes, UUID_SIZE);
	out[UUID_SIZE] = 0;
	out[UUID_SIZE + 1] = (char)n;
	return (struct slice){out, UUID_SIZE + 2};
}

static void put_webhook(struct sample *m, uint64_t key, struct webhook *w)
{
	unsigned char bytes[8];
	struct buf value = BUF_INIT(2 * WEBHOOK_RECORD_MAX);
	codec_store_u64(bytes, key);
	webhook_encode(w, NULL, NULL, &value);
	record_seal(&value, RECORD_ANYWHERE);
	assert_int_equal(db_put(m->w.txn, DB_WEBHOOKS, (struct slice){(char *)bytes, 8},
			     buf_view(&value)),
	    OK);
	buf_fini(&value);
	webhook_free(w);
}

static struct webhook *webhook_of(struct sample *m, uint64_t number)
{
	struct webhook *w = NULL;
	assert_int_equal(webhooks_get(m->w.txn, NULL, number, &w), OK);
	return w;
}

static void newer_version(struct sample *m)
{
	put_number(m->w.txn, DB_META, SLICE("schema"), SCHEMA_VERSION + 1, 4);
}

static void no_version(struct sample *m)
{
	assert_int_equal(db_del(m->w.txn, DB_META, SLICE("schema")), OK);
}

static void unknown_meta(struct sample *m)
{
	put_number(m->w.txn, DB_META, SLICE("stray"), 1, 8);
}

static void short_meta(struct sample *m)
{
	put_number(m->w.txn, DB_META, SLICE("last_webhook"), 3, 4);
}

static void series_of_links(struct sample *m)
{
	struct slice key = {.ptr = "portal_series\0s", .len = 15};
	put_number(m->w.txn, DB_META, key, 1, 8);
}

static void last_webhook_low(struct sample *m)
{
	put_number(m->w.txn, DB_META, SLICE("last_webhook"), 1, 8);
}

static void last_webhook_zero(struct sample *m)
{
	put_number(m->w.txn, DB_META, SLICE("last_webhook"), 0, 8);
}

static void webhook_of_other_number(struct sample *m)
{
	put_webhook(m, 1, make_webhook(2, "s", "http://host/1"));
}

static void webhook_of_no_session(struct sample *m)
{
	put_webhook(m, 1, make_webhook(1, "a\nb", "http://host/1"));
}

static void webhook_of_all_without_its_bit(struct sample *m)
{
	put_webhook(m, 1, make_webhook(1, SESSION_ALL, "http://host/1"));
}

static void webhook_of_other_url(struct sample *m)
{
	put_webhook(m, 1, make_webhook(1, "s", "http://host/other"));
}

static void webhook_of_no_row_of_name(struct sample *m)
{
	struct webhook *w = webhook_of(m, 1);
	webhook_set(&w->name, "n");
	put_webhook(m, 1, w);
}

static void webhook_deleted_with_url(struct sample *m)
{
	struct webhook *w = webhook_of(m, 1);
	w->deleted = true;
	put_webhook(m, 1, w);
}

static void url_without_webhook(struct sample *m)
{
	assert_int_equal(db_put(m->w.txn, DB_URLS, SLICE("0123456789abcdef"),
			     SLICE("\0\0\0\0\0\0\0\x09")),
	    OK);
}

static void url_twice(struct sample *m)
{
	assert_int_equal(db_put(m->w.txn, DB_URLS, SLICE("0123456789abcdef"),
			     SLICE("\0\0\0\0\0\0\0\x01")),
	    OK);
}

static void url_short(struct sample *m)
{
	put_raw(m, DB_URLS, "0123456789abcdef", "1");
}

static void event_key_long(struct sample *m)
{
	put_raw(m, DB_EVENTS, "0123456789abcdefghijk", "");
}

static void piece_missing(struct sample *m)
{
	char key[UUID_SIZE + 2];
	assert_int_equal(db_del(m->w.txn, DB_EVENTS, piece_key(&m->waiting, 1, key)), OK);
}

static void last_piece_missing(struct sample *m)
{
	char key[UUID_SIZE + 2];
	assert_int_equal(db_del(m->w.txn, DB_EVENTS, piece_key(&m->waiting, 2, key)), OK);
}

static void first_piece_missing(struct sample *m)
{
	char key[UUID_SIZE + 2];
	assert_int_equal(db_del(m->w.txn, DB_EVENTS, piece_key(&m->waiting, 0, key)), OK);
}

static void piece_too_many(struct sample *m)
{
	char key[UUID_SIZE + 2];
	put_number(m->w.txn, DB_EVENTS, piece_key(&m->waiting, 3, key), 1, 8);
}

static void piece_corrupt(struct sample *m)
{
	char key[UUID_SIZE + 2];
	assert_int_equal(db_put(m->w.txn, DB_EVENTS, piece_key(&m->waiting, 1, key),
			     SLICE("0123456789")),
	    OK);
}

static void event_released_too_often(struct sample *m)
{
	struct event e;
	struct event_state before;
	struct event_state left;
	struct delivery d = world_delivery(&m->w, m->mixed, 2);
	assert_int_equal(events_release(m->w.txn, &d, 1, &e, &before, &left), OK);
}

/* An event whose count says that one of the open ones goes to a webhook for all sessions. */
static void event_open_for_all(struct sample *m)
{
	struct event e;
	struct event_state now;
	assert_int_equal(events_get(m->w.txn, &m->mixed, &e, NULL), OK);
	assert_int_equal(events_state(m->w.txn, &e, &now), OK);
	now.open_all = 1;
	assert_int_equal(events_put_state(m->w.txn, &e, &now), OK);
}

/* The same of one delivery: it says that it was made for a webhook for all sessions. */
static void event_made_for_all(struct sample *m)
{
	struct event e;
	struct buf body = BUF_INIT(WORLD_BODY_MAX);
	assert_int_equal(events_get(m->w.txn, &m->waiting, &e, &body), OK);
	e.for_all = 1;
	assert_int_equal(events_put(m->w.txn, &e, buf_view(&body)), OK);
	buf_fini(&body);
}

static void delivery_missing(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->over, 2);
	assert_int_equal(queue_forget(m->w.txn, &d.id), OK);
}

static void event_missing(struct sample *m)
{
	assert_int_equal(events_drop(m->w.txn, &m->over), OK);
}

static void delivery_out_of_range(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->over, 2);
	uuid_step(&m->over, 3, &d.id);
	assert_int_equal(queue_put(m->w.txn, &d), OK);
}

static void delivery_of_new_webhook(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->over, 2);
	d.webhook = 4;
	assert_int_equal(queue_put(m->w.txn, &d), OK);
}

static void delivery_not_queued(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	assert_int_equal(queue_remove(m->w.txn, &d), OK);
}

static void delivery_at_other_place(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	d.place_ms++;
	assert_int_equal(queue_put(m->w.txn, &d), OK);
}

/* Moves a waiting delivery to another lane, place and record alike. */
static void delivery_in_a_lane(struct sample *m, uint16_t lane)
{
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	assert_int_equal(queue_remove(m->w.txn, &d), OK);
	d.lane = lane;
	assert_int_equal(queue_add(m->w.txn, &d), OK);
}

static void delivery_in_a_lane_of_none(struct sample *m)
{
	delivery_in_a_lane(m, 1);
}

static void delivery_in_no_lane(struct sample *m)
{
	struct webhook *w = NULL;
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	assert_int_equal(webhooks_get(m->w.txn, NULL, d.webhook, &w), OK);
	w->key = make_key("/a");
	assert_int_equal(webhooks_change(m->w.txn, NULL, w, w), OK);
	webhook_free(w);
	delivery_in_a_lane(m, LANE_MAX + 1);
}

static void delivery_in_another_lane(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	d.lane++;
	assert_int_equal(queue_put(m->w.txn, &d), OK);
}

static void queued_though_over(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->over, 1);
	assert_int_equal(queue_add(m->w.txn, &d), OK);
}

static void queued_without_record(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	assert_int_equal(queue_forget(m->w.txn, &d.id), OK);
}

static void queued_without_webhook(struct sample *m)
{
	struct webhook *w = webhook_of(m, 1);
	assert_int_equal(webhooks_retire(m->w.txn, NULL, w), OK);
	assert_int_equal(webhooks_erase(m->w.txn, 1), OK);
	webhook_free(w);
}

static void queue_key_short(struct sample *m)
{
	put_raw(m, DB_QUEUE, "short", "");
}

/* Writes what `webhook` has waiting, after the queue's own account of it. */
static void count_waiting(struct sample *m, uint64_t webhook, struct slice value)
{
	unsigned char key[8];
	codec_store_u64(key, webhook);
	assert_int_equal(db_put(m->w.txn, DB_BACKLOG, (struct slice){(char *)key, 8}, value),
	    OK);
}

static void waiting_miscounted(struct sample *m)
{
	unsigned char value[RECORD_NUMBER];
	count_waiting(m, 1, record_seal_number(77, RECORD_ANYWHERE, value));
}

static void waiting_uncounted(struct sample *m)
{
	unsigned char key[8];
	codec_store_u64(key, 1);
	assert_int_equal(db_del(m->w.txn, DB_BACKLOG, (struct slice){(char *)key, 8}), OK);
}

static void waiting_nowhere(struct sample *m)
{
	unsigned char value[RECORD_NUMBER];
	count_waiting(m, 99, record_seal_number(3, RECORD_ANYWHERE, value));
}

static void waiting_zero(struct sample *m)
{
	unsigned char value[RECORD_NUMBER];
	count_waiting(m, 99, record_seal_number(0, RECORD_ANYWHERE, value));
}

static void waiting_corrupt(struct sample *m)
{
	count_waiting(m, 99, SLICE("not a count"));
}

static void dead_missing(struct sample *m)
{
	assert_int_equal(dead_letters_del(m->w.txn, SLICE("s"), &m->letter), OK);
}

static void dead_unnamed(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->mixed, 2);
	d.letter = m->waiting;
	assert_int_equal(queue_put(m->w.txn, &d), OK);
}

static void dead_twice(struct sample *m)
{
	struct dead_letter dead;
	assert_int_equal(dead_letters_get(m->w.txn, SLICE("s"), &m->letter, &dead), OK);
	dead.id = world_take_id(&m->w);
	assert_int_equal(dead_letters_put(m->w.txn, SLICE("s"), &dead), OK);
}

static void dead_of_live_delivery(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->mixed, 2);
	d.status = DELIVERY_CANCELLED;
	assert_int_equal(queue_put(m->w.txn, &d), OK);
}

static void dead_of_other_event(struct sample *m)
{
	struct dead_letter dead;
	assert_int_equal(dead_letters_get(m->w.txn, SLICE("s"), &m->letter, &dead), OK);
	dead.event_id = m->over;
	assert_int_equal(dead_letters_put(m->w.txn, SLICE("s"), &dead), OK);
}

static void dead_of_other_session(struct sample *m)
{
	struct dead_letter dead;
	assert_int_equal(dead_letters_get(m->w.txn, SLICE("s"), &m->letter, &dead), OK);
	dead_missing(m);
	assert_int_equal(dead_letters_put(m->w.txn, SLICE("other"), &dead), OK);
}

static void dead_without_age(struct sample *m)
{
	assert_int_equal(db_del(m->w.txn, DB_DEAD_BY_AGE, uuid_slice(&m->letter)), OK);
}

static void age_without_dead(struct sample *m)
{
	put_raw(m, DB_DEAD_BY_AGE, "0123456789abcdef", "s");
}

static void age_of_no_session(struct sample *m)
{
	put_raw(m, DB_DEAD_BY_AGE, "0123456789abcdef", "a\nb");
}

static void settled_key(const struct uuid *id, uint64_t ms, char out[24])
{
	codec_store_u64((unsigned char *)out, ms);
	memcpy(out + 8, id->bytes, UUID_SIZE);
}

static void put_settled(struct sample *m, const struct uuid *id, uint64_t ms, uint64_t cost)
{
	char key[24];
	settled_key(id, ms, key);
	put_number(m->w.txn, DB_SETTLED, (struct slice){key, 24}, cost, 8);
}

static void settled_missing(struct sample *m)
{
	char key[24];
	settled_key(&m->over, WORLD_START_MS, key);
	assert_int_equal(db_del(m->w.txn, DB_SETTLED, (struct slice){key, 24}), OK);
}

static void settled_twice(struct sample *m)
{
	put_settled(m, &m->over, WORLD_START_MS + 1, 10);
}

static void settled_too_early(struct sample *m)
{
	put_settled(m, &m->waiting, WORLD_START_MS, 10);
}

static void settled_at_other_cost(struct sample *m)
{
	put_settled(m, &m->over, WORLD_START_MS, 10);
}

static void settled_missing_after_replay(struct sample *m)
{
	world_replay(&m->w, m->letter);
	world_deliver(&m->w, world_delivery(&m->w, m->mixed, 2));
	char key[24];
	settled_key(&m->mixed, WORLD_START_MS, key);
	assert_int_equal(db_del(m->w.txn, DB_SETTLED, (struct slice){key, 24}), OK);
}

static void answer_missing(struct sample *m)
{
	struct uuid id = make_id(m->w.next_id);
	memcpy(id.bytes, m->waiting.bytes, 6);
	assert_int_equal(events_drop(m->w.txn, &id), OK);
}

/* Removes piece `piece` of the answer under key `n`, 0 for the first. */
static void delete_piece(struct sample *m, uint64_t n, unsigned char piece)
{
	unsigned char key[RECORD_DIGEST + 2] = {0};
	world_key(n, key);
	key[RECORD_DIGEST + 1] = piece;
	size_t len = piece == 0 ? RECORD_DIGEST : sizeof(key);
	assert_int_equal(db_del(m->w.txn, DB_REPEATS, (struct slice){(const char *)key, len}),
	    OK);
}

static void repeat_missing(struct sample *m)
{
	delete_piece(m, 1, 0);
}

static void text_missing(struct sample *m)
{
	delete_piece(m, 3, 0);
}

static void repeat_piece_missing(struct sample *m)
{
	delete_piece(m, 1, 2);
}

static void repeat_piece_too_many(struct sample *m)
{
	unsigned char key[RECORD_DIGEST + 2] = {0};
	world_key(2, key);
	key[RECORD_DIGEST + 1] = 1;
	put_number(m->w.txn, DB_REPEATS, (struct slice){(const char *)key, sizeof(key)}, 1, 8);
}

static void repeat_without_age(struct sample *m)
{
	struct slice key;
	struct slice value;
	char copy[512];
	assert_int_equal(db_first(m->w.txn, DB_REPEATS_BY_AGE, &key, &value), OK);
	memcpy(copy, key.ptr, key.len);
	assert_int_equal(db_del(m->w.txn, DB_REPEATS_BY_AGE, (struct slice){copy, key.len}),
	    OK);
}

static void repeat_key_short(struct sample *m)
{
	put_raw(m, DB_REPEATS_BY_AGE, "short", "");
}

static void open_corrupt(struct sample *m)
{
	assert_int_equal(db_put(m->w.txn, DB_OPEN, uuid_slice(&m->mixed), SLICE("0123456789")),
	    OK);
}

/* Copies the count of one event to another, its key and place included. */
static void put_open(struct sample *m, const struct uuid *event)
{
	struct buf value = BUF_INIT(100);
	put_u32(&value, 1);
	put_u32(&value, 0);
	put_i64(&value, 0);
	record_seal(&value, record_at(DB_OPEN, uuid_slice(event)));
	assert_int_equal(db_put(m->w.txn, DB_OPEN, uuid_slice(event), buf_view(&value)), OK);
	buf_fini(&value);
}

static void open_of_one(struct sample *m)
{
	put_open(m, &m->waiting);
}

static void open_of_nobody(struct sample *m)
{
	struct uuid id = world_take_id(&m->w);
	put_open(m, &id);
}

static void open_wrong(struct sample *m)
{
	put_open(m, &m->over);
}

static void open_missing(struct sample *m)
{
	assert_int_equal(db_del(m->w.txn, DB_OPEN, uuid_slice(&m->over)), OK);
}

static void attempt_missing(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->over, 1);
	struct event e = {.id = m->over, .deliveries = 1};
	size_t dropped = 0;
	uint64_t cost = 0;
	assert_int_equal(attempts_drop(m->w.txn, &e, &dropped, &cost), OK);
	assert_int_equal(dropped, d.attempts);
}

static void attempt_not_counted(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	d.attempts++;
	world_attempt(&m->w, &d);
}

static void attempt_of_nobody(struct sample *m)
{
	struct delivery d = world_delivery(&m->w, m->waiting, 1);
	d.id = world_take_id(&m->w);
	d.attempts++;
	world_attempt(&m->w, &d);
}

static void attempt_key_short(struct sample *m)
{
	put_raw(m, DB_ATTEMPTS, "short", "");
}

static void history_missing(struct sample *m)
{
	assert_int_equal(history_del(m->w.txn, SLICE("s"), &m->waiting), OK);
}

static void history_of_other_session(struct sample *m)
{
	assert_int_equal(history_put(m->w.txn, SLICE("t"), &m->waiting), OK);
}

static void history_of_nothing(struct sample *m)
{
	struct uuid id = make_id(1);
	assert_int_equal(history_put(m->w.txn, SLICE("s"), &id), OK);
}

static void history_key_short(struct sample *m)
{
	put_raw(m, DB_HISTORY, "short", "");
}

static void put_usage(struct sample *m, const char *session, struct holding h)
{
	assert_int_equal(usage_put(m->w.txn, slice_of(session), &h), OK);
}

static void usage_missing(struct sample *m)
{
	assert_int_equal(db_del(m->w.txn, DB_USAGE, SLICE("s")), OK);
}

/* The row as it will be written with the commit, and a number of it changed then. */
static void change_usage(struct sample *m, enum usage_kind kind)
{
	usage_change(m->w.txn, SLICE("s"), kind, 1);
}

static void usage_of_more_open(struct sample *m)
{
	change_usage(m, USAGE_OPEN);
}

static void usage_of_more_history(struct sample *m)
{
	change_usage(m, USAGE_HISTORY);
}

static void usage_of_more_letters(struct sample *m)
{
	change_usage(m, USAGE_LETTERS);
}

static void usage_of_more_keys(struct sample *m)
{
	change_usage(m, USAGE_KEYS);
}

static void usage_of_nobody(struct sample *m)
{
	put_usage(m, "t", (struct holding){.n = {5}});
}

static void usage_of_no_session(struct sample *m)
{
	put_usage(m, "a\nb", (struct holding){.n = {5}});
}

/* Bytes of keys that another session has. */
static void usage_of_other_keys(struct sample *m)
{
	uint64_t keys = usage_total(db_companion_of(m->w.txn, DB_COUNTS_USAGE)).n[USAGE_KEYS];
	usage_change(m->w.txn, SLICE("s"), USAGE_KEYS, -(int64_t)keys);
	usage_change(m->w.txn, SLICE("t"), USAGE_KEYS, (int64_t)keys);
}

static const struct {
	void (*damage)(struct sample *m);
	const char *name;
	const char *want;
} DAMAGES[] = {
#define D(fn, want)                                                                            \
	{                                                                                      \
		fn, #fn, want                                                                  \
	}
    D(newer_version, ", this waybill knows up to "),
    D(no_version, "meta: there is no version, though there are rows"),
    D(unknown_meta, "meta 7374726179: the key is not known"),
    D(short_meta, "the record is corrupt"),
    D(series_of_links, "meta 706f7274616c5f7365726965730073: the record is corrupt"),
    D(last_webhook_low, "webhooks 0000000000000002: the number is not one of 1 to"),
    D(last_webhook_zero, "webhook 1 is not one of 1 to last_webhook of meta"),
    D(webhook_of_other_number, "the key is not the webhook's number"),
    D(webhook_of_no_session, "the session's name is malformed"),
    D(webhook_of_all_without_its_bit, "the number says whether it is for all sessions"),
    D(webhook_of_other_url, "webhooks 0000000000000001: urls does not name it"),
    D(webhook_of_other_url, "webhook 1 is deleted, or has another session, URL or name"),
    D(webhook_of_no_row_of_name, "urls does not name it for its session and name"),
    D(webhook_deleted_with_url, "it is deleted, and urls still names it"),
    D(url_without_webhook, "there is no webhook 9"),
    D(url_twice, "webhook 1 is deleted, or has another session, URL or name"),
    D(url_short, "urls 30313233343536373839616263646566: the row is malformed"),
    D(event_key_long, "the key is malformed"),
    D(piece_missing, "piece 1 is missing"),
    D(last_piece_missing, "it counts 10000"),
    D(first_piece_missing, "there is no first piece before it"),
    D(first_piece_missing, "there is no event of it"),
    D(piece_too_many, "its pieces have 10008 bytes of body, it counts 10000"),
    D(piece_corrupt, "events"),
    D(event_released_too_often, "it counts 0 open deliveries, there are 1"),
    D(event_open_for_all, "it counts 1 open for all sessions, there are 0"),
    D(event_open_for_all, "usage has no row of *"),
    D(event_open_for_all, "bytes that are open, there are"),
    D(event_made_for_all, "it counts 1 deliveries for all sessions, there are 0"),
    D(open_corrupt, "the row is corrupt"),
    D(open_of_one, "its event needs no count: it has one delivery, or its own"),
    D(open_of_nobody, "there is no such event"),
    D(open_wrong, "it counts 1 open deliveries, there are 0"),
    D(open_missing, "it counts 2 open deliveries, there are 0"),
    D(delivery_missing, "there is no record of its delivery 2 of 2"),
    D(event_missing, "there is no event of it"),
    D(delivery_out_of_range, "its id is not of the range behind its event's"),
    D(delivery_of_new_webhook, "webhook 4 is not one of 1 to last_webhook of meta"),
    D(delivery_not_queued, "it waits, and the queue does not have it at its place"),
    D(delivery_at_other_place, "it waits, and the queue does not have it at its place"),
    D(delivery_at_other_place, "the delivery is another webhook's, or has another place"),
    D(delivery_in_another_lane, "the delivery is another webhook's, or has another place"),
    D(delivery_in_a_lane_of_none, "it is in lane 1, which its webhook does not have"),
    D(delivery_in_no_lane, "it is in lane 256, which its webhook does not have"),
    D(queued_though_over, "the delivery does not wait"),
    D(queued_without_record, "there is no record of the delivery"),
    D(queued_without_webhook, "there is no webhook 1"),
    D(queue_key_short, "queue 73686f7274: the row is malformed"),
    D(waiting_miscounted, "backlog counts 77"),
    D(waiting_uncounted, "waiting, backlog counts 0"),
    D(waiting_nowhere, "webhooks have any waiting"),
    D(waiting_zero, "nothing waits, so there should be no row"),
    D(waiting_corrupt, "the row is corrupt"),
    D(dead_missing, "deliveries: 1 dead deliveries, 0 in dead"),
    D(dead_unnamed, "its delivery names another dead letter"),
    D(dead_twice, "deliveries: 1 dead deliveries, 2 in dead"),
    D(dead_of_live_delivery, "its delivery is not dead"),
    D(dead_of_other_event, "its delivery is of another event"),
    D(dead_of_other_session, "its event is of another session"),
    D(dead_without_age, "dead_by_age does not name it"),
    D(age_without_dead, "there is no such dead letter in its session"),
    D(age_of_no_session, "dead_by_age 30313233343536373839616263646566: the row"),
    D(settled_missing, "events: 1 events without open deliveries, 0 in settled"),
    D(settled_twice, "events: 1 events without open deliveries, 2 in settled"),
    D(settled_too_early, "its event has open deliveries, none of them replayed"),
    D(settled_at_other_cost, "it says 10 bytes, its event counts for"),
    D(settled_missing_after_replay, "1 events that were replayed and are over"),
    D(answer_missing, "there is no answer of it among the events"),
    D(text_missing, "events: 1 answers to repeated requests, 0 in repeats"),
    D(repeat_missing, "there is no key in repeats that expires then"),
    D(repeat_missing, "there is no key that has it"),
    D(repeat_missing, "usage: the bytes of keys are not those of the keys in repeats"),
    D(repeat_piece_missing, "of its answer a piece is missing or corrupt"),
    D(repeat_piece_too_many, "there is no key that has it"),
    D(repeat_without_age, "repeats_by_age does not name it"),
    D(repeat_key_short, "repeats_by_age 73686f7274: the row is malformed"),
    D(attempt_missing, "bytes, its event counts for"),
    D(attempt_not_counted, "the delivery counts 0 attempts"),
    D(attempt_of_nobody, "there is no record of the delivery"),
    D(attempt_key_short, "attempts 73686f7274: the key is malformed"),
    D(history_missing, "history does not name it"),
    D(history_of_other_session, "the event is of another session"),
    D(history_of_nothing, "there is no such event"),
    D(history_key_short, "history 73686f7274: the row is malformed"),
    D(usage_missing, "usage has no row of its session"),
    D(usage_of_more_open, "bytes that are open, there are"),
    D(usage_of_more_history, "bytes of history, there are"),
    D(usage_of_more_letters, "it says 2 dead letters, there are 1"),
    D(usage_of_more_keys, "usage: the bytes of keys are not those of the keys in repeats"),
    D(usage_of_other_keys, "usage: the bytes of keys are not those of the keys in repeats"),
    D(usage_of_nobody, "it says 5 bytes that are open, there are 0"),
    D(usage_of_no_session, "the row is corrupt"),
#undef D
};

static void test_each_damage_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(DAMAGES); i++) {
		struct store *s = store_new(STORE_MAP_BYTES);
		struct sample m = {0};
		sample_make(s, &m);
		store_commit(m.w.txn);
		m.w.txn = store_begin(s);
		DAMAGES[i].damage(&m);
		store_commit(m.w.txn);
		assert_found(s, DAMAGES[i].want, DAMAGES[i].name);
		store_free(s);
	}
}

#define ROWS_MAX 64 /* of a table of the sample */

/* Reads all rows of a table into `keys` and `values`; returns how many. */
static size_t read_rows(struct store *s, enum db_table t, struct buf keys[ROWS_MAX],
    struct buf values[ROWS_MAX])
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	size_t n = 0;
	struct db_txn *txn = store_read(s);
	assert_int_equal(db_cursor(txn, t, &cursor), OK);
	for (enum err err = db_next(cursor, &key, &value); err == OK && n < ROWS_MAX;
	     err = db_next(cursor, &key, &value)) {
		keys[n] = BUF_INIT(8192);
		values[n] = BUF_INIT(8192);
		buf_slice(&keys[n], key);
		buf_slice(&values[n], value);
		n++;
	}
	db_cursor_close(cursor);
	db_read_end(txn);
	return n;
}

static void put_row(struct store *s, enum db_table t, const struct buf *key,
    const struct buf *value)
{
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_put(txn, t, buf_view(key), buf_view(value)), OK);
	store_commit(txn);
}

/* Puts each value of a table in the place of the one before it, in turn. */
static size_t swap_rows(struct store *s, enum db_table t)
{
	struct buf keys[ROWS_MAX];
	struct buf values[ROWS_MAX];
	size_t count = read_rows(s, t, keys, values);
	for (size_t i = 1; i < count; i++) {
		put_row(s, t, &keys[i], &values[i - 1]);
		put_row(s, t, &keys[i - 1], &values[i]);
		assert_found(s, "corrupt", db_table_name(t));
		put_row(s, t, &keys[i], &values[i]);
		put_row(s, t, &keys[i - 1], &values[i - 1]);
	}
	for (size_t i = 0; i < count; i++) {
		buf_fini(&keys[i]);
		buf_fini(&values[i]);
	}
	return count < 2 ? 0 : count - 1;
}

/* A good record at another's place is as bad as one whose bytes have changed. */
static void test_swapped_values_are_found(void **state)
{
	static const enum db_table TABLES[] = {DB_WEBHOOKS, DB_EVENTS, DB_DELIVERIES, DB_DEAD,
	    DB_SETTLED, DB_REPEATS, DB_BACKLOG, DB_ATTEMPTS, DB_USAGE, DB_OPEN};
	struct store *s = *state;
	struct sample m = {0};
	struct findings f;
	size_t swapped = 0;
	sample_make(s, &m);
	store_commit(m.w.txn);
	for (size_t i = 0; i < COUNT(TABLES); i++) {
		size_t here = swap_rows(s, TABLES[i]);
		swapped += here > 0 ? 1 : 0;
	}
	assert_true(swapped >= 5); /* the sample has one row of some */
	world_check(s, &f);
	assert_int_equal(f.result.findings, 0);
	buf_fini(&f.text);
}

/* What `waybill fsck` prints about the store. */
static void print_of(const struct store *s, char *out, size_t size)
{
	FILE *file = tmpfile();
	int before = dup(STDOUT_FILENO);
	assert_true(file != NULL && before >= 0);
	(void)fflush(stdout);
	assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
	assert_int_equal(fsck_run("fsck", s->dir, false), EXIT_FAILED);
	assert_true(dup2(before, STDOUT_FILENO) >= 0);
	(void)close(before);
	rewind(file);
	out[fread(out, 1, size - 1, file)] = '\0';
	(void)fclose(file);
}

/* A store of another version is not damaged; and one finding is one. */
static void test_verdicts(void **state)
{
	static const struct {
		uint32_t version;
		const char *want;
	} ROWS[] = {
	    {SCHEMA_VERSION - 1, ": not checked, as it is of version "},
	    {SCHEMA_VERSION + 1, ": not checked, as it is of version "},
	    {SCHEMA_VERSION, ": damaged, 1 finding\n"},
	};
	struct store *s = *state;
	struct sample m;
	char text[4096];
	sample_make(s, &m);
	store_commit(m.w.txn);
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct db_txn *txn = store_begin(s);
		put_number(txn, DB_META, SLICE("schema"), ROWS[i].version, 4);
		if (ROWS[i].version == SCHEMA_VERSION)
			put_number(txn, DB_META, SLICE("stray"), 1, 8);
		store_commit(txn);
		store_close(s);
		print_of(s, text, sizeof(text));
		store_open(s, STORE_MAP_BYTES);
		if (strstr(text, ROWS[i].want) == NULL)
			fail_msg("%s", text);
		bool has_rows = strstr(text, " rows\n") != NULL;
		assert_int_equal(has_rows, ROWS[i].version == SCHEMA_VERSION);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_damage_is_found),
	    STORE_TEST(test_swapped_values_are_found),
	    STORE_TEST(test_verdicts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
