/*
 * The JSON reader: canonical forms, refusals with their offsets, and the ways to
 * read. Numbers have test_json_number.c; json_differential.py has far more texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain/json.h"

#define OUT_MAX (1 << 20)
#define ROWS_OF(table) (sizeof(table) / sizeof((table)[0]))

static enum err canonical(struct json_reader *r, struct slice text, struct buf *out)
{
	json_init(r, text);
	enum err err = json_read_value(r, out);
	return err == OK ? json_read_end(r) : err;
}

struct row {
	struct slice in;
	struct slice out;
};

#define ROW(in, out)                                                                           \
	{                                                                                      \
		SLICE_INIT(in), SLICE_INIT(out)                                                \
	}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct json_reader r;
		struct buf out = BUF_INIT(OUT_MAX);
		if (canonical(&r, rows[i].in, &out) != OK)
			fail_msg("row %zu: %s at byte %zu", i, r.error, r.pos);
		if (!slice_eq(buf_view(&out), rows[i].out))
			fail_msg("row %zu: %s", i, buf_cstr(&out));
		buf_fini(&out);
		json_fini(&r);
	}
}

static void test_values(void **state)
{
	(void)state;
	static const struct row ROWS[] = {
	    ROW("null", "null"),
	    ROW(" true\n", "true"),
	    ROW("\t\r\nfalse ", "false"),
	    ROW("{}", "{}"),
	    ROW(" { } ", "{}"),
	    ROW("[ ]", "[]"),
	    ROW("[1 , 2,\n3 ]", "[1,2,3]"),
	    ROW("{ \"a\" : [ { } , null ] , \"b\" : \" \" }", "{\"a\":[{},null],\"b\":\" \"}"),
	    ROW("[1.0,\"x\", -0 ]", "[1,\"x\",0]"),
	};
	check_rows(ROWS, ROWS_OF(ROWS));
}

static void test_strings(void **state)
{
	(void)state;
	static const struct row ROWS[] = {
	    ROW("\"\"", "\"\""),
	    ROW("\"\\/ /\"", "\"/ /\""),
	    ROW("\"\\\" \\\\ \\b\\f\\n\\r\\t\"", "\"\\\" \\\\ \\b\\f\\n\\r\\t\""),
	    ROW("\"\\u0022\\u005c\\u002f\"", "\"\\\"\\\\/\""),
	    ROW("\"\\u0008\\u000C\\u000a\\u000d\\u0009\"", "\"\\b\\f\\n\\r\\t\""),
	    ROW("\"\\u0000\\u000B\\u001F\"", "\"\\u0000\\u000b\\u001f\""),
	    ROW("\"\\u0041\\u007f\\u00e9\\u20AC\"", "\"A\x7f\xc3\xa9\xe2\x82\xac\""),
	    ROW("\"\\u2028\\u2029\\ufeff\"", "\"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\""),
	    ROW("\"\xe2\x80\xa8\x7f\"", "\"\xe2\x80\xa8\x7f\""),
	    /* surrogates: a pair, halves alone, the wrong way round, a pair after one alone */
	    ROW("\"\\uD83D\\uDE00\"", "\"\xf0\x9f\x98\x80\""),
	    ROW("\"\\uD83D\"", "\"\\ud83d\""),
	    ROW("\"\\uDE00x\"", "\"\\ude00x\""),
	    ROW("\"\\uDE00\\uD83D\"", "\"\\ude00\\ud83d\""),
	    ROW("\"\\uD83D\\uD83D\\uDE00\"", "\"\\ud83d\xf0\x9f\x98\x80\""),
	    ROW("\"\\ud83d\\u0041\\ud83d\\n\"", "\"\\ud83dA\\ud83d\\n\""),
	    ROW("\"\\uDBFF\\uDFFF\\uD800\\uDC00\"", "\"\xf4\x8f\xbf\xbf\xf0\x90\x80\x80\""),
	    /* what ends a run of plain bytes, at each place of eight */
	    ROW("\"\\/\"", "\"/\""),
	    ROW("\"1\\/\"", "\"1/\""),
	    ROW("\"123456\\/\"", "\"123456/\""),
	    ROW("\"1234567\\/89012345\xc3\xa9\"", "\"1234567/89012345\xc3\xa9\""),
	    ROW("\"12345678\\/12345678\"", "\"12345678/12345678\""),
	    /* characters at the limits of each length, and around the surrogates */
	    ROW("\"\xc2\x80\xdf\xbf\xe0\xa0\x80\"", "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\""),
	    ROW("\"\xed\x9f\xbf\xee\x80\x80\"", "\"\xed\x9f\xbf\xee\x80\x80\""),
	    ROW("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"", "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""),
	};
	check_rows(ROWS, ROWS_OF(ROWS));
}

