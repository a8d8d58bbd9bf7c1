/* Sockets that curl wants watched, also where it closes them in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "courier/watch.h"

struct fixture {
	struct reactor *reactor;
	struct watches *watches;
	int ends[2]; /* ours and the peer's */
	int readable, writable;
};

/* Counts it, and wants no more. */
static void on_ready(void *arg, int fd, bool readable, bool writable)
{
	struct fixture *f = arg;
	assert_int_equal(fd, f->ends[0]);
	f->readable += readable;
	f->writable += writable;
	watch_want(f->watches, fd, false, false);
}

static void begin(struct fixture *f)
{
	*f = (struct fixture){.reactor = reactor_new()};
	f->watches = watches_new(f->reactor, on_ready, f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, f->ends), 0);
}

static void end(struct fixture *f)
{
	watches_free(f->watches);
	reactor_free(f->reactor);
	assert_int_equal(close(f->ends[0]), 0);
	assert_int_equal(close(f->ends[1]), 0);
}

/* Some passes. */
static void pass(struct fixture *f)
{
	f->readable = 0;
	f->writable = 0;
	for (int i = 0; i < 5; i++)
		reactor_pass(f->reactor, true);
}

static void test_what_is_wanted_is_told(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f);
	watch_want(f.watches, f.ends[0], false, true);
	pass(&f);
	assert_true(f.readable == 0 && f.writable == 1);
	watch_want(f.watches, f.ends[0], true, false);
	pass(&f);
	assert_true(f.readable == 0 && f.writable == 0);
	assert_int_equal(write(f.ends[1], "x", 1), 1);
	pass(&f);
	assert_true(f.readable == 1 && f.writable == 0);
	watch_drop(f.watches, f.ends[0]);
	end(&f);
}

/* Closes both ends; the next pair has the same numbers. */
static void close_both(struct fixture *f)
{
	int old = f->ends[0];
	assert_int_equal(close(f->ends[0]), 0);
	assert_int_equal(close(f->ends[1]), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, f->ends), 0);
	assert_int_equal(f->ends[0], old);
}

/* What is dropped is not told, and its number is another's by and by. */
static void test_descriptor_is_used_again(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f);
	for (int i = 0; i < 3; i++) {
		int old = f.ends[0];
		watch_want(f.watches, old, true, false);
		assert_int_equal(write(f.ends[1], "x", 1), 1);
		pass(&f);
		assert_int_equal(f.readable, 1);
		watch_want(f.watches, old, true, false);
		watch_drop(f.watches, old);
		pass(&f);
		assert_int_equal(f.readable, 0);
		close_both(&f);
	}
	end(&f);
}

/* As curl closes one that has not connected: only then does it say that nobody wants it. */
static void test_closed_in_silence(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f);
	watch_want(f.watches, f.ends[0], false, true);
	assert_int_equal(close(f.ends[0]), 0);
	watch_drop(f.watches, f.ends[0]);
	f.ends[0] = dup(f.ends[1]);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_is_wanted_is_told),
	    cmocka_unit_test(test_descriptor_is_used_again),
	    cmocka_unit_test(test_closed_in_silence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
