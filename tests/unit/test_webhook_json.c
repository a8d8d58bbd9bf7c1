/*
 * Webhooks as clients write and read them: what each field takes and how it is shown,
 * what it refuses and in which words, both sides of every limit; that a change touches
 * nothing else; that the secret never comes out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "api/webhook_view.h"
#include "base/mem.h"
#include "domain/json.h"
#include "domain/name.h"
#include "domain/webhook_json.h"
#include "support.h"

#define SECRET "correct horse battery staple"
#define CERTIFICATE TEST_CERTIFICATE("\\n") /* as JSON */

static char extra_event[] = "our.own_event";
static char *const EXTRA_EVENTS[] = {extra_event};
static const struct webhook_rules RULES = {.extra_events = EXTRA_EVENTS,
    .extra_event_count = 1,
    .timeout_ms = 7000,
    .own_proxies = true};

static const struct dispatch_status CLOSED = {.circuit = "closed"};
static const struct trend_last NONE = {0};
#define SHOWN_CLOSED(session, state)                                                           \
	"\"session_id\":" session ",\"state\":\"" state "\","                                  \
	"\"circuit\":{\"state\":\"closed\",\"consecutive_failures\":0,"                        \
	"\"failing_since\":null,\"opened_at\":null,\"next_probe_at\":null},\"in_flight\":0,"   \
	"\"held_reason\":null,\"last_attempt\":null,"

static enum err apply(struct webhook *w, const char *body, struct problem *p)
{
	*p = (struct problem){0};
	return webhook_apply(w, slice_of(body), &RULES, p);
}

/* What the API shows of `w`; the caller's to free. */
static char *show(const struct webhook *w)
{
	struct buf json = BUF_INIT(1u << 20);
	struct json_writer writer = JSON_WRITER(&json);
	webhook_view_write(w, WEBHOOK_WHOLE, &CLOSED, &NONE, 0, &writer);
	assert_true(json_is_whole(&writer));
	char *text = mem_copy(json.data, json.len);
	buf_fini(&json);
	return text;
}

#define SHOWN_NO_CERT                                                                          \
	"\"client_cert_pem\":null,\"client_key_pem\":null,\"client_cert_expires_at\":null,"    \
	"\"verify\":null,\"ownership\":null,"

#define SHOWN_NO_OPTIONS                                                                       \
	"\"proxy\":\"default\",\"no_proxy\":[],\"user_agent\":null,\"http_version\":\"1.1\","  \
	"\"content_encoding\":\"identity\","

#define SHOWN_AUTH "\"auth\":{\"type\":\"basic\",\"username\":\"me\",\"password\":\"********\"}"

/* A webhook with nothing as it is by default. */
static struct webhook *rich_webhook(void)
{
	struct problem p;
	struct webhook *w = make_webhook(0x1234, "s", "http://localhost/");
	enum err err = apply(w,
	    "{\"url\":\"https://example.com/hook?a=b\",\"events\":[\"message\",\"receipt\"],"
	    "\"filter\": {\"path\": \"/data/id\", \"gt\": 9007199254740993},"
	    "\"payload\":\"data\",\"secret\":\"" SECRET
	    "\",\"headers\":{\"X-A\":\"1\",\"x-b\":\"\"},"
	    "\"auth\":{\"type\":\"basic\",\"username\":\"me\",\"password\":\"it is\"},"
	    "\"signature\":\"v2\",\"timeout_ms\":9000,\"max_in_flight\":3,"
	    "\"ordering\":\"fifo\","
	    "\"rate_limit\":2.5,\"retry\":[\"5s\",\"90s\"],\"description\":\"of \\\"mine\\\"\","
	    "\"ca_pem\":\"" CERTIFICATE "\",\"tls_verify\":false,\"enabled\":false}",
	    &p);
	if (err != OK)
		fail_msg("%s: %s", p.field, p.message);
	return w;
}

static void test_write(void **state)
{
	(void)state;
	struct webhook *w = rich_webhook();
	w->created_ms = 1767225600000;
	w->updated_ms = 1767225600001;
	char *text = show(w);
	assert_string_equal(text,
	    "{\"id\":\"00000000-0000-0000-0000-000000001234\",\"name\":null,"
	    "\"url\":\"https://example.com/hook?a=b\",\"events\":[\"message\",\"receipt\"],"
	    "\"filter\":{\"path\":\"/data/id\",\"gt\":9007199254740993},"
	    "\"payload\":\"data\","
	    "\"secret\":\"********\",\"previous_secret_expires_at\":null,\"enabled\":false,"
	    "\"disabled_reason\":\"disabled by request\",\"keep_queueing\":false,"
	    "\"headers\":{\"X-A\":\"1\",\"x-b\":\"\"},"
	    "\"auth\":{\"type\":\"basic\",\"username\":\"me\",\"password\":\"********\"},"
	    "\"signature\":\"v2\","
	    "\"private_key\":null,\"public_key\":null,\"previous_public_key\":null,"
	    "\"previous_key_expires_at\":null,\"success\":null,\"fallback_url\":null,"
	    "\"timeout_ms\":9000,\"max_in_flight\":3,"
	    "\"ordering\":\"fifo\","
	    "\"rate_limit\":2.5,\"retry\":[\"5s\",\"90s\"],"
	    "\"ca_pem\":\"" CERTIFICATE
	    "\",\"tls_verify\":false," SHOWN_NO_CERT SHOWN_NO_OPTIONS
	    "\"description\":\"of \\\"mine\\\"\"," SHOWN_CLOSED("\"s\"",
		"off") "\"created_at\":\"2026-01-01T00:00:00.000Z\","
		       "\"updated_at\":\"2026-01-01T00:00:00.001Z\"}");
	free(text);
	webhook_free(w);
}

static void test_write_status(void **state)
{
	(void)state;
	static const struct dispatch_status STATUS = {.circuit = "open",
	    .failing_since_ms = 1767225600000,
	    .opened_ms = 1767225600001,
	    .probe_ms = 1767225900001,
	    .failures = UINT32_MAX,
	    .in_flight = 7};
	static const struct trend_last LAST = {.at_ms = 1767225600000, .error = "timeout"};
	struct buf json = BUF_INIT(10000);
	struct json_writer writer = JSON_WRITER(&json);
	struct webhook *w = make_webhook(1, "s", "http://a/");
	webhook_view_write(w, WEBHOOK_WHOLE, &STATUS, &LAST, 0, &writer);
	assert_non_null(strstr(buf_cstr(&json),
	    ",\"circuit\":{\"state\":\"open\",\"consecutive_failures\":4294967295,"
	    "\"failing_since\":\"2026-01-01T00:00:00.000Z\","
	    "\"opened_at\":\"2026-01-01T00:00:00.001Z\","
	    "\"next_probe_at\":\"2026-01-01T00:05:00.001Z\"},\"in_flight\":7,"));
	assert_non_null(strstr(buf_cstr(&json),
	    ",\"last_attempt\":{\"at\":\"2026-01-01T00:00:00.000Z\",\"status\":null,"
	    "\"error\":\"timeout\"},"));
	buf_fini(&json);
	webhook_free(w);
}

