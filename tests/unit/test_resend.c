/* Sending again and giving up: the queue, the dead letters and the events' counts follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/record.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/resend.h"
#include "store/usage.h"
#include "world.h"

/* A store with two webhooks and one event for both of them. */
static struct uuid begin(struct store *s, struct world *w)
{
	world_begin(s, w);
	world_register(w, 1);
	world_register(w, 2);
	return world_publish(w, 1, 2, 10);
}

/* Commits, and lets fsck look at all of it. */
static void expect_sound(struct store *s, struct world *w)
{
	struct findings f;
	store_commit(w->txn);
	world_check(s, &f);
	if (f.result.findings != 0)
		fail_msg("%s", buf_cstr(&f.text));
	buf_fini(&f.text);
	w->txn = store_begin(s);
}

static struct delivery again(struct world *w, struct uuid event, uint32_t k, bool fifo)
{
	struct delivery d = world_delivery(w, event, k);
	w->now_ms += 10;
	assert_int_equal(
	    resend_delivery(w->txn, SLICE("s"), &d, fifo ? &FIFO : &NO_ORDER, w->now_ms), OK);
	struct delivery stored = world_delivery(w, event, k);
	assert_true(delivery_same(&d, &stored));
	assert_int_equal(d.status, DELIVERY_WAITING);
	assert_true(d.due_ms == w->now_ms && d.queued_ms == w->now_ms);
	return d;
}

static void test_waiting(void **state)
{
	struct store *s = *state;
	struct world w;
	struct uuid event = begin(s, &w);
	world_defer(&w, world_delivery(&w, event, 1));
	struct delivery before = world_delivery(&w, event, 1);
	struct delivery d = again(&w, event, 1, true);
	assert_true(d.place_ms == before.place_ms); /* fifo keeps its place */
	d = again(&w, event, 1, false);
	assert_true(d.place_ms == w.now_ms);
	assert_int_equal(d.attempts, 1);
	assert_int_equal(d.replays, 0); /* it was not over */
	assert_int_equal(d.replayed_at, 0);
	assert_int_equal(store_count_in(w.txn, DB_QUEUE), 2);
	expect_sound(s, &w);
	store_commit(w.txn);
}

/* Publishes an event to webhook 1. */
static struct uuid publish_body(struct world *w, struct slice body)
{
	struct event e = {.id = world_take_id(w),
	    .session = "s",
	    .name = "message",
	    .created_ms = w->now_ms,
	    .deliveries = 1,
	    .body_bytes = (uint32_t)body.len};
	struct delivery d = make_delivery(1, 0, w->now_ms);
	assert_int_equal(events_put(w->txn, &e, body), OK);
	assert_int_equal(history_put(w->txn, SLICE("s"), &e.id), OK);
	usage_change(w->txn, SLICE("s"), USAGE_OPEN, (int64_t)event_cost(&e));
	d.event_id = e.id;
	uuid_step(&e.id, 1, &d.id);
	assert_int_equal(queue_add(w->txn, &d), OK);
	return e.id;
}

/* Sent again it goes to the lane of the key of now; one that waits is where it belongs. */
static void test_lanes(void **state)
{
	struct store *s = *state;
	struct world w;
	(void)begin(s, &w);
	struct webhook keyed = {.key = make_key("/data/chat")};
	struct webhook other = {.key = make_key("/none")};
	const struct webhook *const TO[] = {&keyed, &other, &NO_ORDER, &keyed, &FIFO};
	const uint16_t LANES_OF[] = {72, LANE_NONE, LANE_NONE, 72, LANE_NONE};
	struct uuid event = publish_body(&w, SLICE("{\"data\":{\"chat\":\"a\"}}"));
	for (size_t i = 0; i < COUNT(TO); i++) {
		struct delivery d = world_delivery(&w, event, 1);
		if (i % 2 == 0)
			world_deliver(&w, d);
		else
			(void)world_bury(&w, d); /* its id is not needed */
		d = world_delivery(&w, event, 1);
		w.now_ms += 10;
		assert_int_equal(resend_delivery(w.txn, SLICE("s"), &d, TO[i], w.now_ms), OK);
		assert_int_equal(d.lane, LANES_OF[i]);
		assert_true(d.place_ms == w.now_ms);
		assert_int_equal(queue_find_place(w.txn, &d), OK);
		/* once more: it waits, and is where it is */
		assert_int_equal(resend_delivery(w.txn, SLICE("s"), &d, &keyed, w.now_ms + 1),
		    OK);
		assert_int_equal(d.lane, LANES_OF[i]);
		assert_true(d.place_ms == w.now_ms && d.due_ms == w.now_ms + 1);
		assert_int_equal(queue_find_place(w.txn, &d), OK);
	}
	expect_sound(s, &w);
	store_commit(w.txn);
	lane_key_free(keyed.key);
	lane_key_free(other.key);
}

