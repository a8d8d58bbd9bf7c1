/*
 * Idempotency keys: the same request finds its answer, another is a conflict; both until
 * the key expires, swept or not; sweeping in slices; damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "support.h"

#define EXPIRES_MS 1000 /* of most keys here */
#define LARGE 300000    /* bytes of an answer in many pieces */

static struct idempotency key_of(const char *scope, const char *name, const char *request,
    int64_t expires_ms)
{
	struct idempotency k = {.expires_ms = 0};
	idempotency_set(&k, slice_of(scope), slice_of(name), slice_of(request), expires_ms);
	return k;
}

static void keep(struct db_txn *txn, const struct idempotency *k, uint64_t id,
    const char *answer)
{
	struct uuid answer_id = make_id(id);
	assert_int_equal(idempotency_keep(txn, k, &answer_id, 0, slice_of(answer)), OK);
}

/* Looks for `k`; where it is known its answer must be `want`, else the buffer is empty. */
static void check_find(struct db_txn *txn, size_t row, const struct idempotency *k,
    int64_t now_ms, enum err want, const char *want_answer)
{
	struct buf answer = BUF_INIT(2 * LARGE);
	enum err err = idempotency_find(txn, k, now_ms, &answer);
	if (err != want || strcmp(buf_cstr(&answer), want == OK ? want_answer : "") != 0)
		fail_msg("row %zu: %s \"%s\"", row, err_text(err), buf_cstr(&answer));
	assert_int_equal(db_txn_error(txn), OK);
	buf_fini(&answer);
}

static size_t sweep(struct db_txn *txn, int64_t now_ms, size_t max)
{
	size_t dropped = 12345;
	assert_int_equal(idempotency_sweep(txn, now_ms, max, &dropped), OK);
	assert_int_equal(db_txn_error(txn), OK);
	return dropped;
}

static void assert_rows(struct db_txn *txn, size_t count)
{
	assert_int_equal(store_count_in(txn, DB_REPEATS), count);
	assert_int_equal(store_count_in(txn, DB_REPEATS_BY_AGE), count);
	assert_int_equal(store_count_in(txn, DB_EVENTS), count);
}

static void test_find(void **state)
{
	struct store *s = *state;
	static const struct {
		const char *scope, *name, *request;
		int64_t now_ms;
		enum err want;
	} ROWS[] = {
	    {"id:s", "k", "r", 0, OK},
	    {"id:s", "k", "r", EXPIRES_MS - 1, OK},
	    {"id:s", "k", "r", EXPIRES_MS, ERR_NOTFOUND},
	    {"id:s", "k", "other", 0, ERR_CONFLICT},
	    {"id:s", "k", "", 0, ERR_CONFLICT},
	    {"id:s", "k", "other", EXPIRES_MS, ERR_NOTFOUND},
	    {"id:s", "K", "r", 0, ERR_NOTFOUND},
	    {"id:s", "", "r", 0, ERR_NOTFOUND},
	    {"id:t", "k", "r", 0, ERR_NOTFOUND},
	    {"key:s", "k", "r", 0, ERR_NOTFOUND},
	    {"id:", "sk", "r", 0, ERR_NOTFOUND},
	    {"id:sk", "", "r", 0, ERR_NOTFOUND},
	};
	struct db_txn *txn = store_begin(s);
	struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
	check_find(txn, 0, &k, 0, ERR_NOTFOUND, "");
	keep(txn, &k, 1, "the answer");
	store_commit(txn);
	store_reopen(s);
	txn = store_read(s);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		/* when it would expire itself plays no part in looking */
		k = key_of(ROWS[i].scope, ROWS[i].name, ROWS[i].request, 5 * EXPIRES_MS);
		check_find(txn, i, &k, ROWS[i].now_ms, ROWS[i].want, "the answer");
	}
	db_read_end(txn);
}

static void test_answers_of_any_size(void **state)
{
	struct store *s = *state;
	static const size_t SIZES[] = {0, 1, 3900, 4000, LARGE};
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(SIZES); i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%zu", i);
		char *text = mem_array(SIZES[i] + 1, 1);
		memset(text, 'a' + (int)i, SIZES[i]);
		struct idempotency k = key_of("id:s", name, "r", EXPIRES_MS);
		keep(txn, &k, 1 + i, text);
		check_find(txn, i, &k, 0, OK, text);
		free(text);
	}
	assert_int_equal(sweep(txn, EXPIRES_MS, 100), COUNT(SIZES));
	assert_rows(txn, 0);
	store_commit(txn);
}

