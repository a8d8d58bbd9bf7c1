/*
 * The database: tables, order, transactions and their sticky errors, cursors against a
 * sorted array, the lock, and a map that is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rnd.h"
#include "support.h"

#define SMALL_MAP (1u << 20) /* bytes: soon full */
#define VALUE_BYTES 1000

static enum err put(struct db_txn *txn, enum db_table t, const char *key, const char *value)
{
	return db_put(txn, t, slice_of(key), slice_of(value));
}

static void assert_value(struct db_txn *txn, enum db_table t, const char *key, const char *want)
{
	struct slice value = {0};
	enum err err = db_get(txn, t, slice_of(key), &value);
	assert_int_equal(err, want == NULL ? ERR_NOTFOUND : OK);
	if (want != NULL)
		assert_true(slice_eq(value, slice_of(want)));
}

static void test_put_get_del(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	assert_value(txn, DB_META, "a", NULL);
	assert_int_equal(put(txn, DB_META, "a", "1"), OK);
	assert_int_equal(put(txn, DB_META, "ab", ""), OK);
	assert_int_equal(put(txn, DB_DEAD, "a", "2"), OK);
	assert_value(txn, DB_META, "a", "1");
	assert_value(txn, DB_META, "ab", "");
	assert_value(txn, DB_DEAD, "a", "2");
	assert_value(txn, DB_DEAD, "ab", NULL);
	assert_int_equal(put(txn, DB_META, "a", "three"), OK);
	assert_value(txn, DB_META, "a", "three");
	assert_int_equal(db_del(txn, DB_META, SLICE("a")), OK);
	assert_int_equal(db_del(txn, DB_META, SLICE("a")), ERR_NOTFOUND);
	assert_value(txn, DB_META, "a", NULL);
	assert_int_equal(db_txn_error(txn), OK);
	store_commit(txn);
}

static void test_commit_lasts_and_abort_does_not(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (enum db_table t = 0; t < DB_TABLES; t++)
		assert_int_equal(put(txn, t, "kept", "x"), OK);
	store_commit(txn);
	txn = store_begin(s);
	for (enum db_table t = 0; t < DB_TABLES; t++) {
		assert_int_equal(put(txn, t, "dropped", "x"), OK);
		assert_int_equal(db_del(txn, t, SLICE("kept")), OK);
	}
	db_abort(txn);
	store_reopen(s);
	for (enum db_table t = 0; t < DB_TABLES; t++) {
		txn = store_read(s);
		assert_value(txn, t, "kept", "x");
		assert_value(txn, t, "dropped", NULL);
		db_read_end(txn);
	}
}

static void test_read_is_a_snapshot(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(put(txn, DB_META, "a", "1"), OK);
	struct db_txn *read = store_read(s);
	assert_value(read, DB_META, "a", NULL);
	store_commit(txn);
	assert_value(read, DB_META, "a", NULL);
	db_read_end(read);
	read = store_read(s);
	assert_value(read, DB_META, "a", "1");
	db_read_end(read);
}

struct companion {
	struct buf trace; /* f: may write, c: was committed, a: was not */
	bool fails;
};

static void flush_companion(void *arg, struct db_txn *txn)
{
	struct companion *c = arg;
	assert_ptr_equal(db_companion_of(txn, DB_COUNTS_QUEUE), c);
	buf_putc(&c->trace, 'f');
	assert_int_equal(put(txn, DB_META, "flushed", "x"), OK);
	if (c->fails)
		assert_int_equal(db_txn_fail(txn, ERR_NOSPACE), ERR_NOSPACE);
}

static void end_companion(void *arg, bool committed)
{
	struct companion *c = arg;
	buf_putc(&c->trace, committed ? 'c' : 'a');
}

