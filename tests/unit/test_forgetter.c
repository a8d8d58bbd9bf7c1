/*
 * The forgetter: all of a session goes in slices, across starts and full stores; the row says
 * what went, for a day; others' stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "dispatch_fixture.h"
#include "fake_time.h"
#include "jobs/forgetter.h"
#include "store/idempotency.h"
#include "store/usage.h"
#include "world.h"

#define MANY 700 /* events with two deliveries: several slices of 500 */
#define TURNS_MAX 1000

struct fixture {
	struct store *store;
	struct registry *registry;
	struct sources *sources;
	struct turn *turn;
	struct dispatcher dispatcher;
	struct jobs *jobs;
	struct forgetter *forgetter;
};

static const struct task_key KEY = {.kind = TASK_DELETE_SESSION, .session = "s"};

static void start(struct fixture *f, struct store *s)
{
	struct problem p;
	f->store = s;
	f->registry = registry_new();
	assert_int_equal(registry_load(f->registry, s->db, NULL, &p), OK);
	f->sources = sources_new();
	f->turn = turn_new(s->db);
	dispatcher_open(&f->dispatcher, s, f->turn, f->registry);
	f->jobs = jobs_new(f->turn);
	f->forgetter = forgetter_new(f->jobs,
	    &(struct forgetter_conf){.db = s->db,
		.registry = f->registry,
		.usage = s->usage,
		.sources = f->sources,
		.dispatch = f->dispatcher.dispatch});
	assert_int_equal(forgetter_load(f->forgetter), OK);
}

static void stop(struct fixture *f)
{
	dispatcher_close(&f->dispatcher);
	jobs_free(f->jobs);
	turn_free(f->turn);
	sources_free(f->sources);
	registry_free(f->registry);
}

/* One turn; false where there was nothing to do. */
static bool run_turn(struct fixture *f)
{
	jobs_step(f->jobs);
	bool staged = turn_staged(f->turn) > 0;
	assert_int_equal(turn_commit(f->turn), OK);
	return staged;
}

/* Webhooks 1 and 2, events of all fates for both, and keys. */
static void fill(struct store *s)
{
	struct world w;
	world_begin(s, &w);
	world_register(&w, 1);
	world_register(&w, 2);
	for (uint32_t n = 0; n < MANY; n++) {
		struct uuid event = world_publish(&w, 1, 2, 10);
		if (n % 3 == 0)
			world_deliver(&w, world_delivery(&w, event, 1));
		if (n % 3 == 1)
			(void)world_bury(&w, world_delivery(&w, event, 2));
		world_answer(&w, n, 1);
	}
	world_answer(&w, MANY, 4000); /* in many pieces */
	store_commit(w.txn);
}

/* What a call does that deletes the session. */
static void begin(struct fixture *f)
{
	struct db_txn *txn = store_begin(f->store);
	struct task r = {.key = KEY, .state = TASK_RUNNING, .started_ms = 5};
	assert_int_equal(tasks_put(txn, &r), OK);
	store_commit(txn);
	forgetter_add(f->forgetter, &r);
}

static struct task row(struct fixture *f)
{
	struct task r;
	struct db_txn *txn = store_read(f->store);
	assert_int_equal(tasks_get(txn, &KEY, &r), OK);
	db_read_end(txn);
	return r;
}

static void expect_gone(struct fixture *f)
{
	static const enum db_table EMPTY[] = {DB_EVENTS, DB_DELIVERIES, DB_QUEUE, DB_DEAD,
	    DB_DEAD_BY_AGE, DB_SETTLED, DB_REPEATS, DB_REPEATS_BY_AGE, DB_ATTEMPTS, DB_HISTORY,
	    DB_USAGE, DB_OPEN, DB_URLS};
	for (size_t i = 0; i < COUNT(EMPTY); i++)
		assert_int_equal(store_count(f->store, EMPTY[i]), 0);
	struct task r = row(f);
	assert_int_equal(r.state, TASK_DONE);
	assert_true(r.finished_ms > 0);
	assert_int_equal(r.removed.webhooks, 2);
	assert_int_equal(r.removed.events, MANY);
	assert_int_equal(r.removed.deliveries, 2 * MANY);
	assert_int_equal(r.removed.dead_letters, MANY / 3);
	assert_int_equal(r.removed.keys, MANY + 1);
	size_t count = 0;
	(void)registry_session(f->registry, SLICE("s"), &count); /* only counted */
	assert_int_equal(count, 0);
}

