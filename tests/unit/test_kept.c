/* Connections by their ends, and whether something lies on them; over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "courier/kept.h"

#define HOST "127.0.0.1"

struct fixture {
	struct kept *kept;
	int ours;
	int theirs;
	struct kept_ends ends;
};

static int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in a = {.sin_family = AF_INET};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	a.sin_port = htons((uint16_t)port_of(listener));
	f->ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->ours, (struct sockaddr *)&a, sizeof(a)), 0);
	f->theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	f->ends = (struct kept_ends){HOST, HOST, ntohs(a.sin_port), port_of(f->ours)};
	f->kept = kept_new();
	kept_put(f->kept, f->ours, &f->ends);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	kept_free(f->kept);
	close(f->ours);
	if (f->theirs >= 0)
		close(f->theirs);
	free(f);
	return 0;
}

static void test_nothing_came(void **state)
{
	const struct fixture *f = *state;
	assert_false(kept_is_stale(f->kept, &f->ends));
	assert_int_equal(write(f->ours, "x", 1), 1); /* what we have sent is not theirs */
	assert_false(kept_is_stale(f->kept, &f->ends));
}

static void test_something_came(void **state)
{
	const struct fixture *f = *state;
	char byte;
	assert_int_equal(write(f->theirs, "xy", 2), 2);
	assert_true(kept_is_stale(f->kept, &f->ends));
	assert_true(kept_is_stale(f->kept, &f->ends)); /* it was not taken */
	assert_int_equal(read(f->ours, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	assert_true(kept_is_stale(f->kept, &f->ends));
	assert_int_equal(read(f->ours, &byte, 1), 1);
	assert_false(kept_is_stale(f->kept, &f->ends));
}

static void test_it_has_ended(void **state)
{
	struct fixture *f = *state;
	close(f->theirs);
	f->theirs = -1;
	assert_true(kept_is_stale(f->kept, &f->ends));
}

static void test_it_was_reset(void **state)
{
	struct fixture *f = *state;
	const struct linger at_once = {.l_onoff = 1};
	assert_int_equal(
	    setsockopt(f->theirs, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(f->theirs);
	f->theirs = -1;
	assert_true(kept_is_stale(f->kept, &f->ends));
}

/* Each of the four ends counts; one that is unknown, or no more, is nobody's fault. */
static void test_others_are_not_known(void **state)
{
	const struct fixture *f = *state;
	struct kept_ends other[] = {f->ends, f->ends, f->ends, f->ends};
	assert_int_equal(write(f->theirs, "x", 1), 1);
	other[0].remote = "127.0.0.2";
	other[1].local = "::1";
	other[2].remote_port++;
	other[3].local_port++;
	for (size_t i = 0; i < 4; i++)
		assert_false(kept_is_stale(f->kept, &other[i]));
	kept_drop(f->kept, f->ours);
	kept_drop(f->kept, f->ours);
	kept_drop(f->kept, 100000);
	assert_false(kept_is_stale(f->kept, &f->ends));
}

/* A number may come again with other ends, and ends with another number. */
static void test_numbers_come_again(void **state)
{
	struct fixture *f = *state;
	struct kept_ends other = f->ends;
	other.local_port++;
	assert_int_equal(write(f->theirs, "x", 1), 1);
	kept_put(f->kept, f->ours, &other);
	assert_false(kept_is_stale(f->kept, &f->ends));
	assert_true(kept_is_stale(f->kept, &other));
	kept_put(f->kept, f->theirs, &other); /* nothing lies there */
	assert_false(kept_is_stale(f->kept, &other));
	kept_drop(f->kept, f->ours); /* is not the one that has them now */
	assert_int_equal(write(f->ours, "x", 1), 1);
	assert_true(kept_is_stale(f->kept, &other));
}

/* What comes on a connection that is shared is for one of those who share it. */
static void test_it_is_shared(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(write(f->theirs, "x", 1), 1);
	kept_share(f->kept, f->ours, true);
	assert_false(kept_is_stale(f->kept, &f->ends));
	kept_share(f->kept, f->ours, false);
	assert_true(kept_is_stale(f->kept, &f->ends));
	kept_share(f->kept, f->ours, true);
	kept_put(f->kept, f->ours, &f->ends); /* another one of that number */
	assert_true(kept_is_stale(f->kept, &f->ends));
	kept_share(f->kept, 100000, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_nothing_came, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_something_came, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_it_has_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_it_was_reset, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_others_are_not_known, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_numbers_come_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_it_is_shared, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