/* It writes into what is committed, hears the end of each once, and nothing of reading. */
static void test_companion(void **state)
{
	struct store *s = *state;
	struct companion c = {.trace = BUF_INIT(100)};
	const struct db_companion row = {flush_companion, end_companion, &c};
	db_accompany(s->db, DB_COUNTS_QUEUE, &row);
	db_read_end(store_read(s));
	store_commit(store_begin(s));
	assert_string_equal(buf_cstr(&c.trace), "fc");
	db_abort(store_begin(s));
	assert_string_equal(buf_cstr(&c.trace), "fca");
	struct db_txn *txn = store_begin(s);
	assert_int_equal(db_del(txn, DB_META, SLICE("flushed")), OK);
	assert_int_equal(db_txn_fail(txn, ERR_STORE), ERR_STORE);
	assert_int_equal(db_commit(txn), ERR_STORE);
	assert_string_equal(buf_cstr(&c.trace), "fcaa");
	c.fails = true;
	txn = store_begin(s);
	assert_int_equal(put(txn, DB_META, "with it", "x"), OK);
	assert_int_equal(db_commit(txn), ERR_NOSPACE);
	assert_string_equal(buf_cstr(&c.trace), "fcaafa");
	txn = store_read(s);
	assert_value(txn, DB_META, "flushed", "x");
	assert_value(txn, DB_META, "with it", NULL);
	db_read_end(txn);
	db_accompany(s->db, DB_COUNTS_QUEUE, &(struct db_companion){0});
	store_commit(store_begin(s));
	assert_string_equal(buf_cstr(&c.trace), "fcaafa");
	buf_fini(&c.trace);
}

/* A key of no bytes is what LMDB refuses: a failure of the store's, by our own doing. */
static void test_error_sticks(void **state)
{
	struct store *s = *state;
	struct db_cursor *cursor = NULL;
	struct db_cursor *none = NULL;
	struct slice key;
	struct slice value;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(put(txn, DB_META, "before", "x"), OK);
	assert_int_equal(db_cursor(txn, DB_META, &cursor), OK);
	assert_int_equal(db_put(txn, DB_META, SLICE(""), SLICE("x")), ERR_STORE);

	assert_int_equal(db_txn_error(txn), ERR_STORE);
	assert_int_equal(put(txn, DB_META, "after", "x"), ERR_STORE);
	assert_int_equal(db_get(txn, DB_META, SLICE("before"), &value), ERR_STORE);
	assert_int_equal(db_del(txn, DB_META, SLICE("before")), ERR_STORE);
	assert_int_equal(db_cursor(txn, DB_META, &none), ERR_STORE);
	assert_null(none);
	assert_int_equal(db_seek(cursor, SLICE("a"), &key, &value), ERR_STORE);
	assert_int_equal(db_seek_below(cursor, SLICE("z"), &key, &value), ERR_STORE);
	assert_int_equal(db_next(cursor, &key, &value), ERR_STORE);
	assert_int_equal(db_prev(cursor, &key, &value), ERR_STORE);
	assert_int_equal(db_txn_fail(txn, ERR_CORRUPT), ERR_STORE);
	db_cursor_close(cursor);
	assert_int_equal(db_commit(txn), ERR_STORE);

	assert_int_equal(store_count(s, DB_META), 0);
	txn = store_begin(s);
	assert_int_equal(db_txn_error(txn), OK);
	assert_int_equal(put(txn, DB_META, "after", "x"), OK);
	store_commit(txn);
	assert_int_equal(store_count(s, DB_META), 1);
}

static void test_failed_by_a_module(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(put(txn, DB_META, "a", "x"), OK);
	assert_int_equal(db_txn_fail(txn, ERR_CORRUPT), ERR_CORRUPT);
	assert_int_equal(db_txn_fail(txn, ERR_NOSPACE), ERR_CORRUPT);
	assert_int_equal(put(txn, DB_META, "b", "x"), ERR_CORRUPT);
	assert_int_equal(db_commit(txn), ERR_CORRUPT);
	assert_int_equal(store_count(s, DB_META), 0);

	struct slice value;
	txn = store_read(s);
	assert_int_equal(db_get(txn, DB_META, SLICE(""), &value), ERR_STORE);
	assert_int_equal(db_get(txn, DB_META, SLICE("a"), &value), ERR_STORE);
	db_read_end(txn);
	txn = store_read(s);
	assert_value(txn, DB_META, "a", NULL);
	db_read_end(txn);
}

static void test_cursor_on_an_empty_table(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_read(s);
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	assert_int_equal(db_cursor(txn, DB_QUEUE, &c), OK);
	assert_int_equal(db_seek(c, SLICE("a"), &key, &value), ERR_NOTFOUND);
	assert_int_equal(db_seek_below(c, SLICE("a"), &key, &value), ERR_NOTFOUND);
	assert_int_equal(db_next(c, &key, &value), ERR_NOTFOUND);
	assert_int_equal(db_prev(c, &key, &value), ERR_NOTFOUND);
	assert_int_equal(db_txn_error(txn), OK);
	db_cursor_close(c);
	db_cursor_close(NULL);
	db_read_end(txn);
}

/* Keys of 1 to 12 bytes of few values, so that many share a beginning. */
struct key {
	unsigned char bytes[12];
	size_t len;
};

