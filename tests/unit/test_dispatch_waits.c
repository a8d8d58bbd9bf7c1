/*
 * The dispatcher where it can do nothing: the store cannot be read, no socket can be had. It
 * waits, it does not spin.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/webhooks.h"
#include "support.h"

#define WEBHOOK 7
#define DUE_MS 1000

struct fixture {
	struct store *store;
	struct turn *turn;
	struct registry *registry;
	struct reactor *reactor;
	struct client *client;
	struct dispatch *dispatch;
	struct dispatch_conf conf;
};

/* A webhook with one delivery that is due. */
static void add_due(struct db_txn *txn)
{
	struct webhook *w = make_webhook(WEBHOOK, "s", "http://127.0.0.1:9/");
	struct delivery d = make_delivery(WEBHOOK, WEBHOOK, DUE_MS);
	struct event e = {.id = d.event_id,
	    .session = "s",
	    .name = "message",
	    .created_ms = DUE_MS,
	    .deliveries = 1,
	    .body_bytes = 2};
	w->enabled = true;
	w->max_in_flight = 1;
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	assert_int_equal(events_put(txn, &e, SLICE("{}")), OK);
	assert_int_equal(queue_add(txn, &d), OK);
	webhook_free(w);
}

/* A dispatcher that knows of it. */
static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	struct problem p;
	f->store = store_new(STORE_MAP_BYTES);
	struct db_txn *txn = store_begin(f->store);
	add_due(txn);
	store_commit(txn);
	f->turn = turn_new(f->store->db);
	f->registry = registry_new();
	assert_int_equal(registry_load(f->registry, f->store->db, NULL, &p), OK);
	f->reactor = reactor_new();
	f->client = client_new(f->reactor, &(struct client_conf){.user_agent = "test"});
	f->conf = (struct dispatch_conf){.db = f->store->db,
	    .turn = f->turn,
	    .registry = f->registry,
	    .client = f->client,
	    .sched = {.slots = 1, .per_host = 1, .circuit_failures = 1, .circuit_open_ms = 1}};
	f->dispatch = dispatch_new(&f->conf);
	assert_int_equal(dispatch_load(f->dispatch), OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	client_free(f->client);
	dispatch_free(f->dispatch);
	reactor_free(f->reactor);
	turn_free(f->turn);
	registry_free(f->registry);
	store_free(f->store);
	free(f);
	return 0;
}

static void test_unreadable_queue(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(dispatch_delay(f->dispatch), 0);
	store_damage(f->store);
	dispatch_pump(f->dispatch);
	assert_int_equal(dispatch_in_flight(f->dispatch), 0);
	assert_true(dispatch_delay(f->dispatch) > 0);
}

/* Passes until nothing is in flight any more. */
static void land_all(struct fixture *f)
{
	while (dispatch_in_flight(f->dispatch) > 0) {
		reactor_pass(f->reactor, true);
		client_reap(f->client);
	}
}

/*
 * An attempt for which there is no socket has not been: nothing is counted or written, and the
 * delivery is due as before, after a rest.
 */
static void test_no_descriptor(void **state)
{
	struct fixture *f = *state;
	struct dispatch_figures n;
	struct dispatch_status s;
	descriptors_deny();
	dispatch_pump(f->dispatch);
	assert_int_equal(dispatch_in_flight(f->dispatch), 1);
	land_all(f);
	descriptors_allow();
	dispatch_figures(f->dispatch, &n);
	assert_int_equal(n.shortages[SHORT_OF_DESCRIPTORS], 1);
	for (size_t i = 0; i < DISPATCH_CLASSES; i++)
		assert_int_equal(n.attempts[i], 0);
	assert_int_equal(turn_staged(f->turn), 0);
	assert_true(dispatch_status(f->dispatch, WEBHOOK, &s));
	assert_string_equal(s.circuit, "closed"); /* one failure would open it */
	assert_int_equal(s.failures, 0);
	assert_int_equal(s.failing_since_ms, 0);
	int64_t rest_ms = dispatch_delay(f->dispatch);
	assert_in_range(rest_ms, 1, 1000);
	dispatch_pump(f->dispatch);
	assert_int_equal(dispatch_in_flight(f->dispatch), 0);
	while (dispatch_delay(f->dispatch) != 0)
		clock_expire();
	dispatch_pump(f->dispatch);
	assert_int_equal(dispatch_in_flight(f->dispatch), 1);
}

static void test_pause(void **state)
{
	struct fixture *f = *state;
	dispatch_pause(f->dispatch, true);
	assert_int_equal(dispatch_delay(f->dispatch), -1);
	dispatch_pump(f->dispatch);
	assert_int_equal(dispatch_in_flight(f->dispatch), 0);
	dispatch_pause(f->dispatch, false);
	assert_int_equal(dispatch_delay(f->dispatch), 0);
	dispatch_pump(f->dispatch);
	assert_int_equal(dispatch_in_flight(f->dispatch), 1);
}

static void take_over(struct fixture *f, int64_t at_ms)
{
	dispatch_free(f->dispatch);
	f->conf.taken_over_ms = at_ms;
	f->dispatch = dispatch_new(&f->conf);
	assert_int_equal(dispatch_load(f->dispatch), OK);
	dispatch_pump(f->dispatch);
}

/* The store was another's: a webhook with an order waits for that one's last attempt. */
static void test_order_after_a_takeover(void **state)
{
	struct fixture *f = *state;
	struct webhook *w = (struct webhook *)(uintptr_t)registry_get(f->registry, WEBHOOK);
	int64_t wait_ms = w->timeout_ms + DISPATCH_MARGIN_MS;
	w->fifo = true;
	take_over(f, clock_wall_ms());
	assert_int_equal(dispatch_in_flight(f->dispatch), 0);
	assert_in_range(dispatch_delay(f->dispatch), wait_ms - 500, wait_ms);
	take_over(f, clock_wall_ms() - wait_ms); /* it is over */
	assert_int_equal(dispatch_in_flight(f->dispatch), 1);
}

static void test_no_order_after_a_takeover(void **state)
{
	struct fixture *f = *state;
	take_over(f, clock_wall_ms());
	assert_int_equal(dispatch_in_flight(f->dispatch), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_unreadable_queue, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_descriptor, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_order_after_a_takeover, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_order_after_a_takeover, setup, teardown),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