static void test_write_defaults(void **state)
{
	(void)state;
	struct webhook *w = webhook_new();
	webhook_set(&w->url, "http://a/");
	char *text = show(w);
	assert_string_equal(text,
	    "{\"id\":\"00000000-0000-0000-0000-000000000000\",\"name\":null,"
	    "\"url\":\"http://a/\","
	    "\"events\":[\"all\"],\"filter\":null,\"payload\":\"envelope\",\"secret\":null,"
	    "\"previous_secret_expires_at\":null,\"enabled\":true,\"disabled_reason\":null,"
	    "\"keep_queueing\":false,"
	    "\"headers\":{},\"auth\":null,\"signature\":\"v1\","
	    "\"private_key\":null,\"public_key\":null,\"previous_public_key\":null,"
	    "\"previous_key_expires_at\":null,\"success\":null,\"fallback_url\":null,"
	    "\"timeout_ms\":5000,\"max_in_flight\":16,"
	    "\"ordering\":\"none\",\"rate_limit\":null,\"retry\":null,"
	    "\"ca_pem\":null,\"tls_verify\":true," SHOWN_NO_CERT SHOWN_NO_OPTIONS
	    "\"description\":null," SHOWN_CLOSED("null",
		"ok") "\"created_at\":null,\"updated_at\":null}");
	free(text);
	webhook_free(w);
}

/* Replaces the one `old` in `text` by `new`; frees `text`. */
static char *replace(char *text, const char *old, const char *new)
{
	struct buf out = BUF_INIT(1u << 20);
	char *at = strstr(text, old);
	if (at == NULL)
		fail_msg("no %s in %s", old, text);
	buf_append(&out, text, (size_t)(at - text));
	buf_puts(&out, new);
	buf_puts(&out, at + strlen(old));
	char *result = mem_copy(out.data, out.len);
	buf_fini(&out);
	free(text);
	return result;
}

