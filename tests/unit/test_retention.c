/*
 * What is over: entered when the last delivery is, dropped by age and by size, oldest first, of
 * who has most, and in slices; dead letters; a deleted webhook's queue; damage that holds up
 * nobody.
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
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/retention.h"
#include "store/usage.h"
#include "support.h"

#define ALL SIZE_MAX /* records a slice may have: as many as there are */
#define BODY_MAX 1000

static const struct retention FOREVER = {.settled_ms = INT64_MAX / 2,
    .settled_bytes = UINT64_MAX,
    .dead_letters_ms = INT64_MAX / 2};

static struct uuid event_id(uint64_t n)
{
	return make_id(n * 1000); /* leaves room for the ids of its deliveries */
}

static struct delivery get_delivery(struct db_txn *txn, uint64_t event, uint32_t k)
{
	struct delivery d;
	struct uuid id;
	struct uuid first = event_id(event);
	uuid_step(&first, k, &id);
	assert_int_equal(queue_get(txn, &id, &d), OK);
	return d;
}

/* Writes event `n` with a body of `bytes` and queues a delivery to each webhook 1 … count. */
static void publish_in(struct db_txn *txn, const char *session, uint64_t n, uint32_t count,
    uint32_t bytes)
{
	static const char BODY[BODY_MAX] = {0};
	struct event e = {.id = event_id(n),
	    .name = "message",
	    .deliveries = count,
	    .body_bytes = bytes};
	(void)snprintf(e.session, sizeof(e.session), "%s", session);
	assert_int_equal(events_put(txn, &e, (struct slice){BODY, bytes}), OK);
	assert_int_equal(history_put(txn, slice_of(session), &e.id), OK);
	usage_change(txn, slice_of(session), USAGE_OPEN, (int64_t)event_cost(&e));
	for (uint32_t k = 1; k <= count; k++) {
		struct delivery d = make_delivery(k, 0, (int64_t)n);
		d.event_id = e.id;
		uuid_step(&e.id, k, &d.id);
		assert_int_equal(queue_add(txn, &d), OK);
	}
}

/* The same in session "s". */
static void publish(struct db_txn *txn, uint64_t n, uint32_t count, uint32_t bytes)
{
	publish_in(txn, "s", n, count, bytes);
}

static void settle(struct db_txn *txn, uint64_t event, uint32_t k, int64_t now_ms)
{
	struct delivery d = get_delivery(txn, event, k);
	assert_int_equal(queue_remove(txn, &d), OK);
	d.status = DELIVERY_DELIVERED;
	assert_int_equal(retention_settle(txn, &d, now_ms), OK);
}

/* Publishes event `n` to one webhook and settles it. */
static void publish_settled(struct db_txn *txn, uint64_t n, uint32_t bytes, int64_t now_ms)
{
	publish(txn, n, 1, bytes);
	settle(txn, n, 1, now_ms);
}

static bool has_event(struct db_txn *txn, uint64_t n)
{
	struct event e;
	struct uuid id = event_id(n);
	enum err err = events_get(txn, &id, &e, NULL);
	assert_true(err == OK || err == ERR_NOTFOUND);
	return err == OK;
}

static uint64_t bytes_of(struct db_txn *txn)
{
	return usage_total(db_companion_of(txn, DB_COUNTS_USAGE)).n[USAGE_HISTORY];
}

static size_t sweep(struct db_txn *txn, const struct retention *keep, int64_t now_ms,
    size_t max)
{
	size_t dropped = 12345;
	assert_int_equal(retention_sweep_settled(txn, keep, now_ms, max, &dropped), OK);
	assert_int_equal(db_txn_error(txn), OK);
	return dropped;
}

static void assert_empty(struct db_txn *txn)
{
	static const enum db_table TABLES[] = {DB_EVENTS, DB_DELIVERIES, DB_QUEUE, DB_DEAD,
	    DB_DEAD_BY_AGE, DB_SETTLED, DB_ATTEMPTS, DB_HISTORY};
	for (size_t i = 0; i < COUNT(TABLES); i++)
		assert_int_equal(store_count_in(txn, TABLES[i]), 0);
	assert_true(bytes_of(txn) == 0);
}

