/*
 * The store's version: a fresh store gets it, an older one is brought up to it, a newer one is
 * refused, nothing else changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/record.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/recount.h"
#include "store/schema.h"
#include "store/usage.h"
#include "store/webhooks.h"
#include "support.h"

#define KEY SLICE("schema")

/* Reads the version as it lies on disk; 0 where there is none. */
static uint32_t read_version(struct store *s)
{
	struct slice value;
	struct reader r;
	uint32_t version = 0;
	struct db_txn *txn = store_read(s);
	if (db_get(txn, DB_META, KEY, &value) == OK) {
		assert_int_equal(record_open(value, RECORD_ANYWHERE, &r), OK);
		version = get_u32(&r);
		assert_false(r.failed);
		assert_int_equal(r.left, 0);
	}
	db_read_end(txn);
	return version;
}

/* Writes a record of `n` as `bytes` bytes, sealed. */
static void write_version(struct store *s, uint64_t n, size_t bytes)
{
	struct buf value = BUF_INIT(64);
	struct db_txn *txn = store_begin(s);
	put_uint(&value, n, bytes);
	record_seal(&value, RECORD_ANYWHERE);
	assert_int_equal(db_put(txn, DB_META, KEY, buf_view(&value)), OK);
	store_commit(txn);
	buf_fini(&value);
}

static void test_fresh(void **state)
{
	struct store *s = *state;
	struct problem p;
	assert_int_equal(read_version(s), 0);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_int_equal(read_version(s), SCHEMA_VERSION);
	for (enum db_table t = 0; t < DB_TABLES; t++)
		assert_int_equal(store_count(s, t), t == DB_META ? 1 : 0);
}

static void test_again(void **state)
{
	struct store *s = *state;
	struct problem p;
	assert_int_equal(schema_migrate(s->db, &p), OK);
	for (enum db_table t = 0; t < DB_TABLES; t++) {
		struct db_txn *txn = store_begin(s);
		assert_int_equal(db_put(txn, t, SLICE("kept"), SLICE("value")), OK);
		store_commit(txn);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(schema_migrate(s->db, &p), OK);
		store_reopen(s);
	}
	assert_int_equal(read_version(s), SCHEMA_VERSION);
	for (enum db_table t = 0; t < DB_TABLES; t++)
		assert_int_equal(store_count(s, t), t == DB_META ? 2 : 1);
}

static void test_newer_is_refused(void **state)
{
	static const uint32_t VERSIONS[] = {SCHEMA_VERSION + 1, UINT32_MAX};
	struct store *s = *state;
	for (size_t i = 0; i < COUNT(VERSIONS); i++) {
		struct problem p = {0};
		char number[16];
		(void)snprintf(number, sizeof(number), "%u", VERSIONS[i]);
		write_version(s, VERSIONS[i], 4);
		assert_int_equal(schema_migrate(s->db, &p), ERR_CONFLICT);
		assert_non_null(strstr(p.message, number));
		p.message[0] = '\0';
		assert_int_equal(schema_check(s->db, &p), ERR_CONFLICT);
		assert_non_null(strstr(p.message, number));
		assert_int_equal(read_version(s), VERSIONS[i]);
	}
}

/* Makes a store as version 2 left it: `count` deliveries queued for each webhook, uncounted. */
static void make_version_2(struct store *s, uint64_t webhooks, uint64_t count)
{
	write_version(s, 2, 4);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 0; n < webhooks * count; n++) {
		struct delivery d = make_delivery(n / count + 1, n, (int64_t)n);
		assert_int_equal(queue_add(txn, &d), OK);
	}
	store_commit(txn);
	txn = store_begin(s);
	for (uint64_t webhook = 1; webhook <= webhooks; webhook++) {
		unsigned char key[8];
		codec_store_u64(key, webhook);
		assert_int_equal(db_del(txn, DB_BACKLOG,
				     (struct slice){(const char *)key, sizeof(key)}),
		    OK);
	}
	store_commit(txn);
	store_reopen(s);
	assert_true(backlog_total(s->backlog) == 0);
}