static void test_member_order(void **state)
{
	(void)state;
	static const struct row ROWS[] = {
	    ROW("{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"),
	    ROW("{\"b\":1,\"2\":2,\"10\":3,\"1\":4}", "{\"1\":4,\"2\":2,\"10\":3,\"b\":1}"),
	    ROW("{\"x\":0,\"4294967295\":1,\"4294967294\":2}",
		"{\"4294967294\":2,\"x\":0,\"4294967295\":1}"),
	    ROW("{\"01\":1,\"-1\":2,\"1.0\":3,\"\":4,\"0\":5,\"00000000000\":6}",
		"{\"0\":5,\"01\":1,\"-1\":2,\"1.0\":3,\"\":4,\"00000000000\":6}"),
	    ROW("{\"a\":1,\"\\u0031\":2}", "{\"1\":2,\"a\":1}"),
	    /* duplicates: the last value at the first place */
	    ROW("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"),
	    ROW("{\"a\":1,\"\\u0061\":[2,{}],\"b\":0}", "{\"a\":[2,{}],\"b\":0}"),
	    ROW("{\"a\":{\"x\":1,\"x\":22},\"1\":0,\"1\":9,\"a\":5}", "{\"1\":9,\"a\":5}"),
	    ROW("{\"\":1,\"\":2}", "{\"\":2}"),
	    ROW("{\"__proto__\":1,\"a\":2,\"__proto__\":{}}", "{\"__proto__\":{},\"a\":2}"),
	    ROW("{\"\\ud800\":1,\"\\uD800\":2}", "{\"\\ud800\":2}"),
	    /* inner objects first, then those around them */
	    ROW("[{\"b\":{\"z\":1,\"0\":2},\"7\":[{\"q\":1,\"3\":2}]},8]",
		"[{\"7\":[{\"3\":2,\"q\":1}],\"b\":{\"0\":2,\"z\":1}},8]"),
	};
	check_rows(ROWS, ROWS_OF(ROWS));
}

