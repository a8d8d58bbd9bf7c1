/*
 * The table of attempts: rows in order of number whatever the order of writing; what an event's
 * count for and how they go with it; rows that cannot be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/log.h"
#include "base/record.h"
#include "store/attempts.h"
#include "store/usage.h"
#include "support.h"

static struct uuid delivery_of(const struct event *e, uint32_t k)
{
	struct uuid id;
	uuid_step(&e->id, k, &id);
	return id;
}

static void put(struct db_txn *txn, struct uuid delivery, uint32_t number, size_t answer_len)
{
	static const char ANSWER[ATTEMPT_ANSWER_MAX] = {0};
	struct attempt_record a = {.at_ms = 1000 + number, .answer = {ANSWER, answer_len}};
	struct buf record = BUF_INIT(ATTEMPT_RECORD_MAX);
	const struct event e = {.session = "s", .deliveries = 1};
	const struct delivery d = {.id = delivery,
	    .status = DELIVERY_WAITING,
	    .attempts = number};
	a.url = SLICE("http://a/");
	attempt_record_encode(&a, &record);
	record_seal(&record, RECORD_ANYWHERE);
	assert_int_equal(attempts_put(txn, &e, &d, buf_view(&record)), OK);
	buf_fini(&record);
}

struct seen {
	uint32_t numbers[16];
	size_t count;
	size_t most;
};

static bool on_attempt(void *arg, uint32_t number, const struct attempt_record *a)
{
	struct seen *s = arg;
	assert_true(a->at_ms == 1000 + (int64_t)number);
	s->numbers[s->count++] = number;
	return s->count < s->most;
}

static struct seen read_all(struct db_txn *txn, struct uuid delivery, uint32_t first,
    size_t max, size_t most)
{
	struct seen s = {.most = most};
	assert_int_equal(attempts_each(txn, &delivery, first, max, on_attempt, &s), OK);
	return s;
}

/* Two deliveries whose rows are written in turn, not in the order of their keys. */
static void test_order(void **state)
{
	struct store *s = *state;
	struct event e = {.id = make_id(100), .deliveries = 2};
	struct uuid one = delivery_of(&e, 1);
	struct uuid two = delivery_of(&e, 2);
	static const uint32_t NUMBERS[] = {3, 1, 2, 300, 256, 70000};
	static const uint32_t SORTED[] = {1, 2, 3, 256, 300, 70000};
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(NUMBERS); i++) {
		put(txn, two, NUMBERS[i], 5);
		put(txn, one, NUMBERS[i], 5);
	}
	put(txn, one, 3, 7); /* again: one row, as a transaction that is tried again leaves */
	assert_int_equal(store_count_in(txn, DB_ATTEMPTS), 2 * COUNT(NUMBERS));
	struct seen all = read_all(txn, one, 0, 16, 16);
	assert_int_equal(all.count, COUNT(SORTED));
	assert_memory_equal(all.numbers, SORTED, sizeof(SORTED));
	struct seen some = read_all(txn, one, 3, 2, 16);
	assert_int_equal(some.count, 2);
	assert_memory_equal(some.numbers, SORTED + 2, 2 * sizeof(SORTED[0]));
	assert_int_equal(read_all(txn, two, 0, 16, 3).count, 3);
	assert_int_equal(read_all(txn, two, 70001, 16, 16).count, 0);
	assert_int_equal(read_all(txn, delivery_of(&e, 3), 0, 16, 16).count, 0);
	store_commit(txn);
}

