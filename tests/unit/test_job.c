/*
 * Jobs: a slice a turn while there is more, half as much each time that there was no room for
 * it, begun by time where that is asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/mem.h"
#include "jobs/job.h"
#include "support.h"

#define SMALL_MAP (1u << 20)
#define SLICE_MAX 1000
#define EVERYTHING SIZE_MAX

/* A job that counts down, and writes into its slices. */
struct counter {
	struct job job; /* first */
	struct buf *trace;
	size_t left;
	size_t fits;     /* a slice of more fills the store */
	enum err answer; /* of a slice */
	size_t did;      /* out of apply() */
};

struct fixture {
	struct store *store;
	struct turn *turn;
	struct jobs *jobs;
	struct buf trace; /* "s10" for a slice of 10, "d0" for its end with OK, … */
};

static bool has_more(struct job *j)
{
	return ((struct counter *)j)->left > 0;
}

/* Writes until the transaction is voided. */
static enum err fill(struct db_txn *txn)
{
	static const char VALUE[1000];
	enum err err = OK;
	for (uint64_t n = 0; err == OK; n++) {
		unsigned char key[18] = {0};
		codec_store_u64(key, n);
		err = db_put(txn, DB_EVENTS, (struct slice){(const char *)key, sizeof(key)},
		    (struct slice){VALUE, sizeof(VALUE)});
	}
	return err;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct counter *c = (struct counter *)j;
	buf_printf(c->trace, "s%zu ", max);
	c->did = max < c->left ? max : c->left;
	return max > c->fits ? fill(txn) : c->answer;
}

static void done(struct job *j, enum err result)
{
	struct counter *c = (struct counter *)j;
	buf_printf(c->trace, "d%d ", (int)result);
	c->left = result == OK ? c->left - c->did : 0;
}

static void begin(struct job *j)
{
	struct counter *c = (struct counter *)j;
	buf_puts(c->trace, "b ");
	c->left = 1;
}

static void release(struct job *j)
{
	buf_puts(((struct counter *)j)->trace, "r ");
}

static const struct job_kind COUNTER = {.slice_max = SLICE_MAX,
    .has_more = has_more,
    .apply = apply,
    .done = done};