/* Keys k0 … k(n-1) and one or none of them again; few and many members take other ways. */
/* Equal values become equal bytes, at any depth. */
static void test_sorted(void **state)
{
	(void)state;
	static const struct row ROWS[] = {
	    ROW("{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"),
	    ROW("{\"a\":2,\"b\":1}", "{\"a\":2,\"b\":1}"),
	    ROW("{\"bb\":1,\"c\":2,\"\":3}", "{\"\":3,\"c\":2,\"bb\":1}"),
	    ROW("{\"a\":1,\"7\":2,\"10\":3}", "{\"7\":2,\"a\":1,\"10\":3}"),
	    ROW("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"),
	    ROW("[{\"y\":[{\"d\":1,\"c\":2}],\"x\":{}}, 1]",
		"[{\"x\":{},\"y\":[{\"c\":2,\"d\":1}]},1]"),
	    ROW("[2, 1]", "[2,1]"),
	    ROW(" \"b\" ", "\"b\""),
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf out = BUF_INIT(OUT_MAX);
		assert_int_equal(json_sort(ROWS[i].in, &out), OK);
		if (!slice_eq(buf_view(&out), ROWS[i].out))
			fail_msg("row %zu: %s", i, buf_cstr(&out));
		buf_fini(&out);
	}
	struct buf out = BUF_INIT(OUT_MAX);
	assert_int_equal(json_sort(SLICE("{\"b\":1,\"a\":"), &out), ERR_SYNTAX);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

static void test_many_members(void **state)
{
	(void)state;
	for (unsigned n = 2; n < 100; n++) {
		for (unsigned again = 0; again <= n; again++) {
			struct json_reader r;
			struct buf text = BUF_INIT(OUT_MAX);
			struct buf want = BUF_INIT(OUT_MAX);
			struct buf out = BUF_INIT(OUT_MAX);
			for (unsigned i = 0; i < n; i++) {
				buf_printf(&text, "%c\"k%u\":%u", i == 0 ? '{' : ',', i, i);
				buf_printf(&want, "%c\"k%u\":%u", i == 0 ? '{' : ',', i,
				    i == again ? 1000 : i);
			}
			if (again < n)
				buf_printf(&text, ",\"k%u\":1000", again);
			buf_putc(&text, '}');
			buf_putc(&want, '}');
			assert_int_equal(canonical(&r, buf_view(&text), &out), OK);
			if (!slice_eq(buf_view(&out), buf_view(&want)))
				fail_msg("%u members, k%u again: %s", n, again, buf_cstr(&out));
			json_fini(&r);
			buf_fini(&text);
			buf_fini(&want);
			buf_fini(&out);
		}
	}
}

/* Array indices the wrong way round, with a name among them. */
static void test_many_indices(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 100; n++) {
		struct json_reader r;
		struct buf text = BUF_INIT(OUT_MAX);
		struct buf want = BUF_INIT(OUT_MAX);
		struct buf out = BUF_INIT(OUT_MAX);
		buf_puts(&text, "{\"name\":[]");
		for (unsigned i = 0; i < n; i++) {
			buf_printf(&text, ",\"%u\":%u", n - 1 - i, i);
			buf_printf(&want, "%c\"%u\":%u", i == 0 ? '{' : ',', i, n - 1 - i);
		}
		buf_putc(&text, '}');
		buf_puts(&want, ",\"name\":[]}");
		assert_int_equal(canonical(&r, buf_view(&text), &out), OK);
		if (!slice_eq(buf_view(&out), buf_view(&want)))
			fail_msg("%u indices: %s", n, buf_cstr(&out));
		json_fini(&r);
		buf_fini(&text);
		buf_fini(&want);
		buf_fini(&out);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		size_t pos;
		const char *error; /* a part of it */
	} ROWS[] = {
	    {{NULL, 0}, 0, "a value"},
	    {SLICE_INIT(" \n"), 2, "a value"},
	    {SLICE_INIT("\xef\xbb\xbf{}"), 0, "a value"},
	    {SLICE_INIT("1 x"), 2, "end of the text"},
	    {SLICE_INIT("{}}"), 2, "end of the text"},
	    {SLICE_INIT("nul"), 3, "true, false or null"},
	    {SLICE_INIT("trUe"), 2, "true, false or null"},
	    {SLICE_INIT("NaN"), 0, "a value"},
	    {SLICE_INIT("'a'"), 0, "a value"},
	    {SLICE_INIT("1\0"), 1, "end of the text"},
	    /* arrays and objects */
	    {SLICE_INIT("["), 1, "a value"},
	    {SLICE_INIT("[1"), 2, "a comma or ]"},
	    {SLICE_INIT("[1 2]"), 3, "a comma or ]"},
	    {SLICE_INIT("[1}"), 2, "a comma or ]"},
	    {SLICE_INIT("[1,]"), 3, "a value"},
	    {SLICE_INIT("[,1]"), 1, "a value"},
	    {SLICE_INIT("{"), 1, "a member name in quotes or }"},
	    {SLICE_INIT("{a:1}"), 1, "a member name in quotes or }"},
	    {SLICE_INIT("{\"a\"}"), 4, "a colon"},
	    {SLICE_INIT("{\"a\" 1}"), 5, "a colon"},
	    {SLICE_INIT("{\"a\":}"), 5, "a value"},
	    {SLICE_INIT("{\"a\":1"), 6, "a comma or }"},
	    {SLICE_INIT("{\"a\":1 \"b\":2}"), 7, "a comma or }"},
	    {SLICE_INIT("{\"a\":1]"), 6, "a comma or }"},
	    {SLICE_INIT("{\"a\":1,}"), 7, "a member name in quotes"},
	    {SLICE_INIT("[1/**/]"), 2, "a comma or ]"},
	    /* numbers */
	    {SLICE_INIT("-"), 1, "a digit"},
	    {SLICE_INIT("-x"), 1, "a digit"},
	    {SLICE_INIT("+1"), 0, "a value"},
	    {SLICE_INIT(".5"), 0, "a value"},
	    {SLICE_INIT("01"), 1, "leading 0"},
	    {SLICE_INIT("-00"), 2, "leading 0"},
	    {SLICE_INIT("1."), 2, "a digit"},
	    {SLICE_INIT("1.e5"), 2, "a digit"},
	    {SLICE_INIT("1e"), 2, "a digit"},
	    {SLICE_INIT("1e+"), 3, "a digit"},
	    {SLICE_INIT("[1E-,2]"), 4, "a digit"},
	    {SLICE_INIT("0x10"), 1, "end of the text"},
	    /* strings */
	    {SLICE_INIT("\"abc"), 4, "closing quote"},
	    {SLICE_INIT("\"12345678"), 9, "closing quote"},
	    {SLICE_INIT("\"a\nb\""), 2, "control character"},
	    {SLICE_INIT("\"a\0b\""), 2, "control character"},
	    {SLICE_INIT("\"\x1f\""), 1, "control character"},
	    {SLICE_INIT("\"\\"), 2, "after a backslash"},
	    {SLICE_INIT("\"\\x41\""), 2, "after a backslash"},
	    {SLICE_INIT("\"\\\xc3\xa9\""), 2, "after a backslash"},
	    {SLICE_INIT("\"\\u12g4\""), 5, "hexadecimal"},
	    {SLICE_INIT("\"\\u123\""), 6, "hexadecimal"},
	    {SLICE_INIT("\"\\u123"), 6, "hexadecimal"},
	    {SLICE_INIT("\"\\ud800\\u1\""), 10, "hexadecimal"},
	    {SLICE_INIT("\"\\ud800\\u"), 9, "hexadecimal"},
	    /* UTF-8: continuations alone or missing, overlong, surrogate, past U+10FFFF, cut */
	    {SLICE_INIT("\"a\x80\""), 2, "UTF-8"},
	    {SLICE_INIT("\"\xc3\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xe2\x82\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xe2\x82x\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xc0\xaf\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xc1\xbf\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xe0\x9f\xbf\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xf0\x8f\xbf\xbf\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xed\xa0\x80\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xf4\x90\x80\x80\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xf5\x80\x80\x80\""), 1, "UTF-8"},
	    {SLICE_INIT("\"\xff\""), 1, "UTF-8"},
	    {SLICE_INIT("\"1234567\xf0\x9f\x98"), 8, "UTF-8"},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct json_reader r;
		struct buf out = BUF_INIT(OUT_MAX);
		if (canonical(&r, ROWS[i].text, &out) != ERR_SYNTAX)
			fail_msg("row %zu was not refused", i);
		if (r.pos != ROWS[i].pos || strstr(r.error, ROWS[i].error) == NULL)
			fail_msg("row %zu: \"%s\" at byte %zu", i, r.error, r.pos);
		buf_fini(&out);
		json_fini(&r);
	}
}

