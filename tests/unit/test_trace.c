/* What is kept of a trace, by the rules of W3C Trace Context. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "domain/trace.h"
#include "support.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void expect_kept(const char *parent, const char *tracestate, const char *kept)
{
	char out[TRACE_MAX];
	size_t n = trace_keep(slice_of(parent), slice_of(tracestate), out);
	if (n != strlen(kept) || memcmp(out, kept, n) != 0)
		fail_msg("%s, %s: %.*s", parent, tracestate, (int)n, out);
}

static void test_what_is_a_trace_is_kept(void **state)
{
	(void)state;
	expect_kept(PARENT, "", PARENT);
	expect_kept(" " PARENT "\t", "", PARENT);
	expect_kept(PARENT, "a=b", PARENT "\na=b");
	expect_kept(PARENT, " fw529a3039@dt=FfFf , , b/c_-*=x y!,",
	    PARENT "\nfw529a3039@dt=FfFf , , b/c_-*=x y!,");
	/* a later version may have more */
	expect_kept("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more", "",
	    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more");
}

static void test_what_is_none_is_not(void **state)
{
	static const char *const PARENTS[] = {
	    "",
	    "00",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
	    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
	    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-m\nre",
	    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	    "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
	};
	(void)state;
	for (size_t i = 0; i < COUNT(PARENTS); i++)
		expect_kept(PARENTS[i], "a=b", "");
}

static void test_a_bad_state_is_left_out(void **state)
{
	static const char *const STATES[] = {
	    " ",
	    ",",
	    "a",
	    "a=",
	    "=b",
	    "A=b",
	    "_a=b",
	    "a=b=c",
	    "a=b,c",
	    "a b=c",
	    "a=\x7f",
	    "a=\n",
	    "a=\xc3\xbc",
	};
	(void)state;
	for (size_t i = 0; i < COUNT(STATES); i++)
		expect_kept(PARENT, STATES[i], PARENT);
}

/* `n` members of `size` bytes with the comma. */
static void make_state(char *out, size_t n, size_t size)
{
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		out[at++] = 'k';
		out[at++] = '=';
		memset(out + at, 'v', size - 3);
		at += size - 3;
		out[at++] = ',';
	}
	out[at] = '\0';
}

static void test_bounds(void **state)
{
	char text[1024];
	char kept[2048];
	char long_parent[TRACE_PARENT_MAX + 2];
	(void)state;
	make_state(text, TRACE_MEMBERS_MAX, TRACE_STATE_MAX / TRACE_MEMBERS_MAX);
	(void)snprintf(kept, sizeof(kept), "%s\n%s", PARENT, text);
	expect_kept(PARENT, text, kept);
	make_state(text, TRACE_MEMBERS_MAX + 1, 4); /* one more */
	expect_kept(PARENT, text, PARENT);
	make_state(text, 2, TRACE_STATE_MAX / 2);
	memcpy(text + strlen(text), ",", 2); /* one byte more */
	expect_kept(PARENT, text, PARENT);
	memset(long_parent, 'a', sizeof(long_parent));
	memcpy(long_parent, "01", 2);
	memcpy(long_parent + 2, PARENT + 2, strlen(PARENT) - 2);
	long_parent[strlen(PARENT)] = '-';
	long_parent[TRACE_PARENT_MAX] = '\0';
	expect_kept(long_parent, "", long_parent);
	long_parent[TRACE_PARENT_MAX] = 'a';
	long_parent[TRACE_PARENT_MAX + 1] = '\0';
	expect_kept(long_parent, "", "");
}

static void test_it_comes_apart_as_it_was(void **state)
{
	struct slice parent;
	struct slice rest;
	(void)state;
	trace_split(SLICE(PARENT "\na=b"), &parent, &rest);
	assert_true(slice_eq(parent, SLICE(PARENT)) && slice_eq(rest, SLICE("a=b")));
	trace_split(SLICE(PARENT), &parent, &rest);
	assert_true(slice_eq(parent, SLICE(PARENT)) && rest.len == 0);
	trace_split(SLICE(""), &parent, &rest);
	assert_true(parent.len == 0 && rest.len == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_is_a_trace_is_kept),
	    cmocka_unit_test(test_what_is_none_is_not),
	    cmocka_unit_test(test_a_bad_state_is_left_out),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_it_comes_apart_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
