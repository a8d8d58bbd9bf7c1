/*
 * Backups: the stream holds the store as it was when it began, makes the same store again
 * however it is cut, and is refused when a byte of it is missing, changed or too many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/backup.h"
#include "fsck/check.h"
#include "store/schema.h"
#include "world.h"

#define STREAM_MAX (4u << 20) /* bytes */
#define SLICE_BYTES 1000

static void fill(struct store *s)
{
	struct sample m = {0};
	sample_make(s, &m);
	store_commit(m.w.txn);
}

/* Publishes and deletes, so that pages are used again where they can be. */
static void churn(struct store *s)
{
	struct sample m = {0};
	struct retention nothing = {0};
	world_begin(s, &m.w);
	m.w.now_ms += 1000;
	m.w.next_id = 100000;
	struct uuid id = world_publish(&m.w, 1, 1, 5000);
	world_deliver(&m.w, world_delivery(&m.w, id, 1));
	world_sweep(&m.w, &nothing);
	store_commit(m.w.txn);
}

/* The whole stream; the store is written between its slices. */
static struct buf read_all(struct store *s, bool write_meanwhile)
{
	struct buf out = BUF_INIT(STREAM_MAX);
	struct backup_source *source = NULL;
	bool end = false;
	assert_int_equal(backup_source_new(s->db, &source), OK);
	while (!end) {
		size_t before = out.len;
		assert_int_equal(backup_source_read(source, before + SLICE_BYTES, &out, &end),
		    OK);
		assert_true(out.len > before);
		if (write_meanwhile)
			churn(s);
	}
	backup_source_free(source);
	return out;
}

/* Makes a store of a stream that comes in pieces of `piece` bytes. */
static enum err restore(const char *dir, struct slice stream, size_t piece, struct problem *p)
{
	struct backup_sink *sink = NULL;
	enum err err = backup_sink_new(dir, &sink, p);
	while (err == OK && stream.len > 0) {
		size_t n = stream.len < piece ? stream.len : piece;
		err = backup_sink_write(sink, (struct slice){stream.ptr, n}, p);
		stream.ptr += n;
		stream.len -= n;
	}
	if (err == OK)
		err = backup_sink_finish(sink, p);
	backup_sink_free(sink);
	return err;
}

/* A name for a folder that is not there. */
static void free_name(char dir[64])
{
	folder_make(dir);
	assert_int_equal(rmdir(dir), 0);
}

static void show_finding(void *arg, const char *finding)
{
	(void)arg;
	print_error("%s\n", finding);
}

static void assert_same_table(struct db_txn *a, struct db_txn *b, enum db_table t)
{
	struct db_cursor *left = NULL;
	struct db_cursor *right = NULL;
	enum err err = OK;
	assert_int_equal(db_cursor(a, t, &left), OK);
	assert_int_equal(db_cursor(b, t, &right), OK);
	while (err == OK) {
		struct slice keys[2];
		struct slice values[2];
		err = db_next(left, &keys[0], &values[0]);
		assert_int_equal(db_next(right, &keys[1], &values[1]), err);
		if (err == OK)
			assert_true(
			    slice_eq(keys[0], keys[1]) && slice_eq(values[0], values[1]));
	}
	assert_int_equal(err, ERR_NOTFOUND);
	db_cursor_close(left);
	db_cursor_close(right);
}

static void assert_same(struct store *s, const char *dir)
{
	struct db *copy = NULL;
	struct problem p;
	struct db_txn *there = NULL;
	struct check_result result;
	assert_int_equal(db_open_readonly(dir, &copy, &p), OK);
	check_store(copy, show_finding, NULL, &result);
	assert_int_equal(result.findings, 0);
	struct db_txn *here = store_read(s);
	assert_int_equal(db_read(copy, &there), OK);
	for (enum db_table t = 0; t < DB_TABLES; t++)
		assert_same_table(here, there, t);
	db_read_end(here);
	db_read_end(there);
	db_close(copy);
}