/* Version 3 counts what waits. */
static void test_from_version_2(void **state)
{
	struct store *s = *state;
	struct problem p;
	make_version_2(s, 20, 50);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_int_equal(read_version(s), SCHEMA_VERSION);
	assert_int_equal(store_count(s, DB_QUEUE), 1000);
	assert_int_equal(store_count(s, DB_BACKLOG), 20);
	store_reopen(s);
	for (uint64_t webhook = 1; webhook <= 20; webhook++)
		assert_true(backlog_of(s->backlog, webhook) == 50);
	assert_true(backlog_of(s->backlog, 21) == 0);
	assert_true(backlog_total(s->backlog) == 1000);
}

/* Events as version 3 kept them, of `sessions` in turn; each third one is an answer. */
static void make_version_3(struct store *s, uint64_t events, uint64_t sessions)
{
	write_version(s, 3, 4);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= events; n++) {
		struct event e = {.id = make_id(n), .deliveries = n % 3 == 0 ? 0 : 1};
		(void)snprintf(e.session, sizeof(e.session), "s%u", (unsigned)(n % sessions));
		put_old_event(txn, 1, &e, SLICE(""));
	}
	store_commit(txn);
}

static void assert_history(struct store *s, uint64_t events, uint64_t sessions)
{
	struct db_txn *txn = store_read(s);
	for (uint64_t n = 1; n <= events; n++) {
		char session[16];
		struct uuid id = make_id(n);
		(void)snprintf(session, sizeof(session), "s%u", (unsigned)(n % sessions));
		assert_int_equal(history_find(txn, slice_of(session), &id),
		    n % 3 == 0 ? ERR_NOTFOUND : OK);
	}
	db_read_end(txn);
	assert_int_equal(store_count(s, DB_HISTORY), events - events / 3);
}

/*
 * Version 4 knows the events of each session. The step goes on where an earlier start was
 * ended: what it has passed is not looked at again.
 */
static void test_from_version_3(void **state)
{
	enum { EVENTS = 25000 }; /* several slices */
	struct store *s = *state;
	struct problem p;
	bool more = false;
	make_version_3(s, EVENTS, 7);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_put(txn, DB_EVENTS, SLICE("malformed"), SLICE("")), OK);
	assert_int_equal(history_fill(txn, &more), OK);
	assert_true(more);
	store_commit(txn);
	size_t first = store_count(s, DB_HISTORY);
	assert_true(first > 0 && first < EVENTS / 2);
	store_reopen(s); /* killed in the middle */
	assert_int_equal(read_version(s), 3);
	txn = store_begin(s);
	struct uuid passed = make_id(1);
	assert_int_equal(history_del(txn, SLICE("s1"), &passed), OK);
	store_commit(txn);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_int_equal(read_version(s), SCHEMA_VERSION);
	assert_int_equal(store_count(s, DB_META), 1);
	txn = store_begin(s);
	assert_int_equal(history_find(txn, SLICE("s1"), &passed), ERR_NOTFOUND);
	assert_int_equal(history_put(txn, SLICE("s1"), &passed), OK);
	store_commit(txn);
	assert_history(s, EVENTS, 7);
	write_version(s, 3, 4); /* and bears being run again */
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_history(s, EVENTS, 7);
}

/* Version 5: each dead delivery names its dead letter, whatever slices that takes. */
static void test_from_version_4(void **state)
{
	enum { MANY = 1500 };
	struct store *s = *state;
	struct problem p;
	struct dead_letter dead = {0};
	write_version(s, 4, 4);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 0; n < MANY; n++) {
		struct delivery d = make_delivery(1, n, 0);
		d.status = DELIVERY_DEAD;
		dead.id = make_id(MANY + n);
		dead.delivery_id = d.id;
		assert_int_equal(queue_put(txn, &d), OK);
		assert_int_equal(dead_letters_put(txn, SLICE("s"), &dead), OK);
	}
	store_commit(txn);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_int_equal(read_version(s), SCHEMA_VERSION);
	assert_int_equal(store_count(s, DB_META), 1);
	txn = store_read(s);
	for (uint64_t n = 0; n < MANY; n++) {
		struct delivery d;
		struct uuid id = make_id(n);
		struct uuid letter = make_id(MANY + n);
		assert_int_equal(queue_get(txn, &id, &d), OK);
		assert_memory_equal(d.letter.bytes, letter.bytes, UUID_SIZE);
	}
	db_read_end(txn);
}

