/*
 * JSON out: the very bytes of each type, commas and names at every level; that a text is whole
 * or said not to be, whatever its limit; that what is no JSON ends the process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json_write.h"
#include "base/rnd.h"
#include "base/uuid.h"
#include "domain/json.h"
#include "support.h"

#define OUT_MAX 65536

/* Whether the text is `json`, whole; forgets it. */
static void assert_json(struct json_writer *w, const char *json)
{
	assert_true(json_is_whole(w));
	assert_string_equal(buf_cstr(w->out), json);
	buf_reset(w->out);
	*w = JSON_WRITER(w->out);
}

static void test_values(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = JSON_WRITER(&out);
	json_write_i64(&w, NULL, INT64_MIN);
	assert_json(&w, "-9223372036854775808");
	json_write_u64(&w, NULL, UINT64_MAX);
	assert_json(&w, "18446744073709551615");
	json_write_double(&w, NULL, 2.5);
	assert_json(&w, "2.5");
	json_write_double(&w, NULL, 100000);
	assert_json(&w, "100000");
	json_write_double(&w, NULL, 0.1);
	assert_json(&w, "0.1");
	json_write_thousandths(&w, NULL, 12.0006);
	assert_json(&w, "12.001");
	json_write_thousandths(&w, NULL, 0);
	assert_json(&w, "0.000");
	json_write_thousandths(&w, NULL, (double)86399999999 / 1000);
	assert_json(&w, "86399999.999");
	json_write_bool(&w, NULL, true);
	assert_json(&w, "true");
	json_write_bool(&w, NULL, false);
	assert_json(&w, "false");
	json_write_null(&w, NULL);
	assert_json(&w, "null");
	json_write_time(&w, NULL, 1767225600123);
	assert_json(&w, "\"2026-01-01T00:00:00.123Z\"");
	json_write_time(&w, NULL, 0);
	assert_json(&w, "\"1970-01-01T00:00:00.000Z\"");
	json_write_time_or_null(&w, NULL, 0);
	assert_json(&w, "null");
	json_write_time_or_null(&w, NULL, 1);
	assert_json(&w, "\"1970-01-01T00:00:00.001Z\"");
	json_write_cstr(&w, NULL, NULL);
	assert_json(&w, "null");
	json_write_cstr(&w, NULL, "");
	assert_json(&w, "\"\"");
	json_write_bytes_or_null(&w, NULL, SLICE(""));
	assert_json(&w, "null");
	json_write_bytes_or_null(&w, NULL, SLICE("\xff"));
	assert_json(&w, "\"\xef\xbf\xbd\"");
	json_write_raw(&w, NULL, SLICE("{\"a\":[1]}"));
	assert_json(&w, "{\"a\":[1]}");
	uuid_write(&w, NULL, &(struct uuid){.bytes = {0x01, 0xab, [15] = 0xff}});
	assert_json(&w, "\"01ab0000-0000-0000-0000-0000000000ff\"");
	buf_fini(&out);
}

static void test_text(void **state)
{
	(void)state;
	static const struct {
		struct slice in;
		struct slice out;
	} ROWS[] = {
	    {{NULL, 0}, SLICE_INIT("\"\"")},
	    {SLICE_INIT("plain"), SLICE_INIT("\"plain\"")},
	    {SLICE_INIT("a/b"), SLICE_INIT("\"a/b\"")},
	    {SLICE_INIT("\""), SLICE_INIT("\"\\\"\"")},
	    {SLICE_INIT("\\x\\"), SLICE_INIT("\"\\\\x\\\\\"")},
	    {SLICE_INIT("\b\f\n\r\t"), SLICE_INIT("\"\\b\\f\\n\\r\\t\"")},
	    {SLICE_INIT("\0\x01\x0b\x1f\x7f"),
		SLICE_INIT("\"\\u0000\\u0001\\u000b\\u001f\x7f\"")},
	    {SLICE_INIT("gr\xc3\xbc\xc3\x9f \xe2\x80\xa8"),
		SLICE_INIT("\"gr\xc3\xbc\xc3\x9f \xe2\x80\xa8\"")},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf out = BUF_INIT(100);
		struct json_writer w = JSON_WRITER(&out);
		json_write_text(&w, NULL, ROWS[i].in);
		if (!json_is_whole(&w) || !slice_eq(buf_view(&out), ROWS[i].out))
			fail_msg("row %zu: %s", i, buf_cstr(&out));
		buf_reset(&out);
		w = JSON_WRITER(&out);
		json_write_bytes(&w, NULL, ROWS[i].in); /* the same of what is UTF-8 */
		if (!json_is_whole(&w) || !slice_eq(buf_view(&out), ROWS[i].out))
			fail_msg("row %zu as bytes: %s", i, buf_cstr(&out));
		buf_fini(&out);
	}
}

