/*
 * The queue: places in order, claims with all their conditions, moves, removals, heads,
 * damage. test_queue_model.c has random operations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/queue.h"
#include "support.h"

#define OUT_MAX 64 /* deliveries of one claim here */

static bool skip_none(void *arg, const struct uuid *id)
{
	(void)arg;
	(void)id;
	return false;
}

static void add(struct db_txn *txn, uint64_t webhook, uint64_t n, int64_t due_ms)
{
	struct delivery d = make_delivery(webhook, n, due_ms);
	assert_int_equal(queue_add(txn, &d), OK);
}

static struct queue_claim claim_of(uint64_t webhook, int64_t now_ms, size_t max)
{
	return (struct queue_claim){.webhook = webhook,
	    .now_ms = now_ms,
	    .max = max,
	    .skip = skip_none};
}

/*
 * Claims, and checks what comes: the numbers of the deliveries in `want`, and when more is
 * due.
 */
static void check_claim(struct db_txn *txn, struct queue_claim *c, const char *want,
    int64_t want_next_ms)
{
	struct delivery out[OUT_MAX];
	size_t count = 99;
	int64_t next_ms = -1;
	struct buf got = BUF_INIT(1000);
	assert_int_equal(queue_claim(txn, c, out, &count, &next_ms), OK);
	for (size_t i = 0; i < count; i++)
		buf_printf(&got, "%s%u", i == 0 ? "" : " ", out[i].id.bytes[15]);
	if (strcmp(buf_cstr(&got), want) != 0 || next_ms != want_next_ms)
		fail_msg("webhook %llu, now %lld, max %zu: \"%s\", next %lld; not \"%s\", %lld",
		    (unsigned long long)c->webhook, (long long)c->now_ms, c->max,
		    buf_cstr(&got), (long long)next_ms, want, (long long)want_next_ms);
	buf_fini(&got);
}

static void test_place_before(void **state)
{
	(void)state;
	const struct queue_place places[] = {
	    {0, make_id(0), 0},
	    {0, make_id(1), 0},
	    {1, make_id(0), 0},
	    {1, make_id(1), 0},
	    {1, make_id(UINT64_MAX), 0},
	    {2, make_id(0), 0},
	    {INT64_MAX, make_id(0), 0},
	    {0, make_id(0), 1},
	    {1, make_id(0), 1},
	    {0, make_id(1), LANE_MAX},
	};
	for (size_t i = 0; i < COUNT(places); i++) {
		for (size_t j = 0; j < COUNT(places); j++) {
			if (queue_place_before(&places[i], &places[j]) != (i < j))
				fail_msg("%zu and %zu", i, j);
		}
	}
	struct delivery d = make_delivery(1, 2, 3);
	d.due_ms = 4;
	d.lane = 5;
	struct queue_place place = queue_place_of(&d);
	assert_true(place.place_ms == 3);
	assert_int_equal(place.lane, 5);
	assert_memory_equal(place.id.bytes, d.id.bytes, UUID_SIZE);
}

static void test_records(void **state)
{
	struct store *s = *state;
	struct delivery got;
	struct delivery d = make_delivery(3, 5, 1000);
	d.attempts = 7;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(queue_get(txn, &d.id, &got), ERR_NOTFOUND);
	assert_int_equal(queue_add(txn, &d), OK);
	assert_int_equal(queue_get(txn, &d.id, &got), OK);
	assert_true(delivery_same(&got, &d));
	d.attempts = 8;
	assert_int_equal(queue_put(txn, &d), OK);
	assert_int_equal(queue_get(txn, &d.id, &got), OK);
	assert_true(delivery_same(&got, &d));
	assert_int_equal(store_count_in(txn, DB_QUEUE), 1);
	assert_int_equal(store_count_in(txn, DB_DELIVERIES), 1);
	store_commit(txn);
}

