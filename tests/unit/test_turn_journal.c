/*
 * A turn in two halves: nothing is committed, told or seen before the journal has its rows;
 * what is staged meanwhile waits; what the journal refuses is never written, and neither is
 * anything behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/entry.h"
#include "store/rows.h"
#include "store/turn.h"
#include "support.h"

#define UNTOLD ERR_BROKEN /* what no operation here is ever told, but at the end */
#define SMALL_MAP (1u << 20)

struct fixture {
	struct store *store;
	struct turn *turn;
	struct rows rows;
	uint64_t sent;  /* how often rows were handed over */
	uint64_t count; /* how many, the last time */
	uint64_t seq;   /* that place() writes */
};

struct test_op {
	struct op op; /* first */
	struct fixture *f;
	enum err told;
	uint64_t key;
	size_t count; /* rows; 0: it answers ERR_NOTFOUND */
	bool was_committed;
	struct test_op *follow_up;
};

static struct slice row_key(uint64_t n, unsigned char out[8])
{
	codec_store_u64(out, n);
	return (struct slice){(const char *)out, 8};
}

static enum err apply(struct op *op, struct db_txn *txn)
{
	static const char VALUE[1000];
	struct test_op *o = (struct test_op *)op;
	enum err err = o->count == 0 ? ERR_NOTFOUND : OK;
	for (uint64_t i = 0; err == OK && i < o->count; i++) {
		unsigned char key[8];
		err = db_put(txn, DB_EVENTS, row_key(o->key + i, key),
		    (struct slice){VALUE, sizeof(VALUE)});
	}
	return err;
}

static void done(struct op *op, enum err result)
{
	struct test_op *o = (struct test_op *)op;
	unsigned char key[8];
	struct slice value;
	struct db_txn *txn = store_read(o->f->store);
	assert_int_equal(o->told, UNTOLD);
	o->told = result;
	o->was_committed = db_get(txn, DB_EVENTS, row_key(o->key, key), &value) == OK;
	db_read_end(txn);
	if (o->follow_up != NULL)
		turn_stage(o->f->turn, &o->follow_up->op);
}

static struct test_op make_op(struct fixture *f, enum op_class class, uint64_t key,
    size_t count)
{
	return (struct test_op){.op = {.class = class, .apply = apply, .done = done},
	    .f = f,
	    .told = UNTOLD,
	    .key = key,
	    .count = count};
}

static void on_append(void *arg, const struct rows *rows)
{
	struct fixture *f = arg;
	f->sent++;
	f->count = rows->count;
}

static enum err on_position(void *arg, struct db_txn *txn)
{
	struct fixture *f = arg;
	const struct entry_position at = {.seq = ++f->seq};
	return entry_position_put(txn, &at);
}

static uint64_t place_of(struct fixture *f)
{
	struct entry_position at;
	struct db_txn *txn = store_read(f->store);
	assert_int_equal(entry_position_get(txn, &at), OK);
	db_read_end(txn);
	return at.seq;
}

static struct fixture *fixture_new(uint64_t map_bytes)
{
	struct fixture *f = mem_new(sizeof(*f));
	const struct turn_journal journal = {on_append, on_position, f};
	f->store = store_new(map_bytes);
	f->turn = turn_new(f->store->db);
	f->rows = ROWS_INIT;
	db_gather(f->store->db, &f->rows);
	turn_set_journal(f->turn, &journal, &f->rows);
	return f;
}

static int setup(void **state)
{
	*state = fixture_new(STORE_MAP_BYTES);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	turn_free(f->turn);
	store_free(f->store);
	rows_fini(&f->rows);
	free(f);
	return 0;
}

static void test_halves(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, OP_INTAKE, 1, 2);
	struct test_op b = make_op(f, OP_PROGRESS, 10, 1);
	struct test_op c = make_op(f, OP_INTAKE, 20, 1);
	turn_stage(f->turn, &a.op);
	turn_stage(f->turn, &b.op);
	assert_int_equal(turn_commit(f->turn), OK);
	assert_true(turn_is_appending(f->turn));
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->count, 3);
	assert_int_equal(turn_staged(f->turn), 0);
	turn_stage(f->turn, &c.op);
	assert_int_equal(turn_commit(f->turn), OK); /* another waits for it */
	assert_int_equal(f->sent, 1);
	assert_int_equal(turn_staged(f->turn), 1);
	assert_int_equal(a.told, UNTOLD);
	assert_int_equal(store_count(f->store, DB_EVENTS), 0);
	turn_answered(f->turn, OK);
	assert_false(turn_is_appending(f->turn));
	assert_int_equal(a.told, OK);
	assert_int_equal(b.told, OK);
	assert_true(a.was_committed && b.was_committed);
	assert_int_equal(c.told, UNTOLD);
	assert_int_equal(place_of(f), 1);
	assert_int_equal(turn_commits(f->turn), 1);
	assert_int_equal(turn_commit(f->turn), OK);
	turn_answered(f->turn, OK);
	assert_int_equal(c.told, OK);
	assert_int_equal(place_of(f), 2);
}