static void test_entered_with_the_last_delivery(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	publish(txn, 1, 3, 100);
	for (uint32_t k = 1; k <= 3; k++) {
		assert_int_equal(store_count_in(txn, DB_SETTLED), 0);
		assert_true(bytes_of(txn) == 0);
		settle(txn, 1, k, 50);
		assert_int_equal(get_delivery(txn, 1, k).status, DELIVERY_DELIVERED);
	}
	assert_int_equal(store_count_in(txn, DB_SETTLED), 1);
	assert_int_equal(store_count_in(txn, DB_DELIVERIES), 3);
	uint64_t one = bytes_of(txn);
	assert_true(one >= 100);
	publish_settled(txn, 2, 100, 60);
	assert_true(bytes_of(txn) > one && bytes_of(txn) < 2 * one); /* fewer deliveries */
	store_commit(txn);
	store_reopen(s);
	txn = store_begin(s);
	(void)sweep(txn, &(struct retention){0}, 60, ALL); /* all of it, says assert_empty() */
	assert_empty(txn);
	store_commit(txn);
}

/* What is known of an event goes with it: attempts, for which it counts, and history. */
static void test_attempts_go_too(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	publish_settled(txn, 2, 10, 50);
	uint64_t without = bytes_of(txn);
	publish(txn, 1, 1, 10);
	struct delivery d = get_delivery(txn, 1, 1);
	struct event e = {.session = "s", .deliveries = 1};
	for (d.attempts = 1; d.attempts <= 3; d.attempts++)
		assert_int_equal(attempts_put(txn, &e, &d, SLICE("a sealed record")), OK);
	settle(txn, 1, 1, 60);
	assert_true(bytes_of(txn) >= 2 * without + 3 * sizeof("a sealed record"));
	/* entry, delivery, three attempts; and the other's two */
	assert_int_equal(sweep(txn, &(struct retention){0}, 60, ALL), 7);
	assert_empty(txn);
	store_commit(txn);
}

/* Events 1 to 3 are settled at 100, 200 and 300 and kept for 1000 ms. */
static void test_sweep_by_age(void **state)
{
	struct store *s = *state;
	static const struct {
		int64_t now_ms;
		uint64_t first_kept;
	} ROWS[] = {{0, 1}, {1099, 1}, {1100, 2}, {1100, 2}, {1299, 3}, {1300, 4}, {9999, 4}};
	struct retention keep = FOREVER;
	keep.settled_ms = 1000;
	struct db_txn *txn = store_begin(s);
	publish(txn, 9, 1, 10); /* waits: it is nobody's to sweep */
	for (uint64_t n = 1; n <= 3; n++)
		publish_settled(txn, n, 10, (int64_t)n * 100);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		(void)sweep(txn, &keep, ROWS[i].now_ms, ALL); /* what is left tells */
		for (uint64_t n = 1; n <= 3; n++) {
			if (has_event(txn, n) != (n >= ROWS[i].first_kept))
				fail_msg("row %zu: event %u", i, (unsigned)n);
		}
	}
	assert_true(has_event(txn, 9));
	assert_int_equal(store_count_in(txn, DB_DELIVERIES), 1);
	assert_true(bytes_of(txn) == 0);
	store_commit(txn);
}

