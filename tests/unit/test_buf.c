/* Growable bytes: the limit, the sticky failure, printing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/rnd.h"

static void assert_content(const struct buf *b, struct slice expected)
{
	assert_int_equal(b->len, expected.len);
	if (expected.len > 0)
		assert_memory_equal(b->data, expected.ptr, expected.len);
}

static void test_starts_empty(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(10);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(b.len, 0);
	buf_fini(&b);
	assert_null(b.data);
	assert_int_equal(b.max, 10);
}

static void test_limit_is_exact(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(5);
	buf_puts(&b, "abc");
	buf_puts(&b, "de");
	assert_false(b.failed);
	assert_string_equal(buf_cstr(&b), "abcde");
	buf_putc(&b, 'f');
	assert_true(b.failed);
	assert_content(&b, SLICE("abcde"));
	assert_string_equal(buf_cstr(&b), "");
	buf_fini(&b);
}

static void test_failure_sticks(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(5);
	buf_puts(&b, "abc");
	buf_puts(&b, "def");
	assert_true(b.failed);
	buf_putc(&b, 'd');
	buf_printf(&b, "%d", 4);
	buf_puts(&b, "");
	assert_false(buf_reserve(&b, 0));
	assert_content(&b, SLICE("abc"));
	buf_reset(&b);
	assert_false(b.failed);
	buf_puts(&b, "vwxyz");
	assert_content(&b, SLICE("vwxyz"));
	buf_fini(&b);
}

static void test_limit_of_nothing(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(0);
	buf_append(&b, NULL, 0);
	buf_printf(&b, "%s", "");
	assert_true(buf_reserve(&b, 0));
	assert_string_equal(buf_cstr(&b), "");
	buf_putc(&b, 'x');
	assert_true(b.failed);
	buf_fini(&b);
}

static void test_huge_sizes(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(100);
	buf_putc(&b, 'x');
	assert_false(buf_reserve(&b, SIZE_MAX));
	assert_true(b.failed);
	buf_fini(&b);
}

static void test_holds_any_byte(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(100);
	buf_append(&b, "a\0b", 3);
	buf_putc(&b, '\0');
	assert_content(&b, SLICE("a\0b\0"));
	buf_fini(&b);
}

/* Prints of every length around the first allocation, up to the limit and past it. */
static void test_printf(void **state)
{
	(void)state;
	char filler[600];
	memset(filler, 'x', sizeof(filler));
	for (int len = 0; len < 600; len++) {
		struct buf b = BUF_INIT(512);
		buf_printf(&b, "%.*s", len, filler);
		if (b.failed != (len > 512) || b.len != (len > 512 ? 0 : (size_t)len))
			fail_msg("length %d", len);
		buf_printf(&b, "%c", 'y'); /* mostly into room that is there */
		if (b.failed != (len >= 512))
			fail_msg("length %d and one", len);
		if (!b.failed && (b.data[len] != 'y' || strlen(buf_cstr(&b)) != b.len))
			fail_msg("length %d and one: content", len);
		buf_fini(&b);
	}
}

/* Random appends, next to an array that simply holds what is expected. */
static void test_against_model(void **state)
{
	(void)state;
	enum { LIMIT = 5000 };
	static char model[LIMIT];
	const uint64_t seed = 77;
	struct rnd rnd;
	rnd_seed(&rnd, seed);
	for (int round = 0; round < 50; round++) {
		struct buf b = BUF_INIT(LIMIT);
		size_t len = 0;
		bool failed = false;
		for (int step = 0; step < 100; step++) {
			char bytes[200];
			size_t n = rnd_next(&rnd) % sizeof(bytes);
			memset(bytes, (int)(rnd_next(&rnd) & 0xff), sizeof(bytes));
			buf_append(&b, bytes, n);
			if (rnd_next(&rnd) % 8 == 0)
				(void)buf_cstr(&b);
			failed = failed || (n > 0 && n > LIMIT - len);
			if (!failed) {
				memcpy(model + len, bytes, n);
				len += n;
			}
			if (b.failed != failed || b.len > b.cap ||
			    !slice_eq(buf_view(&b), (struct slice){model, len}))
				fail_msg("seed %llu, round %d, step %d",
				    (unsigned long long)seed, round, step);
		}
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_starts_empty),
	    cmocka_unit_test(test_limit_is_exact),
	    cmocka_unit_test(test_failure_sticks),
	    cmocka_unit_test(test_limit_of_nothing),
	    cmocka_unit_test(test_huge_sizes),
	    cmocka_unit_test(test_holds_any_byte),
	    cmocka_unit_test(test_printf),
	    cmocka_unit_test(test_against_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