/* Nests `depth` arrays and objects by turns. */
static void nest(struct buf *text, int depth)
{
	for (int i = 0; i < depth; i++)
		buf_puts(text, i % 2 == 0 ? "[" : "{\"a\":");
	buf_puts(text, "1");
	for (int i = depth; i-- > 0;)
		buf_puts(text, i % 2 == 0 ? "]" : "}");
}

static void test_depth(void **state)
{
	(void)state;
	for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
		struct json_reader r;
		struct buf text = BUF_INIT(OUT_MAX);
		struct buf out = BUF_INIT(OUT_MAX);
		nest(&text, depth);
		enum err err = canonical(&r, buf_view(&text), &out);
		if (depth <= JSON_DEPTH_MAX) {
			assert_int_equal(err, OK);
			assert_true(slice_eq(buf_view(&out), buf_view(&text)));
		} else {
			struct problem p;
			size_t pos = JSON_DEPTH_MAX / 2 * strlen("[{\"a\":");
			assert_int_equal(err, ERR_SYNTAX);
			assert_int_equal(r.pos, pos);
			assert_false(out.failed);
			assert_int_equal(json_problem(&r, err, &p), ERR_SYNTAX);
			assert_non_null(strstr(p.message, "64"));
		}
		json_fini(&r);
		buf_fini(&text);
		buf_fini(&out);
	}
}

/* The array whose items are read one by one is no part of their depth. */
static void test_depth_of_items(void **state)
{
	(void)state;
	struct json_reader r;
	struct buf text = BUF_INIT(OUT_MAX);
	struct buf out = BUF_INIT(OUT_MAX);
	bool more = false;
	buf_putc(&text, '[');
	nest(&text, JSON_DEPTH_MAX);
	buf_putc(&text, ']');
	json_init(&r, buf_view(&text));
	assert_int_equal(json_read_array(&r), OK);
	assert_int_equal(json_read_item(&r, true, &more), OK);
	assert_true(more);
	assert_int_equal(json_read_value(&r, &out), OK);
	json_fini(&r);
	buf_fini(&text);
	buf_fini(&out);
}

