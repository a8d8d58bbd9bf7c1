/* How descriptors are shared where there are enough, and where there are too few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>

#include "server/descriptors.h"

#define RESERVE 456

static const struct descriptor_needs NEEDS = {.connections = 1024,
    .servers = 1,
    .attempts = 1024};

/* Of few descriptors no more than a quarter is kept back. */
static uint64_t reserve_of(uint64_t limit)
{
	return limit / 4 < RESERVE ? limit / 4 : RESERVE;
}

static void test_enough(void **state)
{
	(void)state;
	uint64_t wanted = descriptors_wanted(&NEEDS);
	struct descriptor_shares s = descriptors_share(wanted, &NEEDS);
	assert_int_equal(wanted, 1024 + 2 * 1024 + RESERVE);
	assert_int_equal(s.connections, 1024);
	assert_int_equal(s.attempts, 1024);
	assert_int_equal(s.receivers, 2 * 1024);
}

/* More descriptors than are wanted are nobody's: caches of curl do not grow with them. */
static void test_plenty(void **state)
{
	(void)state;
	struct descriptor_shares s = descriptors_share(1u << 20, &NEEDS);
	assert_int_equal(s.connections, 1024);
	assert_int_equal(s.receivers, 2 * 1024);
}

static void test_idle_connections_go_first(void **state)
{
	(void)state;
	struct descriptor_shares s = descriptors_share(1024 + 1024 + 10 + RESERVE, &NEEDS);
	assert_int_equal(s.connections, 1024);
	assert_int_equal(s.attempts, 1024);
	assert_int_equal(s.receivers, 1024 + 10);
}

/* Whatever the limit, all together stay within it, and each has one at least. */
static void test_too_few(void **state)
{
	static const struct descriptor_needs CASES[] = {{1024, 1, 1024}, {1024, 2, 1024},
	    {100000, 1, 16}, {1, 1, 10000}, {1, 2, 1}};
	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const struct descriptor_needs *n = &CASES[i];
		for (uint64_t limit = 0; limit < 4000; limit++) {
			struct descriptor_shares s = descriptors_share(limit, n);
			assert_in_range(s.connections, 1, n->connections);
			assert_in_range(s.attempts, 1, n->attempts);
			assert_true(s.receivers >= s.attempts);
			uint64_t all = s.connections * n->servers + s.receivers +
			    reserve_of(limit);
			if (s.connections > 1 && s.attempts > 1)
				assert_true(all <= limit);
		}
	}
}

static void test_256(void **state)
{
	(void)state;
	struct descriptor_shares s = descriptors_share(256, &NEEDS);
	assert_int_equal(s.connections, 96);
	assert_int_equal(s.attempts, 96);
	assert_int_equal(s.receivers, 96);
}

/* What is left for clients is what the receivers do not have. */
static void test_left(void **state)
{
	(void)state;
	struct descriptor_shares s = descriptors_share(4096, &NEEDS);
	assert_int_equal(descriptors_left(4096, &s, 1), 4096 - RESERVE - 2048);
	assert_int_equal(descriptors_left(4096, &s, 2), (4096 - RESERVE - 2048) / 2);
	assert_int_equal(descriptors_left(100, &s, 1), 1);
}

static void test_hard_limit_is_taken(void **state)
{
	struct rlimit limit;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_max = limit.rlim_max < 2048 ? limit.rlim_max : 2048;
	limit.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(descriptors_raise(), limit.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_enough),
	    cmocka_unit_test(test_plenty),
	    cmocka_unit_test(test_idle_connections_go_first),
	    cmocka_unit_test(test_too_few),
	    cmocka_unit_test(test_256),
	    cmocka_unit_test(test_left),
	    cmocka_unit_test(test_hard_limit_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
