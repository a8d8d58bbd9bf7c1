/* Text conversions: numbers, durations, sizes, hex, secrets, times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/str.h"

static void test_u64(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		enum err err;
		uint64_t value;
	} ROWS[] = {
	    {SLICE_INIT("0"), OK, 0},
	    {SLICE_INIT("007"), OK, 7},
	    {SLICE_INIT("18446744073709551615"), OK, UINT64_MAX},
	    {SLICE_INIT("18446744073709551616"), ERR_TOOBIG, 0},
	    {SLICE_INIT("18446744073709551620"), ERR_TOOBIG, 0},
	    {SLICE_INIT("99999999999999999999999"), ERR_TOOBIG, 0},
	    {{NULL, 0}, ERR_SYNTAX, 0},
	    {SLICE_INIT(""), ERR_SYNTAX, 0},
	    {SLICE_INIT("-1"), ERR_SYNTAX, 0},
	    {SLICE_INIT("+1"), ERR_SYNTAX, 0},
	    {SLICE_INIT(" 1"), ERR_SYNTAX, 0},
	    {SLICE_INIT("1 "), ERR_SYNTAX, 0},
	    {SLICE_INIT("1\0"), ERR_SYNTAX, 0},
	    {SLICE_INIT("0x1"), ERR_SYNTAX, 0},
	    {SLICE_INIT("1/"), ERR_SYNTAX, 0},
	    {SLICE_INIT("1:"), ERR_SYNTAX, 0},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		uint64_t value = 0;
		enum err err = str_u64(ROWS[i].text, &value);
		if (err != ROWS[i].err || value != ROWS[i].value)
			fail_msg("row %zu: %s", i, err_text(err));
	}
}

static void test_duration(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		enum err err;
		int64_t ms;
	} ROWS[] = {
	    {SLICE_INIT("300ms"), OK, 300},
	    {SLICE_INIT("0s"), OK, 0},
	    {SLICE_INIT("5s"), OK, 5000},
	    {SLICE_INIT("2m"), OK, 120000},
	    {SLICE_INIT("2h"), OK, 7200000},
	    {SLICE_INIT("5d"), OK, 432000000},
	    {SLICE_INIT("3653d"), OK, 315619200000},
	    {SLICE_INIT("3654d"), ERR_TOOBIG, -1},
	    {SLICE_INIT("18446744073709551615d"), ERR_TOOBIG, -1},
	    {SLICE_INIT("213503982335d"), ERR_TOOBIG, -1}, /* wraps in 64 bits */
	    {{NULL, 0}, ERR_SYNTAX, -1},
	    {SLICE_INIT("5"), ERR_SYNTAX, -1},
	    {SLICE_INIT("s"), ERR_SYNTAX, -1},
	    {SLICE_INIT("5S"), ERR_SYNTAX, -1},
	    {SLICE_INIT("5 s"), ERR_SYNTAX, -1},
	    {SLICE_INIT("5s "), ERR_SYNTAX, -1},
	    {SLICE_INIT("-5s"), ERR_SYNTAX, -1},
	    {SLICE_INIT("1.5s"), ERR_SYNTAX, -1},
	    {SLICE_INIT("1m30s"), ERR_SYNTAX, -1},
	    {SLICE_INIT("5us"), ERR_SYNTAX, -1},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		int64_t ms = -1;
		enum err err = str_duration(ROWS[i].text, &ms);
		if (err != ROWS[i].err || ms != ROWS[i].ms)
			fail_msg("row %zu: %s", i, err_text(err));
	}
}

static void test_put_i64(void **state)
{
	(void)state;
	static const int64_t NUMBERS[] = {0, 7, 10, 4294967295, 1767143203, -1, -90, INT64_MAX,
	    INT64_MIN};
	for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
		char text[STR_I64_SIZE];
		char expected[STR_I64_SIZE];
		(void)snprintf(expected, sizeof(expected), "%lld", (long long)NUMBERS[i]);
		struct slice digits = str_put_i64(NUMBERS[i], text);
		assert_string_equal(text, expected);
		assert_ptr_equal(digits.ptr, text);
		assert_int_equal(digits.len, strlen(expected));
	}
}

static void test_put_duration(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} ROWS[] = {
	    {0, "0ms"},
	    {300, "300ms"},
	    {1500, "1500ms"},
	    {5000, "5s"},
	    {90000, "90s"},
	    {120000, "2m"},
	    {7200000, "2h"},
	    {86400000, "1d"},
	    {90000000, "25h"},
	    {432000000, "5d"},
	    {INT64_MAX, "9223372036854775807ms"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		char text[STR_DURATION_SIZE];
		str_put_duration(ROWS[i].ms, text);
		if (strcmp(text, ROWS[i].text) != 0)
			fail_msg("row %zu: %s", i, text);
	}
}

