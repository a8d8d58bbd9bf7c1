/*
 * Canonical numbers: ECMAScript's form where it is the same decimal value, else
 * the literal. The values were printed by a JavaScript engine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain/json.h"

#define OUT_MAX (1 << 20)
#define ROWS_OF(table) (sizeof(table) / sizeof((table)[0]))

static void test_printed(void **state)
{
	(void)state;
	static const char *const ROWS[][2] = {
	    {"0", "0"},
	    {"-0", "0"},
	    {"-0.000", "0"},
	    {"0e400", "0"},
	    {"-0E-99999999999999999999", "0"},
	    {"1.0", "1"},
	    {"-1.50", "-1.5"},
	    {"1e5", "100000"},
	    {"1E+2", "100"},
	    {"12.5e-1", "1.25"},
	    {"100e-2", "1"},
	    {"0.00001", "0.00001"},
	    {"0.000001", "0.000001"},
	    {"0.0000012", "0.0000012"},
	    {"0.0000001", "1e-7"},
	    {"1e-7", "1e-7"},
	    {"-1.25E-0007", "-1.25e-7"},
	    {"100000000000000000000", "100000000000000000000"},
	    {"123e18", "123000000000000000000"},
	    {"1e21", "1e+21"},
	    {"1000000000000000000000", "1e+21"},
	    {"1.5e300", "1.5e+300"},
	    {"9007199254740991", "9007199254740991"},
	    {"9007199254740992", "9007199254740992"},
	    {"0.1", "0.1"},
	    {"0.30000000000000004", "0.30000000000000004"},
	    {"0.300000000000000040", "0.30000000000000004"},
	    {"1767143203.1234567", "1767143203.1234567"},
	    {"123456789012345.6", "123456789012345.6"},
	    {"1.7976931348623157e308", "1.7976931348623157e+308"},
	    {"17976931348623157e292", "1.7976931348623157e+308"},
	    {"2.2250738585072014e-308", "2.2250738585072014e-308"},
	    {"5e-324", "5e-324"},
	    {"0.05e-322", "5e-324"},
	    {"1.5e-323", "1.5e-323"},
	    /* powers of two whose nearest decimal as short is another double's */
	    {"5.684341886080802e-14", "5.684341886080802e-14"},
	    {"7.120236347223045e-307", "7.120236347223045e-307"},
	    {"6.189700196426902e26", "6.189700196426902e+26"},
	    {"6.386688990511104e293", "6.386688990511104e+293"},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct buf out = BUF_INIT(OUT_MAX);
		json_put_number(slice_of(ROWS[i][0]), &out);
		if (!slice_eq(buf_view(&out), slice_of(ROWS[i][1])))
			fail_msg("row %zu: %s became %s", i, ROWS[i][0], buf_cstr(&out));
		buf_fini(&out);
	}
}

static void test_kept(void **state)
{
	(void)state;
	static const char *const ROWS[] = {
	    "12345678901234567890",
	    "0.1234567890123456789",
	    "-100000000000000000000000000001",
	    "1e400",
	    "-1E400",
	    "1e-400",
	    "1E+99999999999999999999999",
	    "1e-99999999999999999999999",
	    "1.7976931348623159e308",
	    "9007199254740993",
	    "9007199254740993.0",
	    "0.10000000000000001",
	    "1.0000000000000001E-1",
	    "3e-324",
	    "2e-324",
	    "4.9e-324",
	    "4.940656458412465e-324",
	    /* the exact value of 2^-44: JavaScript prints a shorter one */
	    "5.6843418860808015e-14",
	    "5.684341886080801e-14",
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct buf out = BUF_INIT(OUT_MAX);
		json_put_number(slice_of(ROWS[i]), &out);
		if (!slice_eq(buf_view(&out), slice_of(ROWS[i])))
			fail_msg("row %zu: %s became %s", i, ROWS[i], buf_cstr(&out));
		buf_fini(&out);
	}
}

