/* Walks over canonical JSON, and JSON Pointers into it: RFC 6901's own examples among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs all four before it */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "domain/json.h"
#include "domain/json_pointer.h"
#include "domain/json_walk.h"
#include "support.h"

#define OUT_MAX 4096

/* RFC 6901 section 5; canonical, so " " and "" stand where they stood. */
static const char DOCUMENT[] =
    "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,"
    "\"k\\\"l\":6,\" \":7,\"m~n\":8}";

static void expect_found(const char *text, const char *pointer, const char *expected)
{
	struct json_pointer *p = json_pointer_new(slice_of(pointer));
	assert_non_null(p);
	struct slice found = json_pointer_find(p, slice_of(text));
	if (expected == NULL ? found.ptr != NULL : !slice_eq(found, slice_of(expected)))
		fail_msg("%s: %.*s", pointer, (int)found.len, found.ptr);
	json_pointer_free(p);
}

static void test_rfc(void **state)
{
	(void)state;
	expect_found(DOCUMENT, "", DOCUMENT);
	expect_found(DOCUMENT, "/foo", "[\"bar\",\"baz\"]");
	expect_found(DOCUMENT, "/foo/0", "\"bar\"");
	expect_found(DOCUMENT, "/", "0");
	expect_found(DOCUMENT, "/a~1b", "1");
	expect_found(DOCUMENT, "/c%d", "2");
	expect_found(DOCUMENT, "/e^f", "3");
	expect_found(DOCUMENT, "/g|h", "4");
	expect_found(DOCUMENT, "/i\\j", "5");
	expect_found(DOCUMENT, "/k\"l", "6");
	expect_found(DOCUMENT, "/ ", "7");
	expect_found(DOCUMENT, "/m~0n", "8");
}

static void test_nothing_there(void **state)
{
	(void)state;
	expect_found(DOCUMENT, "/foo/2", NULL);
	expect_found(DOCUMENT, "/foo/-", NULL);
	expect_found(DOCUMENT, "/foo/00", NULL);
	expect_found(DOCUMENT, "/foo/+1", NULL);
	expect_found(DOCUMENT, "/foo/18446744073709551616", NULL);
	expect_found(DOCUMENT, "/foo/0/x", NULL);
	expect_found(DOCUMENT, "/fo", NULL);
	expect_found("{\"a\":{}}", "/a/b", NULL);
	expect_found("{\"*\":1}", "/*", "1"); /* a find has no patterns */
	expect_found("{\"a\":1}", "/*", NULL);
	expect_found("17", "/0", NULL);
	expect_found("\"{\\\"a\\\":1}\"", "/a", NULL);
	expect_found("[]", "/0", NULL);
	expect_found("null", "", "null");
}

static void test_what_is_hard_to_step_over(void **state)
{
	(void)state;
	static const char TEXT[] =
	    "{\"a\":\"}],\\\"\\\\\",\"b\":[[],{\"]\":\"[\"}],\"\\u0001\":-1.5e-7,\"\xc3\xa9\":"
	    "true,\"z\":{\"z\":{\"z\":\"\"}}}";
	expect_found(TEXT, "/a", "\"}],\\\"\\\\\"");
	expect_found(TEXT, "/b/1/]", "\"[\"");
	expect_found(TEXT, "/\x01", "-1.5e-7");
	expect_found(TEXT, "/\xc3\xa9", "true");
	expect_found(TEXT, "/z/z/z", "\"\"");
}

static void test_malformed(void **state)
{
	(void)state;
	static const char *const BAD[] = {"a", "a/b", "~", "/~", "/a~", "/~2", "/a~/b", "#/a"};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		if (json_pointer_new(slice_of(BAD[i])) != NULL)
			fail_msg("%s is taken", BAD[i]);
	}
	char text[JSON_POINTER_MAX + 2];
	memset(text, '/', sizeof(text));
	assert_null(json_pointer_new((struct slice){text, JSON_POINTER_TOKENS + 1}));
	memset(text + 1, 'a', sizeof(text) - 1);
	assert_null(json_pointer_new((struct slice){text, JSON_POINTER_MAX + 1}));
	struct json_pointer *longest = json_pointer_new((struct slice){text, JSON_POINTER_MAX});
	assert_non_null(longest);
	json_pointer_free(longest);
	json_pointer_free(NULL);
}

static bool gather(void *arg, struct slice found)
{
	buf_slice(arg, found);
	buf_putc(arg, ';');
	return ((struct buf *)arg)->len < 64;
}