/* A text passes a limit of its canonical length and none below, with what was there kept. */
static void test_output_limit(void **state)
{
	(void)state;
	static const struct slice TEXT = SLICE_INIT(
	    "{ \"b\":[1e20, \"\\u0041\"],\"1\":null,\"b\":\"x\" }");
	static const struct slice WANT = SLICE_INIT("{\"1\":null,\"b\":\"x\"}");
	size_t prefix = strlen("before");
	bool passed = false;
	for (size_t max = prefix; !passed; max++) {
		struct json_reader r;
		struct buf out = BUF_INIT(max);
		buf_puts(&out, "before");
		enum err err = canonical(&r, TEXT, &out);
		passed = err == OK;
		if (!passed) {
			assert_int_equal(err, ERR_TOOBIG);
			assert_true(out.failed);
			assert_int_equal(out.len, prefix);
			assert_non_null(r.error);
		} else {
			assert_true(max >= prefix + WANT.len);
			struct slice made = {out.data + prefix, out.len - prefix};
			assert_true(slice_eq(made, WANT));
		}
		assert_true(max < 2 * TEXT.len);
		json_fini(&r);
		buf_fini(&out);
	}
}

static void test_has_nul(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		bool has_nul;
	} ROWS[] = {
	    {SLICE_INIT("\"a\\u0000\""), true},
	    {SLICE_INIT("{\"\\u0000\":[]}"), true},
	    {SLICE_INIT("[\"\\u0001\",\"\\\\u0000\",0]"), false},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct json_reader r;
		struct buf out = BUF_INIT(OUT_MAX);
		if (canonical(&r, ROWS[i].text, &out) != OK || r.has_nul != ROWS[i].has_nul)
			fail_msg("row %zu", i);
		json_fini(&r);
		buf_fini(&out);
	}
}

/* Thousands of items of one text go into one buffer, each as it would alone. */
static void test_items(void **state)
{
	(void)state;
	struct json_reader r;
	struct buf text = BUF_INIT(OUT_MAX);
	struct buf want = BUF_INIT(OUT_MAX);
	struct buf out = BUF_INIT(OUT_MAX);
	bool more = true;
	int count = 0;
	for (int i = 0; i < 3000; i++) {
		buf_printf(&text, "%s {\"n\" : %d.0, \"7\":\"\\/\"}\n", i == 0 ? " [" : ",", i);
		buf_printf(&want, "{\"7\":\"/\",\"n\":%d}", i);
	}
	buf_puts(&text, " ] ");
	json_init(&r, buf_view(&text));
	assert_int_equal(json_peek(&r), '[');
	assert_int_equal(json_read_array(&r), OK);
	for (;;) {
		assert_int_equal(json_read_item(&r, count == 0, &more), OK);
		if (!more)
			break;
		assert_int_equal(json_read_value(&r, &out), OK);
		count++;
	}
	assert_int_equal(json_peek(&r), -1);
	assert_int_equal(json_read_end(&r), OK);
	assert_int_equal(count, 3000);
	assert_true(slice_eq(buf_view(&out), buf_view(&want)));
	json_fini(&r);
	buf_fini(&text);
	buf_fini(&want);
	buf_fini(&out);
}

/* Reads all items of `text`; returns how many, or -1 after an error. */
static int count_items(struct json_reader *r, struct slice text)
{
	struct buf out = BUF_INIT(OUT_MAX);
	bool more = false;
	int count = 0;
	json_init(r, text);
	enum err err = json_read_array(r);
	while (err == OK) {
		err = json_read_item(r, count == 0, &more);
		if (err != OK || !more)
			break;
		err = json_read_value(r, &out);
		count++;
	}
	if (err == OK)
		err = json_read_end(r);
	buf_fini(&out);
	return err == OK ? count : -1;
}

static void test_item_syntax(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		int count;
		size_t pos;
	} ROWS[] = {
	    {SLICE_INIT("[]"), 0, 2},
	    {SLICE_INIT(" [ ] "), 0, 5},
	    {SLICE_INIT("[1 , 2]"), 2, 7},
	    {SLICE_INIT("{}"), -1, 0},
	    {SLICE_INIT(""), -1, 0},
	    {SLICE_INIT("["), -1, 1},
	    {SLICE_INIT("[1"), -1, 2},
	    {SLICE_INIT("[1,"), -1, 3},
	    {SLICE_INIT("[1,]"), -1, 3},
	    {SLICE_INIT("[,1]"), -1, 1},
	    {SLICE_INIT("[1 2]"), -1, 3},
	    {SLICE_INIT("[1}"), -1, 2},
	    {SLICE_INIT("[1]]"), -1, 3},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		struct json_reader r;
		int count = count_items(&r, ROWS[i].text);
		if (count != ROWS[i].count || r.pos != ROWS[i].pos)
			fail_msg("row %zu: %d items, byte %zu", i, count, r.pos);
		json_fini(&r);
	}
}