/* A change shows in its own field and nowhere else; what is not named stays. */
static void test_change(void **state)
{
	(void)state;
	static const struct {
		const char *body, *old, *new;
	} ROWS[] = {
	    {"{}", "{", "{"},
	    {" {\n} ", "{", "{"},
	    {"{\"url\":\"http://b/\"}", "https://example.com/hook?a=b", "http://b/"},
	    {"{\"url\":\"http://b/\",\"url\":\"http://c/\"}", "https://example.com/hook?a=b",
		"http://c/"},
	    {"{\"url\":\"http:\\/\\/b\\/\"}", "https://example.com/hook?a=b", "http://b/"},
	    {"{\"events\":[\"all\"]}", "[\"message\",\"receipt\"]", "[\"all\"]"},
	    {"{\"events\":[]}", "[\"message\",\"receipt\"]", "[\"all\"]"},
	    {"{\"events\":[\"our.own_event\",\"send_result\"]}", "[\"message\",\"receipt\"]",
		"[\"our.own_event\",\"send_result\"]"},
	    {"{\"secret\":null}", "\"secret\":\"********\"", "\"secret\":null"},
	    {"{\"secret\":\"x\"}", "\"secret\":\"********\"", "\"secret\":\"********\""},
	    {"{\"headers\":{}}", "{\"X-A\":\"1\",\"x-b\":\"\"}", "{}"},
	    {"{\"headers\":{\"Authorization\":\"Basic \\\"~!\"},\"auth\":null}",
		"{\"X-A\":\"1\",\"x-b\":\"\"}," SHOWN_AUTH,
		"{\"Authorization\":\"Basic \\\"~!\"},\"auth\":null"},
	    {"{\"auth\":null}", SHOWN_AUTH, "\"auth\":null"},
	    {"{\"auth\":{\"username\":\"\",\"password\":\"\",\"type\":\"basic\"}}",
		"\"username\":\"me\"", "\"username\":\"\""},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"a.b\"}}", SHOWN_AUTH,
		"\"auth\":{\"type\":\"bearer\",\"token\":\"********\"}"},
	    {"{\"headers\":{\"X-A\":\"1\",\"X-A\":\"2\"}}", "{\"X-A\":\"1\",\"x-b\":\"\"}",
		"{\"X-A\":\"2\"}"},
	    {"{\"headers\":{\"X-Webhook\":\"\",\"hosts\":\"\",\"!#$%&'*+-.^_`|~09azAZ\":\"\"}}",
		"{\"X-A\":\"1\",\"x-b\":\"\"}",
		"{\"X-Webhook\":\"\",\"hosts\":\"\",\"!#$%&'*+-.^_`|~09azAZ\":\"\"}"},
	    {"{\"signature\":\"v1\"}", "\"v2\"", "\"v1\""},
	    {"{\"signature\":[\"v1\"]}", "\"v2\"", "\"v1\""},
	    {"{\"signature\":[\"rfc9421\",\"v1\",\"v1\"]}", "\"v2\"", "[\"v1\",\"rfc9421\"]"},
	    {"{\"signature\":\"rfc9421\"}", "\"v2\"", "\"rfc9421\""},
	    {"{\"private_key\":\"whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		"\"private_key\":null,\"public_key\":null",
		"\"private_key\":\"********\",\"public_key\":"
		"\"whpk_O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=\""},
	    {"{\"events\":null}", "[\"message\",\"receipt\"]", "[\"all\"]"},
	    {"{\"headers\":null}", "{\"X-A\":\"1\",\"x-b\":\"\"}", "{}"},
	    {"{\"signature\":null}", "\"v2\"", "\"v1\""},
	    {"{\"timeout_ms\":null}", "\"timeout_ms\":9000", "\"timeout_ms\":7000"},
	    {"{\"max_in_flight\":null}", "\"max_in_flight\":3", "\"max_in_flight\":16"},
	    {"{\"ordering\":null}", "\"fifo\"", "\"none\""},
	    {"{\"tls_verify\":null}", "\"tls_verify\":false", "\"tls_verify\":true"},
	    {"{\"enabled\":null}",
		"\"enabled\":false,\"disabled_reason\":\"disabled by request\"",
		"\"enabled\":true,\"disabled_reason\":null"},
	    {"{\"timeout_ms\":100}", "\"timeout_ms\":9000", "\"timeout_ms\":100"},
	    {"{\"timeout_ms\":30000}", "\"timeout_ms\":9000", "\"timeout_ms\":30000"},
	    {"{\"timeout_ms\":3e3}", "\"timeout_ms\":9000", "\"timeout_ms\":3000"},
	    {"{\"timeout_ms\":200.0}", "\"timeout_ms\":9000", "\"timeout_ms\":200"},
	    {"{\"max_in_flight\":1}", "\"max_in_flight\":3", "\"max_in_flight\":1"},
	    {"{\"max_in_flight\":256}", "\"max_in_flight\":3", "\"max_in_flight\":256"},
	    {"{\"ordering\":\"none\"}", "\"fifo\"", "\"none\""},
	    {"{\"ordering\":{ \"key\" : \"/data/chat\" }}", "\"fifo\"",
		"{\"key\":\"/data/chat\"}"},
	    {"{\"ordering\":{\"key\":\"/a~1b/\\u00fc\\n\\\"\"}}", "\"fifo\"",
		"{\"key\":\"/a~1b/\303\274\\n\\\"\"}"},
	    {"{\"ordering\":{\"key\":\"/a\"},\"ordering\":{\"key\":\"/b\"}}", "\"fifo\"",
		"{\"key\":\"/b\"}"},
	    {"{\"ordering\":{\"key\":\"/a\"},\"ordering\":\"none\"}", "\"fifo\"", "\"none\""},
	    {"{\"rate_limit\":null}", "\"rate_limit\":2.5", "\"rate_limit\":null"},
	    {"{\"rate_limit\":0.001}", "\"rate_limit\":2.5", "\"rate_limit\":0.001"},
	    {"{\"rate_limit\":100000}", "\"rate_limit\":2.5", "\"rate_limit\":100000"},
	    {"{\"retry\":null}", "[\"5s\",\"90s\"]", "null"},
	    {"{\"retry\":[\"1ms\",\"60s\",\"7d\"]}", "[\"5s\",\"90s\"]",
		"[\"1ms\",\"1m\",\"7d\"]"},
	    {"{\"ca_pem\":null}", "\"" CERTIFICATE "\"", "null"},
	    {"{\"tls_verify\":true}", "\"tls_verify\":false", "\"tls_verify\":true"},
	    {"{\"description\":null}", "\"of \\\"mine\\\"\"", "null"},
	    {"{\"description\":\"\"}", "\"of \\\"mine\\\"\"", "\"\""},
	    {"{\"description\":\"\\u0001\\n\\ud83d\\ude00\"}", "\"of \\\"mine\\\"\"",
		"\"\\u0001\\n\360\237\230\200\""},
	    {"{\"auth\":{\"type\":\"oauth2\",\"token_url\":\"http://t/\","
	     "\"client_id\":\"c:\","
	     "\"client_secret\":\" \"}}",
		SHOWN_AUTH,
		"\"auth\":{\"type\":\"oauth2\",\"token_url\":\"http://t/\","
		"\"client_id\":\"c:\","
		"\"client_secret\":\"********\",\"scope\":null,\"audience\":null,"
		"\"style\":\"basic\"}"},
	    {"{\"proxy\":\"none\"}", "\"default\"", "\"none\""},
	    {"{\"proxy\":\"http://p:1\",\"proxy\":null}", "\"default\"", "\"default\""},
	    {"{\"proxy\":\"http://proxy.example:3128\"}", "\"default\"",
		"\"http://proxy.example:3128\""},
	    {"{\"proxy\":\"http://me:pass%40@[::1]:3128\"}", "\"default\"",
		"\"http://********@[::1]:3128\""},
	    {"{\"no_proxy\":[\"a.example\",\"10.0.0.0/8\"]}", "\"no_proxy\":[]",
		"\"no_proxy\":[\"a.example\",\"10.0.0.0/8\"]"},
	    {"{\"no_proxy\":null}", "{", "{"},
	    {"{\"user_agent\":\"own agent/1.0 (x)\"}", "\"user_agent\":null",
		"\"user_agent\":\"own agent/1.0 (x)\""},
	    {"{\"http_version\":\"2\"}", "\"http_version\":\"1.1\"", "\"http_version\":\"2\""},
	    {"{\"http_version\":\"2\",\"http_version\":null}", "{", "{"},
	    {"{\"content_encoding\":\"gzip\"}", "\"identity\"", "\"gzip\""},
	    {"{\"content_encoding\":\"identity\"}", "{", "{"},
	    {"{\"success\":{ \"statuses\" : [\"2xx\", 302.0] }}", "\"success\":null",
		"\"success\":{\"statuses\":[\"2xx\",302]}"},
	    {"{\"success\":{\"answer\":{\"path\":\"/ok\",\"equals\":true}}}",
		"\"success\":null",
		"\"success\":{\"answer\":{\"path\":\"/ok\",\"equals\":true}}"},
	    {"{\"success\":null,\"fallback_url\":null}", "{", "{"},
	    {"{\"fallback_url\":\"http://b\303\274.example/{}\"}", "\"fallback_url\":null",
		"\"fallback_url\":\"http://xn--b-eha.example/%7B%7D\""},
	    {"{\"enabled\":false}", "{", "{"},
	    {"{\"enabled\":true}",
		"\"enabled\":false,\"disabled_reason\":\"disabled by request\"",
		"\"enabled\":true,\"disabled_reason\":null"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct problem p;
		struct webhook *w = rich_webhook();
		char *want = replace(show(w), ROWS[i].old, ROWS[i].new);
		enum err err = apply(w, ROWS[i].body, &p);
		char *got = show(w);
		if (w->enabled)
			want = replace(want, "\"state\":\"off\"", "\"state\":\"ok\"");
		if (err != OK || strcmp(got, want) != 0)
			fail_msg("row %zu: %s: %s %s\nis     %s\nshould %s", i, err_text(err),
			    p.field, p.message, got, want);
		free(got);
		free(want);
		webhook_free(w);
	}
}

/* From one ordering to each other; what waits then has to change places, or not. */
static void test_orderings(void **state)
{
	(void)state;
	static const char *const ORDERINGS[] = {"\"none\"", "\"fifo\"", "{\"key\":\"/a\"}",
	    "{\"key\":\"/b\"}"};
	for (size_t i = 0; i < 16; i++) {
		struct problem p;
		struct webhook *old = rich_webhook();
		struct webhook *w = rich_webhook();
		char body[64];
		size_t from = i / 4;
		size_t to = i % 4;
		(void)snprintf(body, sizeof(body), "{\"ordering\":%s}", ORDERINGS[from]);
		assert_int_equal(apply(old, body, &p), OK);
		assert_int_equal(apply(w, body, &p), OK);
		(void)snprintf(body, sizeof(body), "{\"ordering\":%s}", ORDERINGS[to]);
		assert_int_equal(apply(w, body, &p), OK);
		char *got = show(w);
		body[strlen(body) - 1] = '\0'; /* without its braces */
		assert_non_null(strstr(got, body + 1));
		free(got);
		old->unordered = UINT32_MAX;
		webhook_note_order(w, old);
		bool moves = from != to && (to > 0 || from > 1);
		assert_true(w->unordered == (moves ? 1 : UINT32_MAX)); /* never 0 */
		assert_int_equal(webhook_keeps_places(w), to > 0);
		webhook_free(old);
		webhook_free(w);
	}
}

/* Why a webhook is disabled stays when it is disabled again. */
static void test_disabled_reason_stays(void **state)
{
	(void)state;
	struct problem p;
	struct webhook *w = webhook_new();
	webhook_set_enabled(w, "the receiver answered 410 Gone");
	assert_int_equal(apply(w, "{\"enabled\":false}", &p), OK);
	assert_string_equal(w->disabled_reason, "the receiver answered 410 Gone");
	assert_int_equal(apply(w, "{\"enabled\":true}", &p), OK);
	assert_null(w->disabled_reason);
	assert_int_equal(apply(w, "{\"enabled\":false}", &p), OK);
	assert_string_equal(w->disabled_reason, WEBHOOK_DISABLED_BY_REQUEST);
	webhook_free(w);
}