/* Events of one turn, whose time is the same, and one behind which the clock was set back. */
static void test_settled_in_any_order(void **state)
{
	static const struct {
		uint64_t event;
		int64_t at_ms;
	} ROWS[] = {{4, 50}, {1, 50}, {6, 50}, {2, 60}, {5, 55}, {3, 40}};
	static const uint64_t BY_AGE[] = {3, 1, 4, 6, 5, 2};
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= COUNT(ROWS); n++)
		publish(txn, n, 1, 100);
	for (size_t i = 0; i < COUNT(ROWS); i++)
		settle(txn, ROWS[i].event, 1, ROWS[i].at_ms);
	assert_int_equal(store_count_in(txn, DB_SETTLED), COUNT(ROWS));
	for (size_t i = 0; i < COUNT(BY_AGE); i++) {
		assert_true(has_event(txn, BY_AGE[i]));
		assert_true(sweep(txn, &(struct retention){0}, 100, 1) > 0);
		assert_false(has_event(txn, BY_AGE[i]));
	}
	assert_empty(txn);
	store_commit(txn);
}

static void test_sweep_by_size(void **state)
{
	struct store *s = *state;
	struct retention keep = FOREVER;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 5; n++)
		publish_settled(txn, n, 500, 7); /* at one time: in the order of their ids */
	uint64_t each = bytes_of(txn) / 5;
	keep.settled_bytes = 5 * each;
	assert_int_equal(sweep(txn, &keep, 8, ALL), 0);
	keep.settled_bytes = 5 * each - 1;
	assert_true(sweep(txn, &keep, 8, ALL) > 0);
	assert_false(has_event(txn, 1));
	assert_true(has_event(txn, 2));
	keep.settled_bytes = 2 * each;
	assert_true(sweep(txn, &keep, 8, ALL) > 0);
	assert_false(has_event(txn, 3));
	assert_true(has_event(txn, 4));
	assert_true(bytes_of(txn) == 2 * each);
	keep.settled_bytes = 0;
	assert_true(sweep(txn, &keep, 8, ALL) > 0);
	assert_empty(txn);
	store_commit(txn);
}

/* A slice that is full says so; the last one is not. */
static void test_slices(void **state)
{
	struct store *s = *state;
	const struct retention none = {0};
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 20; n++)
		publish_settled(txn, n, 10, 1);
	for (size_t before = 20; before > 0;) {
		size_t dropped = sweep(txn, &none, 2, 5);
		size_t left = store_count_in(txn, DB_SETTLED);
		assert_true(dropped >= 5 || left == 0);
		assert_true(left < before && before - left <= 5);
		assert_int_equal(store_count_in(txn, DB_DELIVERIES), left);
		before = left;
	}
	assert_int_equal(sweep(txn, &none, 2, 5), 0);
	assert_empty(txn);
	store_commit(txn);
}

/* Opens event `n` again, whose entry stays, as one of a store of before does. */
static void open_again(struct db_txn *txn, uint64_t n)
{
	struct event e;
	struct event_state before;
	struct event_state now;
	struct uuid id = event_id(n);
	assert_int_equal(events_get(txn, &id, &e, NULL), OK);
	uint64_t cost = 0;
	assert_int_equal(retention_cost(txn, &e, &cost), OK);
	struct delivery d = get_delivery(txn, n, 1);
	assert_int_equal(events_reopen(txn, &d, &e, &before, &now), OK);
	event_charge(txn, &e, &before, -(int64_t)cost);
	event_charge(txn, &e, &now, (int64_t)cost);
	d.status = DELIVERY_WAITING;
	assert_int_equal(queue_add(txn, &d), OK);
}

/* One that is open again is passed by, and entered anew when it is over again. */
static void test_open_again(void **state)
{
	struct store *s = *state;
	const struct retention none = {0};
	struct db_txn *txn = store_begin(s);
	publish_settled(txn, 1, 10, 100);
	open_again(txn, 1);
	assert_true(sweep(txn, &none, 200, ALL) > 0);
	assert_true(has_event(txn, 1));
	assert_int_equal(store_count_in(txn, DB_SETTLED), 0);
	assert_true(bytes_of(txn) == 0);
	settle(txn, 1, 1, 300);
	assert_true(sweep(txn, &none, 300, ALL) > 0);
	assert_empty(txn);
	store_commit(txn);
}

