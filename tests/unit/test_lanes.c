/* The lanes of an endpoint in memory: turns, due times, and whose turn it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/rnd.h"
#include "dispatch/lanes.h"
#include "support.h"

static const bool FREE[LANES];

static void test_each_comes_round(void **state)
{
	(void)state;
	struct lanes *l = lanes_new();
	for (unsigned n = 0; n < 3 * LANES; n++) {
		uint16_t lane = lanes_next(l, FREE, 0);
		assert_int_equal(lane, n % LANES);
		lanes_take(l, lane);
	}
	lanes_free(l);
	lanes_free(NULL);
}

/* Whatever is looked at in between, whoever was taken waits for all others. */
static void test_looks_do_not_change_whose_turn_it_is(void **state)
{
	(void)state;
	struct lanes *l = lanes_new();
	lanes_take(l, 100);
	lanes_look_all(l);
	assert_int_equal(lanes_next(l, FREE, 0), 101);
	lanes_look(l, 3);
	assert_int_equal(lanes_next(l, FREE, 0), 101);
	lanes_free(l);
}

static void test_due_times(void **state)
{
	(void)state;
	bool busy[LANES] = {false};
	struct lanes *l = lanes_new();
	lanes_set_empty(l, 0, LANES);
	assert_int_equal(lanes_next(l, busy, INT64_MAX - 1), LANES);
	assert_true(lanes_wake(l, busy) == LANES_NEVER);
	lanes_set_due(l, 7, 500);
	lanes_set_due(l, 9, 400);
	assert_int_equal(lanes_next(l, busy, 399), LANES);
	assert_int_equal(lanes_next(l, busy, 400), 9);
	assert_int_equal(lanes_next(l, busy, 500), 7);
	assert_true(lanes_wake(l, busy) == 400);
	busy[9] = true;
	assert_int_equal(lanes_next(l, busy, 400), LANES);
	assert_true(lanes_wake(l, busy) == 500);
	lanes_take(l, 7);
	busy[7] = true;
	assert_true(lanes_wake(l, busy) == LANES_NEVER);
	busy[7] = false; /* it may have another */
	assert_int_equal(lanes_next(l, busy, 0), 7);
	lanes_set_empty(l, 7, 8);
	lanes_set_due(l, 9, 10);
	assert_int_equal(lanes_next(l, busy, 500), LANES);
	lanes_free(l);
}

/* A damaged place may name any lane. */
static void test_lanes_that_there_are_not(void **state)
{
	(void)state;
	struct lanes *l = lanes_new();
	lanes_set_empty(l, 250, UINT16_MAX);
	lanes_set_due(l, LANES, 0);
	lanes_look(l, UINT16_MAX);
	lanes_take(l, UINT16_MAX);
	lanes_set_empty(l, 0, 250);
	assert_int_equal(lanes_next(l, FREE, 0), LANES);
	lanes_free(l);
}

/* Against a table: no lane that may go is passed over for more than a round. */
static void test_fair_at_random(void **state)
{
	(void)state;
	struct rnd rnd;
	struct lanes *l = lanes_new();
	int64_t due_ms[LANES] = {0};
	unsigned waited[LANES] = {0};
	bool busy[LANES] = {false};
	rnd_seed(&rnd, test_seed(77));
	for (uint16_t lane = 0; lane < LANES; lane++)
		lanes_set_due(l, lane, 0);
	for (int64_t now_ms = 1; now_ms < 20000; now_ms++) {
		uint16_t lane = lanes_next(l, busy, now_ms);
		int64_t wake_ms = LANES_NEVER;
		bool any = false;
		for (uint16_t i = 0; i < LANES; i++) {
			bool may = !busy[i] && due_ms[i] <= now_ms;
			any = any || may;
			if (!busy[i] && due_ms[i] < wake_ms)
				wake_ms = due_ms[i];
			waited[i] = may && i != lane ? waited[i] + 1 : 0;
			assert_in_range(waited[i], 0, LANES);
		}
		assert_int_equal(any, lane != LANES);
		assert_true(lanes_wake(l, busy) == wake_ms);
		if (lane == LANES)
			continue;
		assert_true(!busy[lane] && due_ms[lane] <= now_ms);
		lanes_take(l, lane);
		due_ms[lane] = now_ms + (int64_t)(rnd_next(&rnd) % 400);
		lanes_set_due(l, lane, due_ms[lane]);
		busy[rnd_next(&rnd) % LANES] = rnd_next(&rnd) % 3 == 0;
	}
	lanes_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_comes_round),
	    cmocka_unit_test(test_looks_do_not_change_whose_turn_it_is),
	    cmocka_unit_test(test_due_times),
	    cmocka_unit_test(test_lanes_that_there_are_not),
	    cmocka_unit_test(test_fair_at_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