static void test_bytes(void **state)
{
	static const struct {
		struct slice bytes;
		const char *json;
	} CASES[] = {
	    {SLICE_INIT(""), "\"\""},
	    {SLICE_INIT("a\0\"\xc3\xa9"), "\"a\\u0000\\\"\xc3\xa9\""},
	    {SLICE_INIT("\xffz\xc3"), "\"\xef\xbf\xbdz\xef\xbf\xbd\""},
	    {SLICE_INIT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct buf out = BUF_INIT(64);
		struct json_writer w = JSON_WRITER(&out);
		json_write_bytes(&w, NULL, CASES[i].bytes);
		assert_json(&w, CASES[i].json);
		buf_fini(&out);
	}
}

/* What is empty, what nests, what stands behind what has nested. */
static void put_nested(struct json_writer *w)
{
	json_open_object(w, NULL);
	json_open_array(w, "none");
	json_close(w);
	json_open_object(w, "nothing");
	json_close(w);
	json_open_array(w, "all");
	json_write_i64(w, NULL, 1);
	json_open_object(w, NULL);
	json_write_cstr(w, "a", "x");
	json_write_name(w, SLICE("b\\n"));
	json_write_raw(w, NULL, SLICE("[2]"));
	json_write_name(w, SLICE("c"));
	json_open_array(w, NULL);
	json_close(w);
	json_close(w);
	json_open_array(w, NULL);
	json_write_null(w, NULL);
	json_write_bool(w, NULL, true);
	json_close(w);
	json_close(w);
	json_write_u64(w, "end", 3);
	json_close(w);
}

#define NESTED                                                                                 \
	"{\"none\":[],\"nothing\":{},\"all\":[1,{\"a\":\"x\",\"b\\n\":[2],\"c\":[]},"          \
	"[null,true]],\"end\":3}"

static void test_nesting(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = JSON_WRITER(&out);
	put_nested(&w);
	assert_json(&w, NESTED);
	for (int i = 0; i < JSON_WRITE_DEPTH; i++)
		json_open_array(&w, NULL);
	for (int i = 0; i < JSON_WRITE_DEPTH; i++)
		json_close(&w);
	assert_true(json_is_whole(&w));
	assert_int_equal(out.len, 2 * JSON_WRITE_DEPTH);
	buf_fini(&out);
}

/* Behind what the buffer holds already. */
static void test_follows_other_bytes(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = JSON_WRITER(&out);
	buf_puts(&out, "data: ");
	put_nested(&w);
	buf_puts(&out, "\n");
	assert_string_equal(buf_cstr(&out), "data: " NESTED "\n");
	buf_fini(&out);
}

/* Whole with the very bytes that it needs, and with none fewer. */
static void test_every_limit(void **state)
{
	(void)state;
	const size_t need = strlen(NESTED);
	for (size_t max = 0; max <= need + 1; max++) {
		struct buf out = BUF_INIT(max);
		struct json_writer w = JSON_WRITER(&out);
		put_nested(&w);
		if (json_is_whole(&w) != (max >= need))
			fail_msg("limit %zu", max);
		if (max >= need)
			assert_string_equal(buf_cstr(&out), NESTED);
		buf_fini(&out);
	}
}

/* Once cut off it stays so, even where something short would fit again. */
static void test_failure_stays(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(8);
	struct json_writer w = JSON_WRITER(&out);
	json_open_array(&w, NULL);
	json_write_cstr(&w, NULL, "much too long");
	json_write_i64(&w, NULL, 1);
	json_close(&w);
	assert_false(json_is_whole(&w));
	buf_fini(&out);
}

static void put_random(struct json_writer *w, struct rnd *rnd, bool in_object, unsigned depth)
{
	unsigned kind = (unsigned)(rnd_next(rnd) % (depth < 6 ? 8 : 6));
	char bytes[40];
	struct slice some = {bytes, rnd_next(rnd) % sizeof(bytes)};
	const char *name = in_object ? "m" : NULL;
	for (size_t i = 0; i < some.len; i++)
		bytes[i] = (char)rnd_next(rnd);
	if (in_object && rnd_next(rnd) % 2 == 0) {
		json_write_name(w, SLICE("n\\\""));
		name = NULL;
	}
	if (kind < 2)
		json_write_bytes(w, name, some);
	else if (kind == 2)
		json_write_i64(w, name, (int64_t)rnd_next(rnd));
	else if (kind == 3)
		json_write_bool(w, name, rnd_next(rnd) % 2 == 0);
	else if (kind == 4)
		json_write_thousandths(w, name, (double)rnd_next(rnd) / 7);
	else if (kind == 5)
		json_write_bytes_or_null(w, name, some);
	if (kind < 6)
		return;
	if (kind == 6)
		json_open_object(w, name);
	else
		json_open_array(w, name);
	for (uint64_t n = rnd_next(rnd) % 6; n > 0; n--)
		put_random(w, rnd, kind == 6, depth + 1);
	json_close(w);
}

/* Whatever is written, the strict reader takes it for JSON. */
static void test_reader_takes_it(void **state)
{
	(void)state;
	const uint64_t seed = test_seed(12);
	struct rnd rnd;
	rnd_seed(&rnd, seed);
	for (int round = 0; round < 2000; round++) {
		struct buf out = BUF_INIT(1u << 20);
		struct buf canonical = BUF_INIT(2u << 20);
		struct json_writer w = JSON_WRITER(&out);
		struct json_reader r;
		put_random(&w, &rnd, false, 0);
		json_expect_whole(&w);
		json_init(&r, buf_view(&out));
		if (json_read_value(&r, &canonical) != OK || json_read_end(&r) != OK)
			fail_msg("seed %llu, round %d: %s", (unsigned long long)seed, round,
			    buf_cstr(&out));
		json_fini(&r);
		buf_fini(&canonical);
		buf_fini(&out);
	}
}

static void unnamed_member(void *arg)
{
	json_open_object(arg, NULL);
	json_write_null(arg, NULL);
}

static void named_item(void *arg)
{
	json_open_array(arg, NULL);
	json_write_null(arg, "a");
}

static void named_text(void *arg)
{
	json_write_null(arg, "a");
}

static void name_in_array(void *arg)
{
	json_open_array(arg, NULL);
	json_write_name(arg, SLICE("a"));
}

static void name_of_text(void *arg)
{
	json_write_name(arg, SLICE("a"));
}

static void two_names(void *arg)
{
	json_open_object(arg, NULL);
	json_write_name(arg, SLICE("a"));
	json_write_name(arg, SLICE("b"));
}

static void two_names_of_a_value(void *arg)
{
	json_open_object(arg, NULL);
	json_write_name(arg, SLICE("a"));
	json_write_null(arg, "b");
}

static void name_without_value(void *arg)
{
	json_open_object(arg, NULL);
	json_write_name(arg, SLICE("a"));
	json_close(arg);
}

static void second_text(void *arg)
{
	json_write_null(arg, NULL);
	json_write_null(arg, NULL);
}

static void no_value(void *arg)
{
	json_write_raw(arg, NULL, SLICE(""));
}

static void nothing_to_close(void *arg)
{
	json_open_array(arg, NULL);
	json_close(arg);
	json_close(arg);
}

static void too_deep(void *arg)
{
	for (int i = 0; i <= JSON_WRITE_DEPTH; i++)
		json_open_array(arg, NULL);
}

static void not_closed(void *arg)
{
	json_open_array(arg, NULL);
	if (json_is_whole(arg))
		fail_msg("an open array is whole");
}

static void nothing_written(void *arg)
{
	if (json_is_whole(arg))
		fail_msg("nothing is whole");
}

static void over_its_limit(void *arg)
{
	struct buf out = BUF_INIT(3);
	struct json_writer w = JSON_WRITER(&out);
	(void)arg;
	json_write_null(&w, NULL);
	json_expect_whole(&w);
}

static void test_mistakes_end_the_process(void **state)
{
	(void)state;
	static void (*const MISTAKES[])(void *arg) = {unnamed_member, named_item, named_text,
	    name_in_array, name_of_text, two_names, two_names_of_a_value, name_without_value,
	    second_text, no_value, nothing_to_close, too_deep, not_closed, nothing_written,
	    over_its_limit};
	for (size_t i = 0; i < COUNT(MISTAKES); i++) {
		struct buf out = BUF_INIT(OUT_MAX);
		struct json_writer w = JSON_WRITER(&out);
		if (!panics(MISTAKES[i], &w))
			fail_msg("mistake %zu", i);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_nesting),
	    cmocka_unit_test(test_follows_other_bytes),
	    cmocka_unit_test(test_every_limit),
	    cmocka_unit_test(test_failure_stays),
	    cmocka_unit_test(test_reader_takes_it),
	    cmocka_unit_test(test_mistakes_end_the_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