static struct slice view(const struct key *k)
{
	return (struct slice){(const char *)k->bytes, k->len};
}

static int compare(const void *a, const void *b)
{
	const struct key *left = a;
	const struct key *right = b;
	size_t len = left->len < right->len ? left->len : right->len;
	int order = memcmp(left->bytes, right->bytes, len);
	if (order != 0)
		return order;
	return left->len < right->len ? -1 : left->len > right->len;
}

static struct key random_key(struct rnd *rnd)
{
	static const unsigned char VALUES[] = {0, 1, 'a', 0x7f, 0x80, 0xff};
	struct key k = {.len = 1 + rnd_next(rnd) % sizeof(k.bytes)};
	for (size_t i = 0; i < k.len; i++)
		k.bytes[i] = VALUES[rnd_next(rnd) % sizeof(VALUES)];
	return k;
}

/* Fills a table with random keys, each its own value; `keys` becomes them, sorted. */
static size_t fill_keys(struct store *s, struct rnd *rnd, struct key *keys, size_t max)
{
	struct db_txn *txn = store_begin(s);
	size_t n = 0;
	for (size_t i = 0; i < max; i++) {
		struct slice value;
		struct key k = random_key(rnd);
		if (db_get(txn, DB_EVENTS, view(&k), &value) == OK)
			continue;
		keys[n++] = k;
		assert_int_equal(db_put(txn, DB_EVENTS, view(&k), view(&k)), OK);
	}
	store_commit(txn);
	qsort(keys, n, sizeof(*keys), compare);
	return n;
}

/* Checks that a move of the cursor came to keys[at], or where that is no key, to an end. */
static bool stands_at(enum err err, struct slice key, struct slice value,
    const struct key *keys, size_t n, size_t at)
{
	if (at >= n) /* before the first wraps around to this as well */
		return err == ERR_NOTFOUND;
	return err == OK && slice_eq(key, view(&keys[at])) && slice_eq(value, view(&keys[at]));
}

static void test_cursor_against_model(void **state)
{
	enum { MAX = 3000, PROBES = 3000, STEPS = 20 };
	struct store *s = *state;
	uint64_t seed = test_seed(77);
	struct rnd rnd;
	struct key *keys = mem_array(MAX, sizeof(*keys));
	struct db_cursor *c = NULL;
	rnd_seed(&rnd, seed);
	size_t n = fill_keys(s, &rnd, keys, MAX);
	struct db_txn *txn = store_read(s);
	assert_int_equal(db_cursor(txn, DB_EVENTS, &c), OK);
	for (int i = 0; i < PROBES; i++) {
		struct slice key = {0};
		struct slice value = {0};
		struct key probe = i % 2 == 0 ? random_key(&rnd) : keys[rnd_next(&rnd) % n];
		size_t at = 0;
		while (at < n && compare(&keys[at], &probe) < 0)
			at++;
		bool below = rnd_next(&rnd) % 2 == 0;
		at -= below ? 1 : 0;
		enum err err = below ? db_seek_below(c, view(&probe), &key, &value)
				     : db_seek(c, view(&probe), &key, &value);
		if (!stands_at(err, key, value, keys, n, at))
			fail_msg("probe %d: seek", i);
		for (int step = 0; step < STEPS && err == OK; step++) {
			bool forward = rnd_next(&rnd) % 2 == 0;
			at += forward ? 1 : (size_t)-1;
			err = forward ? db_next(c, &key, &value) : db_prev(c, &key, &value);
			if (!stands_at(err, key, value, keys, n, at))
				fail_msg("probe %d: step %d", i, step);
		}
	}
	db_cursor_close(c);
	db_read_end(txn);
	free(keys);
}

/* A cursor of the write transaction sees what was written in it. */
static void test_cursor_sees_writes(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct db_cursor *c = NULL;
	struct slice key;
	struct slice value;
	assert_int_equal(put(txn, DB_META, "a", "1"), OK);
	assert_int_equal(db_cursor(txn, DB_META, &c), OK);
	assert_int_equal(db_seek(c, SLICE("a"), &key, &value), OK);
	assert_int_equal(put(txn, DB_META, "b", "2"), OK);
	assert_int_equal(db_next(c, &key, &value), OK);
	assert_true(slice_eq(key, SLICE("b")));
	assert_int_equal(db_next(c, &key, &value), ERR_NOTFOUND);
	db_cursor_close(c);
	store_commit(txn);
}

