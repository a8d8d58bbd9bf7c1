/* YAML to JSON and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs all four before it */
#include <cmocka.h>
#include <string.h>

#include "cli/yaml.h"
#include "domain/json.h"
#include "support.h"

#define TEXT_MAX (1u << 20)

/* Reads a document and its JSON; the caller frees both. */
static enum err read_both(struct slice yaml, struct buf *canonical, struct problem *p)
{
	struct buf json = BUF_INIT(TEXT_MAX);
	enum err err = yaml_read(yaml, &json, p);
	if (err == OK)
		err = json_read_whole(buf_view(&json), canonical, p);
	buf_fini(&json);
	return err;
}

static void check_reads(struct slice yaml, const char *json)
{
	struct problem p = {.message = ""};
	struct buf is = BUF_INIT(TEXT_MAX);
	assert_int_equal(read_both(yaml, &is, &p), OK);
	assert_string_equal(p.message, "");
	assert_string_equal(buf_cstr(&is), json);
	buf_fini(&is);
}

static void check_refuses(struct slice yaml, const char *says)
{
	struct problem p = {.message = ""};
	struct buf is = BUF_INIT(TEXT_MAX);
	assert_int_equal(read_both(yaml, &is, &p), ERR_INVALID);
	assert_string_equal(p.message, says);
	buf_fini(&is);
}

/* Each scalar stands behind a key; the JSON is that of the value. */
static void test_plain_scalars(void **state)
{
	static const char *const ROWS[][2] = {/* the core schema */
	    {"", "null"}, {"~", "null"}, {"null", "null"}, {"Null", "null"}, {"NULL", "null"},
	    {"true", "true"}, {"True", "true"}, {"TRUE", "true"}, {"false", "false"},
	    {"FALSE", "false"}, {"0", "0"}, {"-0", "0"}, {"+12", "12"}, {"007", "7"},
	    {"000", "0"}, {"0o17", "15"}, {"0xfF", "255"},
	    {"0xffffffffffffffff", "18446744073709551615"},
	    {"9007199254740993", "9007199254740993"}, {"1.50", "1.5"}, {".5", "0.5"},
	    {"-.5e1", "-5"}, {"5.", "5"}, {"1e3", "1000"}, {"1E-7", "1e-7"},
	    {"1E+400", "1E+400"}, {"+1.e+2", "100"},
	    /* what other versions and schemas take for something else is a string */
	    {"no", "\"no\""}, {"Yes", "\"Yes\""}, {"off", "\"off\""}, {"y", "\"y\""},
	    {"nULL", "\"nULL\""}, {"0b11", "\"0b11\""}, {"0o18", "\"0o18\""}, {"0x", "\"0x\""},
	    {"-0x1", "\"-0x1\""}, {"0X1", "\"0X1\""}, {"1_000", "\"1_000\""},
	    {"1:20", "\"1:20\""}, {"2026-12-01", "\"2026-12-01\""}, {".", "\".\""},
	    {"1e", "\"1e\""}, {"e1", "\"e1\""}, {"1.2.3", "\"1.2.3\""}, {"+", "\"+\""},
	    {"=", "\"=\""}, {"5s", "\"5s\""}, {"a b # c", "\"a b\""},
	    {"http://h:9/a#b", "\"http://h:9/a#b\""},
	    /* quoted is a string */
	    {"\"1\"", "\"1\""}, {"'null'", "\"null\""}, {"'it''s'", "\"it's\""},
	    {"\"\\x41\\u00e9\\U0001f600\\0\"", "\"Aé😀\\u0000\""}, {"\"a\\/b\"", "\"a/b\""},
	    {"|\n    a\n     b\n", "\"a\\n b\\n\""}, {"|-\n    a\n    b\n", "\"a\\nb\""},
	    {">\n    a\n    b\n", "\"a b\\n\""}, {"[a, 1, {b: ~}]", "[\"a\",1,{\"b\":null}]"}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf yaml = BUF_INIT(TEXT_MAX);
		struct buf json = BUF_INIT(TEXT_MAX);
		buf_printf(&yaml, "k: %s\n", ROWS[i][0]);
		buf_printf(&json, "{\"k\":%s}", ROWS[i][1]);
		check_reads(buf_view(&yaml), buf_cstr(&json));
		buf_fini(&yaml);
		buf_fini(&json);
	}
}