static void expect_each(const char *text, const char *pattern, const char *expected)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct json_pointer *p = json_pointer_new(slice_of(pattern));
	assert_non_null(p);
	json_pointer_each(p, slice_of(text), gather, &out);
	assert_string_equal(buf_cstr(&out), expected);
	json_pointer_free(p);
	buf_fini(&out);
}

static void test_each(void **state)
{
	(void)state;
	static const char META[] = "{\"object\":\"o\",\"entry\":[{\"changes\":[1,{\"a\":2}]},"
				   "{\"changes\":[]},{\"id\":7},{\"changes\":[3]}]}";
	expect_each(META, "/entry/*/changes/*", "1;{\"a\":2};3;");
	expect_each(META, "/entry/1/changes/*", "");
	expect_each(META, "/entry/0/changes/1/a", "2;");
	expect_each("17", "", "17;");
	expect_each("[1,2,3]", "/*", "1;2;3;");
	expect_each("{\"a\":1,\"b\":2}", "/*", "1;2;");
	expect_each("\"x\"", "/*", "");
}

static void test_each_ends_when_told(void **state)
{
	(void)state;
	struct buf text = BUF_INIT(OUT_MAX);
	struct buf out = BUF_INIT(OUT_MAX);
	buf_puts(&text, "[[1");
	for (int i = 0; i < 100; i++)
		buf_puts(&text, ",1");
	buf_puts(&text, "],[2]]");
	struct json_pointer *p = json_pointer_new(SLICE("/*/*"));
	json_pointer_each(p, buf_view(&text), gather, &out);
	assert_int_equal(out.len, 64);
	json_pointer_free(p);
	buf_fini(&text);
	buf_fini(&out);
}

static void expect_left(const char *text, const char *pattern, const char *expected)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct json_pointer *p = json_pointer_new(slice_of(pattern));
	assert_non_null(p);
	json_pointer_leave_out(&p, 1, slice_of(text), &out);
	assert_string_equal(buf_cstr(&out), expected);
	json_pointer_free(p);
	buf_fini(&out);
}

static void test_leave_out(void **state)
{
	(void)state;
	expect_left("{\"a\":1,\"b\":2}", "/a", "{\"b\":2}");
	expect_left("{\"a\":1,\"b\":2}", "/b", "{\"a\":1}");
	expect_left("{\"a\":1}", "/a", "{}");
	expect_left("{\"a\":1}", "/b", "{\"a\":1}");
	expect_left("{\"a\":{\"x\":1,\"y\":[1,2]},\"b\":\"s\"}", "/a/y",
	    "{\"a\":{\"x\":1},\"b\":\"s\"}");
	expect_left("{\"a\":[{\"k\":1,\"v\":2},{\"v\":3}]}", "/a/*/v",
	    "{\"a\":[{\"k\":1},{}]}");
	expect_left("[1,2,3]", "/1", "[1,3]");
	expect_left("17", "/a", "17");
	expect_left("{\"k\\\"l\":1,\"m\":2}", "/k\"l", "{\"m\":2}");
}

/* Of several patterns each means what was there before any other left something out. */
static void test_leave_out_several(void **state)
{
	(void)state;
	static const struct {
		const char *patterns[4];
		const char *text;
		const char *expected;
	} CASES[] = {
	    {{"/0", "/1"}, "[1,2,3]", "[3]"},
	    {{"/1", "/0"}, "[1,2,3]", "[3]"},
	    {{"/l/*/0", "/l/0/1", "/k"}, "{\"k\":1,\"l\":[[1,2,3],[4,5]]}",
		"{\"l\":[[3],[5]]}"},
	    {{"/a", "/a/b"}, "{\"a\":{\"b\":1},\"c\":2}", "{\"c\":2}"},
	    {{"/a/b", "/a/c/d", "/*/e"}, "{\"a\":{\"b\":1,\"c\":{\"d\":2},\"e\":3,\"f\":4}}",
		"{\"a\":{\"c\":{},\"f\":4}}"},
	    {{"/a", ""}, "{\"a\":1,\"b\":2}", ""},
	    {{"/*"}, "{\"a\":1,\"b\":2}", "{}"},
	    {{"/*", "/a/b"}, "[1,[2]]", "[]"},
	    {{"/a/*"}, "{\"a\":[],\"b\":2}", "{\"a\":[],\"b\":2}"},
	    {{"/0", "/2"}, "[1,2,3,4]", "[2,4]"},
	    {{"/0", "/3"}, "[1,2,3,4]", "[2,3]"},
	    {{"/b", "/d"}, "{\"b\":1,\"a\":2,\"d\":3}", "{\"a\":2}"},
	    {{"/*/a", "/1/b"}, "[{\"a\":1,\"b\":2},{\"b\":3,\"a\":4},{\"b\":5}]",
		"[{\"b\":2},{},{\"b\":5}]"},
	    {{"/a/*/x", "/b/*/y"}, /* one depth, another set each time */
		"{\"a\":[{\"x\":1,\"y\":2}],\"b\":[{\"x\":3,\"y\":4}],\"c\":[{\"x\":5}]}",
		"{\"a\":[{\"y\":2}],\"b\":[{\"x\":3}],\"c\":[{\"x\":5}]}"},
	    {{"/k"}, "{\"k\":\"a,b\",\"l\":\",\"}", "{\"l\":\",\"}"},
	};
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct json_pointer *p[4];
		struct buf out = BUF_INIT(OUT_MAX);
		size_t n = 0;
		for (; n < COUNT(p) && CASES[i].patterns[n] != NULL; n++)
			p[n] = json_pointer_new(slice_of(CASES[i].patterns[n]));
		json_pointer_leave_out(p, n, slice_of(CASES[i].text), &out);
		assert_string_equal(buf_cstr(&out), CASES[i].expected);
		while (n > 0)
			json_pointer_free(p[--n]);
		buf_fini(&out);
	}
}