static void test_url_is_required(void **state)
{
	(void)state;
	struct problem p;
	struct webhook *w = webhook_new();
	assert_int_equal(apply(w, "{}", &p), OK);
	assert_int_equal(webhook_check(w, &p), ERR_INVALID);
	assert_string_equal(p.field, "url");
	assert_int_equal(apply(w, "{\"url\":\"http://a/\"}", &p), OK);
	assert_int_equal(webhook_check(w, &p), OK);
	webhook_free(w);
}

struct refusal {
	const char *body;
	const char *field;
	const char *words; /* a part of the message */
};

static void check_refusals(const struct refusal *rows, size_t count, enum err want)
{
	for (size_t i = 0; i < count; i++) {
		struct problem p;
		struct webhook *w = rich_webhook();
		enum err err = apply(w, rows[i].body, &p);
		if (err != want || strcmp(p.field, rows[i].field) != 0 ||
		    strstr(p.message, rows[i].words) == NULL)
			fail_msg("row %zu, %s: %s, field \"%s\", %s", i, rows[i].body,
			    err_text(err), p.field, p.message);
		webhook_free(w);
	}
}

static void test_refused_fields(void **state)
{
	(void)state;
	static const struct refusal ROWS[] = {
	    {"{\"url\":null}", "url", "a string"},
	    {"{\"url\":7}", "url", "a string"},
	    {"{\"url\":\"\"}", "url", "URL"},
	    {"{\"url\":\"ftp://a/\"}", "url", "http"},
	    {"{\"url\":\"http://user:pass@a/\"}", "url", "credentials"},
	    {"{\"url\":\"http://a/#f\"}", "url", "fragment"},
	    {"{\"url\":\"http://a/\\r\\nx\"}", "url", "control"},
	    {"{\"events\":\"all\"}", "events", "an array"},
	    {"{\"events\":{}}", "events", "an array"},
	    {"{\"events\":[\"message\",7]}", "events[1]", "a string"},
	    {"{\"events\":[\"mesage\"]}", "events[0]", " message receipt "},
	    {"{\"events\":[\"all\",\"message\",\"Message\"]}", "events[2]", " our.own_event"},
	    {"{\"events\":[\"\"]}", "events[0]", "unknown event"},
	    {"{\"events\":[\"order.paid\"]}", "events[0]", "events_strict false"},
	    {"{\"events\":[\"order*\"]}", "events[0]", "events_strict false"},
	    {"{\"events\":[\"al*\"]}", "events[0]", "events_strict false"},
	    {"{\"events\":[\"m*e\"],\"events_strict\":false}", "events[0]", "a-z 0-9 _ ."},
	    {"{\"events\":[\"\"],\"events_strict\":false}", "events[0]", "a-z 0-9 _ ."},
	    {"{\"events_strict\":0}", "events_strict", "true or false"},
	    {"{\"filter\":7}", "filter", "must be a condition"},
	    {"{\"filter\":{\"all\":[{\"path\":\"x\",\"gt\":1}]}}", "filter.all[0].path",
		"pointer"},
	    {"{\"payload\":\"Data\"}", "payload", "cloudevents"},
	    {"{\"payload\":1}", "payload", "cloudevents"},
	    {"{\"secret\":\"\"}", "secret", "1 to 1024 bytes"},
	    {"{\"secret\":7}", "secret", "1 to 1024 bytes"},
	    {"{\"secret\":\"********\"}", "secret", "mask"},
	    {"{\"headers\":[]}", "headers", "an object"},
	    {"{\"headers\":{\"\":\"v\"}}", "headers", "token"},
	    {"{\"headers\":{\"X A\":\"v\"}}", "headers", "token"},
	    {"{\"headers\":{\"X:A\":\"v\"}}", "headers", "token"},
	    {"{\"headers\":{\"X\\r\\nA\":\"v\"}}", "headers", "token"},
	    {"{\"headers\":{\"X\303\244\":\"v\"}}", "headers", "token"},
	    {"{\"headers\":{\"X\\u007f\":\"v\"}}", "headers", "token"},
	    {"{\"headers\":{\"X-A\":7}}", "headers.X-A", "a string"},
	    {"{\"headers\":{\"X-A\":null}}", "headers.X-A", "a string"},
	    {"{\"headers\":{\"X-A\":\"a\\rb\"}}", "headers.X-A", "line breaks"},
	    {"{\"headers\":{\"X-A\":\"a\\nX-B: c\"}}", "headers.X-A", "line breaks"},
	    {"{\"headers\":{\"X-A\":\"\\t\"}}", "headers.X-A", "printable ASCII"},
	    {"{\"headers\":{\"X-A\":\"\\u007f\"}}", "headers.X-A", "printable ASCII"},
	    {"{\"headers\":{\"X-A\":\"\303\244\"}}", "headers.X-A", "printable ASCII"},
	    {"{\"headers\":{\"X-A\":\"1\",\"x-a\":\"2\"}}", "headers.x-a", "twice"},
	    {"{\"signature\":\"v3\"}", "signature",
		"\"v1\", \"v2\", \"ed25519\" or \"rfc9421\", or an array of these"},
	    {"{\"signature\":\"V2\"}", "signature", "\"v1\", \"v2\""},
	    {"{\"signature\":[]}", "signature", "an array of these"},
	    {"{\"signature\":[\"v1\",\"v2\"]}", "signature", "of v1 and v2 one at most"},
	    {"{\"signature\":[\"v1\",null]}", "signature", "an array of these"},
	    {"{\"signature\":[\"v1\",\"standard\"]}", "signature", "an array of these"},
	    {"{\"signature\":[[\"v1\"]]}", "signature", "an array of these"},
	    {"{\"signature\":{\"a\":\"v1\"}}", "signature", "an array of these"},
	    {"{\"private_key\":\"\"}", "private_key", "whsk_ and base64"},
	    {"{\"private_key\":1}", "private_key", "null or a string"},
	    {"{\"private_key\":\"whpk_AAAA\"}", "private_key", "whsk_ and base64"},
	    {"{\"private_key\":\"********\"}", "private_key", "the mask"},
	    {"{\"public_key\":null}", "public_key", "read-only"},
	    {"{\"timeout_ms\":99}", "timeout_ms", "100 to 30000"},
	    {"{\"timeout_ms\":30001}", "timeout_ms", "100 to 30000"},
	    {"{\"timeout_ms\":100.5}", "timeout_ms", "100 to 30000"},
	    {"{\"timeout_ms\":29999.999999999996}", "timeout_ms", "100 to 30000"},
	    {"{\"timeout_ms\":-5000}", "timeout_ms", "100 to 30000"},
	    {"{\"timeout_ms\":4294972296}", "timeout_ms", "100 to 30000"},
	    {"{\"timeout_ms\":1e999}", "timeout_ms", "100 to 30000"},
	    {"{\"timeout_ms\":\"5000\"}", "timeout_ms", "100 to 30000"},
	    {"{\"max_in_flight\":0}", "max_in_flight", "1 to 256"},
	    {"{\"max_in_flight\":257}", "max_in_flight", "1 to 256"},
	    {"{\"max_in_flight\":1.5}", "max_in_flight", "1 to 256"},
	    {"{\"max_in_flight\":true}", "max_in_flight", "1 to 256"},
	    {"{\"ordering\":\"FIFO\"}", "ordering", "\"none\", \"fifo\" or an object"},
	    {"{\"ordering\":[\"/a\"]}", "ordering", "or an object with key alone"},
	    {"{\"ordering\":true}", "ordering", "or an object with key alone"},
	    {"{\"ordering\":{}}", "ordering", "or an object with key alone"},
	    {"{\"ordering\":{\"Key\":\"/a\"}}", "ordering", "or an object with key alone"},
	    {"{\"ordering\":{\"key\":\"/a\",\"lanes\":3}}", "ordering", "with key alone"},
	    {"{\"ordering\":{\"key\":\"\"}}", "ordering.key", "a JSON pointer into the event"},
	    {"{\"ordering\":{\"key\":\"a\"}}", "ordering.key", "a / before each name"},
	    {"{\"ordering\":{\"key\":\"/a~\"}}", "ordering.key", "~0 stands for ~"},
	    {"{\"ordering\":{\"key\":1}}", "ordering.key", "a JSON pointer"},
	    {"{\"ordering\":{\"key\":null}}", "ordering.key", "a JSON pointer"},
	    {"{\"ordering\":{\"key\":\"/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h\"}}", "ordering.key",
		"at most 16 names"},
	    {"{\"rate_limit\":0}", "rate_limit", "0.001 to 100000"},
	    {"{\"rate_limit\":0.00099}", "rate_limit", "0.001 to 100000"},
	    {"{\"rate_limit\":100000.1}", "rate_limit", "0.001 to 100000"},
	    {"{\"rate_limit\":-1}", "rate_limit", "0.001 to 100000"},
	    {"{\"rate_limit\":1e999}", "rate_limit", "0.001 to 100000"},
	    {"{\"rate_limit\":\"5\"}", "rate_limit", "0.001 to 100000"},
	    {"{\"retry\":[]}", "retry", "1 to 32 waits"},
	    {"{\"retry\":\"5s\"}", "retry", "1 to 32 waits"},
	    {"{\"retry\":{}}", "retry", "1 to 32 waits"},
	    {"{\"retry\":[\"5s\",5]}", "retry[1]", "a wait such as"},
	    {"{\"retry\":[\"5s\",\"soon\"]}", "retry[1]", "ms, s, m, h, d"},
	    {"{\"retry\":[\"0s\"]}", "retry[0]", "1ms to 7d"},
	    {"{\"retry\":[\"604800001ms\"]}", "retry[0]", "1ms to 7d"},
	    {"{\"description\":7}", "description", "500 bytes"},
	    {"{\"ca_pem\":\"\"}", "ca_pem", "16384 bytes"},
	    {"{\"ca_pem\":\"-----BEGIN CERTIFICATE-----\"}", "ca_pem", "certificates in PEM"},
	    {"{\"ca_pem\":7}", "ca_pem", "certificates in PEM"},
	    {"{\"tls_verify\":0}", "tls_verify", "true or false"},
	    {"{\"verify\":\"GET\"}", "verify", "null, \"get\" or \"post\""},
	    {"{\"verify\":true}", "verify", "null, \"get\" or \"post\""},
	    {"{\"ownership\":null}", "ownership", "unknown or read-only"},
	    {"{\"auth\":7}", "auth", "null or an object"},
	    {"{\"auth\":[]}", "auth", "null or an object"},
	    {"{\"auth\":{}}", "auth.type", "basic"},
	    {"{\"auth\":{\"type\":\"digest\"}}", "auth.type", "bearer"},
	    {"{\"auth\":{\"type\":7}}", "auth.type", "bearer"},
	    {"{\"auth\":{\"type\":\"bearer\"}}", "auth.token", "a string"},
	    {"{\"auth\":{\"type\":\"oauth2\"}}", "auth.token_url", "a string"},
	    {"{\"auth\":{\"type\":\"oauth2\",\"token_url\":\"http://a:b@t/\"}}",
		"auth.token_url", "credentials"},
	    {"{\"auth\":{\"type\":\"oauth2\",\"token_url\":\"http://t/\",\"client_id\":\"\"}}",
		"auth.client_id", "1 to 1024"},
	    {"{\"auth\":{\"type\":\"oauth2\",\"token_url\":\"http://t/\",\"client_id\":\"c\","
	     "\"client_secret\":\"\"}}",
		"auth.client_secret", "not empty"},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"\"}}", "auth.token", "visible ASCII"},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"a b\"}}", "auth.token",
		"visible ASCII"},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"\u00e4\"}}", "auth.token",
		"visible ASCII"},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"********\"}}", "auth.token",
		"the mask"},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"t\",\"username\":\"u\"}}", "auth",
		"no member of that name"},
	    {"{\"auth\":{\"type\":\"basic\",\"username\":\"u\"}}", "auth.password", "a string"},
	    {"{\"auth\":{\"type\":\"basic\",\"username\":\"u:\",\"password\":\"p\"}}",
		"auth.username", "without colons"},
	    {"{\"auth\":{\"type\":\"basic\",\"username\":\"u\",\"password\":\"\\n\"}}",
		"auth.password", "control characters"},
	    {"{\"headers\":{\"authorization\":\"Bearer x\"}}", "headers.Authorization",
		"one of the two"},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"t\"},"
	     "\"headers\":{\"Authorization\":\"t\"}}",
		"headers.Authorization", "one of the two"},
	    {"{\"success\":7}", "success", "statuses, answer or both"},
	    {"{\"success\":[]}", "success", "statuses, answer or both"},
	    {"{\"success\":{\"status\":[200]}}", "success.status", "statuses answer"},
	    {"{\"success\":{\"statuses\":200}}", "success.statuses", "an array of 1 to 32"},
	    {"{\"success\":{\"statuses\":[]}}", "success.statuses", "an array of 1 to 32"},
	    {"{\"success\":{\"statuses\":[199]}}", "success.statuses", "200 to 599"},
	    {"{\"success\":{\"statuses\":[600]}}", "success.statuses", "200 to 599"},
	    {"{\"success\":{\"statuses\":[200.5]}}", "success.statuses", "200 to 599"},
	    {"{\"success\":{\"statuses\":[410]}}", "success.statuses", "but for 410"},
	    {"{\"success\":{\"statuses\":[\"1xx\"]}}", "success.statuses", "2xx"},
	    {"{\"success\":{\"statuses\":[\"2XX\"]}}", "success.statuses", "2xx"},
	    {"{\"success\":{\"statuses\":[\"200\"]}}", "success.statuses", "2xx"},
	    {"{\"success\":{\"statuses\":[null]}}", "success.statuses", "2xx"},
	    {"{\"success\":{\"answer\":true}}", "success.answer", "a condition"},
	    {"{\"success\":{\"answer\":{\"path\":\"ok\",\"equals\":1}}}", "success.answer.path",
		"pointer"},
	    {"{\"success\":{\"answer\":{\"all\":[{\"path\":\"/a\"}]}}}",
		"success.answer.all[0]", "a condition"},
	    {"{\"fallback_url\":7}", "fallback_url", "null or a string"},
	    {"{\"fallback_url\":\"ftp://a/\"}", "fallback_url", "http"},
	    {"{\"fallback_url\":\"http://a:b@c/\"}", "fallback_url", "credentials"},
	    {"{\"url\":\"http://a/\",\"fallback_url\":\"http://a/\"}", "fallback_url",
		"another URL"},
	    {"{\"enabled\":1}", "enabled", "true or false"},
	    {"{\"enabled\":\"true\"}", "enabled", "true or false"},
	    {"{\"evnets\":[]}", "evnets", "unknown or read-only"},
	    {"{\"URL\":\"http://a/\"}", "URL", "allowed are name, url, events"},
	    {"{\"\":1}", "", "unknown or read-only"},
	    {"{\"id\":\"00000000-0000-0000-0000-000000001234\"}", "id", "read-only"},
	    {"{\"disabled_reason\":null}", "disabled_reason", "read-only"},
	    {"{\"created_at\":\"2026-01-01T00:00:00.000Z\"}", "created_at", "read-only"},
	    {"{\"updated_at\":null}", "updated_at", "read-only"},
	    {"{\"previous_secret_expires_at\":null}", "previous_secret_expires_at",
		"read-only"},
	    {"{\"url\":\"http://b/\",\"x\":0}", "x", "unknown"},
	};
	check_refusals(ROWS, COUNT(ROWS), ERR_INVALID);
}

