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

#define SECOND_US 1000000LL
#define HOUR_US (3600 * SECOND_US)

/* Steps `w` once a second for `seconds`, while the system's clock stands `ahead_us` off. */
static void run(struct clock_wall *w, int64_t seconds, int64_t ahead_us)
{
	for (int64_t i = 0; i < seconds; i++) {
		int64_t before = w->wall_us;
		int64_t passed = w->passed_us + SECOND_US;
		clock_step(w, passed, passed + ahead_us);
		int64_t gained = w->wall_us - before;
		assert_true(gained >= SECOND_US * 9 / 10 && gained <= SECOND_US * 11 / 10);
	}
}

/* A clock that is set makes no leap here: what waits an hour waits about an hour. */
static void test_jumps_are_followed_slowly(void **state)
{
	(void)state;
	static const int64_t JUMPS[] = {24 * HOUR_US, -24 * HOUR_US, 5 * SECOND_US,
	    -5 * SECOND_US, 56LL * 365 * 24 * HOUR_US, -56LL * 365 * 24 * HOUR_US};
	for (size_t i = 0; i < sizeof(JUMPS) / sizeof(JUMPS[0]); i++) {
		struct clock_wall w = {0};
		int64_t start = 60LL * 365 * 24 * HOUR_US;
		clock_step(&w, start, start);
		assert_true(w.wall_us == start);
		run(&w, 3600, JUMPS[i]);
		int64_t off = w.wall_us - (w.passed_us + JUMPS[i]);
		int64_t covered = HOUR_US / 10;
		int64_t far = JUMPS[i] < 0 ? -JUMPS[i] : JUMPS[i];
		int64_t left = far > covered ? far - covered : 0;
		assert_true(off == (JUMPS[i] < 0 ? left : -left));
	}
}

/* Once the two agree they stay so, also when the clock is set back again. */
static void test_agrees_in_the_end(void **state)
{
	(void)state;
	struct clock_wall w = {0};
	clock_step(&w, HOUR_US, HOUR_US);
	run(&w, 60, 10 * SECOND_US);
	assert_true(w.wall_us == w.passed_us + 6 * SECOND_US);
	run(&w, 60, 10 * SECOND_US);
	assert_true(w.wall_us == w.passed_us + 10 * SECOND_US);
	run(&w, 600, 0);
	assert_true(w.wall_us == w.passed_us);
}

/* The store has seen a later time than the system's clock shows: time goes on from there. */
static void test_resumes_ahead(void **state)
{
	(void)state;
	clock_expire();
	int64_t now = clock_wall_ms();
	clock_resume(now - DAY_MS);
	assert_true(clock_wall_ms() == now);
	clock_resume(now + DAY_MS);
	assert_true(clock_wall_ms() == now + DAY_MS);
	clock_expire();
	assert_true(clock_wall_ms() >= now + DAY_MS);
	assert_true(clock_system_ms() < now + DAY_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_reading_a_turn),
	    cmocka_unit_test(test_readings_are_of_now),
	    cmocka_unit_test(test_each_read_when_first_asked),
	    cmocka_unit_test(test_now_is_not_the_turns),
	    cmocka_unit_test(test_jumps_are_followed_slowly),
	    cmocka_unit_test(test_agrees_in_the_end),
	    cmocka_unit_test(test_resumes_ahead),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