static void begin_twice(void *db)
{
	struct db_txn *txn = NULL;
	if (db_begin(db, &txn) != OK || db_begin(db, &txn) != OK)
		_exit(1);
}

static void read_twice(void *db)
{
	struct db_txn *txn = NULL;
	if (db_read(db, &txn) != OK || db_read(db, &txn) != OK)
		_exit(1);
}

static void test_one_transaction_at_a_time(void **state)
{
	struct store *s = *state;
	assert_true(panics(begin_twice, s->db));
	assert_true(panics(read_twice, s->db));
}

static void test_lock(void **state)
{
	struct store *s = *state;
	struct db *second = NULL;
	struct problem p = {0};
	assert_int_equal(db_open(s->dir, STORE_MAP_BYTES, &second, &p), ERR_BUSY);
	assert_null(second);
	assert_non_null(strstr(p.message, s->dir));
	store_reopen(s);
	assert_int_equal(db_open(s->dir, STORE_MAP_BYTES, &second, &p), ERR_BUSY);
}

static void test_files_are_private(void **state)
{
	struct store *s = *state;
	char path[100];
	struct stat st;
	struct problem p;
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", s->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	struct db *db = NULL;
	(void)snprintf(path, sizeof(path), "%s/new", s->dir);
	assert_int_equal(db_open(path, STORE_MAP_BYTES, &db, &p), OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	db_close(db);
	folder_remove(path);
}

static void test_open_fails(void **state)
{
	struct store *s = *state;
	char path[100];
	struct db *db = NULL;
	struct problem p = {0};
	(void)snprintf(path, sizeof(path), "%s/no/folder", s->dir);
	assert_int_equal(db_open(path, STORE_MAP_BYTES, &db, &p), ERR_IO);
	assert_non_null(strstr(p.message, path));
	(void)snprintf(path, sizeof(path), "%s/waybill.mdb", s->dir);
	assert_int_equal(db_open(path, STORE_MAP_BYTES, &db, &p), ERR_IO);
	assert_non_null(strstr(p.message, path));

	store_close(s);
	int fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(write(fd, "not a store ", 12), 12);
	assert_int_equal(close(fd), 0);
	assert_int_equal(db_open(s->dir, STORE_MAP_BYTES, &db, &p), ERR_BROKEN);
	assert_non_null(strstr(p.message, s->dir));
	assert_null(db);
	db_close(NULL);
}

/* A start that was cut short has left a file that is no store yet: it is made anew. */
static void test_made_anew(void **state)
{
	static const char *const LEFT[] = {"", "half of a first page"};
	struct store *s = *state;
	char store[100];
	char making[100];
	char lock[100];
	(void)snprintf(lock, sizeof(lock), "%s/waybill.lock", s->dir);
	(void)snprintf(store, sizeof(store), "%s/waybill.mdb", s->dir);
	(void)snprintf(making, sizeof(making), "%s/waybill.mdb.new", s->dir);
	for (size_t i = 0; i < COUNT(LEFT); i++) {
		store_close(s);
		assert_int_equal(unlink(store), 0);
		assert_int_equal(unlink(lock), 0);
		int fd = open(making, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, LEFT[i], strlen(LEFT[i])), strlen(LEFT[i]));
		assert_int_equal(close(fd), 0);
		store_open(s, STORE_MAP_BYTES);
		assert_int_equal(access(making, F_OK), -1);
		assert_int_equal(store_count(s, DB_META), 0);
	}
}

/* Puts rows from `n` on into one transaction until the store refuses; returns the next. */
static uint64_t fill_up(struct db_txn *txn, uint64_t n)
{
	static const char VALUE[VALUE_BYTES];
	enum err err = OK;
	for (; err == OK; n++) {
		struct uuid id = make_id(n);
		err = db_put(txn, DB_EVENTS, id_bytes(&id),
		    (struct slice){VALUE, sizeof(VALUE)});
		assert_true(n < SMALL_MAP / VALUE_BYTES);
	}
	assert_int_equal(err, ERR_NOSPACE);
	return n;
}