static void test_documents(void **state)
{
	(void)state;
	check_reads(SLICE("# c\n%YAML 1.2\n---\na:\n- b: 1\n  c:\n    - - x\n...\n"),
	    "{\"a\":[{\"b\":1,\"c\":[[\"x\"]]}]}");
	check_reads(SLICE("\xef\xbb\xbf"
			  "a: 1\r\nb: 2\r\n"),
	    "{\"a\":1,\"b\":2}");
	check_reads(SLICE("{\"webhooks\": [{\"session\": \"*\"}], \"a\":\n[]}"),
	    "{\"webhooks\":[{\"session\":\"*\"}],\"a\":[]}");
	check_reads(SLICE("'': {x: {}}\n"), "{\"\":{\"x\":{}}}");
	check_reads(SLICE("'true': 1\n\"<<\": 2\n'1': 3\n"), "{\"1\":3,\"true\":1,\"<<\":2}");
	check_reads(SLICE("? a\n: 1\n? b\n"), "{\"a\":1,\"b\":null}");
	check_reads(SLICE("{a: {a: {a: 1}}, b: {a: 2}}"),
	    "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}");
	check_reads(SLICE("word"), "\"word\"");
}

static void test_refusals(void **state)
{
	(void)state;
	check_refuses(SLICE(""), "it is empty");
	check_refuses(SLICE("# nothing\n"), "it is empty");
	check_refuses(SLICE("a: 1\n---\nb: 1\n"),
	    "line 2, column 1: there is a second document: put it in a file");
	check_refuses(SLICE("%YAML 1.1\n---\na: no\n"),
	    "line 1, column 1: this is read as YAML 1.2, not as what it declares");
	check_refuses(SLICE("a: &x [1]\n"),
	    "line 1, column 4: anchors and aliases are not read: write it out");
	check_refuses(SLICE("a: &x 1\n"),
	    "line 1, column 4: anchors and aliases are not read: write it out");
	check_refuses(SLICE("a: 1\nb: *x\n"),
	    "line 2, column 4: anchors and aliases are not read: write it out");
	check_refuses(SLICE("a: !!str 1\n"),
	    "line 1, column 4: tags are not read; a string takes quotes");
	check_refuses(SLICE("a: ! 1\n"),
	    "line 1, column 4: tags are not read; a string takes quotes");
	check_refuses(SLICE("a: !x {}\n"),
	    "line 1, column 4: tags are not read; a string takes quotes");
	check_refuses(SLICE("<<: {a: 1}\n"),
	    "line 1, column 1: merge keys are not read: write it out");
	check_refuses(SLICE("a: 1\n1: 2\n"),
	    "line 2, column 1: a key has to be a string: put it in quotes");
	check_refuses(SLICE("a:\n  ? ~\n"),
	    "line 2, column 5: a key has to be a string: put it in quotes");
	check_refuses(SLICE("[a]: 1\n"), "line 1, column 1: a key has to be a string");
	check_refuses(SLICE("? {a: 1}\n: 2\n"), "line 1, column 3: a key has to be a string");
	check_refuses(SLICE("a: 1\nb: 2\n'a': 3\n"),
	    "line 3, column 1: the key is on line 1 already");
	check_refuses(SLICE("l:\n- x: {a: 1, b: 2, \"a\": 3}\n"),
	    "line 2, column 19: the key is on line 2 already");
	check_refuses(SLICE("\"\": 1\n'': 2\n"),
	    "line 2, column 1: the key is on line 1 already");
	check_refuses(SLICE("a: .inf\n"),
	    "line 1, column 4: JSON has no such number; a string takes quotes");
	check_refuses(SLICE("a: 0x10000000000000000\n"),
	    "line 1, column 4: the number has more than 64 bits; a string takes quotes");
	check_refuses(SLICE("a: [1\n"), "line 2, column 1: did not find expected ',' or ']'");
	check_refuses(SLICE("a:\n\t- 1\n"),
	    "line 2, column 1: found character that cannot start any token");
	check_refuses(SLICE("a: é\nb: é\x01\n"),
	    "line 2, column 5: control characters are not allowed");
	check_refuses(SLICE("a: \xff\n"), "line 1, column 4: invalid leading UTF-8 octet");
	check_refuses(SLICE("a: \"\\ud83d\\ude00\"\n"),
	    "line 1, column 7: found invalid Unicode character escape code");
}

