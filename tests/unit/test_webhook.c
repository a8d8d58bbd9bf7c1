/* A webhook in memory: its defaults, which events it wants, its strings and its state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "domain/webhook_json.h"
#include "support.h"

static void test_defaults(void **state)
{
	(void)state;
	struct webhook *w = webhook_new();
	assert_null(w->session);
	assert_null(w->url);
	assert_null(w->secret);
	assert_null(w->description);
	assert_null(w->disabled_reason);
	assert_null(w->retry);
	assert_int_equal(w->header_count, 0);
	assert_int_equal(w->event_count, 1);
	assert_string_equal(w->events[0], "all");
	assert_int_equal(w->timeout_ms, 5000);
	assert_int_equal(w->max_in_flight, 16);
	assert_int_equal(w->signature, SIGNATURE_V1);
	assert_true(w->rate_limit == 0);
	assert_true(w->enabled);
	assert_false(w->fifo);
	assert_false(w->deleted);
	webhook_free(w);
	webhook_free(NULL);
}

static void test_set(void **state)
{
	(void)state;
	char text[] = "first";
	char *field = NULL;
	webhook_set(&field, text);
	text[0] = 'x';
	assert_string_equal(field, "first");
	webhook_set(&field, "second");
	assert_string_equal(field, "second");
	webhook_set(&field, "");
	assert_string_equal(field, "");
	webhook_set(&field, NULL);
	assert_null(field);
	webhook_set(&field, NULL);
	assert_null(field);
}

static void test_set_enabled(void **state)
{
	(void)state;
	struct webhook *w = webhook_new();
	webhook_set_enabled(w, "one");
	assert_false(w->enabled);
	assert_string_equal(w->disabled_reason, "one");
	webhook_set_enabled(w, "two");
	assert_string_equal(w->disabled_reason, "two");
	webhook_set_enabled(w, NULL);
	assert_true(w->enabled);
	assert_null(w->disabled_reason);
	webhook_free(w);
}

static void assert_secrets(const struct webhook *w, const char *secret, const char *previous,
    int64_t expires_ms)
{
	const char *const got[] = {w->secret, w->previous_secret};
	const char *const want[] = {secret, previous};
	for (size_t i = 0; i < COUNT(got); i++) {
		assert_int_equal(got[i] == NULL, want[i] == NULL);
		if (got[i] != NULL)
			assert_string_equal(got[i], want[i]);
	}
	assert_true(w->previous_expires_ms == expires_ms);
}

/* The secret before signs as well for a time, and never the one before that. */
static void test_rotate_secret(void **state)
{
	(void)state;
	struct webhook *w = webhook_new();
	webhook_rotate_secret(w, "one", 1000); /* there was none that could go on signing */
	assert_secrets(w, "one", NULL, 0);
	webhook_rotate_secret(w, "two", 2000);
	assert_secrets(w, "two", "one", 2000);
	webhook_rotate_secret(w, "three", 3000);
	assert_secrets(w, "three", "two", 3000);
	webhook_rotate_secret(w, "four", 0);
	assert_secrets(w, "four", NULL, 0);
	webhook_rotate_secret(w, "five", 5000);
	webhook_rotate_secret(w, NULL, 0);
	assert_secrets(w, NULL, NULL, 0);
	webhook_free(w);
}

static void test_clear(void **state)
{
	(void)state;
	struct webhook *w = webhook_new();
	w->headers = mem_array(1, sizeof(*w->headers));
	w->headers[w->header_count++] = (struct webhook_header){mem_copy("a", 1),
	    mem_copy("b", 1)};
	webhook_clear_events(w);
	webhook_clear_headers(w);
	assert_int_equal(w->event_count, 0);
	assert_int_equal(w->header_count, 0);
	webhook_clear_events(w);
	webhook_clear_headers(w);
	webhook_free(w);
}

static struct webhook *make_as(const char *json)
{
	static const struct webhook_rules RULES = {.timeout_ms = 5000, .own_proxies = true};
	struct problem p = {0};
	struct webhook *w = webhook_new();
	if (webhook_apply(w, slice_of(json), &RULES, &p) != OK)
		fail_msg("%s: %s %s", json, p.field, p.message);
	return w;
}

/* Each setting that changes a request, or what its answer means, tells two apart. */
static void test_sends_alike(void **state)
{
	(void)state;
#define URL "\"url\":\"http://h/\",\"secret\":\"s3cret\""
	static const struct {
		const char *json;
		bool alike;
	} ROWS[] = {
	    {"{" URL "}", true},
	    {"{" URL ",\"events\":[\"message\"]}", true},
	    {"{" URL ",\"description\":\"d\",\"max_in_flight\":3,\"rate_limit\":1}", true},
	    {"{" URL ",\"ordering\":\"fifo\",\"retry\":[\"1s\"],\"enabled\":false}", true},
	    {"{\"url\":\"http://h/2\",\"secret\":\"s3cret\"}", false},
	    {"{\"url\":\"http://h/\",\"secret\":\"s3creT\"}", false},
	    {"{\"url\":\"http://h/\"}", false},
	    {"{" URL ",\"fallback_url\":\"http://f/\"}", true},
	    {"{" URL ",\"headers\":{\"X-A\":\"1\"}}", false},
	    {"{" URL ",\"auth\":{\"type\":\"basic\",\"username\":\"u\",\"password\":\"p\"}}",
		false},
	    {"{" URL ",\"signature\":\"v2\"}", false},
	    {"{" URL ",\"payload\":\"data\"}", false},
	    {"{" URL ",\"timeout_ms\":900}", false},
	    {"{" URL ",\"tls_verify\":false}", false},
	    {"{" URL ",\"success\":{\"statuses\":[200]}}", false},
	    {"{" URL ",\"proxy\":\"none\"}", false},
	    {"{" URL ",\"user_agent\":\"ours\"}", false},
	    {"{" URL ",\"content_encoding\":\"gzip\"}", false},
	};
	struct webhook *plain = make_as(ROWS[0].json);
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct webhook *w = make_as(ROWS[i].json);
		if (webhook_sends_alike(plain, w) != ROWS[i].alike)
			fail_msg("%s", ROWS[i].json);
		assert_int_equal(webhook_sends_alike(w, plain), ROWS[i].alike);
		assert_true(webhook_sends_alike(w, w));
		webhook_free(w);
	}
	webhook_free(plain);
#undef URL
}

/* The same name of a header with another value, the same user with another password. */
static void test_secrets_are_told_apart(void **state)
{
	(void)state;
	static const char *const PAIRS[][2] = {
	    {"{\"url\":\"http://h/\",\"headers\":{\"X-A\":\"1\"}}",
		"{\"url\":\"http://h/\",\"headers\":{\"X-A\":\"2\"}}"},
	    {"{\"url\":\"http://h/\",\"auth\":{\"type\":\"basic\",\"username\":\"u\","
	     "\"password\":\"p\"}}",
		"{\"url\":\"http://h/\",\"auth\":{\"type\":\"basic\",\"username\":\"u\","
		"\"password\":\"q\"}}"},
	};
	for (size_t i = 0; i < sizeof(PAIRS) / sizeof(PAIRS[0]); i++) {
		struct webhook *a = make_as(PAIRS[i][0]);
		struct webhook *b = make_as(PAIRS[i][1]);
		assert_false(webhook_sends_alike(a, b));
		webhook_free(a);
		webhook_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_set),
	    cmocka_unit_test(test_set_enabled),
	    cmocka_unit_test(test_rotate_secret),
	    cmocka_unit_test(test_clear),
	    cmocka_unit_test(test_sends_alike),
	    cmocka_unit_test(test_secrets_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