static void test_remove(void **state)
{
	struct store *s = *state;
	struct delivery got;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++)
		add(txn, 9, n, 1000);
	struct delivery first = make_delivery(9, 1, 1000);
	struct delivery elsewhere = make_delivery(9, 3, 1001);
	struct delivery others = make_delivery(8, 3, 1000);
	assert_int_equal(queue_remove(txn, &first), OK);
	assert_int_equal(queue_get(txn, &first.id, &got), OK);
	assert_true(delivery_same(&got, &first));
	assert_int_equal(queue_remove(txn, &first), ERR_NOTFOUND);
	assert_int_equal(queue_remove(txn, &elsewhere), ERR_NOTFOUND);
	assert_int_equal(queue_remove(txn, &others), ERR_NOTFOUND);
	assert_int_equal(store_count_in(txn, DB_QUEUE), 2);
	assert_int_equal(store_count_in(txn, DB_DELIVERIES), 3);
	struct queue_claim c = claim_of(9, 1000, 10);
	check_claim(txn, &c, "2 3", QUEUE_NEVER);

	assert_int_equal(queue_forget(txn, &first.id), OK);
	assert_int_equal(queue_forget(txn, &first.id), ERR_NOTFOUND);
	assert_int_equal(queue_get(txn, &first.id, &got), ERR_NOTFOUND);
	assert_int_equal(store_count_in(txn, DB_DELIVERIES), 2);
	assert_int_equal(db_txn_error(txn), OK);
	store_commit(txn);
}

static void test_move(void **state)
{
	struct store *s = *state;
	struct delivery got;
	struct db_txn *txn = store_begin(s);
	add(txn, 1, 1, 100);
	add(txn, 1, 2, 200);
	struct delivery d = make_delivery(1, 1, 300);
	d.attempts = 1;
	assert_int_equal(queue_move(txn, &d, 100), OK);
	assert_int_equal(queue_get(txn, &d.id, &got), OK);
	assert_true(delivery_same(&got, &d));
	struct queue_claim c = claim_of(1, 300, 10);
	check_claim(txn, &c, "2 1", QUEUE_NEVER);

	struct delivery moved = d;
	moved.place_ms = 50;
	moved.attempts = 9;
	assert_int_equal(queue_move(txn, &moved, 100), ERR_NOTFOUND);
	assert_int_equal(queue_get(txn, &d.id, &got), OK);
	assert_true(delivery_same(&got, &d));
	assert_int_equal(queue_move(txn, &moved, 300), OK);
	c = claim_of(1, 300, 10);
	check_claim(txn, &c, "1 2", QUEUE_NEVER);
	assert_int_equal(store_count_in(txn, DB_QUEUE), 2);
	store_commit(txn);
}

/* By place, then by id; others' deliveries are neither claimed nor waited for. */
static void test_claim_order_and_limits(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	add(txn, 2, 4, 100);
	add(txn, 2, 3, 100);
	add(txn, 2, 5, 50);
	add(txn, 2, 2, 200);
	add(txn, 2, 1, 300);
	add(txn, 1, 10, 1);
	add(txn, 3, 11, 1);
	add(txn, UINT64_MAX, 12, 7);
	static const struct {
		uint64_t webhook;
		int64_t now_ms;
		size_t max;
		const char *want;
		int64_t next_ms;
	} ROWS[] = {
	    {2, 0, 10, "", 50},
	    {2, 49, 10, "", 50},
	    {2, 50, 10, "5", 100},
	    {2, 100, 10, "5 3 4", 200},
	    {2, 299, 10, "5 3 4 2", 300},
	    {2, 300, 10, "5 3 4 2 1", QUEUE_NEVER},
	    {2, INT64_MAX, 5, "5 3 4 2 1", QUEUE_NEVER},
	    {2, 300, 4, "5 3 4 2", 300},
	    {2, 300, 2, "5 3", 100},
	    {2, 100, 3, "5 3 4", 200},
	    {2, 300, 0, "", 50},
	    {1, 300, 10, "10", QUEUE_NEVER},
	    {3, 300, 10, "11", QUEUE_NEVER},
	    {4, 300, 10, "", QUEUE_NEVER},
	    {0, 300, 10, "", QUEUE_NEVER},
	    {UINT64_MAX, 300, 10, "12", QUEUE_NEVER},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct queue_claim c = claim_of(ROWS[i].webhook, ROWS[i].now_ms, ROWS[i].max);
		check_claim(txn, &c, ROWS[i].want, ROWS[i].next_ms);
	}
	store_commit(txn);
}