/* A key that has expired and was not swept is free, and nothing is left of what it was. */
static void test_expired_key_is_free(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct idempotency old = key_of("id:s", "k", "r", EXPIRES_MS);
	struct idempotency new = key_of("id:s", "k", "another", 3 * EXPIRES_MS);
	keep(txn, &old, 1, "old");
	check_find(txn, 0, &new, EXPIRES_MS, ERR_NOTFOUND, "");
	keep(txn, &new, 2, "new");
	assert_rows(txn, 1);
	check_find(txn, 1, &new, EXPIRES_MS, OK, "new");
	check_find(txn, 2, &old, EXPIRES_MS, ERR_CONFLICT, "");
	assert_int_equal(sweep(txn, EXPIRES_MS, 100), 0);
	check_find(txn, 3, &new, 3 * EXPIRES_MS - 1, OK, "new");
	assert_int_equal(sweep(txn, 3 * EXPIRES_MS, 100), 1);
	assert_rows(txn, 0);
	store_commit(txn);
}

/* Keys 1 to 10 expire at 100, 200, … 1000; some at one time. */
static void test_sweep_in_slices(void **state)
{
	struct store *s = *state;
	static const struct {
		int64_t now_ms;
		size_t max, dropped;
	} ROWS[] = {{99, 100, 0}, {100, 0, 0}, {100, 100, 1}, {100, 100, 0}, {650, 2, 2},
	    {650, 2, 2}, {650, 2, 1}, {650, 2, 0}, {9999, 4, 4}, {9999, 4, 0}};
	size_t left = 10;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= left; n++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%u", (unsigned)n);
		struct idempotency k = key_of("id:s", name, "r", (int64_t)n * 100);
		keep(txn, &k, n, "answer");
	}
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		size_t dropped = sweep(txn, ROWS[i].now_ms, ROWS[i].max);
		if (dropped != ROWS[i].dropped)
			fail_msg("row %zu: %zu dropped", i, dropped);
		left -= dropped;
		assert_rows(txn, left);
	}
	assert_int_equal(left, 0);
	store_commit(txn);
}

static struct slice digest_of(const struct idempotency *k)
{
	return (struct slice){(const char *)k->key, RECORD_DIGEST};
}

/* What cannot be read counts as new, is replaced by what comes, and goes with the sweep. */
static void test_damage(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct idempotency record = key_of("id:s", "record", "r", EXPIRES_MS);
	struct idempotency answer = key_of("id:s", "answer", "r", EXPIRES_MS);
	struct idempotency missing = key_of("id:s", "missing", "r", EXPIRES_MS);
	keep(txn, &record, 1, "first");
	assert_int_equal(db_put(txn, DB_REPEATS, digest_of(&record), SLICE("damaged")), OK);
	check_find(txn, 0, &record, 0, ERR_NOTFOUND, "");

	/* of an answer in pieces the second is damaged: none of the first is shown */
	char *text = mem_array(LARGE + 1, 1);
	memset(text, 'x', LARGE);
	keep(txn, &answer, 2, text);
	free(text);
	char piece[UUID_SIZE + 2] = {0};
	struct uuid id = make_id(2);
	memcpy(piece, id.bytes, UUID_SIZE);
	piece[UUID_SIZE + 1] = 1;
	assert_int_equal(
	    db_put(txn, DB_EVENTS, (struct slice){piece, sizeof(piece)}, SLICE("damaged")), OK);
	check_find(txn, 1, &answer, 0, ERR_NOTFOUND, "");

	keep(txn, &missing, 3, "first");
	id = make_id(3);
	assert_int_equal(events_drop(txn, &id), OK);
	check_find(txn, 2, &missing, 0, ERR_NOTFOUND, "");

	struct idempotency *keys[] = {&record, &answer, &missing};
	for (size_t i = 0; i < COUNT(keys); i++) {
		keep(txn, keys[i], 10 + i, "second");
		check_find(txn, 3 + i, keys[i], 0, OK, "second");
	}
	assert_int_equal(store_count_in(txn, DB_REPEATS), COUNT(keys));
	(void)sweep(txn, EXPIRES_MS, 100); /* what is left tells */
	assert_int_equal(store_count_in(txn, DB_REPEATS), 0);
	assert_int_equal(store_count_in(txn, DB_REPEATS_BY_AGE), 0);
	store_commit(txn);
}

/* A key of the index that is none stops the sweep, and nothing else. */
static void test_damaged_index(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct idempotency k = key_of("id:s", "k", "r", EXPIRES_MS);
	keep(txn, &k, 1, "answer");
	assert_int_equal(db_put(txn, DB_REPEATS_BY_AGE, SLICE("\0\0"), SLICE("")), OK);
	assert_int_equal(sweep(txn, EXPIRES_MS, 100), 0);
	check_find(txn, 0, &k, 0, OK, "answer");
	store_commit(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_find),
	    STORE_TEST(test_answers_of_any_size),
	    STORE_TEST(test_expired_key_is_free),
	    STORE_TEST(test_sweep_in_slices),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_damaged_index),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
