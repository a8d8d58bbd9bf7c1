/*
 * The ordering: queues of fifo webhooks are put in order in slices, each in its turn, so that
 * neither a long queue nor one that becomes fifo again and again holds up the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dispatch_fixture.h"
#include "jobs/ordering.h"
#include "store/webhooks.h"
#include "world.h"

#define SLICE_MAX 1000
#define MANY 2500 /* deliveries: more than two slices */
#define PASS 3    /* turns for so many */

struct fixture {
	struct store *store;
	struct registry *registry;
	struct turn *turn;
	struct dispatcher dispatcher;
	struct jobs *jobs;
	struct ordering *ordering;
};

static void set_fifo(struct fixture *f, uint64_t number, bool fifo)
{
	struct webhook *w = make_webhook(number, "s", "");
	w->fifo = fifo;
	registry_set(f->registry, w);
	dispatch_changed(f->dispatcher.dispatch, number, false);
	if (fifo)
		ordering_add(f->ordering, number);
}

/* Webhooks 1 and 2, none of them fifo yet. */
static void start(struct fixture *f, struct store *s)
{
	struct problem p;
	f->store = s;
	f->registry = registry_new();
	assert_int_equal(registry_load(f->registry, s->db, NULL, &p), OK);
	f->turn = turn_new(s->db);
	dispatcher_open(&f->dispatcher, s, f->turn, f->registry);
	f->jobs = jobs_new(f->turn);
	f->ordering = ordering_new(f->jobs, f->registry, NULL, f->dispatcher.dispatch);
}

static void stop(struct fixture *f)
{
	dispatcher_close(&f->dispatcher);
	jobs_free(f->jobs);
	turn_free(f->turn);
	registry_free(f->registry);
}

/* One turn; false where there was nothing to put in order. */
static bool run_turn(struct fixture *f)
{
	jobs_step(f->jobs);
	bool staged = turn_staged(f->turn) > 0;
	assert_int_equal(turn_commit(f->turn), OK);
	return staged;
}

/* `first` deliveries for webhook 1 and `second` for 2; the first of each has failed once. */
static void make_queues(struct store *s, uint32_t first, uint32_t second)
{
	struct world w;
	world_begin(s, &w);
	world_register(&w, 1);
	world_register(&w, 2);
	for (uint32_t n = 0; n < first + second; n++) {
		struct uuid event = world_publish(&w, n < first ? 1 : 2, 1, 10);
		if (n == 0 || n == first)
			world_defer(&w, world_delivery(&w, event, 1));
	}
	store_commit(w.txn);
}

/* Whether the first of the webhook's queue is the first that was published. */
static bool is_in_order(const struct fixture *f, uint64_t webhook)
{
	struct db_txn *txn = NULL;
	struct delivery first;
	assert_int_equal(db_read(f->store->db, &txn), OK);
	assert_int_equal(queue_first(txn, webhook, &first), OK);
	db_read_end(txn);
	return first.attempts == 1;
}

/* Whether no attempt may start, though all are due. */
static bool are_held(const struct fixture *f)
{
	return dispatch_delay(f->dispatcher.dispatch) < 0;
}

static void test_each_has_its_turn(void **state)
{
	struct fixture f;
	make_queues(*state, MANY, 10);
	start(&f, *state);
	set_fifo(&f, 1, true);
	set_fifo(&f, 2, true);
	assert_true(are_held(&f));
	assert_true(run_turn(&f));
	assert_true(are_held(&f));
	assert_false(is_in_order(&f, 2));
	assert_true(run_turn(&f));
	assert_true(is_in_order(&f, 2));
	assert_false(are_held(&f)); /* the second may go on, the first is not through */
	assert_false(is_in_order(&f, 1));
	int turns = 0;
	while (run_turn(&f))
		turns++;
	assert_true(is_in_order(&f, 1));
	assert_in_range(turns, 1, PASS);
	stop(&f);
}