static void test_over(void **state)
{
	struct store *s = *state;
	struct world w;
	struct uuid event = begin(s, &w);
	for (uint32_t k = 1; k <= 2; k++)
		world_deliver(&w, world_delivery(&w, event, k));
	assert_int_equal(store_count_in(w.txn, DB_SETTLED), 1);
	for (uint32_t n = 1; n <= 3; n++) {
		struct delivery d = again(&w, event, 1, true);
		assert_true(d.place_ms == w.now_ms); /* at the end, fifo or not */
		assert_int_equal(d.replays, n);
		assert_int_equal(d.replayed_at, n);
		assert_int_equal(store_count_in(w.txn, DB_SETTLED), 0);
		expect_sound(s, &w);
		world_deliver(&w, d);
		assert_int_equal(store_count_in(w.txn, DB_SETTLED), 1); /* counted once */
		expect_sound(s, &w);
	}
	store_commit(w.txn);
}

/* What is over is history: it is not opened for a session that may hold no more. */
static void test_over_without_a_share(void **state)
{
	struct store *s = *state;
	struct world w;
	struct uuid event = begin(s, &w);
	struct uuid other = world_publish(&w, 1, 2, 5000);
	for (uint32_t k = 1; k <= 2; k++)
		world_deliver(&w, world_delivery(&w, event, k));
	(void)world_bury(&w, world_delivery(&w, other, 1)); /* its id is not needed */
	expect_sound(s, &w);
	store_leave(s, 100);
	struct delivery d = world_delivery(&w, event, 1);
	struct delivery before = d;
	assert_int_equal(resend_delivery(w.txn, SLICE("s"), &d, &NO_ORDER, w.now_ms), ERR_FULL);
	assert_true(delivery_same(&d, &before));
	assert_int_equal(store_count_in(w.txn, DB_SETTLED), 1);
	assert_int_equal(db_txn_error(w.txn), OK);
	expect_sound(s, &w);
	(void)again(&w, other, 1, false); /* a dead letter holds what it holds already */
	(void)again(&w, other, 2, false);
	store_leave(s, 100000);
	(void)again(&w, event, 1, false);
	(void)again(&w, event, 2, false); /* its event is open by now */
	expect_sound(s, &w);
	store_commit(w.txn);
}

static void test_dead(void **state)
{
	struct store *s = *state;
	struct world w;
	struct uuid event = begin(s, &w);
	(void)world_bury(&w, world_delivery(&w, event, 1)); /* its id is not needed */
	world_deliver(&w, world_delivery(&w, event, 2));
	struct delivery d = again(&w, event, 1, false);
	assert_int_equal(d.replays, 1);
	assert_int_equal(store_count_in(w.txn, DB_DEAD), 0);
	expect_sound(s, &w);
	(void)world_bury(&w, d);
	d = world_delivery(&w, event, 1);
	assert_int_equal(resend_cancel(w.txn, SLICE("s"), &d, w.now_ms), OK);
	assert_int_equal(world_delivery(&w, event, 1).status, DELIVERY_CANCELLED);
	assert_int_equal(store_count_in(w.txn, DB_DEAD), 0);
	assert_int_equal(store_count_in(w.txn, DB_SETTLED), 1);
	expect_sound(s, &w);
	store_commit(w.txn);
}

