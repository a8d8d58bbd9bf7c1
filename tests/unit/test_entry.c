/*
 * What a transaction writes, gathered as rows, as an entry of the journal, and done again in
 * another store: what comes out is the same, and whatever was changed on the way is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/codec.h"
#include "base/compress.h"
#include "base/rnd.h"
#include "store/entry.h"
#include "store/rows.h"
#include "support.h"

#define ENTRY_MAX (4u << 20)
#define ROUNDS 300

static void put(struct db_txn *txn, enum db_table t, const char *key, const char *value)
{
	assert_int_equal(db_put(txn, t, slice_of(key), slice_of(value)), OK);
}

/* Every row of one store is in the other. */
static void assert_same(struct store *a, struct store *b)
{
	struct db_txn *one = store_read(a);
	struct db_txn *other = store_read(b);
	for (int t = 0; t < DB_TABLES; t++) {
		struct db_cursor *c = NULL;
		struct slice key;
		struct slice value;
		struct slice found;
		assert_int_equal(store_count_in(one, t), store_count_in(other, t));
		assert_int_equal(db_cursor(one, t, &c), OK);
		for (enum err err = db_next(c, &key, &value); err == OK;
		     err = db_next(c, &key, &value)) {
			assert_int_equal(db_get(other, t, key, &found), OK);
			assert_true(slice_eq(found, value));
		}
		db_cursor_close(c);
	}
	db_read_end(one);
	db_read_end(other);
}

/* Random writes, also of keys that are borrowed from the pages that they change. */
static void write_some(struct rnd *rnd, struct db_txn *txn)
{
	char text[64];
	for (int i = 0; i < 20; i++) {
		enum db_table t = (rnd_next(rnd) % 2) == 0 ? DB_EVENTS : DB_QUEUE;
		struct slice key;
		struct slice value;
		(void)snprintf(text, sizeof(text), "key %u", (unsigned)(rnd_next(rnd) % 100));
		if ((rnd_next(rnd) % 3) > 0)
			put(txn, t, text, text + (rnd_next(rnd) % 4));
		else if (db_first(txn, t, &key, &value) == OK)
			assert_int_equal(db_del(txn, t, key), OK);
		else
			assert_int_equal(db_del(txn, t, slice_of(text)), ERR_NOTFOUND);
	}
}

/* Both stores have done the same after each turn, whatever parts its rows were cut into. */
static void test_again(void **state)
{
	struct store *a = *state;
	struct store *b = store_new(STORE_MAP_BYTES);
	struct rows rows = ROWS_INIT;
	struct rnd rnd;
	rnd_seed(&rnd, 7);
	db_gather(a->db, &rows);
	for (int i = 0; i < ROUNDS; i++) {
		struct db_txn *txn = store_begin(a);
		write_some(&rnd, txn);
		if (i % 10 == 9)
			db_abort(txn);
		else
			store_commit(txn);
		if (i % 10 == 9)
			continue;
		struct slice left = buf_view(&rows.bytes);
		struct slice part;
		txn = store_begin(b);
		while (left.len > 0) {
			assert_int_equal(rows_cut(&left, rnd_next(&rnd) % 200, &part), OK);
			assert_true(part.len > 0);
			assert_int_equal(rows_apply(part, txn), OK);
		}
		store_commit(txn);
	}
	assert_true(store_count(a, DB_EVENTS) > 10);
	assert_same(a, b);
	db_gather(a->db, NULL);
	rows_fini(&rows);
	store_free(b);
}

/* The companions' rows are gathered too; the journal's own are not, nor what comes later. */
static void test_prepare(void **state)
{
	struct store *s = *state;
	struct rows rows = ROWS_INIT;
	db_gather(s->db, &rows);
	struct db_txn *txn = store_begin(s);
	put(txn, DB_EVENTS, "a", "1");
	assert_int_equal(rows.count, 1);
	assert_int_equal(db_prepare(txn), OK);
	const struct entry_position at = {.seq = 7, .epoch = 2, .turn = 5, .journal = 9};
	assert_int_equal(entry_position_put(txn, &at), OK);
	assert_int_equal(rows.count, 1);
	store_commit(txn);
	assert_int_equal(rows.count, 1);
	db_gather(s->db, NULL);
	txn = store_begin(s);
	put(txn, DB_EVENTS, "b", "1");
	assert_int_equal(rows.count, 1);
	store_commit(txn);
	rows_fini(&rows);
}

/* What is not there cannot be deleted: the stores have parted. */
static void test_parted(void **state)
{
	struct store *s = *state;
	struct rows rows = ROWS_INIT;
	(void)rows_add_put(&rows, DB_EVENTS, SLICE("a"), SLICE("1"));
	(void)rows_add_del(&rows, DB_EVENTS, SLICE("b"));
	struct db_txn *txn = store_begin(s);
	assert_int_equal(rows_apply(buf_view(&rows.bytes), txn), ERR_CORRUPT);
	assert_int_equal(db_txn_error(txn), ERR_CORRUPT);
	db_abort(txn);
	assert_int_equal(store_count(s, DB_EVENTS), 0);
	rows_fini(&rows);
}

/* Rows that are cut short or name no table are none. */
static void test_no_rows(void **state)
{
	struct store *s = *state;
	struct rows rows = ROWS_INIT;
	(void)rows_add_put(&rows, DB_EVENTS, SLICE("abc"), SLICE("123"));
	struct slice whole = buf_view(&rows.bytes);
	for (size_t len = 1; len < whole.len; len++) {
		struct slice left = {whole.ptr, len};
		struct slice out;
		assert_int_equal(rows_cut(&left, 1000, &out), ERR_CORRUPT);
		struct db_txn *txn = store_begin(s);
		assert_int_equal(rows_apply((struct slice){whole.ptr, len}, txn), ERR_CORRUPT);
		db_abort(txn);
	}
	rows.bytes.data[1] = DB_TABLES;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(rows_apply(whole, txn), ERR_CORRUPT);
	db_abort(txn);
	rows_fini(&rows);
}