/* Version 5 kept the sum of history in DB_META, and no session's own. */
#define OF_VERSION_5 SLICE("settled_bytes")

enum { V5_EVENTS = 7000, V5_SESSIONS = 3 }; /* more than a slice */

/* Event `n` as version 5 kept it: each third one is over, each fifth has a dead letter. */
static void put_version_5(struct db_txn *txn, uint64_t n)
{
	struct event e = {.id = make_id(10 * n), .deliveries = 1, .body_bytes = 4};
	struct delivery d = make_delivery(1, 10 * n + 1, 0);
	e.state.open = n % 3 == 0 ? 0 : 1;
	(void)snprintf(e.session, sizeof(e.session), "s%u", (unsigned)(n % V5_SESSIONS));
	put_old_event(txn, 2, &e, SLICE("body"));
	assert_int_equal(history_put(txn, slice_of(e.session), &e.id), OK);
	d.attempts = 1;
	assert_int_equal(attempts_put(txn, &e, &d, SLICE("attempt")), OK);
	if (n % 5 != 0)
		return;
	struct dead_letter dead = {.id = make_id(10 * n + 2), .delivery_id = d.id};
	assert_int_equal(dead_letters_put(txn, slice_of(e.session), &dead), OK);
}

/* Makes such a store: nobody has counted what is in it. */
static void make_version_5(struct store *s)
{
	unsigned char number[RECORD_NUMBER];
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= V5_EVENTS; n++)
		put_version_5(txn, n);
	assert_int_equal(db_put(txn, DB_META, OF_VERSION_5,
			     record_seal_number(12345, RECORD_ANYWHERE, number)),
	    OK);
	store_commit(txn);
	txn = store_begin(s);
	for (int i = 0; i < V5_SESSIONS; i++) {
		char session[16];
		(void)snprintf(session, sizeof(session), "s%d", i);
		assert_int_equal(db_del(txn, DB_USAGE, slice_of(session)), OK);
	}
	store_commit(txn);
	write_version(s, 5, 4);
	store_reopen(s);
	assert_true(usage_total(s->usage).n[USAGE_OPEN] == 0);
}

/* What is counted is what the rows have, by session. */
static void assert_counted(struct store *s)
{
	store_reopen(s);
	struct db_txn *txn = store_read(s);
	for (int i = 0; i < V5_SESSIONS; i++) {
		char session[16];
		struct holding want;
		(void)snprintf(session, sizeof(session), "s%d", i);
		struct holding got = usage_of(s->usage, slice_of(session));
		assert_int_equal(recount_session(txn, slice_of(session), &want), OK);
		assert_memory_equal(got.n, want.n, sizeof(got.n));
	}
	struct holding all = usage_total(s->usage);
	assert_true(all.n[USAGE_LETTERS] == V5_EVENTS / 5);
	/* each event: 256 bytes and its body, a delivery, an attempt of 7 bytes */
	assert_true(all.n[USAGE_HISTORY] == V5_EVENTS / 3 * (256 + 4 + 160 + 7 + 32));
	assert_int_equal(store_count_in(txn, DB_META), 1);
	db_read_end(txn);
}

/*
 * Version 6 counts what each session holds, in slices that go on where an earlier start was
 * ended.
 */
static void test_from_version_5(void **state)
{
	struct store *s = *state;
	struct problem p;
	bool more = false;
	make_version_5(s);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_put(txn, DB_HISTORY, SLICE("malformed"), SLICE("")), OK);
	assert_int_equal(recount_fill(txn, &more), OK);
	assert_true(more);
	store_commit(txn);
	store_reopen(s); /* killed in the middle */
	assert_int_equal(read_version(s), 5);
	assert_int_equal(store_count(s, DB_META), 3);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_int_equal(read_version(s), SCHEMA_VERSION);
	assert_counted(s);
	write_version(s, 5, 4); /* and bears being run again */
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_counted(s);
}

