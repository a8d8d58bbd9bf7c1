/* How a webhook's requests are sent, as JSON has it: what is refused, and what stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "domain/webhook_json.h"
#include "support.h"

static struct webhook *make_https(void)
{
	return make_webhook(1, "s", "https://example.org/");
}

static const struct {
	const char *body, *field, *says;
	bool forbids;     /* webhooks choose no proxy */
	const char *curl; /* too old a libcurl */
} REFUSED_OPTIONS[] = {
    {"{\"proxy\":1}", "proxy", "http://HOST:PORT", false, NULL},
    {"{\"proxy\":\"\"}", "proxy", "\"none\"", false, NULL},
    {"{\"proxy\":\"http://p\"}", "proxy", "http://HOST:PORT", false, NULL},
    {"{\"proxy\":\"https://p:1\"}", "proxy", "http://HOST:PORT", false, NULL},
    {"{\"proxy\":\"http://********@p:1\"}", "proxy", "mask", false, NULL},
    {"{\"proxy\":\"http://u:********@p:1\"}", "proxy", "mask", false, NULL},
    {"{\"proxy\":\"http://p:1\"}", "proxy", "webhook_proxies", true, NULL},
    {"{\"proxy\":\"none\"}", "proxy", "webhook_proxies", true, NULL},
    {"{\"no_proxy\":[\"a\"]}", "no_proxy", "webhook_proxies", true, NULL},
    {"{\"no_proxy\":\"a\"}", "no_proxy", "an array of at most 32", false, NULL},
    {"{\"no_proxy\":[\"a\",\"*\"]}", "no_proxy[1]", "a network", false, NULL},
    {"{\"no_proxy\":[1]}", "no_proxy[0]", "a host", false, NULL},
    {"{\"user_agent\":\"\"}", "user_agent", "1 to 256", false, NULL},
    {"{\"user_agent\":\" a\"}", "user_agent", "spaces", false, NULL},
    {"{\"user_agent\":\"a\\r\\nX: y\"}", "user_agent", "printable", false, NULL},
    {"{\"user_agent\":\"\\u00fc\"}", "user_agent", "ASCII", false, NULL},
    {"{\"http_version\":2}", "http_version", "\"1.1\" or \"2\"", false, NULL},
    {"{\"http_version\":\"3\"}", "http_version", "\"1.1\" or \"2\"", false, NULL},
    {"{\"http_version\":\"2\"}", "http_version", "libcurl 8.5", false, "7.88.1"},
    {"{\"http_version\":\"2\"}", "http_version", "has 7.88.1", false, "7.88.1"},
    {"{\"http_version\":\"2\",\"url\":\"http://a/\"}", "http_version", "https", false, NULL},
    {"{\"content_encoding\":\"br\"}", "content_encoding", "\"gzip\"", false, NULL},
    {"{\"content_encoding\":true}", "content_encoding", "\"gzip\"", false, NULL},
};

static void test_refused_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(REFUSED_OPTIONS); i++) {
		struct problem p;
		struct webhook *w = make_https();
		const struct webhook_rules rules = {.timeout_ms = 7000,
		    .own_proxies = !REFUSED_OPTIONS[i].forbids,
		    .old_libcurl = REFUSED_OPTIONS[i].curl};
		enum err err = webhook_apply(w, slice_of(REFUSED_OPTIONS[i].body), &rules, &p);
		if (err != ERR_INVALID || strcmp(p.field, REFUSED_OPTIONS[i].field) != 0 ||
		    strstr(p.message, REFUSED_OPTIONS[i].says) == NULL)
			fail_msg("row %zu: %s %s: %s", i, err_text(err), p.field, p.message);
		webhook_free(w);
	}
}

/* What a webhook may keep that chose when it was allowed to, and what says nothing is gone. */
static void test_options_that_stay(void **state)
{
	(void)state;
	struct problem p;
	struct webhook *w = make_https();
	const struct webhook_rules free = {.timeout_ms = 7000, .own_proxies = true};
	const struct webhook_rules strict = {.timeout_ms = 7000, .old_libcurl = "7.88.1"};
	assert_null(w->options);
	assert_int_equal(webhook_apply(w,
			     SLICE("{\"proxy\":\"http://p:1\",\"no_proxy\":[\"a\"],"
				   "\"http_version\":\"2\"}"),
			     &free, &p),
	    OK);
	assert_int_equal(webhook_apply(w, SLICE("{\"description\":\"x\"}"), &strict, &p), OK);
	assert_true(w->options->http2);
	assert_string_equal(w->options->proxy.url, "http://p:1");
	assert_int_equal(webhook_apply(w,
			     SLICE("{\"proxy\":null,\"no_proxy\":[],\"http_version\":null}"),
			     &strict, &p),
	    OK);
	assert_null(w->options);
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refused_options),
	    cmocka_unit_test(test_options_that_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