/* A client that changes its webhook to and fro, all the time. */
static void test_one_that_comes_again_and_again_holds_up_nobody(void **state)
{
	struct fixture f;
	make_queues(*state, MANY, 10);
	start(&f, *state);
	for (int n = 0; n < 100; n++) {
		set_fifo(&f, 1, false);
		set_fifo(&f, 1, true);
	}
	set_fifo(&f, 2, true);
	int turns = 0;
	for (; are_held(&f); turns++) {
		assert_in_range(turns, 0, 2 * PASS);
		assert_true(run_turn(&f));
		set_fifo(&f, 1, false);
		set_fifo(&f, 1, true);
	}
	assert_true(is_in_order(&f, 2));
	for (turns = 0; run_turn(&f); turns++)
		assert_in_range(turns, 0, 2 * PASS + 1);
	assert_true(is_in_order(&f, 1));
	stop(&f);
}

/* Moves the first of webhook 1 to another place, as an attempt that failed does. */
static struct uuid move_first(struct store *s, int64_t place_ms)
{
	struct db_txn *txn = store_begin(s);
	struct delivery d;
	assert_int_equal(queue_first(txn, 1, &d), OK);
	assert_int_equal(queue_get(txn, &d.id, &d), OK);
	int64_t old_ms = d.place_ms;
	d.place_ms = place_ms;
	assert_int_equal(queue_move(txn, &d, old_ms), OK);
	store_commit(txn);
	return d.id;
}

/* What failed while it was none, and lies where a pass has been, is put in order too. */
static void test_starts_again_at_the_front(void **state)
{
	struct fixture f;
	struct delivery d;
	make_queues(*state, MANY, 10);
	start(&f, *state);
	set_fifo(&f, 1, true);
	assert_true(run_turn(&f));
	assert_true(run_turn(&f)); /* two slices are in order */
	set_fifo(&f, 1, false);
	struct uuid moved = move_first(*state, WORLD_START_MS - 1);
	set_fifo(&f, 1, true);
	while (run_turn(&f))
		;
	assert_false(are_held(&f));
	struct db_txn *txn = NULL;
	assert_int_equal(db_read(f.store->db, &txn), OK);
	assert_int_equal(queue_get(txn, &moved, &d), OK);
	db_read_end(txn);
	assert_int_equal(d.place_ms, d.created_ms);
	stop(&f);
}

/* Webhooks that are none any more, or gone, are let go on or forgotten, a step each. */
static void test_those_that_are_none_any_more(void **state)
{
	struct fixture f;
	make_queues(*state, MANY, 10);
	start(&f, *state);
	set_fifo(&f, 1, true);
	set_fifo(&f, 2, true);
	set_fifo(&f, 2, false);
	registry_drop(f.registry, 1);
	dispatch_forget(f.dispatcher.dispatch, 1);
	assert_true(run_turn(&f));
	assert_false(are_held(&f));
	assert_false(run_turn(&f));
	stop(&f);
}

/* A key is looked up in events; those that are large make slices that are shorter. */
static void test_keys_of_large_events(void **state)
{
	struct fixture f;
	struct store *s = *state;
	struct world w;
	world_begin(s, &w);
	world_register(&w, 1);
	for (int n = 0; n < 500; n++)
		(void)world_publish(&w, 1, 1, WORLD_BODY_MAX); /* the id is not needed */
	store_commit(w.txn);
	start(&f, s);
	struct webhook *hook = make_webhook(1, "s", "");
	hook->key = make_key("/data/chat");
	webhook_note_order(hook, registry_get(f.registry, 1));
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_change(txn, NULL, registry_get(f.registry, 1), hook), OK);
	store_commit(txn);
	registry_set(f.registry, hook);
	dispatch_changed(f.dispatcher.dispatch, 1, false);
	ordering_add(f.ordering, 1);
	int turns = 0;
	for (; are_held(&f); turns++)
		assert_true(run_turn(&f));
	assert_in_range(turns, 3, 6); /* each counts for 1 + 20000 / 4096 */
	assert_false(are_held(&f));
	assert_int_equal(registry_get(f.registry, 1)->unordered, 0);
	stop(&f);
	store_reopen(s);
	start(&f, s);
	assert_int_equal(registry_get(f.registry, 1)->unordered, 0); /* on disk too */
	assert_false(run_turn(&f));
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_each_has_its_turn),
	    STORE_TEST(test_one_that_comes_again_and_again_holds_up_nobody),
	    STORE_TEST(test_starts_again_at_the_front),
	    STORE_TEST(test_those_that_are_none_any_more),
	    STORE_TEST(test_keys_of_large_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