/* An event that cannot be read is left out, and holds nobody up. */
static void test_version_5_damaged(void **state)
{
	struct store *s = *state;
	struct problem p;
	char piece[UUID_SIZE + 2] = {0};
	struct uuid id = make_id(30);
	make_version_5(s);
	uint64_t each = 256 + 4 + 160 + 7 + 32;
	struct db_txn *txn = store_begin(s);
	memcpy(piece, id.bytes, UUID_SIZE);
	assert_int_equal(db_put(txn, DB_EVENTS, (struct slice){piece, sizeof(piece)},
			     SLICE("no event")),
	    OK);
	store_commit(txn);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	store_reopen(s);
	assert_true(usage_total(s->usage).n[USAGE_HISTORY] == (V5_EVENTS / 3 - 1) * each);
}

#define SMALL_MAP (1u << 20) /* bytes: soon full */

/* Fills the store until nothing more goes in. */
static void fill(struct store *s)
{
	static const char VALUE[1000];
	enum err err = OK;
	for (uint64_t n = 0; err == OK; n++) {
		struct uuid key = make_id(n);
		struct db_txn *txn = store_begin(s);
		err = db_put(txn, DB_EVENTS, id_bytes(&key),
		    (struct slice){VALUE, sizeof(VALUE)});
		enum err end = db_commit(txn);
		err = err == OK ? end : err;
	}
	assert_int_equal(err, ERR_NOSPACE);
}

/* A step that finds no room leaves the version before; it is made when there is room. */
static void test_step_fails(void **state)
{
	struct store *s = store_new(SMALL_MAP);
	struct problem p;
	(void)state;
	make_version_2(s, 200, 1);
	store_close(s);
	store_open(s, SMALL_MAP);
	fill(s);
	assert_int_equal(schema_migrate(s->db, &p), ERR_NOSPACE);
	assert_non_null(strstr(p.message, "migrate"));
	assert_int_equal(read_version(s), 2);
	assert_int_equal(store_count(s, DB_BACKLOG), 0);
	store_reopen(s);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_int_equal(store_count(s, DB_BACKLOG), 200);
	store_free(s);
}

/* A version that cannot be read is not taken for a fresh store. */
static void test_damaged_is_refused(void **state)
{
	struct store *s = *state;
	static const size_t SIZES[] = {1, 3, 8};
	for (size_t i = 0; i < COUNT(SIZES); i++) {
		struct problem p = {0};
		write_version(s, 0, SIZES[i]);
		if (schema_migrate(s->db, &p) != ERR_CORRUPT || p.message[0] == '\0')
			fail_msg("a version of %zu bytes", SIZES[i]);
	}
	struct problem p = {0};
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_put(txn, DB_META, KEY, SLICE("123456789012")), OK);
	store_commit(txn);
	assert_int_equal(schema_migrate(s->db, &p), ERR_CORRUPT);
	assert_true(p.message[0] != '\0');
}

/*
 * Version 1 kept the URLs under digests of XXH3: they are made anew from the webhooks, of
 * which a retired one has none, and encrypted ones have theirs without the key.
 */
static void test_from_version_1(void **state)
{
	struct store *s = *state;
	struct vault *vault = vault_new();
	struct problem p;
	unsigned char digest[RECORD_DIGEST];
	struct slice value;
	assert_int_equal(vault_add(vault,
			     SLICE("000102030405060708090a0b0c0d0e0f"
				   "101112131415161718191a1b1c1d1e1f"),
			     &p),
	    OK);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++) {
		static const char *const URLS[] = {"http://a/", "http://b/", "http://c/"};
		struct webhook *w = make_webhook(n, "s", URLS[n - 1]);
		assert_int_equal(webhooks_add(txn, n == 2 ? vault : NULL, w), OK);
		if (n == 3)
			assert_int_equal(webhooks_retire(txn, NULL, w), OK);
		webhook_free(w);
	}
	record_digest(SLICE("s"), SLICE("http://a/"), digest);
	const struct slice a = {(const char *)digest, sizeof(digest)};
	assert_int_equal(db_del(txn, DB_URLS, a), OK);
	assert_int_equal(db_put(txn, DB_URLS, SLICE("digest of XXH3.."), SLICE("12345678")),
	    OK);
	store_commit(txn);
	write_version(s, 1, 4);
	for (int i = 0; i < 2; i++) { /* a step must bear being run again */
		write_version(s, 1, 4);
		assert_int_equal(schema_migrate(s->db, &p), OK);
		assert_int_equal(read_version(s), SCHEMA_VERSION);
		assert_int_equal(store_count(s, DB_URLS), 2);
	}
	txn = store_read(s);
	assert_int_equal(db_get(txn, DB_URLS, a, &value), OK);
	assert_memory_equal(value.ptr, "\0\0\0\0\0\0\0\x01", 8);
	record_digest(SLICE("s"), SLICE("http://b/"), digest);
	assert_int_equal(db_get(txn, DB_URLS, a, &value), OK); /* of the second now */
	assert_memory_equal(value.ptr, "\0\0\0\0\0\0\0\x02", 8);
	db_read_end(txn);
	vault_free(vault);
}

