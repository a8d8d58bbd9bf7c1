/* The addresses that a request may connect to, in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "courier/route.h"
#include "support.h"

static union lookup_address address(const char *text)
{
	union lookup_address a = {.in = {.sin_family = AF_INET}};
	if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1)
		return a;
	a = (union lookup_address){.in6 = {.sin6_family = AF_INET6}};
	assert_int_equal(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
	return a;
}

static void expect(struct route *r, const char *name)
{
	char text[ROUTE_NAME_SIZE];
	const union lookup_address *a = route_next(r);
	assert_non_null(a);
	route_name(a, text);
	assert_string_equal(text, name);
}

static void test_forbidden_addresses_are_left_out(void **state)
{
	const union lookup_address list[] = {address("10.0.0.1"), address("2606:2800:220:1::1"),
	    address("169.254.169.254"), address("::1"), address("93.184.215.14"),
	    address("::ffff:127.0.0.1")};
	const struct lookup_answer answer = {.addresses = list, .count = COUNT(list)};
	const struct address_policy policy = {0};
	struct route r;
	(void)state;
	route_set(&r, &answer, &policy);
	expect(&r, "[2606:2800:220:1::1]");
	expect(&r, "93.184.215.14");
	assert_null(route_next(&r));
	route_set(&r, &answer, NULL);
	expect(&r, "10.0.0.1");
	assert_int_equal(r.count, COUNT(list));
}

static void test_exempt_addresses_are_tried(void **state)
{
	const union lookup_address list[] = {address("10.0.0.1"), address("10.0.1.1")};
	const struct lookup_answer answer = {.addresses = list, .count = COUNT(list)};
	struct cidr allow;
	assert_int_equal(cidr_parse(SLICE("10.0.1.0/24"), &allow), OK);
	const struct address_policy policy = {.allow = &allow, .allow_count = 1};
	struct route r;
	(void)state;
	route_set(&r, &answer, &policy);
	expect(&r, "10.0.1.1");
	assert_null(route_next(&r));
}

/* One stays, for who opens its socket to refuse it in its words. */
static void test_all_forbidden(void **state)
{
	const union lookup_address list[] = {address("10.0.0.1"), address("127.0.0.1")};
	const struct lookup_answer answer = {.addresses = list, .count = COUNT(list)};
	const struct address_policy policy = {0};
	struct route r;
	(void)state;
	route_set(&r, &answer, &policy);
	expect(&r, "127.0.0.1");
	assert_null(route_next(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forbidden_addresses_are_left_out),
	    cmocka_unit_test(test_exempt_addresses_are_tried),
	    cmocka_unit_test(test_all_forbidden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