static void test_full_in_one_transaction(void **state)
{
	(void)state;
	struct store *s = store_new(SMALL_MAP);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(put(txn, DB_META, "before", "x"), OK);
	store_commit(txn);

	txn = store_begin(s);
	assert_int_equal(put(txn, DB_META, "with", "x"), OK);
	assert_int_equal(db_del(txn, DB_META, SLICE("before")), OK);
	(void)fill_up(txn, 0); /* how many is not asked for */
	assert_int_equal(db_txn_error(txn), ERR_NOSPACE);
	assert_int_equal(put(txn, DB_META, "after", "x"), ERR_NOSPACE);
	assert_int_equal(db_commit(txn), ERR_NOSPACE);

	txn = store_read(s);
	assert_value(txn, DB_META, "before", "x");
	assert_value(txn, DB_META, "with", NULL);
	assert_int_equal(store_count_in(txn, DB_META), 1);
	assert_int_equal(store_count_in(txn, DB_EVENTS), 0);
	db_read_end(txn);

	for (int i = 0; i < 3; i++) {
		txn = store_begin(s);
		assert_int_equal(put(txn, DB_META, "later", "x"), OK);
		store_commit(txn);
	}
	assert_int_equal(store_count(s, DB_META), 2);
	store_free(s);
}

/* Filled by many transactions: what was committed stays, and a larger map is all it needs. */
static void test_full_over_transactions(void **state)
{
	static const char VALUE[VALUE_BYTES];
	(void)state;
	struct store *s = store_new(SMALL_MAP);
	uint64_t stored = 0;
	enum err err = OK;
	while (err == OK) {
		struct db_txn *txn = store_begin(s);
		struct uuid id = make_id(stored);
		enum err written = db_put(txn, DB_EVENTS, id_bytes(&id),
		    (struct slice){VALUE, sizeof(VALUE)});
		err = db_commit(txn); /* may find the map full where the put did not */
		assert_true(written == OK || written == err);
		stored += err == OK ? 1 : 0;
	}
	assert_int_equal(err, ERR_NOSPACE);
	assert_true(stored > 100);
	assert_int_equal(store_count(s, DB_EVENTS), stored);

	store_reopen(s); /* with room for more */
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 0; n < stored / 2; n++) {
		struct uuid id = make_id(n);
		assert_int_equal(db_del(txn, DB_EVENTS, id_bytes(&id)), OK);
	}
	assert_int_equal(put(txn, DB_EVENTS, "new", "x"), OK);
	store_commit(txn);
	assert_int_equal(store_count(s, DB_EVENTS), stored - stored / 2 + 1);
	store_free(s);
}

static void test_usage(void **state)
{
	static const char VALUE[VALUE_BYTES];
	struct store *s = *state;
	struct db_usage before;
	struct db_usage full;
	struct db_usage after;
	assert_int_equal(db_usage(s->db, &before), OK);
	assert_true(before.max_bytes == STORE_MAP_BYTES);
	assert_true(before.disk_free_bytes > 0);
	assert_true(before.disk_free_bytes <= before.disk_bytes);

	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 0; n < 1000; n++) {
		struct uuid id = make_id(n);
		assert_int_equal(db_put(txn, n % 2 == 0 ? DB_EVENTS : DB_DEAD, id_bytes(&id),
				     (struct slice){VALUE, sizeof(VALUE)}),
		    OK);
	}
	store_commit(txn);
	assert_int_equal(db_usage(s->db, &full), OK);
	assert_in_range(full.used_bytes - before.used_bytes, 1000 * VALUE_BYTES,
	    3 * 1000 * VALUE_BYTES);

	txn = store_begin(s);
	for (uint64_t n = 0; n < 1000; n++) {
		struct uuid id = make_id(n);
		assert_int_equal(db_del(txn, n % 2 == 0 ? DB_EVENTS : DB_DEAD, id_bytes(&id)),
		    OK);
	}
	store_commit(txn);
	assert_int_equal(db_usage(s->db, &after), OK);
	assert_true(after.used_bytes == before.used_bytes);
	db_clear_readers(s->db);
	txn = store_read(s);
	db_read_end(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_put_get_del),
	    STORE_TEST(test_commit_lasts_and_abort_does_not),
	    STORE_TEST(test_read_is_a_snapshot),
	    STORE_TEST(test_companion),
	    STORE_TEST(test_error_sticks),
	    STORE_TEST(test_failed_by_a_module),
	    STORE_TEST(test_cursor_on_an_empty_table),
	    STORE_TEST(test_cursor_against_model),
	    STORE_TEST(test_cursor_sees_writes),
	    STORE_TEST(test_one_transaction_at_a_time),
	    STORE_TEST(test_lock),
	    STORE_TEST(test_files_are_private),
	    STORE_TEST(test_open_fails),
	    STORE_TEST(test_made_anew),
	    cmocka_unit_test(test_full_in_one_transaction),
	    cmocka_unit_test(test_full_over_transactions),
	    STORE_TEST(test_usage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
