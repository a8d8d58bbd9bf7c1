/* Fields in and out of byte runs: exact bytes, key order, and a reader that never overreads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "support.h"

static void test_bytes(void **state)
{
	(void)state;
	static const unsigned char WANT[] = {0xfe, 0x12, 0x34, 0x12, 0x34, 0x56, 0x78, 1, 2, 3,
	    4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 3, 'a', 0, 'c'};
	struct buf b = BUF_INIT(100);
	put_u8(&b, 0xfe);
	put_u16(&b, 0x1234);
	put_u32(&b, 0x12345678);
	put_u64(&b, 0x0102030405060708);
	put_i64(&b, -2);
	put_text(&b, SLICE("a\0c"));
	assert_false(b.failed);
	assert_int_equal(b.len, sizeof(WANT));
	assert_memory_equal(b.data, WANT, sizeof(WANT));

	struct reader r = reader_of(buf_view(&b));
	assert_int_equal(get_u8(&r), 0xfe);
	assert_int_equal(get_u16(&r), 0x1234);
	assert_int_equal(get_u32(&r), 0x12345678);
	assert_true(get_u64(&r) == 0x0102030405060708);
	assert_true(get_i64(&r) == -2);
	assert_true(slice_eq(get_text(&r), SLICE("a\0c")));
	assert_false(r.failed);
	assert_int_equal(r.left, 0);
	buf_fini(&b);
}

static void test_extremes(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(100);
	put_u8(&b, UINT8_MAX);
	put_u16(&b, UINT16_MAX);
	put_u32(&b, UINT32_MAX);
	put_u64(&b, UINT64_MAX);
	put_i64(&b, INT64_MIN);
	put_i64(&b, INT64_MAX);
	put_text(&b, SLICE(""));
	put_text(&b, (struct slice){NULL, 0});
	struct reader r = reader_of(buf_view(&b));
	assert_int_equal(get_u8(&r), UINT8_MAX);
	assert_int_equal(get_u16(&r), UINT16_MAX);
	assert_true(get_u32(&r) == UINT32_MAX);
	assert_true(get_u64(&r) == UINT64_MAX);
	assert_true(get_i64(&r) == INT64_MIN);
	assert_true(get_i64(&r) == INT64_MAX);
	assert_int_equal(get_text(&r).len, 0);
	assert_int_equal(get_text(&r).len, 0);
	assert_false(r.failed);
	assert_int_equal(r.left, 0);
	buf_fini(&b);
}

/* Keys are compared as bytes: their order has to be that of the numbers. */
static void test_order(void **state)
{
	(void)state;
	struct rnd rnd;
	rnd_seed(&rnd, 5);
	for (int i = 0; i < 10000; i++) {
		unsigned char raw[2][8];
		uint64_t a = rnd_next(&rnd) >> (rnd_next(&rnd) % 64);
		uint64_t b = i % 3 == 0 ? a + 1 : rnd_next(&rnd) >> (rnd_next(&rnd) % 64);
		codec_store_u64(raw[0], a);
		codec_store_u64(raw[1], b);
		int order = memcmp(raw[0], raw[1], 8);
		if ((a < b) != (order < 0) || (a == b) != (order == 0))
			fail_msg("%llu and %llu", (unsigned long long)a, (unsigned long long)b);
	}
}

static void test_text_length(void **state)
{
	(void)state;
	char *text = mem_array(UINT16_MAX + 1, 1);
	struct buf b = BUF_INIT(1u << 20);
	put_text(&b, (struct slice){text, UINT16_MAX});
	assert_false(b.failed);
	struct reader r = reader_of(buf_view(&b));
	assert_int_equal(get_text(&r).len, UINT16_MAX);
	assert_int_equal(r.left, 0);

	size_t before = b.len;
	put_text(&b, (struct slice){text, UINT16_MAX + 1});
	assert_true(b.failed);
	assert_int_equal(b.len, before);
	buf_fini(&b);
	free(text);
}

/* Every getter on every length too short for it; the bytes end where the sanitizer looks. */
static void test_too_short(void **state)
{
	(void)state;
	static const size_t SIZES[] = {1, 2, 4, 8};
	for (size_t row = 0; row < COUNT(SIZES); row++) {
		for (size_t len = 0; len < SIZES[row]; len++) {
			char *bytes = malloc(len);
			if (len > 0)
				memset(bytes, 0xff, len);
			struct reader r = reader_of((struct slice){bytes, len});
			uint64_t n = get_uint(&r, SIZES[row]);
			if (n != 0 || !r.failed)
				fail_msg("%zu bytes of %zu", len, SIZES[row]);
			free(bytes);
		}
	}
	struct reader r = reader_of(SLICE("\0\4abc"));
	struct slice s = get_text(&r);
	assert_true(r.failed);
	assert_int_equal(s.len, 0);
	assert_non_null(s.ptr);
}

static void test_failure_sticks(void **state)
{
	(void)state;
	struct reader r = reader_of(SLICE("\1\2\3"));
	assert_int_equal(get_u32(&r), 0);
	assert_true(r.failed);
	assert_int_equal(get_u8(&r), 0);
	assert_int_equal(get_text(&r).len, 0);
	assert_int_equal(get_bytes(&r, 0).len, 0);
	assert_true(r.failed);
}

static void test_cstr(void **state)
{
	(void)state;
	static const struct {
		struct slice bytes;
		bool fits;
		const char *text;
	} ROWS[] = {
	    {SLICE_INIT("\0\0"), true, ""},
	    {SLICE_INIT("\0\3abc"), true, "abc"},
	    {SLICE_INIT("\0\4abcd"), false, ""},
	    {SLICE_INIT("\0\3ab"), false, ""},
	    {SLICE_INIT("\0"), false, ""},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char out[5] = {'x', 'x', 'x', 'x', 'x'};
		struct reader r = reader_of(ROWS[i].bytes);
		get_cstr(&r, out, 3);
		if (r.failed == ROWS[i].fits || strcmp(out, ROWS[i].text) != 0 || out[4] != 'x')
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_extremes),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_text_length),
	    cmocka_unit_test(test_too_short),
	    cmocka_unit_test(test_failure_sticks),
	    cmocka_unit_test(test_cstr),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
