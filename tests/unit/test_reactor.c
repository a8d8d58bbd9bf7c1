/* The loop's passes: one waits or polls once, and what stays ready is for the next one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/reactor.h"

static void on_ready(void *arg, int fd, bool readable, bool writable)
{
	int *calls = arg;
	(void)fd;
	assert_true(readable && !writable);
	++*calls;
}

static void test_what_stays_ready_is_called_once_a_pass(void **state)
{
	struct reactor *r = reactor_new();
	int ends[2];
	int calls = 0;
	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	struct reactor_io *io = reactor_io_new(r, ends[0], on_ready, &calls);
	reactor_io_want(io, true, false);
	for (int pass = 1; pass <= 4; pass++) {
		reactor_pass(r, pass % 2 == 0);
		assert_int_equal(calls, pass);
		assert_int_equal(reactor_passes(r), pass);
	}
	reactor_io_free(io);
	reactor_free(r);
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(close(ends[1]), 0);
}

static void on_time(void *arg)
{
	int *calls = arg;
	++*calls;
}

static void on_first(void *arg)
{
	struct reactor_timer *second = arg;
	reactor_timer_fire(second);
}

static void test_what_is_made_active_is_of_the_same_pass(void **state)
{
	struct reactor *r = reactor_new();
	int calls = 0;
	(void)state;
	struct reactor_timer *second = reactor_timer_new(r, on_time, &calls);
	struct reactor_timer *first = reactor_timer_new(r, on_first, second);
	reactor_timer_set(first, 0);
	reactor_pass(r, false);
	assert_int_equal(calls, 1);
	reactor_timer_free(first);
	reactor_timer_free(second);
	reactor_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_stays_ready_is_called_once_a_pass),
	    cmocka_unit_test(test_what_is_made_active_is_of_the_same_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