enum { V6_WEBHOOKS = 2500 }; /* more than two slices */

/* Makes a store as version 6 left it: no checksum of a webhook covers its key. */
static void make_version_6(struct store *s)
{
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= V6_WEBHOOKS; n++) {
		unsigned char key[8];
		char url[32];
		struct buf value = BUF_INIT(WEBHOOK_RECORD_MAX);
		(void)snprintf(url, sizeof(url), "http://%u/", (unsigned)n);
		struct webhook *w = make_webhook(n, "s", url);
		codec_store_u64(key, 2 * n); /* there are gaps */
		w->number = 2 * n;
		webhook_encode(w, NULL, NULL, &value);
		record_seal(&value, RECORD_ANYWHERE);
		assert_int_equal(db_put(txn, DB_WEBHOOKS, (struct slice){(const char *)key, 8},
				     buf_view(&value)),
		    OK);
		buf_fini(&value);
		webhook_free(w);
	}
	store_commit(txn);
	write_version(s, 6, 4);
}

/* How many rows of webhooks can be read at the place of another. */
static size_t count_anywhere(struct store *s)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	size_t count = 0;
	struct db_txn *txn = store_read(s);
	assert_int_equal(db_cursor(txn, DB_WEBHOOKS, &cursor), OK);
	while (db_next(cursor, &key, &value) == OK) {
		struct reader r;
		assert_int_equal(record_open(value, record_at(DB_WEBHOOKS, key), &r), OK);
		count += record_open(value, record_at(DB_WEBHOOKS, SLICE("other")), &r) == OK;
	}
	db_cursor_close(cursor);
	db_read_end(txn);
	return count;
}

/* A crash between two slices; and what lies in a wrong place already is not made good there. */
static void test_from_version_6(void **state)
{
	struct store *s = *state;
	struct problem p;
	struct slice value;
	bool more = false;
	make_version_6(s);
	assert_int_equal(count_anywhere(s), V6_WEBHOOKS);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_get(txn, DB_WEBHOOKS, SLICE("\0\0\0\0\0\0\0\x08"), &value), OK);
	struct buf stray = BUF_INIT(WEBHOOK_RECORD_MAX);
	buf_slice(&stray, value);
	assert_int_equal(
	    db_put(txn, DB_WEBHOOKS, SLICE("\0\0\0\0\0\0\0\x09"), buf_view(&stray)), OK);
	buf_fini(&stray);
	store_commit(txn);
	txn = store_begin(s);
	assert_int_equal(webhooks_reseal(txn, &more), OK);
	assert_true(more);
	store_commit(txn);
	size_t left = count_anywhere(s);
	assert_true(left > 1000 && left < V6_WEBHOOKS);
	store_reopen(s);
	assert_int_equal(schema_migrate(s->db, &p), OK);
	assert_int_equal(read_version(s), SCHEMA_VERSION);
	assert_int_equal(count_anywhere(s), 1); /* the stray one */
	assert_int_equal(store_count(s, DB_WEBHOOKS), V6_WEBHOOKS + 1);
	assert_int_equal(store_count(s, DB_META), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_fresh),
	    STORE_TEST(test_from_version_6),
	    STORE_TEST(test_again),
	    STORE_TEST(test_from_version_2),
	    STORE_TEST(test_from_version_3),
	    STORE_TEST(test_from_version_4),
	    STORE_TEST(test_from_version_5),
	    STORE_TEST(test_version_5_damaged),
	    cmocka_unit_test(test_step_fails),
	    STORE_TEST(test_newer_is_refused),
	    STORE_TEST(test_from_version_1),
	    cmocka_unit_test_setup_teardown(test_damaged_is_refused, store_setup,
		store_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
