/* The clocks of the turn: one reading a turn, each clock its own, and a fresh one after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "base/clock.h"

#define DAY_MS (24LL * 3600 * 1000)

static int64_t read_ms(clockid_t id)
{
	struct timespec ts;
	assert_int_equal(clock_gettime(id, &ts), 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Lets at least `ms` milliseconds pass, by looking at a clock that is not under test. */
static void spin(int64_t ms)
{
	int64_t until = read_ms(CLOCK_MONOTONIC) + ms + 1;
	while (read_ms(CLOCK_MONOTONIC) < until)
		continue;
}

static void test_one_reading_a_turn(void **state)
{
	(void)state;
	clock_expire();
	int64_t wall = clock_wall_ms();
	int64_t mono = clock_mono_ms();
	spin(3);
	assert_true(clock_wall_ms() == wall);
	assert_true(clock_mono_ms() == mono);
	clock_expire();
	assert_true(clock_mono_ms() >= mono + 3);
}

static void test_readings_are_of_now(void **state)
{
	(void)state;
	int64_t before = read_ms(CLOCK_MONOTONIC);
	clock_expire();
	int64_t mono = clock_mono_ms();
	assert_true(mono >= before && mono <= read_ms(CLOCK_MONOTONIC));
	/* the wall clock may be set meanwhile, but hardly by a day */
	int64_t off = clock_wall_ms() - read_ms(CLOCK_REALTIME);
	assert_true(off > -DAY_MS && off < DAY_MS);
}

/* A reading of one clock leaves the other to be read when it is first asked for. */
static void test_each_read_when_first_asked(void **state)
{
	(void)state;
	clock_expire();
	(void)clock_wall_ms(); /* reads that one */
	spin(3);
	int64_t before = read_ms(CLOCK_MONOTONIC);
	assert_true(clock_mono_ms() >= before);
}

static void test_now_is_not_the_turns(void **state)
{
	(void)state;
	int64_t first = clock_now_us();
	spin(2);
	int64_t second = clock_now_us();
	assert_true(second >= first + 2000);
	assert_true(second / 1000 <= read_ms(CLOCK_MONOTONIC));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_reading_a_turn),
	    cmocka_unit_test(test_readings_are_of_now),
	    cmocka_unit_test(test_each_read_when_first_asked),
	    cmocka_unit_test(test_now_is_not_the_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