/* A claim goes on behind the place where the one before it ended. */
static void test_claim_goes_on(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 5; n++)
		add(txn, 1, n, 100);
	add(txn, 1, 6, 200);
	struct queue_claim c = claim_of(1, 150, 2);
	check_claim(txn, &c, "1 2", 100);
	assert_true(c.place.place_ms == 100);
	assert_int_equal(c.place.id.bytes[15], 2);
	check_claim(txn, &c, "3 4", 100);
	check_claim(txn, &c, "5", 200);
	check_claim(txn, &c, "", 200);
	assert_int_equal(c.place.id.bytes[15], 5);
	c.now_ms = 200;
	check_claim(txn, &c, "6", QUEUE_NEVER);
	check_claim(txn, &c, "", QUEUE_NEVER);
	c.place = (struct queue_place){0};
	check_claim(txn, &c, "1 2", 100);
	store_commit(txn);
}

static bool skip_even(void *arg, const struct uuid *id)
{
	size_t *asked = arg;
	(*asked)++;
	return id->bytes[15] % 2 == 0;
}

/* What is skipped takes no room in the claim and is not what is due next. */
static void test_claim_skips(void **state)
{
	struct store *s = *state;
	size_t asked = 0;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 6; n++)
		add(txn, 1, n, 100 * (int64_t)n);
	struct queue_claim c = claim_of(1, 1000, 2);
	c.skip = skip_even;
	c.arg = &asked;
	check_claim(txn, &c, "1 3", 500);
	assert_true(asked > 0);
	check_claim(txn, &c, "5", QUEUE_NEVER);
	check_claim(txn, &c, "", QUEUE_NEVER);
	c = claim_of(1, 100, 10);
	c.skip = skip_even;
	c.arg = &asked;
	check_claim(txn, &c, "1", 300);
	store_commit(txn);
}

/* fifo: the first place decides by its due time, and nothing overtakes it. */
static void test_claim_fifo(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct delivery first = make_delivery(1, 1, 100);
	first.due_ms = 500;
	assert_int_equal(queue_add(txn, &first), OK);
	add(txn, 1, 2, 110);
	add(txn, 1, 3, 120);
	struct queue_claim c = claim_of(1, 200, 10);
	c.fifo = true;
	check_claim(txn, &c, "", 500);
	c.now_ms = 499;
	check_claim(txn, &c, "", 500);
	c.now_ms = 500;
	check_claim(txn, &c, "1 2 3", QUEUE_NEVER);
	c = claim_of(1, 500, 1);
	c.fifo = true;
	check_claim(txn, &c, "1", 500); /* the next one's place does not tell: ask again */
	check_claim(txn, &c, "2", 500);
	check_claim(txn, &c, "3", QUEUE_NEVER);

	struct queue_claim unordered = claim_of(1, 200, 10);
	check_claim(txn, &unordered, "1 2 3", QUEUE_NEVER);

	struct delivery ahead = make_delivery(2, 4, 900); /* placed when the clock was ahead */
	ahead.due_ms = 300;
	assert_int_equal(queue_add(txn, &ahead), OK);
	c = claim_of(2, 299, 10);
	c.fifo = true;
	check_claim(txn, &c, "", 300);
	c.now_ms = 300;
	check_claim(txn, &c, "4", QUEUE_NEVER);
	store_commit(txn);
}

/* Adds delivery `n` at `due_ms`, queued at `queued_ms`. */
static void add_queued(struct db_txn *txn, uint64_t n, int64_t due_ms, int64_t queued_ms)
{
	struct delivery d = make_delivery(1, n, due_ms);
	d.queued_ms = queued_ms;
	assert_int_equal(queue_add(txn, &d), OK);
}

/*
 * What was queued before forced_ms is due whatever its time. After any find the claim says
 * "due now", so that its caller asks until there is nothing more to force.
 */
static void test_claim_forced(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	add_queued(txn, 1, 100, 50);
	add_queued(txn, 2, 5000, 50);
	add_queued(txn, 3, 6000, 1000); /* queued after it */
	add_queued(txn, 4, 7000, 999);
	add_queued(txn, 5, 8000, 1001);
	struct queue_claim c = claim_of(1, 1000, 10);
	c.forced_ms = 1000;
	check_claim(txn, &c, "1 2 4", 999); /* since when the last of them waits */
	check_claim(txn, &c, "", QUEUE_NEVER);

	c = claim_of(1, 1000, 1);
	c.forced_ms = 1000;
	check_claim(txn, &c, "1", 50);
	check_claim(txn, &c, "2", 50);
	check_claim(txn, &c, "4", 999);
	check_claim(txn, &c, "", QUEUE_NEVER);

	c = claim_of(1, 6000, 10); /* those whose time has come come too */
	c.forced_ms = 60;
	check_claim(txn, &c, "1 2 3", 1000);
	store_commit(txn);
}

