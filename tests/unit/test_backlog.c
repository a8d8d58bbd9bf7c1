/*
 * What waits, counted: with the open transaction and without, over failed commits and
 * reopening, by session, after damage. test_queue_model.c has random operations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/log.h"
#include "base/record.h"
#include "store/queue.h"
#include "support.h"

#define SMALL_MAP (1u << 20) /* bytes: soon full */

static void add(struct db_txn *txn, uint64_t webhook, uint64_t n)
{
	struct delivery d = make_delivery(webhook, n, 0);
	assert_int_equal(queue_add(txn, &d), OK);
}

static void take(struct db_txn *txn, uint64_t webhook, uint64_t n)
{
	struct delivery d = make_delivery(webhook, n, 0);
	assert_int_equal(queue_remove(txn, &d), OK);
}

/* Checks the numbers of webhooks 1, 2 and 3. */
static void check(const struct store *s, uint64_t one, uint64_t two, uint64_t three)
{
	const uint64_t want[] = {one, two, three};
	for (size_t i = 0; i < COUNT(want); i++) {
		uint64_t got = backlog_of(s->backlog, i + 1);
		if (got != want[i])
			fail_msg("webhook %zu: %llu, not %llu", i + 1, (unsigned long long)got,
			    (unsigned long long)want[i]);
	}
	assert_true(backlog_total(s->backlog) == one + two + three);
}

/* The bytes of the record of `webhook`, 0 where there is none. */
static uint64_t on_disk(struct store *s, uint64_t webhook)
{
	unsigned char key[8];
	struct slice value;
	uint64_t n = 0;
	struct db_txn *txn = store_read(s);
	codec_store_u64(key, webhook);
	struct slice at = {(const char *)key, 8};
	enum err err = db_get(txn, DB_BACKLOG, at, &value);
	if (err == OK)
		err = record_open_number(value, record_at(DB_BACKLOG, at), &n);
	assert_true(err == OK || err == ERR_NOTFOUND);
	db_read_end(txn);
	return n;
}

static void test_empty(void **state)
{
	struct store *s = *state;
	check(s, 0, 0, 0);
	assert_int_equal(store_count(s, DB_BACKLOG), 0);
	backlog_free(NULL);
}

/* At once in memory, at the commit on disk, and there again after reopening. */
static void test_commit(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	add(txn, 1, 1);
	check(s, 1, 0, 0);
	add(txn, 1, 2);
	add(txn, 3, 3);
	check(s, 2, 0, 1);
	assert_int_equal(store_count_in(txn, DB_BACKLOG), 0);
	store_commit(txn);
	check(s, 2, 0, 1);
	assert_true(on_disk(s, 1) == 2 && on_disk(s, 3) == 1);
	store_reopen(s);
	check(s, 2, 0, 1);
	txn = store_begin(s);
	take(txn, 1, 1);
	take(txn, 3, 3);
	add(txn, 2, 4);
	take(txn, 2, 4);
	store_commit(txn);
	check(s, 1, 0, 0);
	assert_int_equal(store_count(s, DB_BACKLOG), 1); /* of none waiting there is no row */
	store_reopen(s);
	check(s, 1, 0, 0);
}

static void test_abort(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	add(txn, 1, 1);
	add(txn, 2, 2);
	store_commit(txn);
	for (int i = 0; i < 2; i++) {
		txn = store_begin(s);
		add(txn, 1, 3);
		take(txn, 2, 2);
		add(txn, 3, 4);
		check(s, 2, 0, 1);
		db_abort(txn);
		check(s, 1, 1, 0);
	}
	store_reopen(s);
	check(s, 1, 1, 0);
}

/* What leaves nothing behind changes nothing: a move, and what was not there. */
static void test_no_change(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct delivery d = make_delivery(1, 1, 10);
	struct delivery gone = make_delivery(2, 2, 10);
	assert_int_equal(queue_add(txn, &d), OK);
	d.place_ms = 20;
	assert_int_equal(queue_move(txn, &d, 10), OK);
	assert_int_equal(queue_move(txn, &gone, 10), ERR_NOTFOUND);
	assert_int_equal(queue_remove(txn, &gone), ERR_NOTFOUND);
	check(s, 1, 0, 0);
	store_commit(txn);
	assert_true(on_disk(s, 1) == 1);
	assert_int_equal(store_count(s, DB_BACKLOG), 1);
}