static void test_reserved_headers(void **state)
{
	(void)state;
	static const char *const NAMES[] = {"Accept-Encoding", "connection", "CONTENT-ENCODING",
	    "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive",
	    "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding",
	    "Upgrade", "User-Agent", "X-Webhook-Signature", "x-webhook-id", "X-WEBHOOK-EVENT",
	    "webhook-id", "Webhook-Timestamp", "WEBHOOK-signature"};
	for (size_t i = 0; i < COUNT(NAMES); i++) {
		struct problem p;
		struct webhook *w = webhook_new();
		struct buf body = BUF_INIT(200);
		buf_printf(&body, "{\"headers\":{\"X-A\":\"1\",\"%s\":\"v\"}}", NAMES[i]);
		if (apply(w, buf_cstr(&body), &p) != ERR_INVALID ||
		    strncmp(p.field, "headers.", 8) != 0 ||
		    strcmp(p.field + 8, NAMES[i]) != 0 || strstr(p.message, "reserved") == NULL)
			fail_msg("%s: %s %s", NAMES[i], p.field, p.message);
		buf_fini(&body);
		webhook_free(w);
	}
}

/* What the rules have for who does not say: for a new webhook, and for a null. */
static void test_default_signature(void **state)
{
	(void)state;
	static const struct {
		unsigned standard, code;
	} ROWS[] = {{0, SIGNATURE_V1}, {SIGNATURE_V1, SIGNATURE_V1},
	    {SIGNATURE_V2, SIGNATURE_V2},
	    {SIGNATURE_V1 | SIGNATURE_ED25519, SIGNATURE_V1 | SIGNATURE_ED25519}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct webhook_rules rules = {.timeout_ms = 7000,
		    .signature = ROWS[i].standard};
		struct problem p = {0};
		struct webhook *w = webhook_new();
		webhook_set_defaults(w, &rules);
		assert_int_equal(w->signature, ROWS[i].code);
		assert_int_equal(w->timeout_ms, 7000);
		for (int named = 0; named <= 1; named++) {
			w->signature = named ? SIGNATURE_V1 : SIGNATURE_V2;
			assert_int_equal(
			    webhook_apply(w, SLICE("{\"enabled\":true}"), &rules, &p), OK);
			assert_int_equal(w->signature, named ? SIGNATURE_V1 : SIGNATURE_V2);
			assert_int_equal(
			    webhook_apply(w, SLICE("{\"signature\":null}"), &rules, &p), OK);
			assert_int_equal(w->signature, ROWS[i].code);
		}
		webhook_free(w);
	}
}

