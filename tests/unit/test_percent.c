/* Percent-encoding: what is encoded for a URL and for a header, and that it comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/percent.h"
#include "support.h"

static void test_forms(void **state)
{
	(void)state;
	const struct {
		struct slice text;
		const char *url;
		const char *visible;
	} ROWS[] = {
	    {SLICE(""), "", ""},
	    {SLICE("a-Z_0.9~"), "a-Z_0.9~", "a-Z_0.9~"},
	    {SLICE("Loja S\303\243o Paulo"), "Loja%20S%C3%A3o%20Paulo",
		"Loja%20S%C3%A3o%20Paulo"},
	    {SLICE("628@s.whatsapp.net"), "628%40s.whatsapp.net", "628@s.whatsapp.net"},
	    {SLICE("100% a+b/c?d#e"), "100%25%20a%2Bb%2Fc%3Fd%23e", "100%25%20a+b/c?d#e"},
	    {SLICE("\"\\,=\r\n\0\177"), "%22%5C%2C%3D%0D%0A%00%7F", "\"\\,=%0D%0A%00%7F"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf url = BUF_INIT(PERCENT_GROWTH * ROWS[i].text.len);
		struct buf visible = BUF_INIT(PERCENT_GROWTH * ROWS[i].text.len);
		percent_put(&url, ROWS[i].text);
		percent_put_visible(&visible, ROWS[i].text);
		if (!slice_eq(buf_view(&url), slice_of(ROWS[i].url)) ||
		    !slice_eq(buf_view(&visible), slice_of(ROWS[i].visible)) ||
		    percent_is_visible(ROWS[i].text) != (visible.len == ROWS[i].text.len))
			fail_msg("row %zu: %s, %s", i, buf_cstr(&url), buf_cstr(&visible));
		buf_fini(&url);
		buf_fini(&visible);
	}
}

/* Every byte, alone and with others around it, comes back from either form. */
static void test_comes_back(void **state)
{
	(void)state;
	for (int i = 0; i < 256; i++) {
		const char text[3] = {'%', (char)i, 'f'};
		for (int visible = 0; visible <= 1; visible++) {
			struct buf out = BUF_INIT(PERCENT_GROWTH * sizeof(text));
			char back[sizeof(text)];
			size_t len = 0;
			if (visible)
				percent_put_visible(&out, (struct slice){text, sizeof(text)});
			else
				percent_put(&out, (struct slice){text, sizeof(text)});
			assert_int_equal(
			    percent_decode(buf_view(&out), sizeof(back), back, &len), OK);
			assert_int_equal(len, sizeof(text));
			assert_memory_equal(back, text, sizeof(text));
			for (size_t n = 0; n < out.len; n++)
				assert_in_range((unsigned char)out.data[n], '!', '~');
			buf_fini(&out);
		}
	}
}

static void test_decoding(void **state)
{
	(void)state;
	const struct {
		struct slice text;
		enum err err;
		const char *out;
	} ROWS[] = {
	    {SLICE(""), OK, ""},
	    {SLICE("a+b"), OK, "a+b"},
	    {SLICE("%41%6a%6A%2541"), OK, "Ajj%41"},
	    {SLICE("%"), ERR_SYNTAX, NULL},
	    {SLICE("a%4"), ERR_SYNTAX, NULL},
	    {SLICE("%4g"), ERR_SYNTAX, NULL},
	    {SLICE("%g4"), ERR_SYNTAX, NULL},
	    {SLICE("%%41"), ERR_SYNTAX, NULL},
	    {SLICE("12345678"), OK, "12345678"},
	    {SLICE("123456789"), ERR_TOOBIG, NULL},
	    {SLICE("1234567%38"), OK, "12345678"},
	    {SLICE("12345678%39"), ERR_TOOBIG, NULL},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char out[8];
		size_t len = 99;
		enum err err = percent_decode(ROWS[i].text, sizeof(out), out, &len);
		if (err != ROWS[i].err)
			fail_msg("row %zu: %d", i, (int)err);
		if (err != OK)
			assert_int_equal(len, 99);
		else if (!slice_eq((struct slice){out, len}, slice_of(ROWS[i].out)))
			fail_msg("row %zu: %.*s", i, (int)len, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_comes_back),
	    cmocka_unit_test(test_decoding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