/* Canonical JSON of any text, then its string's meaning. */
static void expect_text(const char *json, const char *expected)
{
	struct json_reader r;
	struct buf canonical = BUF_INIT(OUT_MAX);
	struct buf out = BUF_INIT(OUT_MAX);
	json_init(&r, slice_of(json));
	assert_int_equal(json_read_value(&r, &canonical), OK);
	assert_true(json_text_of(buf_view(&canonical), &out));
	assert_string_equal(buf_cstr(&out), expected);
	json_fini(&r);
	buf_fini(&canonical);
	buf_fini(&out);
}

static void test_strings(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(OUT_MAX);
	expect_text("\"\"", "");
	expect_text("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\b\f\n\r\t");
	expect_text("\"\\u0001\\u001f\\u007f\\u00e9\\u20ac\"",
	    "\x01\x1f\x7f\xc3\xa9\xe2\x82\xac");
	expect_text("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80");
	expect_text("\"x\\ud83dy\"", "x\xed\xa0\xbdy");
	expect_text("\"S\xc3\xa3o\"", "S\xc3\xa3o");
	assert_false(json_text_of(SLICE("17"), &out));
	assert_false(json_text_of(SLICE("{}"), &out));
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

static void test_find_member(void **state)
{
	(void)state;
	struct slice object = SLICE("{\"a\":1,\"b\":{\"a\":2}}");
	assert_true(slice_eq(json_walk_find(object, SLICE("b")), SLICE("{\"a\":2}")));
	assert_null(json_walk_find(object, SLICE("c")).ptr);
	assert_null(json_walk_find(SLICE("[\"a\"]"), SLICE("")).ptr);
	assert_null(json_walk_find((struct slice){0}, SLICE("a")).ptr);
}

/* Texts that nobody has read before are walked within their bounds. */
static void test_no_json(void **state)
{
	(void)state;
	static const char *const TEXTS[] = {"{", "[", "{}", "{\"", "{\"a", "{\"a\"",
	    "{\"a\":", "[1", "[\"\\", "{\"a\":\"\\u12", "[[[[", "{]", "[,,]", "\"", "\"\\\"",
	    ""};
	for (size_t i = 0; i < COUNT(TEXTS); i++) {
		char *own = malloc(
		    strlen(TEXTS[i]) + 1); /* so that the sanitizer sees its end */
		struct buf out = BUF_INIT(OUT_MAX);
		memcpy(own, TEXTS[i], strlen(TEXTS[i]));
		struct json_walk w = json_walk_in((struct slice){own, strlen(TEXTS[i])});
		size_t steps = 0;
		while (json_walk_next(&w) && steps < 100) {
			(void)json_text_of(w.value, &out);
			steps++;
		}
		assert_true(steps < 100);
		buf_fini(&out);
		free(own);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rfc),
	    cmocka_unit_test(test_nothing_there),
	    cmocka_unit_test(test_what_is_hard_to_step_over),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_each),
	    cmocka_unit_test(test_each_ends_when_told),
	    cmocka_unit_test(test_leave_out),
	    cmocka_unit_test(test_leave_out_several),
	    cmocka_unit_test(test_strings),
	    cmocka_unit_test(test_find_member),
	    cmocka_unit_test(test_no_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