/* A key pair is drawn where the schemes want one that is not there, and stays then. */
static void test_pairs_are_drawn(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		bool has_pair;
	} ROWS[] = {{"{\"signature\":\"v1\"}", false}, {"{\"signature\":\"ed25519\"}", true},
	    {"{\"signature\":[\"v1\",\"ed25519\"],\"secret\":\"s\"}", true},
	    {"{\"signature\":[\"ed25519\"],\"private_key\":null}", true},
	    {"{\"signature\":\"rfc9421\"}", true},
	    {"{\"signature\":\"rfc9421\",\"secret\":\"s\"}", false}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct problem p;
		struct ed25519_pair first = {.seed = {0}};
		struct webhook *w = webhook_new();
		assert_int_equal(apply(w, ROWS[i].body, &p), OK);
		if ((w->pair != NULL) != ROWS[i].has_pair)
			fail_msg("%s", ROWS[i].body);
		if (w->pair != NULL) {
			first = *w->pair;
			assert_int_equal(apply(w, "{\"signature\":\"v1\"}", &p), OK);
			assert_int_equal(apply(w, "{\"signature\":\"ed25519\"}", &p), OK);
			assert_memory_equal(w->pair, &first, sizeof(first));
			assert_int_equal(apply(w, "{\"private_key\":null}", &p), OK);
			assert_memory_not_equal(w->pair, &first, sizeof(first)); /* another */
			assert_null(w->previous_pair);
			assert_int_equal(
			    apply(w, "{\"signature\":\"v1\",\"private_key\":null}", &p), OK);
			assert_null(w->pair);
		}
		webhook_free(w);
	}
}

/* Where unknown members are passed over, those that are known are as strict as ever. */
static void test_unknown_ignored(void **state)
{
	(void)state;
	static const struct webhook_rules LAX = {.timeout_ms = 7000, .ignores_unknown = true};
	static const char *const TAKEN[] = {
	    "{\"evnets\":[],\"id\":1,\"created_at\":{},\"URL\":[[]],\"\":null}",
	    "{\"x\":1,\"description\":\"d\"}",
	};
	static const char *const REFUSED[] = {
	    "{\"x\":1,\"timeout_ms\":1}",
	    "{\"x\":\"\\u0000\"}",
	    "{\"x\":\"\\ud800\"}",
	    "{\"x\":01}",
	    "[]",
	};
	for (size_t i = 0; i < COUNT(TAKEN); i++) {
		struct problem p = {0};
		struct webhook *w = rich_webhook();
		char *before = show(w);
		assert_int_equal(webhook_apply(w, slice_of(TAKEN[i]), &LAX, &p), OK);
		char *after = show(w);
		assert_int_equal(strcmp(before, after) == 0, i == 0);
		free(before);
		free(after);
		assert_int_equal(webhook_apply_rotation(w, slice_of(TAKEN[0]), &LAX, 1, &p),
		    OK);
		assert_int_equal(webhook_apply_rotation(w, slice_of(TAKEN[0]), &RULES, 1, &p),
		    ERR_INVALID);
		webhook_free(w);
	}
	for (size_t i = 0; i < COUNT(REFUSED); i++) {
		struct problem p = {0};
		struct webhook *w = rich_webhook();
		if (webhook_apply(w, slice_of(REFUSED[i]), &LAX, &p) == OK)
			fail_msg("row %zu", i);
		webhook_free(w);
	}
}