static struct entry make_entry(struct slice rows)
{
	struct entry e = {.kind = ENTRY_TURN,
	    .more = true,
	    .epoch = 3,
	    .turn = UINT64_C(1) << 40,
	    .schema = 9,
	    .member = SLICE("eins"),
	    .url = SLICE("https://eins.example"),
	    .rows = rows};
	memset(e.before, 0xab, sizeof(e.before));
	return e;
}

static void assert_entry(const struct entry *e, const struct entry *want)
{
	assert_int_equal(e->kind, want->kind);
	assert_int_equal(e->more, want->more);
	assert_int_equal(e->epoch, want->epoch);
	assert_int_equal(e->turn, want->turn);
	assert_int_equal(e->schema, want->schema);
	assert_memory_equal(e->before, want->before, ENTRY_DIGEST);
	assert_memory_equal(e->digest, want->digest, ENTRY_DIGEST);
	assert_true(slice_eq(e->member, want->member));
	assert_true(slice_eq(e->url, want->url));
	assert_true(slice_eq(e->rows, want->rows));
}

/* Of no rows, of some that cannot be compressed, and of many that can. */
static void test_entry(void **state)
{
	static char zeros[1u << 20];
	const struct slice rows[] = {SLICE(""), SLICE("\x01\x03rnd"), {zeros, sizeof(zeros)}};
	struct buf scratch = BUF_INIT(ENTRY_MAX);
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = BUF_INIT(ENTRY_MAX);
		struct entry e = make_entry(rows[i]);
		struct entry read;
		entry_encode(&e, &out);
		assert_false(out.failed);
		assert_true(out.len < ENTRY_HEAD_MAX + rows[i].len / 100 + 10);
		assert_int_equal(entry_decode(buf_view(&out), &scratch, &read), OK);
		assert_entry(&read, &e);
		buf_fini(&out);
	}
	buf_fini(&scratch);
}

/* A byte changed, one that is missing, and one more: each is seen. */
static void test_changed(void **state)
{
	struct buf out = BUF_INIT(ENTRY_MAX);
	struct buf scratch = BUF_INIT(ENTRY_MAX);
	struct entry e = make_entry(
	    SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	struct entry read;
	(void)state;
	entry_encode(&e, &out);
	for (size_t i = 0; i < out.len; i++) {
		out.data[i] ^= 0x10;
		assert_int_equal(entry_decode(buf_view(&out), &scratch, &read),
		    i == 0 ? ERR_CONFLICT : ERR_CORRUPT);
		out.data[i] ^= 0x10;
		assert_int_equal(entry_decode((struct slice){out.data, i}, &scratch, &read),
		    ERR_CORRUPT);
	}
	buf_putc(&out, 'x');
	assert_int_equal(entry_decode(buf_view(&out), &scratch, &read), ERR_CORRUPT);
	buf_fini(&out);
	buf_fini(&scratch);
}

static void test_compress(void **state)
{
	struct buf out = BUF_INIT(1000);
	struct buf back = BUF_INIT(1000);
	(void)state;
	assert_false(compress_append(SLICE(""), &out));
	assert_false(compress_append(SLICE("abcdefghijklmnop"), &out));
	assert_int_equal(out.len, 0);
	struct slice text = SLICE("the same, the same, the same, the same, the same, the same");
	assert_true(compress_append(text, &out));
	assert_int_equal(compress_unpack(buf_view(&out), text.len + 1, &back), ERR_CORRUPT);
	assert_int_equal(compress_unpack(buf_view(&out), text.len - 1, &back), ERR_CORRUPT);
	assert_int_equal(compress_unpack(buf_view(&out), 1001, &back), ERR_TOOBIG);
	buf_reset(&back);
	assert_int_equal(compress_unpack(buf_view(&out), text.len, &back), OK);
	assert_true(slice_eq(buf_view(&back), text));
	buf_fini(&out);
	buf_fini(&back);
}

static void test_place(void **state)
{
	struct store *s = *state;
	const struct entry_position want = {.seq = 77,
	    .epoch = 3,
	    .turn = 70,
	    .digest = {1, 2, 3},
	    .journal = 1796068846000};
	struct entry_position at = {.seq = 1};
	struct db_txn *txn = store_begin(s);
	assert_int_equal(entry_position_get(txn, &at), OK);
	assert_int_equal(at.seq, 0);
	assert_int_equal(entry_position_put(txn, &want), OK);
	assert_int_equal(entry_position_get(txn, &at), OK);
	assert_memory_equal(&at, &want, sizeof(at));
	assert_int_equal(entry_position_del(txn), OK);
	assert_int_equal(entry_position_del(txn), OK);
	assert_int_equal(entry_position_get(txn, &at), OK);
	assert_int_equal(at.seq, 0);
	put(txn, DB_META, "journal", "damaged, in any way");
	assert_int_equal(entry_position_get(txn, &at), ERR_CORRUPT);
	store_commit(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_again),
	    STORE_TEST(test_prepare),
	    STORE_TEST(test_parted),
	    STORE_TEST(test_no_rows),
	    cmocka_unit_test(test_entry),
	    cmocka_unit_test(test_changed),
	    cmocka_unit_test(test_compress),
	    STORE_TEST(test_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