static void test_depth(void **state)
{
	(void)state;
	struct buf yaml = BUF_INIT(TEXT_MAX);
	struct buf json = BUF_INIT(TEXT_MAX);
	for (unsigned i = 0; i < YAML_DEPTH_MAX; i++)
		buf_putc(&yaml, '[');
	for (unsigned i = 0; i < YAML_DEPTH_MAX; i++)
		buf_putc(&yaml, ']');
	check_reads(buf_view(&yaml), buf_cstr(&yaml));
	assert_int_equal(yaml_write(&json, buf_view(&yaml)), OK);
	buf_reset(&json);
	buf_printf(&json, "[%s]", buf_cstr(&yaml));
	check_refuses(buf_view(&json), "line 1, column 33: it nests too deep");
	buf_reset(&yaml);
	assert_int_equal(yaml_write(&yaml,
			     SLICE("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]"
				   "]]]]]]]]]]]]]]]]")),
	    ERR_INVALID);
	buf_fini(&yaml);
	buf_fini(&json);
}

static void test_limit_of_the_output(void **state)
{
	(void)state;
	struct problem p;
	struct buf small = BUF_INIT(8);
	assert_int_equal(yaml_read(SLICE("a: [bcdefghijk, lmno]\n"), &small, &p), ERR_TOOBIG);
	assert_string_equal(p.message, "it is too large");
	buf_fini(&small);
}

static void check_writes(const char *json, const char *yaml)
{
	struct buf is = BUF_INIT(TEXT_MAX);
	assert_int_equal(yaml_write(&is, slice_of(json)), OK);
	assert_string_equal(buf_cstr(&is), yaml);
	check_reads(buf_view(&is), json);
	buf_fini(&is);
}

static void test_writing(void **state)
{
	(void)state;
	check_writes(
	    "{\"webhooks\":[{\"session\":\"*\",\"url\":\"https://h.example/a?b=c\","
	    "\"events\":[\"order.*\",\"all\"],\"retry\":[\"5s\"],\"headers\":{}},{\"a\":[]}],"
	    "\"sources\":[[[1,2.5],{\"b\":null}]]}",
	    "webhooks:\n"
	    "  - session: \"*\"\n"
	    "    url: https://h.example/a?b=c\n"
	    "    events:\n"
	    "      - order.*\n"
	    "      - all\n"
	    "    retry:\n"
	    "      - \"5s\"\n"
	    "    headers: {}\n"
	    "  - a: []\n"
	    "sources:\n"
	    "  - - - 1\n"
	    "      - 2.5\n"
	    "    - b: null\n");
	check_writes("{\"d\":\"-----BEGIN X-----\\na b\\n\\n  c: #\\n\",\"e\":[\"a\\nb\"]}",
	    "d: |\n  -----BEGIN X-----\n  a b\n\n    c: #\ne:\n  - |-\n    a\n    b\n");
	check_writes("{}", "{}\n");
	check_writes("\"x\"", "x\n");
}

