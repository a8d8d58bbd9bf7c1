/* The addresses that a request may connect to, in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

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

/* The first `count` addresses in the order that `drawn` brings, with a blank between. */
static const char *order(const char *const *texts, size_t count,
    const struct failures *failures, uint64_t drawn)
{
	static char out[LOOKUP_ADDRESSES_MAX * ROUTE_NAME_SIZE];
	union lookup_address list[LOOKUP_ADDRESSES_MAX];
	struct route r;
	out[0] = '\0';
	for (size_t i = 0; i < count; i++)
		list[i] = address(texts[i]);
	route_set(&r, &(struct lookup_answer){.addresses = list, .count = count}, NULL);
	route_order(&r, failures, 80, drawn);
	while (route_has_next(&r)) {
		char text[ROUTE_NAME_SIZE];
		const union lookup_address *a = route_peek(&r);
		route_name(a, text);
		assert_ptr_equal(route_next(&r), a);
		size_t len = strlen(out);
		(void)snprintf(out + len, sizeof(out) - len, "%s ", text);
	}
	return out;
}

static void test_families_take_turns(void **state)
{
	static const char *const MIXED[] = {"::1", "::2", "::3", "10.0.0.1", "10.0.0.2"};
	static const char *const LATE[] = {"10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"};
	struct failures *none = failures_new();
	(void)state;
	assert_string_equal(order(MIXED, 5, none, 0), "[::1] 10.0.0.1 [::2] 10.0.0.2 [::3] ");
	assert_string_equal(order(LATE, 4, none, 0), "10.0.0.1 [::1] 10.0.0.2 10.0.0.3 ");
	assert_string_equal(order(LATE, 1, none, 7), "10.0.0.1 ");
	failures_free(none);
}

/* Each address of the family that is preferred comes first as often as any other. */
static void test_any_address_comes_first(void **state)
{
	static const char *const MIXED[] = {"::1", "::2", "::3", "10.0.0.1", "10.0.0.2"};
	struct failures *none = failures_new();
	(void)state;
	assert_string_equal(order(MIXED, 5, none, 1), "[::2] 10.0.0.2 [::3] 10.0.0.1 [::1] ");
	assert_string_equal(order(MIXED, 5, none, 2), "[::3] 10.0.0.1 [::1] 10.0.0.2 [::2] ");
	assert_string_equal(order(MIXED, 5, none, UINT64_MAX),
	    "[::1] 10.0.0.2 [::2] 10.0.0.1 [::3] ");
	failures_free(none);
}

static void test_what_failed_comes_last(void **state)
{
	static const char *const MIXED[] = {"::1", "::2", "10.0.0.1", "10.0.0.2"};
	union lookup_address a[] = {address("::1"), address("::2"), address("10.0.0.1"),
	    address("10.0.0.2")};
	struct failures *f = failures_new();
	(void)state;
	failures_note(f, &a[0], 80);
	failures_note(f, &a[3], 443); /* at another port it may be well */
	assert_string_equal(order(MIXED, 4, f, 0), "[::2] 10.0.0.1 10.0.0.2 [::1] ");
	failures_note(f, &a[1], 80);
	assert_string_equal(order(MIXED, 4, f, 0), "10.0.0.1 10.0.0.2 [::1] [::2] ");
	failures_note(f, &a[2], 80);
	failures_note(f, &a[3], 80);
	assert_string_equal(order(MIXED, 4, f, 0), "[::1] 10.0.0.1 [::2] 10.0.0.2 ");
	failures_forget(f, &a[3], 80);
	assert_string_equal(order(MIXED, 4, f, 0), "10.0.0.2 [::1] 10.0.0.1 [::2] ");
	failures_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forbidden_addresses_are_left_out),
	    cmocka_unit_test(test_exempt_addresses_are_tried),
	    cmocka_unit_test(test_all_forbidden),
	    cmocka_unit_test(test_families_take_turns),
	    cmocka_unit_test(test_any_address_comes_first),
	    cmocka_unit_test(test_what_failed_comes_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