static void test_makes_the_same_store_however_it_is_cut(void **state)
{
	static const size_t PIECES[] = {1, 7, 1000, STREAM_MAX};
	struct store *s = *state;
	struct problem p;
	char dir[64];
	fill(s);
	struct buf stream = read_all(s, false);
	for (size_t i = 0; i < COUNT(PIECES); i++) {
		free_name(dir);
		assert_int_equal(restore(dir, buf_view(&stream), PIECES[i], &p), OK);
		assert_same(s, dir);
		folder_remove(dir);
	}
	buf_fini(&stream);
}

static void test_is_of_one_moment(void **state)
{
	struct store *s = *state;
	fill(s);
	struct buf before = read_all(s, false);
	struct buf during = read_all(s, true);
	struct buf after = read_all(s, false);
	assert_true(slice_eq(buf_view(&before), buf_view(&during)));
	assert_false(slice_eq(buf_view(&before), buf_view(&after)));
	buf_fini(&before);
	buf_fini(&during);
	buf_fini(&after);
}

static void test_one_at_a_time(void **state)
{
	struct store *s = *state;
	struct backup_source *first = NULL;
	struct backup_source *second = NULL;
	assert_int_equal(backup_source_new(s->db, &first), OK);
	assert_int_equal(backup_source_new(s->db, &second), ERR_BUSY);
	backup_source_free(first);
	assert_int_equal(backup_source_new(s->db, &second), OK);
	backup_source_free(second);
}

/* Pages that are freed while a snapshot lasts are not used again: the file grows. */
static void test_usage_shows_what_a_snapshot_costs(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = NULL;
	struct db_usage before;
	struct db_usage after;
	fill(s);
	for (int i = 0; i < 50; i++)
		churn(s);
	assert_int_equal(db_usage(s->db, &before), OK);
	for (int i = 0; i < 50; i++)
		churn(s);
	assert_int_equal(db_usage(s->db, &after), OK);
	assert_true(before.file_bytes == after.file_bytes);
	assert_int_equal(db_snapshot(s->db, &txn), OK);
	for (int i = 0; i < 50; i++)
		churn(s);
	assert_int_equal(db_usage(s->db, &after), OK);
	assert_true(after.file_bytes > before.file_bytes);
	assert_true(after.used_bytes == before.used_bytes);
	db_snapshot_end(txn);
}

static void expect_refused(struct slice stream, const char *what, size_t at)
{
	struct problem p = {0};
	char dir[64];
	free_name(dir);
	if (restore(dir, stream, STREAM_MAX, &p) == OK || p.message[0] == '\0')
		fail_msg("%s at %zu was taken", what, at);
	folder_remove(dir);
}

static void test_damage_is_refused(void **state)
{
	struct store *s = *state;
	fill(s);
	struct buf stream = read_all(s, false);
	struct slice all = buf_view(&stream);
	size_t step = 1 + all.len / 100;
	for (size_t at = 0; at < all.len; at += at + 30 < all.len ? step : 1) {
		expect_refused((struct slice){all.ptr, at}, "a cut", at);
		stream.data[at] ^= 4;
		expect_refused(all, "a flip", at);
		stream.data[at] ^= 4;
	}
	buf_putc(&stream, 'x');
	expect_refused(buf_view(&stream), "a byte more", stream.len);
	buf_fini(&stream);
}

static void test_takes_no_folder_that_is_there(void **state)
{
	struct store *s = *state;
	struct problem p;
	struct backup_sink *sink = NULL;
	assert_int_equal(backup_sink_new(s->dir, &sink, &p), ERR_EXISTS);
	assert_non_null(strstr(p.message, s->dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_makes_the_same_store_however_it_is_cut),
	    STORE_TEST(test_is_of_one_moment),
	    STORE_TEST(test_one_at_a_time),
	    STORE_TEST(test_usage_shows_what_a_snapshot_costs),
	    STORE_TEST(test_damage_is_refused),
	    STORE_TEST(test_takes_no_folder_that_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