/* One that is settled twice before any sweep stays for its time after the second. */
static void test_settled_twice(void **state)
{
	struct store *s = *state;
	struct retention keep = {.settled_ms = 1000, .settled_bytes = UINT64_MAX};
	struct db_txn *txn = store_begin(s);
	publish_settled(txn, 1, 10, 100);
	publish_settled(txn, 2, 10, 500);
	open_again(txn, 1);
	settle(txn, 1, 1, 700);
	assert_int_equal(store_count_in(txn, DB_SETTLED), 3);
	assert_int_equal(sweep(txn, &keep, 1100, ALL), 1); /* the older entry alone */
	assert_true(has_event(txn, 1));
	assert_int_equal(get_delivery(txn, 1, 1).status, DELIVERY_DELIVERED);
	assert_true(sweep(txn, &keep, 1500, ALL) > 0);
	assert_false(has_event(txn, 2));
	assert_int_equal(sweep(txn, &keep, 1699, ALL), 0);
	assert_true(has_event(txn, 1));
	assert_true(sweep(txn, &keep, 1700, ALL) > 0);
	assert_empty(txn);
	store_commit(txn);
}

/*
 * One that is settled twice in a millisecond has two entries, of which the later counts; where
 * it has one delivery, which keeps that time, they are the same.
 */
static void test_settled_twice_at_once(void **state)
{
	struct store *s = *state;
	for (uint32_t deliveries = 1; deliveries <= 3; deliveries++) {
		struct db_txn *txn = store_begin(s);
		publish(txn, 1, deliveries, 10);
		for (uint32_t k = 1; k <= deliveries; k++)
			settle(txn, 1, k, 100);
		uint64_t each = bytes_of(txn);
		open_again(txn, 1);
		settle(txn, 1, 1, 100);
		assert_int_equal(store_count_in(txn, DB_SETTLED), deliveries == 1 ? 1 : 2);
		assert_true(bytes_of(txn) == each);
		assert_true(sweep(txn, &(struct retention){0}, 200, ALL) > 0);
		assert_empty(txn);
		store_commit(txn);
	}
}

static void test_cancel_queue(void **state)
{
	struct store *s = *state;
	static const size_t WANT[] = {10, 10, 5, 0};
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 25; n++)
		publish(txn, n, n <= 3 ? 2 : 1, 10); /* three go to webhook 2 as well */
	for (size_t i = 0; i < COUNT(WANT); i++) {
		size_t cancelled = 99;
		assert_int_equal(retention_cancel_queue(txn, 1, 70, 10, &cancelled), OK);
		assert_int_equal(cancelled, WANT[i]);
	}
	for (uint64_t n = 1; n <= 25; n++)
		assert_int_equal(get_delivery(txn, n, 1).status, DELIVERY_CANCELLED);
	assert_int_equal(get_delivery(txn, 3, 2).status, DELIVERY_WAITING);
	assert_int_equal(store_count_in(txn, DB_QUEUE), 3);
	assert_int_equal(store_count_in(txn, DB_SETTLED),
	    22); /* the three wait for webhook 2 */
	for (uint64_t n = 1; n <= 3; n++)
		settle(txn, n, 2, 80);
	assert_true(sweep(txn, &(struct retention){0}, 80, ALL) > 0);
	assert_empty(txn);
	store_commit(txn);
}

/* Makes delivery 1 of event `n` a dead letter that died at `at_ms`. */
static struct uuid kill_delivery(struct db_txn *txn, uint64_t n, int64_t at_ms)
{
	struct dead_letter *dead = mem_new(sizeof(*dead));
	struct delivery d = get_delivery(txn, n, 1);
	assert_int_equal(queue_remove(txn, &d), OK);
	d.status = DELIVERY_DEAD;
	assert_int_equal(queue_put(txn, &d), OK);
	dead->id = make_id(n);
	for (int i = 0; i < 6; i++) /* the first 48 bits are the time */
		dead->id.bytes[i] = (uint8_t)(at_ms >> (40 - 8 * i));
	dead->delivery_id = d.id;
	dead->event_id = d.event_id;
	assert_int_equal(dead_letters_put(txn, SLICE("s"), dead), OK);
	struct uuid id = dead->id;
	free(dead);
	return id;
}