static void test_claim_forced_fifo(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct delivery d = make_delivery(1, 1, 100);
	d.due_ms = 5000;
	d.queued_ms = 100;
	assert_int_equal(queue_add(txn, &d), OK);
	add_queued(txn, 2, 110, 110);
	struct queue_claim c = claim_of(1, 1000, 10);
	c.fifo = true;
	check_claim(txn, &c, "", 5000);
	c.forced_ms = 1000;
	check_claim(txn, &c, "1 2", 110);
	d.queued_ms = 1000; /* has failed since */
	assert_int_equal(queue_put(txn, &d), OK);
	c.place = (struct queue_place){0};
	check_claim(txn, &c, "", 5000);
	store_commit(txn);
}

/* Forcing passes a bounded number a claim, and loses none of those behind. */
static void test_claim_is_bounded(void **state)
{
	enum { PASSED = 2500 };
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= PASSED; n++)
		add_queued(txn, n, 5000, 2000);
	add_queued(txn, PASSED + 7, 5000, 50);
	struct queue_claim c = claim_of(1, 1000, 10);
	c.forced_ms = 1000;
	struct delivery out[OUT_MAX];
	size_t count = 0;
	int64_t next_ms = 0;
	size_t claims = 0;
	for (; count == 0; claims++) {
		struct queue_place before = c.place;
		assert_int_equal(queue_claim(txn, &c, out, &count, &next_ms), OK);
		assert_true(next_ms == (count == 0 ? 1000 : 50));
		assert_true(queue_place_before(&before, &c.place));
	}
	assert_int_equal(count, 1);
	struct uuid want = make_id(PASSED + 7);
	assert_memory_equal(out[0].id.bytes, want.bytes, UUID_SIZE);
	assert_true(claims > 1);
	store_commit(txn);
}

/* Overwrites the record of delivery `n` with one whose checksum is wrong, or removes it. */
static void damage(struct db_txn *txn, uint64_t n, bool remove)
{
	struct uuid id = make_id(n);
	if (remove)
		assert_int_equal(db_del(txn, DB_DELIVERIES, id_bytes(&id)), OK);
	else
		assert_int_equal(db_put(txn, DB_DELIVERIES, id_bytes(&id),
				     SLICE("these are not the bytes of a delivery")),
		    OK);
}

/* What is damaged is due as it lies, with what is known of it. */
static void test_claim_has_damage(void **state)
{
	static const struct uuid NONE;
	struct store *s = *state;
	struct delivery d;
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 5; n++)
		add(txn, 1, n, 100);
	damage(txn, 1, false);
	damage(txn, 3, true);
	struct uuid id = make_id(1);
	assert_int_equal(queue_get(txn, &id, &d), ERR_CORRUPT);
	struct queue_claim c = claim_of(1, 100, 10);
	check_claim(txn, &c, "1 2 3 4 5", QUEUE_NEVER);
	c = claim_of(1, 99, 10); /* of these none is due, damaged or not */
	check_claim(txn, &c, "", 100);
	c = claim_of(1, 100, 10);
	c.fifo = true;
	check_claim(txn, &c, "1 2 3 4 5", QUEUE_NEVER);
	size_t count = 0;
	int64_t next_ms = 0;
	c = claim_of(1, 100, 1);
	assert_int_equal(queue_claim(txn, &c, &d, &count, &next_ms), OK);
	assert_int_equal(count, 1);
	assert_memory_equal(d.id.bytes, id.bytes, UUID_SIZE);
	assert_memory_equal(d.event_id.bytes, NONE.bytes, UUID_SIZE);
	assert_true(d.webhook == 1 && d.place_ms == 100 && d.attempts == 0);
	assert_int_equal(db_txn_error(txn), OK);
	store_commit(txn);
}

