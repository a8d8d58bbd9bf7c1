/* Webhooks and sources as a file has them, and how two of them differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/provision.h"
#include "support.h"

#define HOOK                                                                                   \
	"{\"id\":\"1\",\"name\":null,\"url\":\"http://a/\",\"events\":[\"all\"],\"secret\":"   \
	"\"********\",\"headers\":{\"X-A\":\"t0ken\"},\"public_key\":\"whpk_x\",\"enabled\":"  \
	"true,\"session_id\":\"s\",\"state\":\"ok\",\"circuit\":{\"state\":\"closed\"},"       \
	"\"updated_at\":\"t\"}"

static void check_written(const char *shown, bool of_source, bool headers, const char *want)
{
	struct buf out = BUF_INIT(10000);
	struct json_writer w = JSON_WRITER(&out);
	provision_write(&w, slice_of(shown), of_source, headers);
	json_expect_whole(&w);
	assert_string_equal(buf_cstr(&out), want);
	buf_fini(&out);
}

static void test_written(void **state)
{
	(void)state;
	check_written(HOOK, false, false,
	    "{\"session\":\"s\",\"url\":\"http://a/\",\"events\":[\"all\"],\"secret\":"
	    "\"********\",\"headers\":{\"X-A\":\"********\"},\"enabled\":true}");
	check_written(HOOK, false, true,
	    "{\"session\":\"s\",\"url\":\"http://a/\",\"events\":[\"all\"],\"secret\":"
	    "\"********\",\"headers\":{\"X-A\":\"t0ken\"},\"enabled\":true}");
	check_written("{\"events\":[\"x\"],\"headers\":{},\"session_id\":\"*\",\"later\":[1]}",
	    false, false,
	    "{\"session\":\"*\",\"events\":[\"x\"],\"later\":[1],\"events_strict\":false}");
	check_written(
	    "{\"id\":\"1\",\"path\":\"/in/x\",\"name\":\"n\",\"session\":{\"path\":1},"
	    "\"received\":{},\"created_at\":\"t\"}",
	    true, false, "{\"name\":\"n\",\"session\":{\"path\":1}}");
}

static void test_pretty(void **state)
{
	(void)state;
	static const struct {
		const char *json, *want;
	} ROWS[] = {
	    {"{}", "{}"},
	    {"{\"a\":[]}", "{\n  \"a\": []\n}"},
	    {"{\"a\":[{\"b\":{\"c\":[1,2]},\"d\":\"\xe2\x80\xae\"},{}]}",
		"{\n  \"a\": [\n    {\n      \"b\": {\"c\":[1,2]},\n      \"d\": \"\\u202e\"\n"
		"    },\n    {}\n  ]\n}"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf out = BUF_INIT(10000);
		provision_put_pretty(&out, slice_of(ROWS[i].json), 0);
		assert_string_equal(buf_cstr(&out), ROWS[i].want);
		buf_fini(&out);
	}
}

static void test_changes(void **state)
{
	(void)state;
	static const struct {
		const char *old, *new, *want;
		bool of_source;
	} ROWS[] = {
	    {HOOK, HOOK, "", false},
	    {"{\"a\":1,\"b\":\"x\"}", "{\"a\":1,\"b\":null}", "~ change s n b: \"x\" -> null\n",
		false},
	    {"{}", "{\"a\":[1]}", "~ change s n a: null -> [1]\n", false},
	    {"{}", "{\"a\":null}", "", false},
	    {"{\"state\":\"ok\"}", "{\"state\":\"off\"}", "", false},
	    {"{\"headers\":{\"A\":\"old\"}}", "{\"headers\":{\"A\":\"new\",\"B\":\"x\"}}",
		"~ change s n headers: {\"A\":\"********\"} -> "
		"{\"A\":\"********\",\"B\":\"********\"}\n",
		false},
	    {"{\"a\":1,\"b\":2}", "{\"a\":2}", "~ change s n a: 1 -> 2\n", true},
	    {"{\"a\":\"x\"}", "{\"a\":\"\xe2\x80\xae\"}",
		"~ change s n a: \"x\" -> \"\\u202e\"\n", true},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buf out = BUF_INIT(10000);
		size_t n = provision_put_changes(&out, "s n", slice_of(ROWS[i].old),
		    slice_of(ROWS[i].new), ROWS[i].of_source);
		assert_string_equal(buf_cstr(&out), ROWS[i].want);
		assert_int_equal(n, ROWS[i].want[0] == '\0' ? 0 : 1);
		buf_fini(&out);
	}
}

static void test_order(void **state)
{
	(void)state;
	struct known_list l = {0};
	known_add(&l, "b", NULL, "http://a/");
	known_add(&l, "a", "n", "http://a/");
	known_add(&l, "a", NULL, "http://b/");
	known_add(&l, "a", NULL, "http://a/");
	known_sort(&l);
	assert_int_equal(l.count, 4);
	assert_string_equal(l.list[0].url, "http://a/");
	assert_string_equal(l.list[1].url, "http://b/");
	assert_string_equal(l.list[2].name, "n");
	assert_string_equal(l.list[3].session, "b");
	known_free(&l);
}

static void test_paths(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1000);
	provision_put_path(&out, "a/b", "x");
	assert_string_equal(buf_cstr(&out), "/api/v1/sessions/a%2Fb/webhooks/x");
	buf_reset(&out);
	provision_put_path(&out, "*", NULL);
	assert_string_equal(buf_cstr(&out), "/api/v1/webhooks");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_written),
	    cmocka_unit_test(test_pretty),
	    cmocka_unit_test(test_changes),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