/* Applies `body` to `w` and expects this list of events to be shown then. */
static void expect_events(struct webhook *w, const char *body, const char *events)
{
	struct problem p;
	if (apply(w, body, &p) != OK)
		fail_msg("%s: %s", body, p.message);
	char *text = show(w);
	if (strstr(text, events) == NULL)
		fail_msg("%s: %s", body, text);
	free(text);
}

static void test_names_of_events(void **state)
{
	(void)state;
	struct webhook *w = make_webhook(1, "s", "http://a/");
	struct problem p;
	expect_events(w, "{\"events\":[\"*\"]}", "\"events\":[\"all\"]");
	expect_events(w, "{\"events\":[\"*\",\"all\",\"group_*\"]}",
	    "\"events\":[\"all\",\"group_*\"]");
	expect_events(w, "{\"events\":[\"our.*\"]}", "\"events\":[\"our.*\"]");
	expect_events(w, "{\"events\":[\"x.*\",\"y\"],\"events_strict\":false}",
	    "\"events\":[\"x.*\",\"y\"]");
	/* what it has is known, whatever the order; and only that */
	expect_events(w, "{\"events\":[\"message\",\"y\"]}", "\"events\":[\"message\",\"y\"]");
	assert_int_equal(apply(w, "{\"events\":[\"x.*\"]}", &p), ERR_INVALID);
	webhook_free(w);
}

static void test_filter_is_kept(void **state)
{
	(void)state;
	struct webhook *w = rich_webhook();
	const struct filter *f = w->filter;
	struct problem p;
	assert_int_equal(apply(w, "{\"description\":\"x\"}", &p), OK);
	assert_ptr_equal(w->filter, f);
	assert_int_equal(apply(w, "{\"filter\":null,\"payload\":null}", &p), OK);
	assert_null(w->filter);
	assert_int_equal(w->payload, PAYLOAD_ENVELOPE);
	webhook_free(w);
}

/* An unknown event's answer names every event that may be subscribed to. */
static void test_known_events_are_listed(void **state)
{
	(void)state;
	struct problem p;
	struct webhook *w = webhook_new();
	assert_int_equal(apply(w, "{\"events\":[\"typo\"]}", &p), ERR_INVALID);
	for (size_t i = 0; i < NAME_EVENTS_COUNT; i++)
		assert_non_null(strstr(p.message, NAME_EVENTS[i]));
	for (size_t i = 0; i < NAME_EVENTS_COUNT; i++) {
		struct buf body = BUF_INIT(200);
		buf_printf(&body, "{\"events\":[\"%s\"]}", NAME_EVENTS[i]);
		if (apply(w, buf_cstr(&body), &p) != OK)
			fail_msg("%s: %s", NAME_EVENTS[i], p.message);
		buf_fini(&body);
	}
	webhook_free(w);
}

/* Builds BODY with a run of `n` characters `c` between `head` and `tail`. */
static void put_run(struct buf *b, const char *head, char c, size_t n, const char *tail)
{
	buf_puts(b, head);
	for (size_t i = 0; i < n; i++)
		buf_putc(b, c);
	buf_puts(b, tail);
}

/* Builds BODY with items 0 … n - 1, "%zu" in `item` being the number. */
static void put_items(struct buf *b, const char *head, const char *item, size_t n,
    const char *tail)
{
	buf_puts(b, head);
	for (size_t i = 0; i < n; i++) {
		buf_puts(b, i == 0 ? "" : ",");
		const char *number = strchr(item, '#');
		buf_append(b, item, number == NULL ? strlen(item) : (size_t)(number - item));
		if (number != NULL)
			buf_printf(b, "%zu%s", i, number + 1);
	}
	buf_puts(b, tail);
}

static void test_lengths(void **state)
{
	(void)state;
	static const struct {
		const char *head, *tail;
		size_t max;
		const char *field;
	} RUNS[] = {
	    {"{\"url\":\"http://a/", "\"}", 2048 - 9, "url"},
	    {"{\"secret\":\"", "\"}", 1024, "secret"},
	    {"{\"description\":\"", "\"}", 500, "description"},
	    {"{\"description\":\"\303\244", "\"}", 498, "description"},
	    {"{\"ca_pem\":\"" CERTIFICATE, "\"}", 16384 - (sizeof(TEST_CERTIFICATE("\n")) - 1),
		"ca_pem"},
	    {"{\"headers\":{\"", "\":\"v\"}}", 128, "headers"},
	    {"{\"headers\":{\"X-A\":\"", "\"}}", 8192, "headers.X-A"},
	    {"{\"auth\":{\"type\":\"bearer\",\"token\":\"", "\"}}", 4096, "auth.token"},
	    {"{\"auth\":{\"type\":\"basic\",\"username\":\"\",\"password\":\"", "\"}}", 4096,
		"auth.password"},
	    {"{\"auth\":{\"type\":\"basic\",\"password\":\"\",\"username\":\"", "\"}}", 1024,
		"auth.username"},
	};
	static const struct {
		const char *head, *item, *tail;
		size_t max;
		const char *field;
	} LISTS[] = {
	    {"{\"events\":[", "\"message\"", "]}", 256, "events"},
	    {"{\"headers\":{", "\"x#\":\"\"", "}}", 32, "headers"},
	    {"{\"retry\":[", "\"5s\"", "]}", 32, "retry[32]"},
	};
	for (size_t i = 0; i < COUNT(RUNS) + COUNT(LISTS); i++) {
		size_t list = i - COUNT(RUNS); /* of a later row */
		for (size_t over = 0; over <= 1; over++) {
			struct problem p;
			struct buf body = BUF_INIT(1u << 16);
			struct webhook *w = rich_webhook();
			const char *field = i < COUNT(RUNS) ? RUNS[i].field : LISTS[list].field;
			if (i < COUNT(RUNS))
				put_run(&body, RUNS[i].head, 'x', RUNS[i].max + over,
				    RUNS[i].tail);
			else
				put_items(&body, LISTS[list].head, LISTS[list].item,
				    LISTS[list].max + over, LISTS[list].tail);
			enum err err = apply(w, buf_cstr(&body), &p);
			if (err != (over > 0 ? ERR_INVALID : OK) ||
			    (over > 0 && strcmp(p.field, field) != 0))
				fail_msg("row %zu, %zu over: %s, %s %s", i, over, err_text(err),
				    p.field, p.message);
			webhook_free(w);
			buf_fini(&body);
		}
	}
}