/* The numbers in the order of places. */
static void check_order(struct db_txn *txn, const char *want)
{
	struct queue_claim c = claim_of(1, 1000000, 10);
	c.fifo = true;
	check_claim(txn, &c, want, QUEUE_NEVER);
}

/* What failed goes back to where it was published; what was sent again, and damage, stay. */
static void test_order(void **state)
{
	static const struct queue_order FIFO_ORDER = {.by_publishing = true};
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	static const struct {
		uint64_t n;
		int64_t place_ms, created_ms;
		uint32_t replays;
	} ROWS[] = {{1, 5000, 101, 0}, {2, 102, 102, 0}, {3, 3000, 103, 0}, {4, 9000, 104, 0},
	    {5, 4000, 105, 1}, {6, 106, 106, 0}, {7, 2000, 107, 0}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct delivery d = make_delivery(1, ROWS[i].n, ROWS[i].place_ms);
		d.due_ms = 0;
		d.created_ms = ROWS[i].created_ms;
		d.replays = ROWS[i].replays;
		assert_int_equal(queue_add(txn, &d), OK);
	}
	add(txn, 2, 9, 8000);
	check_order(txn, "2 6 7 3 5 1 4");
	struct queue_place place = {0};
	size_t turns = 0;
	for (bool more = true; more; turns++) {
		size_t max = 2;
		assert_int_equal(queue_order(txn, 1, &FIFO_ORDER, &place, &max, &more), OK);
		assert_true(turns < 100);
	}
	assert_true(turns >= 4);
	check_order(txn, "1 2 3 4 6 7 5");
	struct queue_claim other = claim_of(2, 7999, 10);
	check_claim(txn, &other, "", 8000);
	damage(txn, 3, false);
	damage(txn, 4, true);
	place = (struct queue_place){0};
	size_t max = 100;
	bool more = true;
	assert_int_equal(queue_order(txn, 1, &FIFO_ORDER, &place, &max, &more), OK);
	assert_false(more);
	check_order(txn, "1 2 3 4 6 7 5");
	store_commit(txn);
}

struct lane_walk {
	uint64_t skipped; /* bit n: delivery n */
};

static bool skip_bit(void *arg, const struct uuid *id)
{
	return (((const struct lane_walk *)arg)->skipped >> id->bytes[15] & 1) != 0;
}

/* What is found in `lane` of webhook 1: a delivery, or 0 and the next lane with any. */
static void check_lane(struct db_txn *txn, uint64_t skipped, uint16_t lane, uint64_t want,
    uint16_t want_lane)
{
	struct lane_walk walk = {skipped};
	struct delivery d = {.id = make_id(0)};
	uint16_t found = 9999;
	assert_int_equal(queue_lane(txn, 1, lane, skip_bit, &walk, &d, &found), OK);
	uint64_t n = found == lane ? d.id.bytes[15] : 0;
	if (n != want || found != want_lane)
		fail_msg("lane %u: %llu in lane %u, not %llu in lane %u", lane,
		    (unsigned long long)n, found, (unsigned long long)want, want_lane);
	if (found == lane)
		assert_int_equal(d.lane, lane);
}