static void test_members(void **state)
{
	(void)state;
	static const struct row WANT[] = {
	    ROW("3", "[{\"0\":1,\"x\":2}]"),
	    ROW("a\\n", "1e+21"),
	    ROW("\\\"", "{}"),
	    ROW("", "null"),
	};
	struct json_reader r;
	struct buf out = BUF_INIT(OUT_MAX);
	const struct json_member *members = NULL;
	size_t count = 0;
	json_init(&r,
	    SLICE(" { \"a\\u000A\" : 7, \"\\u0022\": {\"q\":1,\"q\":2}, \"\":null,"
		  "\"3\":[{\"x\":2,\"0\":1}], \"a\\n\": 1000e18,\"\\\"\":{ } } 5"));
	buf_puts(&out, "before ");
	assert_int_equal(json_read_members(&r, &out, &members, &count), OK);
	assert_string_equal(buf_cstr(&out),
	    "before {\"3\":[{\"0\":1,\"x\":2}],\"a\\n\":1e+21,\"\\\"\":{},\"\":null}");
	assert_int_equal(count, ROWS_OF(WANT));
	for (size_t i = 0; i < count; i++) {
		if (!slice_eq(members[i].key, WANT[i].in))
			fail_msg("key %zu", i);
		if (!slice_eq(members[i].value, WANT[i].out))
			fail_msg("value %zu", i);
	}
	assert_int_equal(json_peek(&r), '5');
	assert_int_equal(json_read_members(&r, &out, &members, &count), ERR_SYNTAX);
	json_fini(&r);
	buf_fini(&out);
}

static void test_empty_object_has_no_members(void **state)
{
	(void)state;
	struct json_reader r;
	struct buf out = BUF_INIT(OUT_MAX);
	const struct json_member *members = NULL;
	size_t count = 1;
	json_init(&r, SLICE("{ }"));
	assert_int_equal(json_read_members(&r, &out, &members, &count), OK);
	assert_int_equal(count, 0);
	assert_string_equal(buf_cstr(&out), "{}");
	json_fini(&r);
	buf_fini(&out);
}

static void test_index_keys(void **state)
{
	(void)state;
	static const struct {
		struct slice key;
		bool is_index;
	} ROWS[] = {
	    {SLICE_INIT("0"), true},
	    {SLICE_INIT("10"), true},
	    {SLICE_INIT("4294967294"), true},
	    {SLICE_INIT("4294967295"), false},
	    {SLICE_INIT("9999999999"), false},
	    {SLICE_INIT("10000000000"), false},
	    {SLICE_INIT("18446744073709551617"), false},
	    {SLICE_INIT("00"), false},
	    {SLICE_INIT("01"), false},
	    {SLICE_INIT("1a"), false},
	    {SLICE_INIT("-0"), false},
	    {SLICE_INIT(" 1"), false},
	    {{NULL, 0}, false},
	};
	for (size_t i = 0; i < ROWS_OF(ROWS); i++) {
		if (json_is_index(ROWS[i].key) != ROWS[i].is_index)
			fail_msg("row %zu", i);
	}
}

static void test_problem(void **state)
{
	(void)state;
	struct json_reader r;
	struct problem p;
	struct buf out = BUF_INIT(OUT_MAX);
	enum err err = canonical(&r, SLICE("{\"a\":1, \"b\":true  1}"), &out);
	assert_int_equal(json_problem(&r, err, &p), ERR_SYNTAX);
	assert_string_equal(p.field, "");
	assert_string_equal(p.message, "malformed JSON at byte 18: a comma or } expected");
	json_fini(&r);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_strings),
	    cmocka_unit_test(test_member_order),
	    cmocka_unit_test(test_sorted),
	    cmocka_unit_test(test_many_members),
	    cmocka_unit_test(test_many_indices),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_depth_of_items),
	    cmocka_unit_test(test_output_limit),
	    cmocka_unit_test(test_has_nul),
	    cmocka_unit_test(test_items),
	    cmocka_unit_test(test_item_syntax),
	    cmocka_unit_test(test_members),
	    cmocka_unit_test(test_empty_object_has_no_members),
	    cmocka_unit_test(test_index_keys),
	    cmocka_unit_test(test_problem),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