static void test_strings_stay_what_they_are(void **state)
{
	static const char *const TEXTS[] = {"no", "No", "YES", "on", "y", "N", "1.0", "null",
	    "~", "0x10", "0o7", "1e3", ".5", ".inf", "", " ", " leading", "trailing ", "a: b",
	    "a:", "a #b", "# a", "- a", "-", "---", "...", "? a", "?", "!t", "&a", "*a",
	    "%YAML 1.2", "@", "`", "'", "\\\"", "\\\\", "[a", "{a", "a]", "<<", "=", "|", ">",
	    "2026-12-01", "1:20", "true", "FALSE", "a\\nb", "a\\n", "a\\n\\n", "\\n", "\\na",
	    " a\\nb", "a \\nb", "a\\n b\\n", "a\\n\\tb", "\\ta", "a\\tb", "a\\r\\nb",
	    "a\\u0000b", "\\u001b[31m", "\xc2\x85",
	    "a\xc2\x85"
	    "b\\nc",
	    "\xe2\x80\xa8", "\xe2\x80\xae",
	    "\xef\xbb\xbf"
	    "a",
	    "\xef\xbf\xbe", "\xef\xbf\xbf", "\xc3\xa9t\xc3\xa9", "\xf0\x9f\x98\x80 emoji",
	    "\xf3\xa0\x81\x81", "\x7f", "the shop's CRM, v2 (new)", "/data/n", "_", "a  b",
	    "a - b", "http://h:9/", "x:y", "********"};
	(void)state;
	for (size_t i = 0; i < COUNT(TEXTS); i++) {
		struct buf json = BUF_INIT(TEXT_MAX);
		struct buf yaml = BUF_INIT(TEXT_MAX);
		buf_printf(&json, "{\"%s\":[\"%s\",{\"k\":\"%s\"}],\"z\":\"%s\"}", TEXTS[i],
		    TEXTS[i], TEXTS[i], TEXTS[i]);
		assert_int_equal(yaml_write(&yaml, buf_view(&json)), OK);
		assert_null(strstr(buf_cstr(&yaml), "\x1b"));
		assert_null(strstr(buf_cstr(&yaml), "\xe2\x80\xae"));
		check_reads(buf_view(&yaml), buf_cstr(&json));
		buf_fini(&json);
		buf_fini(&yaml);
	}
}

/* In front of its ':' a key has 1024 characters at most. */
static void test_long_keys(void **state)
{
	(void)state;
	for (size_t len = 990; len < 1040; len += 7) {
		struct buf json = BUF_INIT(TEXT_MAX);
		struct buf yaml = BUF_INIT(TEXT_MAX);
		buf_puts(&json, "[{\"");
		for (size_t i = 0; i < len; i++)
			buf_putc(&json, i % 9 == 0 ? '!' : 'k');
		buf_puts(&json, "\":{\"a\":1},\"b\":2}]");
		assert_int_equal(yaml_write(&yaml, buf_view(&json)), OK);
		check_reads(buf_view(&yaml), buf_cstr(&json));
		buf_fini(&json);
		buf_fini(&yaml);
	}
}

static void test_half_a_character_is_refused(void **state)
{
	(void)state;
	struct buf yaml = BUF_INIT(TEXT_MAX);
	assert_int_equal(yaml_write(&yaml, SLICE("{\"a\":\"\\ud800\"}")), ERR_INVALID);
	buf_reset(&yaml);
	assert_int_equal(yaml_write(&yaml, SLICE("{\"\\udc00\":1}")), ERR_INVALID);
	buf_fini(&yaml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain_scalars),
	    cmocka_unit_test(test_documents),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_limit_of_the_output),
	    cmocka_unit_test(test_writing),
	    cmocka_unit_test(test_strings_stay_what_they_are),
	    cmocka_unit_test(test_long_keys),
	    cmocka_unit_test(test_half_a_character_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