static void test_lanes(void **state)
{
	static const struct {
		uint64_t webhook, n;
		int64_t place_ms;
		uint16_t lane;
	} ROWS[] = {{1, 1, 500, 3}, {1, 2, 100, 3}, {1, 3, 1, 7}, {1, 4, 1, LANE_MAX},
	    {1, 5, 2, LANE_MAX}, {2, 6, 0, 5}, {0, 7, 0, LANE_MAX}};
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct delivery d = make_delivery(ROWS[i].webhook, ROWS[i].n, ROWS[i].place_ms);
		d.lane = ROWS[i].lane;
		assert_int_equal(queue_add(txn, &d), OK);
	}
	check_lane(txn, 0, 0, 0, 3);
	check_lane(txn, 0, 3, 2, 3); /* the first by place, not by number */
	check_lane(txn, 1 << 2, 3, 1, 3);
	check_lane(txn, 1 << 2 | 1 << 1, 3, 0, 7);
	check_lane(txn, 0, 4, 0, 7);
	check_lane(txn, 1 << 3, 4, 0, LANE_MAX);
	check_lane(txn, 0, LANE_MAX, 4, LANE_MAX);
	check_lane(txn, 1 << 4, LANE_MAX, 5, LANE_MAX);
	check_lane(txn, 1 << 4 | 1 << 5, LANE_MAX, 0, LANES); /* not another webhook's */
	damage(txn, 2, true);
	check_lane(txn, 0, 3, 2, 3); /* known by its place */

	/* a retry that keeps its place, and one that does not, stay in their lane */
	struct delivery d = make_delivery(1, 1, 500);
	d.lane = 3;
	d.due_ms = 9000;
	assert_int_equal(queue_move(txn, &d, 500), OK);
	check_lane(txn, 1 << 2, 3, 1, 3);
	d.place_ms = 50;
	assert_int_equal(queue_move(txn, &d, 500), OK);
	check_lane(txn, 0, 3, 1, 3);
	assert_int_equal(queue_find_place(txn, &d), OK);
	d.lane = 4;
	assert_int_equal(queue_find_place(txn, &d), ERR_NOTFOUND);
	assert_int_equal(queue_move(txn, &d, 50), ERR_NOTFOUND);
	d.lane = 3;
	assert_int_equal(queue_remove(txn, &d), OK);
	check_lane(txn, 1 << 2, 3, 0, 7);
	store_commit(txn);
}

/* The lane of a delivery is its number, which costs one more than a look. */
static enum err lane_by_number(void *arg, struct db_txn *txn, const struct delivery *d,
    uint16_t *lane, size_t *cost)
{
	(void)txn;
	*lane = (uint16_t)(d->id.bytes[15] + *(const uint16_t *)arg);
	*cost += 1;
	return OK;
}

static size_t order_all(struct db_txn *txn, const struct queue_order *order)
{
	struct queue_place place = {0};
	size_t turns = 0;
	for (bool more = true; more; turns++) {
		size_t max = 2;
		assert_int_equal(queue_order(txn, 1, order, &place, &max, &more), OK);
		assert_true(turns < 100);
	}
	return turns;
}

/* From no order to lanes, to other lanes, and to none again. */
static void test_order_of_lanes(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	uint16_t base = 0;
	const struct queue_order by_lane = {.by_publishing = true,
	    .lane = lane_by_number,
	    .arg = &base};
	const struct queue_order none = {.by_publishing = false};
	for (uint64_t n = 1; n <= 3; n++) {
		struct delivery d = make_delivery(1, n, 1000 * (int64_t)n);
		d.created_ms = 100;
		d.replays = n == 3 ? 1 : 0;
		assert_int_equal(queue_add(txn, &d), OK);
	}
	assert_true(order_all(txn, &by_lane) >= 3);
	for (uint16_t n = 1; n <= 3; n++) {
		struct delivery d;
		check_lane(txn, 0, n, n, n);
		assert_int_equal(queue_get(txn, &(struct uuid){{[15] = (unsigned char)n}}, &d),
		    OK);
		assert_int_equal(d.place_ms, n == 3 ? 3000 : 100);
		assert_int_equal(d.due_ms, 1000 * n);
	}
	base = 10;
	(void)order_all(txn, &by_lane);
	check_lane(txn, 0, 0, 0, 11);
	check_lane(txn, 0, 13, 3, 13);
	(void)order_all(txn, &none);
	check_lane(txn, 0, 0, 1, 0);
	check_lane(txn, 0, 1, 0, LANES);
	check_order(txn, "1 2 3");
	struct queue_claim c = claim_of(1, 1999, 10); /* each is due when it was */
	check_claim(txn, &c, "1", 2000);
	assert_int_equal(backlog_of(s->backlog, 1), 3);
	store_commit(txn);
}

struct heads {
	uint64_t webhook[10];
	int64_t place_ms[10];
	size_t count;
};

static void on_head(void *arg, uint64_t webhook, int64_t place_ms)
{
	struct heads *h = arg;
	h->webhook[h->count] = webhook;
	h->place_ms[h->count++] = place_ms;
}