/* Five headers of 8192 bytes with their names are all that go into 40960. */
static void test_headers_in_all(void **state)
{
	(void)state;
	for (size_t over = 0; over <= 1; over++) {
		struct problem p;
		struct buf body = BUF_INIT(1u << 16);
		struct webhook *w = rich_webhook();
		put_run(&body, "{\"headers\":{\"A1\":\"", 'x', 8190, "\"");
		put_run(&body, ",\"A2\":\"", 'x', 8190, "\"");
		put_run(&body, ",\"A3\":\"", 'x', 8190, "\"");
		put_run(&body, ",\"A4\":\"", 'x', 8190, "\"");
		put_run(&body, ",\"A5\":\"", 'x', 8190 + over, "\"}}");
		enum err err = apply(w, buf_cstr(&body), &p);
		assert_int_equal(err, over > 0 ? ERR_INVALID : OK);
		if (over > 0) {
			assert_string_equal(p.field, "headers");
			assert_non_null(strstr(p.message, "40960"));
		}
		webhook_free(w);
		buf_fini(&body);
	}
}

/* What cJSON would read differently from the strict reader, or not at all. */
static void test_refused_strings(void **state)
{
	(void)state;
	static const struct refusal ROWS[] = {
	    {"{\"secret\":\"abc\\u0000def\"}", "", "U+0000"},
	    {"{\"sec\\u0000ret\":\"abc\"}", "", "U+0000"},
	    {"{\"headers\":{\"X-A\\u0000\":\"abc\"}}", "", "U+0000"},
	    {"{\"description\":\"\\ud800\"}", "", "surrogate"},
	    {"{\"description\":\"\\udc00\\ud800\"}", "", "surrogate"},
	    {"{\"description\":\"\\ud83d x\"}", "", "surrogate"},
	    {"{\"\\udfff\":1}", "", "surrogate"},
	};
	check_refusals(ROWS, COUNT(ROWS), ERR_INVALID);
}

static void test_malformed(void **state)
{
	(void)state;
	static const struct refusal ROWS[] = {
	    {"", "", "byte 0"},
	    {"[]", "", "byte 0"},
	    {"\"x\"", "", "byte 0"},
	    {"null", "", "byte 0"},
	    {"{\"url\":}", "", "byte 7"},
	    {"{\"url\":\"http://a/\"", "", "byte 18"},
	    {"{\"url\":\"http://a/\"} x", "", "byte 20"},
	    {"{\"timeout_ms\":0500}", "", "byte 15"},
	    {"{\"description\":\"\303\"}", "", "byte"},
	    {"{\"description\":\"a\nb\"}", "", "byte 17"},
	};
	check_refusals(ROWS, COUNT(ROWS), ERR_SYNTAX);
}

/* A field that nobody knows is shown back: cut between characters, never within one. */
static void test_unknown_field_is_utf8(void **state)
{
	(void)state;
	for (size_t ahead = 0; ahead < 4; ahead++) {
		struct problem p;
		struct json_reader r;
		struct buf body = BUF_INIT(1000);
		struct buf out = BUF_INIT(2000);
		struct webhook *w = webhook_new();
		put_run(&body, "{\"", 'x', ahead, "");
		for (int i = 0; i < 40; i++)
			buf_puts(&body, "\360\237\230\200");
		buf_puts(&body, "\":1}");
		assert_int_equal(apply(w, buf_cstr(&body), &p), ERR_INVALID);
		assert_true(strlen(p.field) > 50);
		struct json_writer words = JSON_WRITER(&out);
		json_write_cstr(&words, NULL, p.field);
		json_init(&r, buf_view(&out));
		struct buf canonical = BUF_INIT(2000);
		if (json_read_value(&r, &canonical) != OK)
			fail_msg("%zu bytes ahead: %s", ahead, r.error);
		json_fini(&r);
		buf_fini(&canonical);
		buf_fini(&out);
		buf_fini(&body);
		webhook_free(w);
	}
}

static void test_nesting_and_size(void **state)
{
	(void)state;
	struct problem p;
	struct buf body = BUF_INIT(2 * WEBHOOK_RECORD_MAX);
	struct webhook *w = webhook_new();
	put_run(&body, "{\"x\":", '[', JSON_DEPTH_MAX, "");
	put_run(&body, "", ']', JSON_DEPTH_MAX, "}");
	assert_int_equal(apply(w, buf_cstr(&body), &p), ERR_SYNTAX);
	buf_reset(&body);
	put_run(&body, "{\"description\":\"", 'x', WEBHOOK_RECORD_MAX, "\"}");
	assert_int_equal(apply(w, buf_cstr(&body), &p), ERR_TOOBIG);
	buf_fini(&body);
	webhook_free(w);
}

/* The secret is in no answer and in no error, whatever field the error is about. */
static void test_secret_stays_inside(void **state)
{
	(void)state;
	static const char *const BODIES[] = {"{\"secret\":\"" SECRET "\"}",
	    "{\"secret\":\"" SECRET "\",\"url\":7}", "{\"secret\":\"" SECRET "\",\"nope\":7}",
	    "{\"secret\":\"" SECRET "\\u0000\"}", "{\"secret\":\"" SECRET "\\ud800\"}",
	    "{\"secret\":\"" SECRET "\" 7}", "{\"secret\":[\"" SECRET "\"]}"};
	for (size_t i = 0; i < COUNT(BODIES); i++) {
		struct problem p;
		struct webhook *w = make_webhook(1, "s", "http://a/");
		enum err err = apply(w, BODIES[i], &p);
		char *text = show(w);
		assert_int_equal(err == OK, i == 0);
		assert_null(strstr(text, "horse"));
		assert_null(strstr(p.message, "horse"));
		assert_null(strstr(p.field, "horse"));
		assert_true(i > 0 || strcmp(w->secret, SECRET) == 0);
		assert_true(i > 0 || strstr(text, "\"secret\":\"********\"") != NULL);
		free(text);
		webhook_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_write),
	    cmocka_unit_test(test_write_status),
	    cmocka_unit_test(test_write_defaults),
	    cmocka_unit_test(test_change),
	    cmocka_unit_test(test_orderings),
	    cmocka_unit_test(test_disabled_reason_stays),
	    cmocka_unit_test(test_url_is_required),
	    cmocka_unit_test(test_refused_fields),
	    cmocka_unit_test(test_reserved_headers),
	    cmocka_unit_test(test_headers_in_all),
	    cmocka_unit_test(test_names_of_events),
	    cmocka_unit_test(test_filter_is_kept),
	    cmocka_unit_test(test_known_events_are_listed),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_refused_strings),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_unknown_field_is_utf8),
	    cmocka_unit_test(test_default_signature),
	    cmocka_unit_test(test_pairs_are_drawn),
	    cmocka_unit_test(test_unknown_ignored),
	    cmocka_unit_test(test_nesting_and_size),
	    cmocka_unit_test(test_secret_stays_inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