static void test_size(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		enum err err;
		uint64_t bytes;
	} ROWS[] = {
	    {SLICE_INIT("0"), OK, 0},
	    {SLICE_INIT("1048576"), OK, 1048576},
	    {SLICE_INIT("3KiB"), OK, 3072},
	    {SLICE_INIT("1MiB"), OK, 1048576},
	    {SLICE_INIT("2GiB"), OK, 2147483648},
	    {SLICE_INIT("17179869183GiB"), OK, 18446744072635809792ULL},
	    {SLICE_INIT("17179869184GiB"), ERR_TOOBIG, 0},
	    {SLICE_INIT("MiB"), ERR_SYNTAX, 0},
	    {SLICE_INIT("1M"), ERR_SYNTAX, 0},
	    {SLICE_INIT("1mib"), ERR_SYNTAX, 0},
	    {SLICE_INIT("1 MiB"), ERR_SYNTAX, 0},
	    {SLICE_INIT("1B"), ERR_SYNTAX, 0},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		uint64_t bytes = 0;
		enum err err = str_size(ROWS[i].text, &bytes);
		if (err != ROWS[i].err || bytes != ROWS[i].bytes)
			fail_msg("row %zu: %s", i, err_text(err));
	}
}

static void test_hex(void **state)
{
	(void)state;
	char out[9];
	str_hex("\x00\x7f\x80\xff", 4, out);
	assert_string_equal(out, "007f80ff");
	str_hex("", 0, out);
	assert_string_equal(out, "");
}

static void test_same_secret(void **state)
{
	(void)state;
	static const struct {
		struct slice a;
		struct slice b;
		bool same;
	} ROWS[] = {
	    {SLICE_INIT("token"), SLICE_INIT("token"), true},
	    {SLICE_INIT("token"), SLICE_INIT("tokem"), false},
	    {SLICE_INIT("token"), SLICE_INIT("Token"), false},
	    {SLICE_INIT("token"), SLICE_INIT("token1"), false},
	    {SLICE_INIT("token1"), SLICE_INIT("token"), false},
	    {SLICE_INIT("aa"), SLICE_INIT("a"), false},
	    {SLICE_INIT("a\0b"), SLICE_INIT("a\0c"), false},
	    {SLICE_INIT("\x80"), SLICE_INIT("\0"), false},
	    {SLICE_INIT(""), SLICE_INIT("a"), false},
	    {SLICE_INIT("a"), SLICE_INIT(""), false},
	    {{NULL, 0}, SLICE_INIT(""), true},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		if (str_same_secret(ROWS[i].a, ROWS[i].b) != ROWS[i].same)
			fail_msg("row %zu", i);
	}
}

static void test_time(void **state)
{
	(void)state;
	static const struct {
		int64_t wall_ms;
		const char *text;
	} ROWS[] = {
	    {0, "1970-01-01T00:00:00.000Z"},
	    {7, "1970-01-01T00:00:00.007Z"},
	    {784111777999, "1994-11-06T08:49:37.999Z"},
	    {951782400000, "2000-02-29T00:00:00.000Z"},
	    {1782907200050, "2026-07-01T12:00:00.050Z"},
	    {253402300799999, "9999-12-31T23:59:59.999Z"},
	    /* beyond the form */
	    {253402300800000, "9999-12-31T23:59:59.999Z"},
	    {INT64_MAX, "9999-12-31T23:59:59.999Z"},
	    {-1, "1970-01-01T00:00:00.000Z"},
	    {INT64_MIN, "1970-01-01T00:00:00.000Z"},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		char text[STR_TIME_SIZE];
		str_time(ROWS[i].wall_ms, text);
		if (strcmp(text, ROWS[i].text) != 0)
			fail_msg("row %zu: %s", i, text);
	}
}

/* The first is RFC 9110's own example. */
static void test_http_date(void **state)
{
	static const struct {
		int64_t wall_ms;
		const char *text;
	} ROWS[] = {
	    {784111777999, "Sun, 06 Nov 1994 08:49:37 GMT"},
	    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
	    {951782400000, "Tue, 29 Feb 2000 00:00:00 GMT"},
	    {253402300799999, "Fri, 31 Dec 9999 23:59:59 GMT"},
	    {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
	    {-1, "Thu, 01 Jan 1970 00:00:00 GMT"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		char text[STR_HTTP_DATE_SIZE];
		str_http_date(ROWS[i].wall_ms, text);
		assert_string_equal(text, ROWS[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_u64),
	    cmocka_unit_test(test_duration),
	    cmocka_unit_test(test_put_i64),
	    cmocka_unit_test(test_put_duration),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_hex),
	    cmocka_unit_test(test_same_secret),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_http_date),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
