/* The scheduler's window and pauses: how many attempts an endpoint may have, and how soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched_fixture.h"
#include "support.h"

/* From one to eight with the first success, then by one with each; at most max_in_flight. */
static void test_window_grows(void **state)
{
	(void)state;
	static const uint32_t WANT[] = {1, 8, 9, 10, 10, 10};
	struct fixture *f = make(&ROOMY, 1, 10);
	for (size_t i = 0; i + 1 < COUNT(WANT); i++) {
		assert_int_equal(window(f), WANT[i]);
		run(f, 1, RESULT_OK, FAST_US);
		assert_int_equal(f->e[0].in_flight, WANT[i + 1]);
	}
	destroy(f);
}

/* One that may have few is not asked for more; one that failed first grows as after a cut. */
static void test_window_of_a_first_success(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 3);
	run(f, 1, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 3);
	destroy(f);
	f = make(&ROOMY, 1, 16);
	run(f, 2, RESULT_FAILED, FAST_US);
	run(f, 1, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 1);
	run(f, 1, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 2);
	destroy(f);
}

/* Each of those that filled it counts, also where they end all at once: it doubles. */
static void test_window_of_successes_at_once(void **state)
{
	(void)state;
	static const uint32_t WANT[] = {1, 8, 16, 32, 50, 50};
	struct fixture *f = make(&ROOMY, 1, 50);
	for (size_t i = 0; i < COUNT(WANT); i++) {
		assert_int_equal(start_all(f), WANT[i]);
		finish_all(f, 0, RESULT_OK);
	}
	destroy(f);
}

/* A window that is not used does not grow. */
static void test_window_unused(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 3, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 10);
	finish_all(f, 0, RESULT_NONE);
	for (int i = 0; i < 20; i++) {
		int next = offered(f);
		assert_int_equal(next, 0);
		sched_start(f->sched, &f->e[0], f->now_ms);
		finish(f, 0, RESULT_OK);
	}
	assert_int_equal(window(f), 10);
	destroy(f);
}

/* Lets endpoint 0's circuit open, and its probe succeed. */
static void have_outage(struct fixture *f)
{
	while (f->e[0].circuit == CIRCUIT_CLOSED || f->e[0].in_flight > 0)
		run(f, 1, RESULT_FAILED, FAST_US);
	f->now_ms += ROOMY.circuit_open_ms;
	run(f, 1, RESULT_OK, FAST_US);
}

/* After an outage it grows as at first, up to the half of what it was, then slowly. */
static void test_window_after_an_outage(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 30, RESULT_OK, FAST_US);
	for (int outage = 0; outage < 2; outage++) {
		have_outage(f);
		assert_int_equal(window(f), 1);
		run(f, 7, RESULT_OK, FAST_US);
		assert_int_equal(window(f), 8);
		run(f, 7, RESULT_OK, FAST_US);
		assert_int_equal(window(f), 8);
		run(f, 81, RESULT_OK, FAST_US);
		assert_int_equal(window(f), 15);
		run(f, 15, RESULT_OK, FAST_US);
		assert_int_equal(window(f), 16);
	}
	destroy(f);
}

/* A failure halves it, once a window; above where that was it grows by one a window. */
static void test_window_is_cut(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 30, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 16);
	finish(f, 0, RESULT_FAILED);
	assert_int_equal(f->e[0].window, 8);
	finish(f, 0, RESULT_FAILED); /* of the same window: it tells nothing new */
	assert_int_equal(f->e[0].window, 8);
	assert_int_equal(window(f), 8);
	run(f, 7, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 8);
	run(f, 3, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 9);
	finish(f, 0, RESULT_FAILED); /* of a later one */
	assert_int_equal(window(f), 4);
	destroy(f);
}

/* An answer that asks to slow down counts at once, each; one attempt always may go. */
static void test_window_and_overload(void **state)
{
	(void)state;
	static const uint32_t WANT[] = {8, 4, 2, 1, 1};
	const struct sched_conf conf = {.slots = 1000,
	    .per_host = 1000,
	    .circuit_failures = 1000,
	    .circuit_open_ms = 1};
	struct fixture *f = make(&conf, 1, 16);
	run(f, 30, RESULT_OK, FAST_US);
	for (size_t i = 0; i < COUNT(WANT); i++) {
		finish(f, 0, RESULT_OVERLOADED);
		f->now_ms = f->e[0].resume_ms;
		assert_int_equal(window(f), WANT[i]);
	}
	destroy(f);
}