/* Commits that fail since the file is full, until one does not: memory is what disk is. */
static void test_full_map(void **state)
{
	struct store *s = store_new(SMALL_MAP);
	struct db_txn *txn = NULL;
	uint64_t stored = 0;
	enum err err = OK;
	(void)state;
	for (uint64_t n = 1; err == OK; n += 100) {
		txn = store_begin(s);
		for (uint64_t i = 0; err == OK && i < 100; i++) {
			struct delivery d = make_delivery(n + i, n + i, 0);
			err = queue_add(txn, &d);
		}
		enum err end = db_commit(txn);
		err = err == OK ? end : err;
		stored += err == OK ? 100 : 0;
		assert_true(backlog_total(s->backlog) == stored);
		assert_true(backlog_of(s->backlog, n) == (err == OK ? 1 : 0));
	}
	assert_int_equal(err, ERR_NOSPACE);
	assert_true(stored > 0);
	store_reopen(s);
	assert_true(backlog_total(s->backlog) == stored);
	assert_int_equal(store_count(s, DB_QUEUE), stored);
	store_free(s);
}

static void set_webhook(struct registry *reg, uint64_t number, const char *session,
    bool deleted)
{
	struct webhook *w = make_webhook(number, session, "http://a/");
	w->deleted = deleted;
	registry_set(reg, w);
}

/* A session's sum follows its webhooks; what is purged is nobody's any more. */
static void test_session(void **state)
{
	struct store *s = *state;
	struct registry *reg = registry_new();
	set_webhook(reg, 1, "a", false);
	set_webhook(reg, 2, "a", false);
	set_webhook(reg, 3, "b", false);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 6; n++)
		add(txn, n <= 3 ? n : 1, n);
	assert_true(backlog_of_session(s->backlog, reg, SLICE("a")) == 5);
	assert_true(backlog_of_session(s->backlog, reg, SLICE("b")) == 1);
	assert_true(backlog_of_session(s->backlog, reg, SLICE("c")) == 0);
	store_commit(txn);
	set_webhook(reg, 1, "a", true);
	assert_true(backlog_of_session(s->backlog, reg, SLICE("a")) == 1);
	assert_true(backlog_total(s->backlog) == 6);
	registry_drop(reg, 2);
	assert_true(backlog_of_session(s->backlog, reg, SLICE("a")) == 0);
	registry_free(reg);
}

static void damage(struct store *s, struct slice key)
{
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_put(txn, DB_BACKLOG, key, SLICE("no number, no checksum")), OK);
	store_commit(txn);
	store_reopen(s);
}

/* A damaged number is none, never less, and right again once the queue was empty. */
static void test_damage(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++)
		add(txn, 1, n);
	add(txn, 2, 4);
	store_commit(txn);
	damage(s, SLICE("\0\0\0\0\0\0\0\1"));
	damage(s, SLICE("odd"));
	check(s, 0, 1, 0);
	txn = store_begin(s);
	take(txn, 1, 1);
	assert_true(backlog_of(s->backlog, 1) == 0);
	store_commit(txn);
	check(s, 0, 1, 0);
	txn = store_begin(s);
	take(txn, 1, 2);
	take(txn, 1, 3);
	store_commit(txn);
	txn = store_begin(s);
	add(txn, 1, 5);
	store_commit(txn);
	check(s, 1, 1, 0);
	assert_true(on_disk(s, 1) == 1);
}

/* A store that never had the table gets it, with what its queue has. */
static void test_recount(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 10; n++)
		add(txn, n % 3 + 1, n);
	store_commit(txn);
	txn = store_begin(s);
	struct slice key;
	struct slice value;
	while (db_first(txn, DB_BACKLOG, &key, &value) == OK) {
		unsigned char copy[8];
		memcpy(copy, key.ptr, sizeof(copy));
		assert_int_equal(db_del(txn, DB_BACKLOG, (struct slice){(const char *)copy, 8}),
		    OK);
	}
	store_commit(txn);
	store_reopen(s);
	check(s, 0, 0, 0);
	for (int i = 0; i < 2; i++) { /* it bears being run again */
		txn = store_begin(s);
		assert_int_equal(backlog_recount(txn), OK);
		store_commit(txn);
	}
	store_reopen(s);
	check(s, 3, 4, 3);
}

static void change_uncounted(void *arg)
{
	struct store *s = arg;
	backlog_free(s->backlog);
	add(store_begin(s), 1, 1);
}

static void test_nobody_counts(void **state)
{
	assert_true(panics(change_uncounted, *state));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_empty),
	    STORE_TEST(test_commit),
	    STORE_TEST(test_abort),
	    STORE_TEST(test_no_change),
	    cmocka_unit_test(test_full_map),
	    STORE_TEST(test_session),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_recount),
	    STORE_TEST(test_nobody_counts),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
