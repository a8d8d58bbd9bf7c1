/* What counts as success: statuses and classes, conditions on bodies, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "domain/success.h"
#include "support.h"

static struct success *compile(const char *json)
{
	struct problem p;
	struct success *s = NULL;
	if (success_compile(slice_of(json), "success", &s, &p) != OK)
		fail_msg("%s: %s: %s", json, p.field, p.message);
	assert_true(slice_eq(success_json(s), slice_of(json)));
	return s;
}

/* Every status there is, beside what is said of it. */
static void test_statuses(void **state)
{
	struct success *plain = compile("{}");
	struct success *null = compile("{\"statuses\":null,\"answer\":null}");
	struct success *some = compile("{\"statuses\":[204,\"3xx\",\"4xx\"]}");
	(void)state;
	for (int status = -1; status < 1100; status++) {
		bool is_2xx = status / 100 == 2;
		bool is_some = status == 204 || status / 100 == 3 ||
		    (status / 100 == 4 && status != 410);
		if (success_has_status(plain, status) != is_2xx ||
		    success_has_status(null, status) != is_2xx ||
		    success_has_status(some, status) != is_some)
			fail_msg("status %d", status);
	}
	assert_false(success_reads(plain) || success_reads(null) || success_reads(some));
	success_free(plain);
	success_free(null);
	success_free(some);
	success_free(NULL);
}

/* Each answer is looked at on the loop: a condition has room for two million steps. */
static void test_dear_condition_is_refused(void **state)
{
	static const struct {
		unsigned marks; /* of a glob, each of which may take 128 steps */
		bool good;
	} ROWS[] = {{30, true}, {32, false}, {500, false}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char json[1024] = "{\"answer\":{\"path\":\"/a\",\"matches\":\"*a";
		size_t at = strlen(json);
		struct problem p = {0};
		struct success *s = NULL;
		memset(json + at, '?', ROWS[i].marks);
		memcpy(json + at + ROWS[i].marks, "*\"}}", sizeof("*\"}}"));
		enum err err = success_compile(slice_of(json), "success", &s, &p);
		if ((err == OK) != ROWS[i].good)
			fail_msg("%u marks: %s", ROWS[i].marks, p.message);
		if (err != OK) {
			assert_string_equal(p.field, "success.answer");
			assert_non_null(strstr(p.message, "4096 steps"));
		}
		success_free(s);
	}
}

static void test_bodies(void **state)
{
	static const struct {
		const char *body;
		const char *want; /* of the reason; NULL: it counts */
	} ROWS[] = {
	    {"{\"result\":{\"code\":0}}", NULL},
	    {"\r\n {\"x\":[1],\"result\":{\"code\":0.0}} \n", NULL},
	    {"{\"result\":{\"code\":-0}}", NULL},
	    {"{\"result\":{\"code\":1},\"result\":{\"code\":0}}", NULL}, /* the last counts */
	    {"{\"result\":{\"code\":0},\"result\":{\"code\":1}}", "success.answer"},
	    {"{\"result\":{\"code\":\"0\"}}", "success.answer"},
	    {"{\"result\":{}}", "success.answer"},
	    {"{\"result\":0}", "success.answer"},
	    {"[]", "success.answer"},
	    {"0", "success.answer"},
	    {"", "not JSON"},
	    {" ", "not JSON"},
	    {"ok", "not JSON"},
	    {"{\"result\":{\"code\":0}", "not JSON"},
	    {"{\"result\":{\"code\":0}}x", "not JSON"},
	    {"{\"result\":{\"code\":00}}", "not JSON"},
	    {"\xef\xbb\xbf{\"result\":{\"code\":0}}", "not JSON"},
	    {"\xff", "not JSON"},
	};
	struct success *s = compile("{\"answer\":{\"path\":\"/result/code\",\"equals\":0}}");
	(void)state;
	assert_true(success_reads(s));
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const char *why = success_check(s, slice_of(ROWS[i].body));
		if ((why == NULL) != (ROWS[i].want == NULL) ||
		    (why != NULL && strstr(why, ROWS[i].want) == NULL))
			fail_msg("%s: %s", ROWS[i].body, why == NULL ? "counts" : why);
	}
	success_free(s);
}

/* Numbers that are written out in full take more room than they had. */
static void test_a_body_that_grows(void **state)
{
	struct buf body = BUF_INIT(65536);
	struct success *s = compile("{\"answer\":{\"path\":\"/ok\",\"equals\":\"y\"}}");
	(void)state;
	buf_puts(&body, "{\"a\":[1e20");
	while (body.len < 65000)
		buf_puts(&body, ",1e20");
	buf_puts(&body, "],\"ok\":\"y\"}");
	assert_null(success_check(s, buf_view(&body)));
	buf_fini(&body);
	success_free(s);
}

static void test_refused(void **state)
{
	static const char *const TEXTS[] = {"7", "\"2xx\"", "[]", "{\"x\":1}",
	    "{\"statuses\":{}}", "{\"statuses\":[true]}", "{\"statuses\":[\"2xy\"]}",
	    "{\"statuses\":[\"\"]}", "{\"statuses\":[-200]}", "{\"statuses\":[100]}",
	    "{\"statuses\":[200,410]}", "{\"statuses\":[[200]]}", "{\"answer\":[]}",
	    "{\"answer\":{\"path\":\"/a\",\"equals\":{}}}"};
	char many[1024] = "{\"statuses\":[200";
	struct problem p;
	struct success *s = NULL;
	(void)state;
	for (size_t i = 0; i < COUNT(TEXTS); i++) {
		if (success_compile(slice_of(TEXTS[i]), "success", &s, &p) != ERR_INVALID ||
		    strncmp(p.field, "success", 7) != 0)
			fail_msg("%s", TEXTS[i]);
	}
	for (int i = 1; i < SUCCESS_STATUSES_MAX; i++)
		memcpy(strchr(many, 0), ",200", 5);
	memcpy(strchr(many, 0), "]}", 3);
	success_free(compile(many));
	memcpy(strchr(many, ']'), ",200]}", sizeof(",200]}"));
	assert_int_equal(success_compile(slice_of(many), "success", &s, &p), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_dear_condition_is_refused),
	    cmocka_unit_test(test_bodies),
	    cmocka_unit_test(test_a_body_that_grows),
	    cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
