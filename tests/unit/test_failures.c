/* Addresses that failed of late. Time is in the test's hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "courier/failures.h"

#include "edges.h"

static union lookup_address ipv4(uint32_t n)
{
	return (union lookup_address){
	    .in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(n)}};
}

static int setup(void **state)
{
	*state = failures_new();
	return 0;
}

static int teardown(void **state)
{
	failures_free(*state);
	return 0;
}

static void test_one_address_at_one_port(void **state)
{
	struct failures *f = *state;
	union lookup_address a = ipv4(1);
	union lookup_address b = ipv4(2);
	union lookup_address c = {.in6 = {.sin6_family = AF_INET6, .sin6_scope_id = 1}};
	union lookup_address d = {.in6 = {.sin6_family = AF_INET6, .sin6_scope_id = 2}};
	assert_false(failures_has(f, &a, 80));
	failures_note(f, &a, 80);
	failures_note(f, &c, 80);
	assert_true(failures_has(f, &a, 80));
	assert_true(failures_has(f, &c, 80));
	assert_false(failures_has(f, &a, 81));
	assert_false(failures_has(f, &b, 80));
	assert_false(failures_has(f, &d, 80));
	failures_forget(f, &b, 80);
	failures_forget(f, &a, 81);
	assert_true(failures_has(f, &a, 80));
	failures_forget(f, &a, 80);
	assert_false(failures_has(f, &a, 80));
	assert_int_equal(failures_count(f), 1);
}

static void test_is_forgotten_in_time(void **state)
{
	struct failures *f = *state;
	union lookup_address a = ipv4(1);
	failures_note(f, &a, 80);
	edges.passed_ms += FAILURES_KEPT_MS - 1;
	assert_true(failures_has(f, &a, 80));
	failures_note(f, &a, 80); /* once more: it counts from then on */
	edges.passed_ms += FAILURES_KEPT_MS - 1;
	assert_true(failures_has(f, &a, 80));
	edges.passed_ms += 1;
	assert_false(failures_has(f, &a, 80));
}

static void test_the_oldest_goes_for_a_new_one(void **state)
{
	struct failures *f = *state;
	for (uint32_t n = 0; n < FAILURES_MAX; n++) {
		union lookup_address a = ipv4(n);
		failures_note(f, &a, 80);
	}
	union lookup_address first = ipv4(0);
	union lookup_address second = ipv4(1);
	union lookup_address more = ipv4(FAILURES_MAX);
	failures_note(f, &first, 80); /* is the newest now */
	failures_note(f, &more, 80);
	assert_int_equal(failures_count(f), FAILURES_MAX);
	assert_true(failures_has(f, &first, 80));
	assert_true(failures_has(f, &more, 80));
	assert_false(failures_has(f, &second, 80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_one_address_at_one_port, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_is_forgotten_in_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_the_oldest_goes_for_a_new_one, setup,
		teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
