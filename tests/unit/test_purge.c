/*
 * The purge: queues of retired webhooks are emptied in slices, then their records go; others
 * are left alone; the registry says which, also at a start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dispatch_fixture.h"
#include "jobs/purge.h"
#include "store/tasks.h"
#include "world.h"

#define MANY 2500 /* deliveries: more than two slices */
#define SLICE_MAX 1000

struct fixture {
	struct store *store;
	struct registry *registry;
	struct turn *turn;
	struct dispatcher dispatcher;
	struct jobs *jobs;
	struct purge *purge;
};

static void start(struct fixture *f, struct store *s)
{
	struct problem p;
	f->store = s;
	f->registry = registry_new();
	assert_int_equal(registry_load(f->registry, s->db, NULL, &p), OK);
	f->turn = turn_new(s->db);
	dispatcher_open(&f->dispatcher, s, f->turn, f->registry);
	f->jobs = jobs_new(f->turn);
	f->purge = purge_new(f->jobs, f->registry, f->dispatcher.dispatch);
}

static void stop(struct fixture *f)
{
	dispatcher_close(&f->dispatcher);
	jobs_free(f->jobs);
	turn_free(f->turn);
	registry_free(f->registry);
}

/* One turn; false where there was nothing to purge. */
static bool run_turn(struct fixture *f)
{
	jobs_step(f->jobs);
	bool staged = turn_staged(f->turn) > 0;
	assert_int_equal(turn_commit(f->turn), OK);
	return staged;
}

/* Webhooks 1 and 2 of a session, `count` deliveries for both, and a replay of the first. */
static void make_queues(struct store *s, uint32_t count)
{
	struct world w;
	struct task r = {.state = TASK_RUNNING,
	    .statuses = REPLAY_ALL,
	    .key = {.kind = TASK_REPLAY, .webhook = 1}};
	world_begin(s, &w);
	world_register(&w, 1);
	world_register(&w, 2);
	for (uint32_t n = 0; n < count; n++)
		(void)world_publish(&w, 1, 2, 10);
	assert_int_equal(tasks_put(w.txn, &r), OK);
	store_commit(w.txn);
}

/* What a call does that deletes a webhook. */
static void retire(struct fixture *f, uint64_t number)
{
	struct world w = {.txn = store_begin(f->store)};
	struct webhook *gone = make_webhook(number, "s", "");
	world_retire(&w, number);
	store_commit(w.txn);
	gone->deleted = true;
	registry_set(f->registry, gone);
	dispatch_changed(f->dispatcher.dispatch, number, false);
}

static bool is_known(const struct fixture *f, uint64_t number)
{
	struct dispatch_status status;
	return dispatch_status(f->dispatcher.dispatch, number, &status);
}

static void test_in_slices(void **state)
{
	struct fixture f;
	make_queues(*state, MANY);
	start(&f, *state);
	assert_false(run_turn(&f)); /* none is retired */
	retire(&f, 1);
	for (int left = MANY - SLICE_MAX; left > 0; left -= SLICE_MAX) {
		assert_true(run_turn(&f));
		assert_int_equal(store_count(f.store, DB_QUEUE), MANY + left);
		assert_int_equal(store_count(f.store, DB_WEBHOOKS), 2);
		assert_int_equal(purge_cancelled(f.purge), MANY - left);
		assert_true(is_known(&f, 1));
	}
	assert_true(run_turn(&f));
	assert_int_equal(store_count(f.store, DB_QUEUE), MANY);
	assert_int_equal(store_count(f.store, DB_WEBHOOKS), 1);
	assert_int_equal(store_count(f.store, DB_TASKS), 0);
	assert_int_equal(purge_cancelled(f.purge), MANY);
	assert_null(registry_get(f.registry, 1));
	assert_false(is_known(&f, 1));
	assert_true(is_known(&f, 2));
	assert_int_equal(dispatch_delay(f.dispatcher.dispatch), 0);
	assert_false(run_turn(&f));
	stop(&f);
}

/* A purge that a stop has cut off goes on with the next start, and one after the other. */
static void test_goes_on_after_a_start(void **state)
{
	struct store *s = *state;
	struct fixture f;
	make_queues(s, SLICE_MAX + 1);
	start(&f, s);
	retire(&f, 2);
	retire(&f, 1);
	assert_true(run_turn(&f));
	stop(&f);
	store_reopen(s);
	start(&f, s);
	int turns = 0;
	while (run_turn(&f))
		turns++;
	assert_int_equal(turns, 3);
	assert_int_equal(store_count(s, DB_QUEUE), 0);
	assert_int_equal(store_count(s, DB_WEBHOOKS), 0);
	assert_int_equal(purge_cancelled(f.purge), SLICE_MAX + 2);
	assert_false(is_known(&f, 1) || is_known(&f, 2));
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_in_slices),
	    STORE_TEST(test_goes_on_after_a_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