/* Overload spaces the attempts, ever more, and success less and less until not at all. */
static void test_pause(void **state)
{
	(void)state;
	static const struct {
		enum sched_result result;
		int64_t pause_ms;
	} STEPS[] = {{RESULT_OVERLOADED, 100}, {RESULT_OVERLOADED, 200}, {RESULT_FAILED, 200},
	    {RESULT_OVERLOADED, 400}, {RESULT_OK, 200}, {RESULT_OK, 100}, {RESULT_OK, 50},
	    {RESULT_OK, 25}, {RESULT_OK, 0}, {RESULT_OVERLOADED, 100}};
	const struct sched_conf conf = {.slots = 10,
	    .per_host = 10,
	    .circuit_failures = 1000,
	    .circuit_open_ms = 1};
	struct fixture *f = make(&conf, 1, 1);
	for (size_t i = 0; i < COUNT(STEPS); i++) {
		assert_int_equal(start_all(f), 1);
		finish(f, 0, STEPS[i].result);
		if (f->e[0].pause_ms != STEPS[i].pause_ms)
			fail_msg("step %zu: pauses for %lld ms", i,
			    (long long)f->e[0].pause_ms);
		bool paused = STEPS[i].pause_ms > 0 && STEPS[i].result != RESULT_FAILED;
		if (paused) {
			assert_int_equal(offered(f), -1);
			assert_true(
			    sched_wake(f->sched, f->now_ms) == f->now_ms + STEPS[i].pause_ms);
			f->now_ms += STEPS[i].pause_ms;
		}
		assert_int_equal(offered(f), 0);
	}
	for (int i = 0; i < 10; i++) {
		assert_int_equal(start_all(f), 1);
		finish(f, 0, i == 0 ? RESULT_OK : RESULT_OVERLOADED);
		f->now_ms += 5000;
	}
	assert_int_equal(f->e[0].pause_ms, 5000);
	sched_reset(f->sched, &f->e[0]); /* the operator says that it is mended */
	assert_int_equal(offered(f), 0);
	destroy(f);
}

/* What cannot be tried from here comes again ever later, until an attempt is made. */
static void test_put_off(void **state)
{
	static const int64_t WAITS_MS[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
	static const enum sched_result MADE[] = {RESULT_FAILED, RESULT_OK, RESULT_OK};
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 2);
	run(f, 10, RESULT_OK, FAST_US);
	for (size_t made = 0; made < COUNT(MADE); made++) {
		uint32_t failures = f->e[0].failures;
		for (size_t i = 0; i < COUNT(WAITS_MS); i++) {
			(void)start_all(f);
			assert_true(f->e[0].in_flight > 0);
			while (f->e[0].in_flight > 0) { /* together they count once */
				sched_put_off(f->sched, &f->e[0], f->now_ms);
				finish(f, 0, RESULT_NONE);
			}
			assert_int_equal(offered(f), -1);
			int64_t wake_ms = sched_wake(f->sched, f->now_ms);
			assert_int_equal(wake_ms, f->now_ms + WAITS_MS[i]);
			f->now_ms = wake_ms;
			assert_int_equal(f->e[0].failures, failures);
		}
		assert_true(start_all(f) > 0);
		finish_all(f, 0, MADE[made]);
	}
	(void)start_all(f);
	sched_put_off(f->sched, &f->e[0], f->now_ms);
	finish_all(f, 0, RESULT_NONE);
	assert_int_equal(offered(f), -1);
	sched_reset(f->sched, &f->e[0]);
	assert_int_equal(offered(f), 0);
	destroy(f);
}

/* Latency that rises narrows it; latency that falls again lets it grow again. */
static void test_window_and_latency(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 100, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 16);
	run(f, 60, RESULT_OK, 50 * FAST_US);
	uint32_t narrowed = window(f);
	assert_in_range(narrowed, 1, 12);
	run(f, 500, RESULT_OK, FAST_US);
	assert_in_range(window(f), narrowed + 1, 16);
	destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window_grows),
	    cmocka_unit_test(test_window_of_a_first_success),
	    cmocka_unit_test(test_window_of_successes_at_once),
	    cmocka_unit_test(test_window_unused),
	    cmocka_unit_test(test_window_after_an_outage),
	    cmocka_unit_test(test_window_is_cut),
	    cmocka_unit_test(test_window_and_overload),
	    cmocka_unit_test(test_pause),
	    cmocka_unit_test(test_put_off),
	    cmocka_unit_test(test_window_and_latency),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