static void test_heads(void **state)
{
	struct store *s = *state;
	struct heads none = {.count = 0};
	struct db_txn *txn = store_begin(s);
	assert_int_equal(queue_heads(txn, on_head, &none), OK);
	assert_int_equal(none.count, 0);
	for (uint64_t n = 0; n < 100; n++) {
		add(txn, 0, n, 900 - (int64_t)n);
		add(txn, 7, 1000 + n, 500);
		add(txn, 8, 2000 + n, 100 + (int64_t)n);
		add(txn, UINT32_MAX, 3000 + n, 0);
	}
	struct heads got = {.count = 0};
	assert_int_equal(queue_heads(txn, on_head, &got), OK);
	static const struct heads WANT = {.webhook = {0, 7, 8, UINT32_MAX},
	    .place_ms = {801, 500, 100, 0},
	    .count = 4};
	assert_memory_equal(&got, &WANT, sizeof(got));
	store_commit(txn);
}

static void test_first(void **state)
{
	struct store *s = *state;
	struct delivery got;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(queue_first(txn, 2, &got), ERR_NOTFOUND);
	add(txn, 1, 1, 100);
	add(txn, 3, 2, 50);
	assert_int_equal(queue_first(txn, 2, &got), ERR_NOTFOUND);
	add(txn, 2, 3, 9000);
	add(txn, 2, 4, 8000);
	struct delivery want = make_delivery(2, 4, 8000);
	assert_int_equal(queue_first(txn, 2, &got), OK);
	assert_true(delivery_same(&got, &want));
	for (int removed = 0; removed <= 1; removed++) {
		static const struct uuid NONE;
		damage(txn, 4, removed);
		memset(&got, 0xff, sizeof(got));
		assert_int_equal(queue_first(txn, 2, &got), OK);
		assert_memory_equal(got.id.bytes, want.id.bytes, UUID_SIZE);
		assert_memory_equal(got.event_id.bytes, NONE.bytes, UUID_SIZE);
		assert_true(got.webhook == 2);
		assert_true(got.place_ms == 8000);
		assert_true(got.attempts == 0);
	}
	assert_int_equal(queue_remove(txn, &got), OK);
	assert_int_equal(queue_first(txn, 2, &got), OK);
	assert_int_equal(got.id.bytes[15], 3);
	store_commit(txn);
}

/* The store's failures come out of every call, and stick. */
static void test_store_errors(void **state)
{
	struct store *s = *state;
	struct delivery d = make_delivery(1, 1, 100);
	struct delivery out[OUT_MAX];
	struct queue_claim c = claim_of(1, 100, 1);
	struct heads heads = {.count = 0};
	size_t count = 0;
	int64_t next_ms = 0;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(queue_add(txn, &d), OK);
	assert_int_equal(db_txn_fail(txn, ERR_NOSPACE), ERR_NOSPACE);
	assert_int_equal(queue_add(txn, &d), ERR_NOSPACE);
	assert_int_equal(queue_move(txn, &d, 100), ERR_NOSPACE);
	assert_int_equal(queue_remove(txn, &d), ERR_NOSPACE);
	assert_int_equal(queue_get(txn, &d.id, out), ERR_NOSPACE);
	assert_int_equal(queue_put(txn, &d), ERR_NOSPACE);
	assert_int_equal(queue_claim(txn, &c, out, &count, &next_ms), ERR_NOSPACE);
	assert_int_equal(queue_first(txn, 1, out), ERR_NOSPACE);
	assert_int_equal(queue_forget(txn, &d.id), ERR_NOSPACE);
	assert_int_equal(queue_heads(txn, on_head, &heads), ERR_NOSPACE);
	assert_int_equal(heads.count, 0);
	db_abort(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_place_before),
	    STORE_TEST(test_records),
	    STORE_TEST(test_remove),
	    STORE_TEST(test_move),
	    STORE_TEST(test_claim_order_and_limits),
	    STORE_TEST(test_claim_goes_on),
	    STORE_TEST(test_claim_skips),
	    STORE_TEST(test_claim_fifo),
	    STORE_TEST(test_claim_forced),
	    STORE_TEST(test_claim_forced_fifo),
	    STORE_TEST(test_claim_is_bounded),
	    STORE_TEST(test_claim_has_damage),
	    STORE_TEST(test_order),
	    STORE_TEST(test_lanes),
	    STORE_TEST(test_order_of_lanes),
	    STORE_TEST(test_heads),
	    STORE_TEST(test_first),
	    STORE_TEST(test_store_errors),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