/* What only answers is not answered by who may be the owner no longer. */
static void test_empty(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, OP_INTAKE, 1, 0);
	struct test_op b = make_op(f, OP_PROGRESS, 2, 1);
	a.follow_up = &b;
	turn_stage(f->turn, &a.op);
	assert_int_equal(turn_commit(f->turn), OK);
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->count, 0);
	assert_int_equal(a.told, UNTOLD);
	turn_answered(f->turn, OK);
	assert_int_equal(a.told, ERR_NOTFOUND);
	assert_int_equal(turn_staged(f->turn), 1);
	assert_int_equal(turn_commit(f->turn), OK);
	turn_answered(f->turn, OK);
	assert_int_equal(b.told, OK);
}

/* Another owns the shard: nothing of it is written, and nothing ever again. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, OP_INTAKE, 1, 1);
	struct test_op b = make_op(f, OP_PROGRESS, 2, 1);
	struct test_op c = make_op(f, OP_INTAKE, 3, 1);
	turn_stage(f->turn, &a.op);
	turn_stage(f->turn, &b.op);
	assert_int_equal(turn_commit(f->turn), OK);
	turn_stage(f->turn, &c.op);
	turn_answered(f->turn, ERR_CONFLICT);
	assert_int_equal(a.told, ERR_STORE);
	assert_int_equal(b.told, ERR_STORE);
	assert_false(a.was_committed || b.was_committed);
	assert_int_equal(turn_commit(f->turn), ERR_BROKEN);
	assert_int_equal(f->sent, 1);
	turn_refuse(f->turn);
	assert_int_equal(c.told, ERR_STORE);
	assert_int_equal(place_of(f), 0);
	assert_int_equal(store_count(f->store, DB_EVENTS), 0);
}

/* The process ends with rows on their way: the store is as before. */
static void test_ends(void **state)
{
	struct fixture *f = *state;
	struct test_op a = make_op(f, OP_INTAKE, 1, 1);
	turn_stage(f->turn, &a.op);
	assert_int_equal(turn_commit(f->turn), OK);
	turn_free(f->turn);
	f->turn = NULL;
	assert_int_equal(a.told, UNTOLD);
	assert_int_equal(store_count(f->store, DB_EVENTS), 0);
}

static void try_until(struct turn *turn, size_t staged)
{
	for (int i = 0; i < 100 && turn_staged(turn) > staged; i++) {
		if (turn_commit(turn) == OK)
			turn_answered(turn, OK);
	}
}

/* What the store has no room for never comes to the journal; for progress the file grows. */
static void test_no_room(void **state)
{
	struct fixture *small = fixture_new(SMALL_MAP);
	struct test_op large = make_op(small, OP_INTAKE, 1000, 2000);
	struct test_op progress = make_op(small, OP_PROGRESS, 1, 800);
	(void)state;
	turn_stage(small->turn, &large.op);
	assert_int_equal(turn_commit(small->turn), ERR_NOSPACE);
	assert_int_equal(large.told, ERR_NOSPACE);
	assert_false(turn_is_appending(small->turn));
	assert_int_equal(small->sent, 0);
	turn_stage(small->turn, &progress.op);
	try_until(small->turn, 0);
	assert_int_equal(progress.told, OK);
	assert_int_equal(store_count(small->store, DB_EVENTS), 800);
	void *end = small;
	(void)teardown(&end);
}

/* The file cannot grow, and one of the progress is too large: the others get past it. */
static void test_parts(void **state)
{
	struct fixture *small = fixture_new(SMALL_MAP);
	struct test_op large = make_op(small, OP_PROGRESS, 1000, 2000);
	struct test_op ops[5];
	struct db_txn *snapshot = NULL;
	(void)state;
	assert_int_equal(db_snapshot(small->store->db, &snapshot), OK);
	turn_stage(small->turn, &large.op);
	for (size_t i = 0; i < COUNT(ops); i++) {
		ops[i] = make_op(small, OP_PROGRESS, 10 * i, 10);
		turn_stage(small->turn, &ops[i].op);
	}
	try_until(small->turn, 1);
	for (size_t i = 0; i < COUNT(ops); i++)
		assert_int_equal(ops[i].told, OK);
	assert_int_equal(large.told, UNTOLD);
	assert_int_equal(turn_staged(small->turn), 1);
	db_snapshot_end(snapshot);
	void *end = small;
	(void)teardown(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_halves, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
	    cmocka_unit_test(test_no_room),
	    cmocka_unit_test(test_parts),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