static size_t sweep_dead(struct db_txn *txn, int64_t keep_ms, int64_t now_ms, size_t max)
{
	struct retention keep = FOREVER;
	size_t dropped = 12345;
	keep.dead_letters_ms = keep_ms;
	assert_int_equal(retention_sweep_dead(txn, &keep, now_ms, max, &dropped), OK);
	assert_int_equal(db_txn_error(txn), OK);
	return dropped;
}

static void test_sweep_dead(void **state)
{
	struct store *s = *state;
	static const struct {
		int64_t now_ms;
		size_t dropped;
	} ROWS[] = {{0, 0}, {1099, 0}, {1100, 1}, {1100, 0}, {1350, 2}, {9999, 2}, {9999, 0}};
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 5; n++) {
		publish(txn, n, 2, 10);
		(void)kill_delivery(txn, n, (int64_t)n * 100); /* its id is not needed */
		settle(txn, n, 2, 1);
	}
	assert_int_equal(store_count_in(txn, DB_SETTLED), 0);
	size_t gone = 0;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		size_t dropped = sweep_dead(txn, 1000, ROWS[i].now_ms, ALL);
		if (dropped != ROWS[i].dropped)
			fail_msg("row %zu: %zu dropped", i, dropped);
		gone += dropped;
		assert_int_equal(store_count_in(txn, DB_DEAD), 5 - gone);
		assert_int_equal(store_count_in(txn, DB_DEAD_BY_AGE), 5 - gone);
		assert_int_equal(store_count_in(txn, DB_SETTLED), gone);
	}
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(get_delivery(txn, n, 1).status, DELIVERY_CANCELLED);
	assert_true(sweep(txn, &(struct retention){0}, 9999, ALL) > 0);
	assert_empty(txn);
	store_commit(txn);
}

static void test_sweep_dead_in_slices(void **state)
{
	struct store *s = *state;
	static const size_t WANT[] = {3, 3, 1, 0};
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 7; n++) {
		publish(txn, n, 1, 10);
		(void)kill_delivery(txn, n, 100); /* its id is not needed */
	}
	for (size_t i = 0; i < COUNT(WANT); i++)
		assert_int_equal(sweep_dead(txn, 0, 200, 3), WANT[i]);
	store_commit(txn);
}

/* A dead letter goes with whatever is left of it; one that was replayed goes on. */
static void test_sweep_dead_of_what_is_odd(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++)
		publish(txn, n, 1, 10);
	(void)kill_delivery(txn, 1, 100); /* its id is not needed */
	struct delivery lost = get_delivery(txn, 1, 1);
	assert_int_equal(queue_forget(txn, &lost.id), OK);

	(void)kill_delivery(txn, 2, 100);
	struct delivery waiting = get_delivery(txn, 2, 1);
	waiting.status = DELIVERY_WAITING;
	assert_int_equal(queue_add(txn, &waiting), OK);

	struct uuid damaged = kill_delivery(txn, 3, 100);
	char key[2 + UUID_SIZE] = "s";
	memcpy(key + 2, damaged.bytes, UUID_SIZE);
	assert_int_equal(db_put(txn, DB_DEAD, (struct slice){key, sizeof(key)},
			     SLICE("no dead letter")),
	    OK);

	assert_int_equal(sweep_dead(txn, 0, 200, ALL), 3);
	assert_int_equal(store_count_in(txn, DB_DEAD), 0);
	assert_int_equal(store_count_in(txn, DB_DEAD_BY_AGE), 0);
	assert_int_equal(get_delivery(txn, 2, 1).status, DELIVERY_WAITING);
	store_commit(txn);
}

