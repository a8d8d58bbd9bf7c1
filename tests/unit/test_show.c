/* What came from elsewhere, as it is shown on a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/show.h"
#include "support.h"

static void test_lines(void **state)
{
	(void)state;
	const struct {
		struct slice text;
		const char *line;
		const char *word; /* NULL: the same */
	} ROWS[] = {
	    {SLICE(""), "", NULL},
	    {SLICE("a b \\ \"~"), "a b \\ \"~", "a\\u0020b\\u0020\\\\u0020\"~"},
	    {SLICE("\0a\x1f\x7f"), "\\u0000a\\u001f\\u007f", NULL},
	    {SLICE("a\r\n\tb"), "a\\r\\n\\tb", NULL},
	    {SLICE("\x1b]52;c;\a"), "\\u001b]52;c;\\u0007", NULL},
	    {SLICE("\xc2\x9b"
		   "m"),
		"\\u009bm", NULL},
	    {SLICE("\xc2\xa0\xc3\xa4\xe6\xbc\xa2"), "\xc2\xa0\xc3\xa4\xe6\xbc\xa2", NULL},
	    {SLICE("\xf0\x9f\x8e\x89"), "\xf0\x9f\x8e\x89", NULL},
	    {SLICE("\xe2\x80\xae\xe2\x81\xa6"), "\\u202e\\u2066", NULL},
	    {SLICE("a\xe3\x85\xa4\xcd\x8f"), "a\\u3164\\u034f", NULL}, /* drawn as nothing */
	    {SLICE("\xef\xb8\x8f\xf3\xa0\x84\x80"), "\\ufe0f\\udb40\\udd00", NULL},
	    {SLICE("\xe2\x80\xa8\xe2\x80\xaf"), "\\u2028\xe2\x80\xaf", NULL},
	    {SLICE("\xf3\xa0\x81\x81"), "\\udb40\\udc41", NULL},
	    {SLICE("\x9b\xff\xe2\x80"), "\\x9b\\xff\\xe2\\x80", NULL},
	    {SLICE("\xc0\x8a\xed\xa0\x80"), "\\xc0\\x8a\\xed\\xa0\\x80", NULL},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf line = BUF_INIT(SHOW_GROWTH * ROWS[i].text.len + 1);
		struct buf word = BUF_INIT(SHOW_GROWTH * ROWS[i].text.len + 1);
		const char *want = ROWS[i].word == NULL ? ROWS[i].line : ROWS[i].word;
		show_put_line(&line, ROWS[i].text);
		show_put_word(&word, ROWS[i].text);
		if (strcmp(buf_cstr(&line), ROWS[i].line) != 0 ||
		    strcmp(buf_cstr(&word), want) != 0)
			fail_msg("row %zu: %s, %s", i, buf_cstr(&line), buf_cstr(&word));
		buf_fini(&line);
		buf_fini(&word);
	}
}

static void test_names(void **state)
{
	(void)state;
	const struct {
		struct slice json;
		size_t width;
		const char *shown;
	} ROWS[] = {
	    {SLICE("\"demo\""), 0, "demo"},
	    {SLICE("\"demo\""), 6, "demo  "},
	    {SLICE("\"628@s.whatsapp.net\""), 6, "628@s.whatsapp.net"},
	    {SLICE("\"Loja S\303\243o\""), 12, "\"Loja S\303\243o\"  "},
	    {SLICE("\"\303\243\""), 0, "\"\303\243\""},
	    {SLICE("\"a\\\"b\""), 0, "\"a\\\"b\""},
	    {SLICE("\"a\342\200\256b\""), 0, "\"a\\u202eb\""},
	    {SLICE("\"\""), 4, "\"\"  "},
	    {SLICE(""), 3, "-  "},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf out = BUF_INIT(1000);
		show_put_name(&out, ROWS[i].json, ROWS[i].width);
		if (strcmp(buf_cstr(&out), ROWS[i].shown) != 0)
			fail_msg("row %zu: %s", i, buf_cstr(&out));
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