static void test_in_slices(void **state)
{
	struct fixture f;
	fill(*state);
	start(&f, *state);
	assert_false(run_turn(&f));
	begin(&f);
	assert_true(usage_is_closed(f.store->usage, SLICE("s")));
	assert_false(usage_is_closed(f.store->usage, SLICE("t")));
	int turns = 0;
	while (forgetter_running(f.forgetter) > 0 && turns < TURNS_MAX) {
		assert_true(run_turn(&f));
		turns++;
	}
	assert_in_range(turns, 4, TURNS_MAX - 1);
	expect_gone(&f);
	assert_false(usage_is_closed(f.store->usage, SLICE("s")));
	assert_int_equal(forgetter_cancelled(f.forgetter),
	    2 * MANY - (MANY + 2) / 3 - (MANY + 1) / 3);
	assert_false(run_turn(&f));
	stop(&f);
}

/* Cut off after each slice it goes on with the next start, and counts nothing twice. */
static void test_goes_on_after_a_start(void **state)
{
	struct store *s = *state;
	struct fixture f;
	fill(s);
	start(&f, s);
	begin(&f);
	for (int turns = 0; forgetter_running(f.forgetter) > 0; turns++) {
		assert_in_range(turns, 0, TURNS_MAX);
		assert_true(run_turn(&f));
		stop(&f);
		store_reopen(s);
		start(&f, s);
		assert_int_equal(usage_closed(s->usage), forgetter_running(f.forgetter));
	}
	expect_gone(&f);
	stop(&f);
}

/* Another session's of the same tables stays as it is. */
static void test_leaves_others(void **state)
{
	struct store *s = *state;
	struct fixture f;
	fill(s);
	start(&f, s);
	struct db_txn *txn = store_begin(s);
	struct task r = {.key = {.kind = TASK_DELETE_SESSION, .session = "r"},
	    .state = TASK_RUNNING};
	assert_int_equal(tasks_put(txn, &r), OK);
	store_commit(txn);
	forgetter_add(f.forgetter, &r);
	size_t events = store_count(s, DB_EVENTS);
	size_t keys = store_count(s, DB_REPEATS);
	for (int turns = 0; forgetter_running(f.forgetter) > 0; turns++) {
		assert_in_range(turns, 0, TURNS_MAX);
		(void)run_turn(&f); /* whether there was more */
	}
	assert_int_equal(store_count(s, DB_EVENTS), events);
	assert_int_equal(store_count(s, DB_REPEATS), keys);
	assert_int_equal(store_count(s, DB_WEBHOOKS), 2);
	stop(&f);
}

static void test_row_goes_after_a_day(void **state)
{
	struct fixture f;
	fake_time_begin();
	fill(*state);
	start(&f, *state);
	begin(&f);
	while (forgetter_running(f.forgetter) > 0)
		assert_true(run_turn(&f));
	fake_time_pass(FORGETTER_KEEP_MS * 8 / 10); /* the wall's may go a tenth faster */
	jobs_tick(f.jobs);
	(void)run_turn(&f); /* nothing is old enough */
	assert_int_equal(row(&f).state, TASK_DONE);
	stop(&f);
	/* a start knows it, too */
	start(&f, *state);
	fake_time_pass(FORGETTER_KEEP_MS / 2); /* or slower */
	jobs_tick(f.jobs);
	(void)run_turn(&f); /* staged by the tick */
	assert_int_equal(store_count(f.store, DB_TASKS), 0);
	stop(&f);
	fake_time_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_in_slices),
	    STORE_TEST(test_goes_on_after_a_start),
	    STORE_TEST(test_leaves_others),
	    STORE_TEST(test_row_goes_after_a_day),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