static void test_damage(void **state)
{
	struct store *s = *state;
	const struct retention none = {0};
	struct slice key;
	struct slice value;
	struct uuid id = event_id(2);
	char piece[UUID_SIZE + 2] = {0};
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++)
		publish_settled(txn, n, 10, (int64_t)n);
	uint64_t each = bytes_of(txn) / 3;

	/* the first one's cost cannot be read: it goes all the same */
	assert_int_equal(db_first(txn, DB_SETTLED, &key, &value), OK);
	char copy[64];
	memcpy(copy, key.ptr, key.len);
	assert_int_equal(
	    db_put(txn, DB_SETTLED, (struct slice){copy, key.len}, SLICE("no number")), OK);
	/* the second one's event cannot be read: it goes, the sum is too high by that */
	memcpy(piece, id.bytes, UUID_SIZE);
	assert_int_equal(db_put(txn, DB_EVENTS, (struct slice){piece, sizeof(piece)},
			     SLICE("no event")),
	    OK);
	assert_true(sweep(txn, &none, 9, ALL) > 0);
	assert_int_equal(store_count_in(txn, DB_EVENTS), 0);
	assert_int_equal(store_count_in(txn, DB_SETTLED), 0);
	assert_true(bytes_of(txn) == each);

	/* what is counted and cannot be found is looked for once, until there is more */
	assert_int_equal(sweep(txn, &none, 9, ALL), 0);

	/* a key that is none stops the sweep by age, and nothing else */
	const struct retention any_size = {.settled_bytes = UINT64_MAX};
	publish_settled(txn, 4, 10, 4);
	assert_int_equal(db_put(txn, DB_SETTLED, SLICE("\0"), SLICE("")), OK);
	assert_int_equal(sweep(txn, &any_size, 9, ALL), 0);
	assert_true(has_event(txn, 4));
	assert_true(sweep(txn, &none, 9, ALL) > 0);
	assert_false(has_event(txn, 4));
	store_commit(txn);
}

static uint64_t history_of(struct db_txn *txn, const char *session)
{
	const struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	return usage_of(u, slice_of(session)).n[USAGE_HISTORY];
}

/* Publishes `count` events from `first` on in `session` and settles them. */
static void publish_history(struct db_txn *txn, const char *session, uint64_t first,
    uint64_t count)
{
	for (uint64_t n = first; n < first + count; n++) {
		publish_in(txn, session, n, 1, 500);
		settle(txn, n, 1, (int64_t)n);
	}
}

/* Who has most loses its own, oldest first; who has little keeps it, however old. */
static void test_room_by_session(void **state)
{
	struct store *s = *state;
	struct retention keep = FOREVER;
	struct db_txn *txn = store_begin(s);
	publish_history(txn, "little", 1, 10);
	publish_history(txn, "much", 100, 200);
	publish_in(txn, "much", 99, 1, 500); /* is open: it stays, though it is the oldest */
	uint64_t each = history_of(txn, "little") / 10;
	keep.settled_bytes = 100 * each;
	while (sweep(txn, &keep, 1000, 50) >= 50)
		continue;
	assert_true(history_of(txn, "little") == 10 * each);
	assert_true(history_of(txn, "much") == 90 * each);
	for (uint64_t n = 100; n < 300; n++)
		assert_true(has_event(txn, n) == (n >= 210));
	assert_true(has_event(txn, 99));
	/* where both have more than an equal part both lose, the one more than the other */
	keep.settled_bytes = 12 * each;
	while (sweep(txn, &keep, 1000, 50) >= 50)
		continue;
	assert_true(bytes_of(txn) <= 12 * each);
	assert_true(history_of(txn, "little") >= 5 * each);
	assert_true(history_of(txn, "much") >= 5 * each);
	settle(txn, 99, 1, 1000); /* passed by, and found when it is over */
	keep.settled_bytes = 0;
	while (sweep(txn, &keep, 1000, 50) >= 50)
		continue;
	assert_empty(txn);
	store_commit(txn);
}