static const struct job_kind OFTEN = {.slice_max = SLICE_MAX,
    .every_s = 3,
    .begin = begin,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

static struct fixture *fixture_new(uint64_t map_bytes)
{
	struct fixture *f = mem_new(sizeof(*f));
	f->store = store_new(map_bytes);
	f->turn = turn_new(f->store->db);
	f->jobs = jobs_new(f->turn);
	f->trace = BUF_INIT(10000);
	return f;
}

static void fixture_free(struct fixture *f)
{
	jobs_free(f->jobs);
	turn_free(f->turn);
	store_free(f->store);
	buf_fini(&f->trace);
	free(f);
}

static int setup(void **state)
{
	*state = fixture_new(STORE_MAP_BYTES);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static struct counter *add(struct fixture *f, const struct job_kind *kind, size_t left)
{
	struct counter *c = mem_new(sizeof(*c));
	c->trace = &f->trace;
	c->left = left;
	c->fits = EVERYTHING;
	jobs_add(f->jobs, &c->job, kind);
	return c;
}

static void expect_trace(struct fixture *f, const char *want)
{
	assert_string_equal(buf_cstr(&f->trace), want);
	buf_reset(&f->trace);
}

static void test_a_slice_a_turn(void **state)
{
	struct fixture *f = *state;
	(void)add(f, &COUNTER, 2 * SLICE_MAX + 1);
	for (int i = 0; i < 4; i++) {
		jobs_step(f->jobs);
		jobs_step(f->jobs); /* is staged already */
		assert_int_equal(turn_staged(f->turn), i < 3 ? 1 : 0);
		assert_int_equal(turn_staged_intake(f->turn), 0);
		assert_int_equal(turn_commit(f->turn), OK);
	}
	expect_trace(f, "s1000 d0 s1000 d0 s1000 d0 ");
}

/* Each has its slice in each turn, in the order in which they were added. */
static void test_each_has_its_slice(void **state)
{
	struct fixture *f = *state;
	(void)add(f, &COUNTER, 1);
	(void)add(f, &COUNTER, 0);
	struct counter *last = add(f, &COUNTER, SLICE_MAX + 1);
	last->fits = SLICE_MAX;
	jobs_step(f->jobs);
	assert_int_equal(turn_staged(f->turn), 2);
	assert_int_equal(turn_commit(f->turn), OK);
	expect_trace(f, "s1000 s1000 d0 d0 ");
	jobs_step(f->jobs);
	assert_int_equal(turn_staged(f->turn), 1);
	assert_int_equal(turn_commit(f->turn), OK);
	expect_trace(f, "s1000 d0 ");
}

/* The job hears what its slice came to, and says itself whether it goes on. */
static void test_failure_is_heard(void **state)
{
	struct fixture *f = *state;
	struct counter *c = add(f, &COUNTER, 2 * SLICE_MAX);
	char want[32];
	c->answer = ERR_CORRUPT;
	jobs_step(f->jobs);
	assert_int_equal(turn_commit(f->turn), OK);
	(void)snprintf(want, sizeof(want), "s1000 d%d ", (int)ERR_CORRUPT);
	expect_trace(f, want);
	jobs_step(f->jobs);
	assert_int_equal(turn_staged(f->turn), 0);
}

/* Commits until the slice that is staged was written. */
static void commit_slice(struct fixture *f)
{
	jobs_step(f->jobs);
	for (int turns = 0; turn_staged(f->turn) > 0; turns++) {
		enum err err = turn_commit(f->turn);
		assert_true(err == OK || err == ERR_NOSPACE);
		assert_true(turns < 20);
		jobs_step(f->jobs);
		if (err == OK)
			return;
	}
}

/* No room: half as much each time, and a whole slice after the one that there was room for. */
static void test_halved_while_full(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(SMALL_MAP);
	struct counter *c = add(f, &COUNTER, 30);
	c->fits = 20;
	commit_slice(f);
	expect_trace(f, "s1000 s500 s250 s125 s63 s32 s16 d0 ");
	assert_int_equal(c->left, 14);
	assert_int_equal(turn_staged(f->turn), 1);
	commit_slice(f);
	expect_trace(f, "s1000 s500 s250 s125 s63 s32 s16 d0 ");
	assert_int_equal(c->left, 0);
	assert_int_equal(turn_staged(f->turn), 0);
	fixture_free(f);
}

/* The smallest slice is 1, however often there is no room. */
static void test_never_less_than_one(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(SMALL_MAP);
	struct counter *c = add(f, &COUNTER, 1);
	c->fits = 0;
	jobs_step(f->jobs);
	for (int i = 0; i < 20; i++)
		assert_int_equal(turn_commit(f->turn), ERR_NOSPACE);
	buf_reset(&f->trace);
	assert_int_equal(turn_commit(f->turn), ERR_NOSPACE);
	expect_trace(f, "s1 ");
	c->fits = 1;
	assert_int_equal(turn_commit(f->turn), OK);
	expect_trace(f, "s1 d0 ");
	fixture_free(f);
}

/* Begun at the start and each `every_s`, and staged at once; the others not. */
static void test_begun_by_time(void **state)
{
	struct fixture *f = *state;
	(void)add(f, &OFTEN, 0);
	(void)add(f, &COUNTER, 0);
	for (int s = 0; s < 7; s++) {
		jobs_tick(f->jobs);
		assert_int_equal(turn_staged(f->turn), s % 3 == 0 ? 1 : 0);
		assert_int_equal(turn_commit(f->turn), OK);
	}
	expect_trace(f, "b s1000 d0 b s1000 d0 b s1000 d0 ");
}

static void test_all_are_freed(void **state)
{
	struct fixture *f = *state;
	(void)add(f, &COUNTER, 1);
	(void)add(f, &OFTEN, 1);
	jobs_step(f->jobs); /* they may be staged */
	jobs_free(f->jobs);
	f->jobs = NULL;
	expect_trace(f, "r ");
	jobs_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_a_slice_a_turn, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_each_has_its_slice, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_failure_is_heard, setup, teardown),
	    cmocka_unit_test(test_halved_while_full),
	    cmocka_unit_test(test_never_less_than_one),
	    cmocka_unit_test_setup_teardown(test_begun_by_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_all_are_freed, setup, teardown),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