/* `zeros` zeros in the literal, taken back by its exponent: still the number 1. */
static void test_long_literals(void **state)
{
	(void)state;
	static const int ROWS[] = {1, 17, 400, 100000};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		int zeros = ROWS[i];
		struct buf text = BUF_INIT(OUT_MAX);
		struct buf out = BUF_INIT(OUT_MAX);
		buf_putc(&text, '1');
		for (int k = 0; k < zeros; k++)
			buf_putc(&text, '0');
		buf_printf(&text, "e-%d", zeros);
		json_put_number(buf_view(&text), &out);
		assert_string_equal(buf_cstr(&out), "1");

		buf_reset(&text);
		buf_reset(&out);
		buf_puts(&text, "0.");
		for (int k = 0; k < zeros; k++)
			buf_putc(&text, '0');
		buf_printf(&text, "1e%d", zeros + 1);
		json_put_number(buf_view(&text), &out);
		assert_string_equal(buf_cstr(&out), "1");
		buf_fini(&text);
		buf_fini(&out);
	}
}

/* What the reader passes over as it stands is what json_put_number() prints. */
static void test_read_as_printed(void **state)
{
	(void)state;
	static const char *const SIGNS[] = {"", "-"};
	static const char *const WHOLE[] = {"0", "7", "10", "123456789", "12345678901234",
	    "123456789012345", "1234567890123456", "1000000000000000000000"};
	static const char *const FRACTIONS[] = {"", ".0", ".5", ".50", ".05", ".25", ".000001",
	    ".0000001", ".000000", ".123456", ".1234567"};
	static const char *const EXPONENTS[] = {"", "e0", "e2", "E-3", "e+300"};
	const size_t all = ROWS_OF(SIGNS) * ROWS_OF(WHOLE) * ROWS_OF(FRACTIONS) *
	    ROWS_OF(EXPONENTS);
	for (size_t i = 0; i < all; i++) {
		size_t n = i;
		struct buf text = BUF_INIT(OUT_MAX);
		struct buf printed = BUF_INIT(OUT_MAX);
		struct buf read = BUF_INIT(OUT_MAX);
		struct json_reader r;
		buf_puts(&text, SIGNS[n % ROWS_OF(SIGNS)]);
		n /= ROWS_OF(SIGNS);
		buf_puts(&text, WHOLE[n % ROWS_OF(WHOLE)]);
		n /= ROWS_OF(WHOLE);
		buf_puts(&text, FRACTIONS[n % ROWS_OF(FRACTIONS)]);
		n /= ROWS_OF(FRACTIONS);
		buf_puts(&text, EXPONENTS[n]);
		json_put_number(buf_view(&text), &printed);
		json_init(&r, buf_view(&text));
		assert_int_equal(json_read_value(&r, &read), OK);
		assert_int_equal(json_read_end(&r), OK);
		json_fini(&r);
		if (!slice_eq(buf_view(&read), buf_view(&printed)))
			fail_msg("%s is read as %s, printed as %s", buf_cstr(&text),
			    buf_cstr(&read), buf_cstr(&printed));
		buf_fini(&text);
		buf_fini(&printed);
		buf_fini(&read);
	}
}

/* What is no number is none, though it begins like one. */
static void test_no_numbers(void **state)
{
	(void)state;
	static const char *const ROWS[] = {"-", "-a", "00", "01", "-00.5", "00.5", "1.", "-1.",
	    "0.", "1.e2", "1.a", "1.5e", "1e", "-.5", "1.5.5", "1-2", "1.5-"};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct buf out = BUF_INIT(OUT_MAX);
		struct json_reader r;
		json_init(&r, slice_of(ROWS[i]));
		enum err err = json_read_value(&r, &out);
		if (err == OK)
			err = json_read_end(&r);
		if (err != ERR_SYNTAX)
			fail_msg("%s is read as %s", ROWS[i], buf_cstr(&out));
		json_fini(&r);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_printed),
	    cmocka_unit_test(test_kept),
	    cmocka_unit_test(test_long_literals),
	    cmocka_unit_test(test_read_as_printed),
	    cmocka_unit_test(test_no_numbers),
	};
	return cmocka_run_group_tests_name("json_number", tests, NULL, NULL);
}