/* Many that have the same lose the same, but for what a search is worth. */
static void test_room_among_equals(void **state)
{
	enum { SESSIONS = 50, EACH = 20 };
	struct store *s = *state;
	struct retention keep = FOREVER;
	char session[16];
	struct db_txn *txn = store_begin(s);
	for (uint64_t i = 0; i < SESSIONS; i++) {
		(void)snprintf(session, sizeof(session), "s%u", (unsigned)i);
		publish_history(txn, session, 1 + i * EACH, EACH);
	}
	uint64_t each = bytes_of(txn) / SESSIONS / EACH;
	keep.settled_bytes = SESSIONS * EACH / 2 * each;
	size_t slices = 0;
	for (; sweep(txn, &keep, 5000, 100) >= 100; slices++)
		continue;
	assert_true(slices < 100);
	assert_true(bytes_of(txn) <= keep.settled_bytes);
	for (uint64_t i = 0; i < SESSIONS; i++) {
		(void)snprintf(session, sizeof(session), "s%u", (unsigned)i);
		uint64_t kept = history_of(txn, session) / each;
		assert_in_range(kept, EACH / 2 - 3, EACH / 2 + 3);
	}
	store_commit(txn);
}

/* How full the store is, and how large it may become: both in pages of just what is counted. */
static void fill_up(struct store *s, struct db_txn *txn, uint64_t capacity)
{
	struct usage *u = db_companion_of(txn, DB_COUNTS_USAGE);
	struct holding h = usage_total(u);
	uint64_t used = h.n[USAGE_OPEN] + h.n[USAGE_HISTORY] + h.n[USAGE_KEYS];
	const struct usage_room room = {.capacity = capacity,
	    .used_bytes = used,
	    .traffic_bytes = used};
	usage_measure(s->usage, &room);
}

/* A store that fills up loses history early, that of who holds most first. */
static void test_early_when_full(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	publish_history(txn, "a", 1, 50);
	publish_history(txn, "b", 100, 50);
	uint64_t each = history_of(txn, "a") / 50;
	for (uint64_t n = 200; n < 250; n++)
		publish_in(txn, "b", n, 1, 500); /* are open, and stay */
	fill_up(s, txn, 200 * each);
	assert_int_equal(sweep(txn, &FOREVER, 5000, ALL), 0); /* at 75 % just not yet */
	fill_up(s, txn, 160 * each);
	while (sweep(txn, &FOREVER, 5000, 50) >= 50)
		continue;
	assert_true(history_of(txn, "a") == 50 * each);
	assert_in_range(history_of(txn, "b") / each, 18, 20);
	assert_false(has_event(txn, 100));
	assert_true(has_event(txn, 149) && has_event(txn, 200));
	/* whatever is open has no history to lose: the other's goes */
	fill_up(s, txn, 80 * each);
	while (sweep(txn, &FOREVER, 5000, 50) >= 50)
		continue;
	assert_true(history_of(txn, "b") < 18 * each);
	assert_in_range(bytes_of(txn) / each, 8, 10);
	store_commit(txn);
}

/* Who needs room has it made at once, just as much. */
static void test_make_room(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	publish_history(txn, "s", 1, 100);
	uint64_t each = bytes_of(txn) / 100;
	fill_up(s, txn, 100 * each);
	assert_true(usage_lacks(s->usage, 10 * each) >= 10 * each);
	assert_int_equal(retention_make_room(txn, 10 * each), OK);
	assert_true(usage_lacks(s->usage, 10 * each) == 0);
	assert_in_range(bytes_of(txn) / each, 89, 90);
	assert_int_equal(retention_make_room(txn, 10 * each), OK); /* is there already */
	assert_in_range(bytes_of(txn) / each, 89, 90);
	assert_int_equal(retention_make_room(txn, 1000 * each), OK); /* as far as it goes */
	assert_true(bytes_of(txn) == 0);
	assert_true(usage_lacks(s->usage, 1000 * each) > 0);
	store_commit(txn);
}