static void test_cancel(void **state)
{
	struct store *s = *state;
	struct world w;
	struct uuid event = begin(s, &w);
	for (uint32_t k = 1; k <= 2; k++) {
		struct delivery d = world_delivery(&w, event, k);
		assert_int_equal(resend_cancel(w.txn, SLICE("s"), &d, w.now_ms), OK);
		assert_int_equal(store_count_in(w.txn, DB_QUEUE), 2 - k);
		assert_int_equal(store_count_in(w.txn, DB_SETTLED), k - 1);
		struct delivery stored = world_delivery(&w, event, k);
		assert_int_equal(stored.status, DELIVERY_CANCELLED);
		assert_int_equal(resend_cancel(w.txn, SLICE("s"), &stored, w.now_ms),
		    ERR_CONFLICT);
	}
	expect_sound(s, &w);
	struct delivery d = again(&w, event, 2, false);
	assert_int_equal(d.replays, 1); /* though it has no attempts */
	assert_int_equal(d.replayed_at, 0);
	expect_sound(s, &w);
	store_commit(w.txn);
}

/* What was settled, opened and settled again in one millisecond counts once. */
static void test_in_one_moment(void **state)
{
	struct store *s = *state;
	struct world w;
	struct uuid event = begin(s, &w);
	world_deliver(&w, world_delivery(&w, event, 2));
	for (int n = 0; n < 3; n++) {
		struct delivery d = world_delivery(&w, event, 1);
		assert_int_equal(resend_cancel(w.txn, SLICE("s"), &d, w.now_ms), OK);
		assert_int_equal(resend_delivery(w.txn, SLICE("s"), &d, &NO_ORDER, w.now_ms),
		    OK);
	}
	world_deliver(&w, world_delivery(&w, event, 1));
	expect_sound(s, &w);
	store_commit(w.txn);
}

static void test_event_is_gone(void **state)
{
	struct store *s = *state;
	struct world w;
	struct uuid event = begin(s, &w);
	for (uint32_t k = 1; k <= 2; k++)
		world_deliver(&w, world_delivery(&w, event, k));
	assert_int_equal(events_drop(w.txn, &event), OK);
	struct delivery before = world_delivery(&w, event, 1);
	struct delivery d = before;
	assert_int_equal(resend_delivery(w.txn, SLICE("s"), &d, &NO_ORDER, 1), ERR_NOTFOUND);
	d = world_delivery(&w, event, 1);
	assert_true(delivery_same(&d, &before));
	assert_int_equal(store_count_in(w.txn, DB_QUEUE), 0);
	store_commit(w.txn);
}

/* Dead letters of a store from before deliveries named theirs: more than a slice of them. */
static void test_letters_are_named(void **state)
{
	enum { MANY = 1001 };
	struct store *s = *state;
	struct world w;
	static struct uuid events[MANY];
	world_begin(s, &w);
	world_register(&w, 1);
	for (int n = 0; n < MANY; n++) {
		events[n] = world_publish(&w, 1, 1, 10);
		(void)world_bury(&w, world_delivery(&w, events[n], 1)); /* not needed */
		struct delivery d = world_delivery(&w, events[n], 1);
		d.letter = (struct uuid){0};
		assert_int_equal(queue_put(w.txn, &d), OK);
	}
	size_t meta = store_count_in(w.txn, DB_META);
	bool more = true;
	int slices = 0;
	for (; more; slices++) {
		assert_int_equal(resend_name_letters(w.txn, &more), OK);
		store_commit(w.txn);
		store_reopen(s); /* a crash between them */
		w.txn = store_begin(s);
	}
	assert_int_equal(slices, 2);
	assert_int_equal(store_count_in(w.txn, DB_META), meta);
	expect_sound(s, &w); /* each names its own, says fsck */
	store_commit(w.txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_waiting),
	    STORE_TEST(test_lanes),
	    STORE_TEST(test_over),
	    STORE_TEST(test_over_without_a_share),
	    STORE_TEST(test_dead),
	    STORE_TEST(test_cancel),
	    STORE_TEST(test_in_one_moment),
	    STORE_TEST(test_event_is_gone),
	    STORE_TEST(test_letters_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