/* A row that is written again counts for what it is now, once. */
static void test_again_counts_once(void **state)
{
	struct store *s = *state;
	struct event e = {.id = make_id(100), .deliveries = 1};
	struct db_txn *txn = store_begin(s);
	put(txn, delivery_of(&e, 1), 1, 100);
	uint64_t once = usage_of(s->usage, SLICE("s")).n[USAGE_OPEN];
	assert_true(once > 100);
	put(txn, delivery_of(&e, 1), 1, 100);
	assert_true(usage_of(s->usage, SLICE("s")).n[USAGE_OPEN] == once);
	put(txn, delivery_of(&e, 1), 1, 70);
	assert_true(usage_of(s->usage, SLICE("s")).n[USAGE_OPEN] == once - 30);
	put(txn, delivery_of(&e, 1), 1, 120);
	assert_true(usage_of(s->usage, SLICE("s")).n[USAGE_OPEN] == once + 20);
	store_commit(txn);
}

static uint64_t cost_of(struct db_txn *txn, const struct event *e)
{
	uint64_t cost = 1;
	assert_int_equal(attempts_cost(txn, e, &cost), OK);
	return cost;
}

/* An event's attempts are those of its range, and no others. */
static void test_of_an_event(void **state)
{
	struct store *s = *state;
	const struct event before = {.id = make_id(100), .deliveries = 3};
	const struct event e = {.id = make_id(104), .deliveries = 2};
	const struct event behind = {.id = make_id(107), .deliveries = 1};
	const struct event none = {.id = make_id(120)};
	size_t dropped = 10;
	uint64_t cost = 0;
	struct db_txn *txn = store_begin(s);
	put(txn, delivery_of(&before, 3), 1, 0);
	put(txn, delivery_of(&behind, 1), 1, 0);
	assert_true(cost_of(txn, &e) == 0);
	put(txn, delivery_of(&e, 1), 1, 0);
	uint64_t one = cost_of(txn, &e);
	assert_true(one > 9);
	put(txn, delivery_of(&e, 2), 7, 1000);
	put(txn, delivery_of(&e, 2), UINT32_MAX, 0);
	assert_true(cost_of(txn, &e) == 3 * one + 1000);
	assert_true(cost_of(txn, &none) == 0);
	assert_int_equal(attempts_drop(txn, &none, &dropped, &cost), OK);
	assert_int_equal(dropped, 10);
	assert_true(cost == 0);
	assert_int_equal(attempts_drop(txn, &e, &dropped, &cost), OK);
	assert_int_equal(dropped, 13);
	assert_true(cost == 3 * one + 1000);
	assert_true(cost_of(txn, &e) == 0);
	assert_int_equal(store_count_in(txn, DB_ATTEMPTS), 2);
	assert_int_equal(read_all(txn, delivery_of(&before, 3), 0, 16, 16).count, 1);
	store_commit(txn);
}

static void put_raw(struct db_txn *txn, struct uuid delivery, uint32_t number, size_t len)
{
	struct buf key = BUF_INIT(64);
	buf_append(&key, delivery.bytes, UUID_SIZE);
	put_u32(&key, number);
	key.len = len;
	assert_int_equal(db_put(txn, DB_ATTEMPTS, buf_view(&key), SLICE("no attempt")), OK);
	buf_fini(&key);
}

/* Damaged rows are passed by in reading, and go with their event. */
static void test_damage(void **state)
{
	struct store *s = *state;
	const struct event e = {.id = make_id(100), .deliveries = 2};
	struct uuid one = delivery_of(&e, 1);
	size_t dropped = 0;
	uint64_t cost = 0;
	log_setup(LOG_ERROR + 1, LOG_TEXT);
	struct db_txn *txn = store_begin(s);
	put(txn, one, 1, 0);
	put_raw(txn, one, 2, UUID_SIZE + 4);
	put(txn, one, 3, 0);
	put_raw(txn, one, 0xffffffff, UUID_SIZE + 3);
	assert_int_equal(read_all(txn, one, 0, 16, 16).count, 2);
	assert_int_equal(attempts_drop(txn, &e, &dropped, &cost), OK);
	assert_int_equal(dropped, 4);
	assert_int_equal(store_count_in(txn, DB_ATTEMPTS), 0);
	store_commit(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_order),
	    STORE_TEST(test_again_counts_once),
	    STORE_TEST(test_of_an_event),
	    STORE_TEST(test_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