/* Open events in front are passed by in slices, each once a round. */
static void test_walk_in_slices(void **state)
{
	enum { OPEN = 5000 };
	struct store *s = *state;
	struct retention keep = FOREVER;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= OPEN; n++)
		publish(txn, n, 1, 10);
	publish_history(txn, "s", OPEN + 1, 10);
	keep.settled_bytes = 0;
	size_t slices = 0;
	for (; sweep(txn, &keep, OPEN + 100, 500) >= 500; slices++)
		assert_true(slices < 10);
	assert_true(slices > 1); /* not all at once */
	assert_true(bytes_of(txn) == 0);
	assert_int_equal(store_count_in(txn, DB_EVENTS), OPEN);
	settle(txn, 3, 1, 1); /* far behind where the walk is */
	for (slices = 0; sweep(txn, &keep, OPEN + 100, 500) >= 500; slices++)
		assert_true(slices < 10);
	assert_true(bytes_of(txn) == 0);
	assert_false(has_event(txn, 3));
	store_commit(txn);
}

/* Open events of one session use up no looks at others' history, nor does it end there. */
static void test_open_events_of_another(void **state)
{
	enum { OPEN = 30000, OTHERS = 100 };
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= OPEN; n++)
		publish_in(txn, "hog", n, 1, 10);
	publish_history(txn, "hog", OPEN + 1, 1);
	publish_history(txn, "other", OPEN + 2, OTHERS);
	uint64_t each = usage_of(s->usage, SLICE("other")).n[USAGE_HISTORY] / OTHERS;
	struct holding all = usage_total(s->usage);
	fill_up(s, txn, all.n[USAGE_OPEN] + all.n[USAGE_HISTORY]);
	for (int n = 1; n <= 10; n++) {
		assert_int_equal(retention_make_room(txn, each), OK);
		assert_true(usage_lacks(s->usage, each) == 0);
		usage_change(txn, SLICE("hog"), USAGE_OPEN, (int64_t)each); /* is used */
	}
	store_commit(txn);
}

/* What is counted and is nowhere ends the search behind any number of open events. */
static void test_phantom_behind_open_events(void **state)
{
	enum { OPEN = 5000 };
	struct store *s = *state;
	struct retention keep = FOREVER;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= OPEN; n++)
		publish(txn, n, 1, 10);
	usage_change(txn, SLICE("s"), USAGE_HISTORY, 1000);
	keep.settled_bytes = 0;
	size_t slices = 0;
	for (; sweep(txn, &keep, 1, 500) >= 500; slices++)
		assert_true(slices < 10);
	assert_int_equal(sweep(txn, &keep, 1, 500), 0);
	publish_history(txn, "s", OPEN + 1, 10); /* what comes is found again */
	for (slices = 0; sweep(txn, &keep, 1, 500) >= 500; slices++)
		assert_true(slices < 10);
	assert_false(has_event(txn, OPEN + 1));
	store_commit(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_entered_with_the_last_delivery),
	    STORE_TEST(test_sweep_by_age),
	    STORE_TEST(test_settled_in_any_order),
	    STORE_TEST(test_sweep_by_size),
	    STORE_TEST(test_slices),
	    STORE_TEST(test_open_again),
	    STORE_TEST(test_settled_twice),
	    STORE_TEST(test_settled_twice_at_once),
	    STORE_TEST(test_attempts_go_too),
	    STORE_TEST(test_cancel_queue),
	    STORE_TEST(test_sweep_dead),
	    STORE_TEST(test_sweep_dead_in_slices),
	    STORE_TEST(test_sweep_dead_of_what_is_odd),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_room_by_session),
	    STORE_TEST(test_room_among_equals),
	    STORE_TEST(test_early_when_full),
	    STORE_TEST(test_make_room),
	    STORE_TEST(test_walk_in_slices),
	    STORE_TEST(test_open_events_of_another),
	    STORE_TEST(test_phantom_behind_open_events),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
