/* Sources: settings over presets, what becomes of a request, records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs all four before it */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "domain/source.h"
#include "domain/source_preset.h"
#include "domain/url_form.h"
#include "support.h"

#define OUT_MAX 65536

static struct source *make(const char *settings)
{
	char made[SIGN_SECRET_SIZE];
	struct problem p = {0};
	struct source *s = source_new(1700000000000);
	if (source_apply(s, slice_of(settings), made, &p) != OK)
		fail_msg("%s: %s: %s", settings, p.field, p.message);
	return s;
}

static void expect_shown(const struct source *s, const char *expected)
{
	struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = JSON_WRITER(&out);
	json_open_object(&w, NULL);
	source_write(s, &w);
	json_close(&w);
	const char *from = strstr(buf_cstr(&out), "\"name\"");
	const char *to = strstr(buf_cstr(&out), ",\"created_at\"");
	assert_non_null(from);
	assert_non_null(to);
	if (strncmp(from, expected, (size_t)(to - from)) != 0 ||
	    strlen(expected) != (size_t)(to - from))
		fail_msg("%.*s", (int)(to - from), from);
	buf_fini(&out);
}

static void test_settings(void **state)
{
	(void)state;
	struct source *s = make("{ \"verify\": {\"type\":\"none\"}, \"name\": \"n\" }");
	expect_shown(s, "\"name\":\"n\",\"verify\":{\"type\":\"none\"}");
	assert_string_equal(source_name(s), "n");
	assert_string_equal(source_preset(s), "");
	assert_string_equal(source_session(s), "");
	assert_true(source_is_enabled(s));
	assert_int_equal(source_retention_ms(s), 24 * 3600 * 1000);
	assert_int_equal(strlen(s->door), 32);
	source_free(s);
	source_free(NULL);
}

static void test_preset_and_what_replaces_it(void **state)
{
	(void)state;
	char made[SIGN_SECRET_SIZE];
	struct problem p = {0};
	struct source *s = make("{\"name\":\"n\",\"preset\":\"meta\",\"session\":\"s1\","
				"\"verify_token\":\"t\",\"verify\":{\"secrets\":[\"one\"]}}");
	expect_shown(s,
	    "\"name\":\"n\",\"preset\":\"meta\",\"session\":\"s1\","
	    "\"event\":{\"body\":\"/field\"},\"split\":\"/entry/*/changes/*\","
	    "\"challenge\":\"meta\",\"verify_token\":\"********\",\"id_retention\":"
	    "\"8d\",\"verify\":{\"type\":\"hmac\",\"header\":"
	    "\"X-Hub-Signature-256\",\"prefix\":\"sha256=\",\"secrets\":"
	    "[\"********\"]}");
	assert_string_equal(source_session(s), "s1");
	assert_string_equal(source_verify_token(s), "t");
	/* a change: what is not named stays, a null is the preset's, a name of none goes */
	assert_int_equal(source_apply(s,
			     SLICE("{\"session\":null,\"split\":\"/x\","
				   "\"id_retention\":null}"),
			     made, &p),
	    OK);
	expect_shown(s,
	    "\"name\":\"n\",\"preset\":\"meta\",\"session\":{\"body\":"
	    "\"/value/metadata/phone_number_id\"},\"event\":{\"body\":\"/field\"},"
	    "\"split\":\"/x\",\"challenge\":\"meta\",\"verify_token\":\"********\","
	    "\"id_retention\":\"8d\",\"verify\":{\"type\":\"hmac\",\"header\":"
	    "\"X-Hub-Signature-256\",\"prefix\":\"sha256=\",\"secrets\":[\"********\"]}");
	/* another type of proof takes nothing over */
	assert_int_equal(source_apply(s, SLICE("{\"verify\":{\"type\":\"none\"}}"), made, &p),
	    OK);
	assert_non_null(strstr(s->settings, "\"verify\":{\"type\":\"none\"}}"));
	/* an error changes nothing */
	char *before = mem_copy(s->settings, strlen(s->settings));
	assert_int_equal(source_apply(s, SLICE("{\"name\":\"m\",\"split\":\"x\"}"), made, &p),
	    ERR_INVALID);
	assert_string_equal(p.field, "split");
	assert_string_equal(s->settings, before);
	assert_string_equal(source_name(s), "n");
	free(before);
	source_free(s);
}

#define GIVEN_SECRET                                                                           \
	"\"verify_token\":\"t\",\"verify\":{\"secrets\":[\"whsec_MfKQ9r8GKYqrTwjU\"]}"

/* Each preset can be read, with a secret where one has to be given. */
static void test_presets(void **state)
{
	(void)state;
	struct buf names = BUF_INIT(512);
	source_preset_names(&names);
	struct slice left = buf_view(&names);
	size_t count = 0;
	while (left.len > 0) {
		struct slice name = slice_cut(&left, ' ');
		char text[512];
		char made[SIGN_SECRET_SIZE];
		struct problem p = {0};
		struct source_preset preset;
		bool is_stream = slice_eq(name, SLICE("waxum-nats"));
		bool is_open = slice_eq(name, SLICE("evolution"));
		struct source *s = source_new(0);
		assert_true(source_preset_find(name, &preset));
		(void)snprintf(text, sizeof(text), "{\"name\":\"n\",\"preset\":\"%.*s\",%s}",
		    (int)name.len, name.ptr,
		    is_stream ? "\"stream\":\"S\",\"servers\":[\"h\"]"
			: preset.makes_secret || is_open ? "\"verify_token\":\"t\""
							 : GIVEN_SECRET);
		if (source_apply(s, slice_of(text), made, &p) != OK)
			fail_msg("%s: %s: %s", text, p.field, p.message);
		assert_int_equal(made[0] != '\0', preset.makes_secret);
		assert_true(made[0] == '\0' || strstr(s->settings, made) != NULL);
		assert_true(slice_eq(slice_of(source_preset(s)), name));
		/* a change draws no secret */
		assert_int_equal(source_apply(s, SLICE("{\"name\":\"m\"}"), made, &p), OK);
		assert_string_equal(made, "");
		source_free(s);
		count++;
	}
	assert_int_equal(count, 14);
	buf_fini(&names);
}

static void test_problems(void **state)
{
	(void)state;
#define NONE "\"name\":\"n\",\"verify\":{\"type\":\"none\"},"
#define RAW NONE "\"body\":\"raw\","
	static const struct {
		const char *body, *field;
		enum err err;
	} BAD[] = {
	    {"{", "", ERR_SYNTAX},
	    {"[]", "", ERR_SYNTAX},
	    {"{}", "name", ERR_INVALID},
	    {"{\"name\":\"n\"}", "verify", ERR_INVALID},
	    {"{\"name\":17}", "name", ERR_INVALID},
	    {"{" NONE "\"nmae\":1}", "nmae", ERR_INVALID},
	    {"{" NONE "\"id\":\"x\"}", "id", ERR_INVALID},
	    {"{" NONE "\"preset\":\"nobody\"}", "preset", ERR_INVALID},
	    {"{\"name\":\"a\\ud800b\",\"verify\":{\"type\":\"none\"}}", "name", ERR_INVALID},
	    {"{" NONE "\"form\":\"\\udc00\"}", "form", ERR_INVALID},
	    {"{" NONE "\"drop\":[\"/a\\ud83dx\"]}", "drop", ERR_INVALID},
	    {"{" NONE "\"session\":17}", "session", ERR_INVALID},
	    {"{" NONE "\"session\":\"..\"}", "session", ERR_INVALID},
	    {"{" NONE "\"session\":\".\"}", "session", ERR_INVALID},
	    {"{" NONE "\"verify_token\":\"********\"}", "verify_token", ERR_INVALID},
	    {"{" NONE "\"session\":{}}", "session", ERR_INVALID},
	    {"{" NONE "\"session\":{\"body\":\"a\"}}", "session.body", ERR_INVALID},
	    {"{" NONE "\"session\":{\"body\":\"/a\",\"query\":\"b\"}}", "session", ERR_INVALID},
	    {"{" NONE "\"session\":{\"cookie\":\"b\"}}", "session.cookie", ERR_INVALID},
	    {"{" NONE "\"session\":{\"header\":\"a b\"}}", "session.header", ERR_INVALID},
	    {"{" NONE "\"session\":{\"path\":0}}", "session.path", ERR_INVALID},
	    {"{" NONE "\"session\":{\"path\":\"1\"}}", "session.path", ERR_INVALID},
	    {"{" NONE "\"event\":\"a b\"}", "event", ERR_INVALID},
	    {"{" NONE "\"event\":\"all\"}", "event", ERR_INVALID},
	    {"{" NONE "\"timestamp\":\"now\"}", "timestamp", ERR_INVALID},
	    {"{" NONE "\"timestamp\":{\"body\":\"/t\",\"unit\":\"d\"}}", "timestamp.unit",
		ERR_INVALID},
	    {"{" NONE "\"data\":{\"header\":\"X\"}}", "data", ERR_INVALID},
	    {"{" NONE "\"data\":\"x\"}", "data", ERR_INVALID},
	    {"{" NONE "\"drop\":[\"a\"]}", "drop", ERR_INVALID},
	    {"{" NONE "\"drop\":[\"\"]}", "drop", ERR_INVALID},
	    {"{" NONE "\"challenge\":\"x\"}", "challenge", ERR_INVALID},
	    {"{" NONE "\"challenge\":\"meta\"}", "verify_token", ERR_INVALID},
	    {"{" NONE "\"id_scope\":\"x\"}", "id_scope", ERR_INVALID},
	    {"{" NONE "\"id_retention\":\"9d\"}", "id_retention", ERR_INVALID},
	    {"{" NONE "\"enabled\":1}", "enabled", ERR_INVALID},
	    {"{" NONE "\"body\":\"x\"}", "body", ERR_INVALID},
	    {"{" NONE "\"body\":true}", "body", ERR_INVALID},
	    {"{" NONE "\"raw_headers\":[\"X-A\"]}", "raw_headers", ERR_INVALID},
	    {"{" RAW "\"raw_headers\":\"X-A\"}", "raw_headers", ERR_INVALID},
	    {"{" RAW "\"raw_headers\":[\"X A\"]}", "raw_headers", ERR_INVALID},
	    {"{" RAW "\"raw_headers\":[\"\"]}", "raw_headers", ERR_INVALID},
	    {"{" RAW "\"raw_headers\":[\"X-A\",\"X-B\",\"x-a\"]}", "raw_headers", ERR_INVALID},
	    {"{" RAW "\"raw_headers\":[\"content_length\"]}", "raw_headers", ERR_INVALID},
	    {"{" RAW "\"split\":\"/a\"}", "split", ERR_INVALID},
	    {"{" RAW "\"split\":\"/a/*\"}", "split", ERR_INVALID},
	    {"{" NONE "\"event\":{\"subject\":\"{}.a\"}}", "event", ERR_INVALID},
	};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		char made[SIGN_SECRET_SIZE];
		struct problem p = {0};
		struct source *s = source_new(0);
		enum err err = source_apply(s, slice_of(BAD[i].body), made, &p);
		if (err != BAD[i].err || strcmp(p.field, BAD[i].field) != 0)
			fail_msg("%s: %d, %s: %s", BAD[i].body, (int)err, p.field, p.message);
		assert_null(s->settings);
		source_free(s);
	}
}

/* Changes one by one do not make more of it than it may be. */
static void test_settings_together(void **state)
{
	(void)state;
	char made[SIGN_SECRET_SIZE];
	struct problem p = {0};
	struct source *s = make("{\"name\":\"n\",\"verify\":{\"type\":\"none\"}}");
	struct buf body = BUF_INIT(OUT_MAX);
	buf_puts(&body, "{\"drop\":[");
	for (int i = 0; i < 16; i++) {
		buf_puts(&body, i == 0 ? "\"/" : ",\"/");
		for (int n = 0; n < 160; n++)
			buf_puts(&body, "\\u0001");
		buf_puts(&body, "\"");
	}
	buf_puts(&body, "]}");
	assert_int_equal(source_apply(s, buf_view(&body), made, &p), OK);
	buf_reset(&body);
	buf_puts(&body, "{\"verify\":{\"type\":\"token\",\"header\":\"X\",\"secrets\":[");
	for (int i = 0; i < 8; i++) {
		buf_puts(&body, i == 0 ? "\"" : ",\"");
		for (int n = 0; n < 500; n++)
			buf_puts(&body, "\\u0001");
		buf_puts(&body, "\"");
	}
	buf_puts(&body, "]}}");
	assert_int_equal(source_apply(s, buf_view(&body), made, &p), ERR_INVALID);
	assert_non_null(strstr(p.message, "32768"));
	assert_non_null(strstr(s->settings, "\"type\":\"none\""));
	source_free(s);
	buf_fini(&body);
}

static struct slice header_of(const void *request, const char *name)
{
	const char *const *head = request; /* name, value, name, … NULL */
	for (; head[0] != NULL; head += 2) {
		if (strcasecmp(head[0], name) == 0)
			return slice_of(head[1]);
	}
	return (struct slice){0};
}

static const char *const NO_HEAD[] = {NULL};

/* Maps one item, to "session event time data": "-" for no time, "!" behind it if missed. */
static void expect_mapped(const char *settings, const struct arrival *a, const char *item,
    const char *expected)
{
	struct source *s = make(settings);
	struct source_event e = {.data = BUF_INIT(OUT_MAX), .id = BUF_INIT(OUT_MAX)};
	struct buf out = BUF_INIT(OUT_MAX);
	source_map(s, a, slice_of(item), &e);
	buf_printf(&out, "%s %s ", e.session, e.event);
	if (e.has_timestamp)
		buf_printf(&out, "%lld ", (long long)e.timestamp_s);
	else
		buf_puts(&out, "- ");
	buf_slice(&out, buf_view(&e.data));
	buf_puts(&out, e.missed ? " !" : "");
	assert_string_equal(buf_cstr(&out), expected);
	buf_fini(&out);
	source_event_fini(&e);
	source_free(s);
}

static bool count_one(void *arg, struct slice item)
{
	(void)item;
	++*(size_t *)arg;
	return true;
}

/* A source of raw bodies: which headers go along, and that all of a request is one event. */
static void test_raw(void **state)
{
	(void)state;
	char *const *names = NULL;
	struct source *s = make(
	    "{" RAW "\"split\":\"\",\"raw_headers\":[\"X-A\",\"Authorization\"]}");
	assert_true(source_is_raw(s));
	assert_int_equal(source_raw_headers(s, &names), 2);
	assert_string_equal(names[0], "X-A");
	assert_string_equal(names[1], "Authorization");
	size_t items = 0;
	source_split(s, SLICE("[1,2]"), count_one, &items);
	assert_int_equal(items, 1);
	/* what comes twice is what is the same to the byte, in whatever form that is read */
	static const struct {
		const char *body, *item;
	} ROWS[] = {{"{\"a\":1}", "{\"a\":1}"}, {"{\"a\": 1}", "{\"a\":1}"}, {"\xff", "null"},
	    {"\xfe", "null"}};
	struct source_event seen[COUNT(ROWS)];
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct arrival a = {.header = header_of,
		    .request = NO_HEAD,
		    .body = slice_of(ROWS[i].body)};
		seen[i] = (struct source_event){.data = BUF_INIT(OUT_MAX),
		    .id = BUF_INIT(OUT_MAX)};
		source_map(s, &a, slice_of(ROWS[i].item), &seen[i]);
		for (size_t k = 0; k < i; k++)
			assert_false(slice_eq(buf_view(&seen[i].id), buf_view(&seen[k].id)));
	}
	for (size_t i = 0; i < COUNT(ROWS); i++)
		source_event_fini(&seen[i]);
	char made[SIGN_SECRET_SIZE];
	struct problem p = {0};
	assert_int_equal(source_apply(s, SLICE("{\"body\":null}"), made, &p), ERR_INVALID);
	assert_string_equal(p.field, "raw_headers");
	assert_true(source_is_raw(s));
	assert_int_equal(
	    source_apply(s, SLICE("{\"body\":null,\"raw_headers\":null}"), made, &p), OK);
	assert_false(source_is_raw(s));
	assert_int_equal(source_raw_headers(s, &names), 0);
	source_free(s);
}

static void test_map(void **state)
{
	(void)state;
	static const char *const HEAD[] = {"x-topic", "orders/create", "X-Time",
	    "2023-11-14T22:13:20Z", NULL};
	const struct arrival a = {.header = header_of,
	    .request = HEAD,
	    .query = SLICE_INIT("a=1&inst%61nce=S%C3%A3o+Paulo&instance=2"),
	    .path = SLICE_INIT("messages-upsert/x%2Fy")};
	expect_mapped("{" NONE "\"session\":{\"body\":\"/s\"},\"event\":{\"body\":\"/e\"}}", &a,
	    "{\"s\":\"one\",\"e\":\"Messages.Upsert\"}",
	    "one messages.upsert - {\"s\":\"one\",\"e\":\"Messages.Upsert\"}");
	expect_mapped(
	    "{" NONE "\"session\":{\"path\":1},\"event\":{\"header\":\"X-Topic\"},"
	    "\"timestamp\":{\"header\":\"X-Time\",\"unit\":\"iso\"},\"data\":{\"body\":"
	    "\"/d\"}}",
	    &a, "{\"d\":[1]}", "messages-upsert orders.create 1700000000 [1]");
	expect_mapped("{" NONE "\"session\":\"s1\",\"event\":{\"path\":2}}", &a, "{}",
	    "s1 x.y - {}");
	expect_mapped("{" NONE "\"session\":{\"body\":\"/n\"},\"event\":{\"body\":\"/b\"},"
		      "\"timestamp\":{\"body\":\"/t\",\"unit\":\"ms\"}}",
	    &a, "{\"n\":628,\"b\":true,\"t\":1700000000999}",
	    "628 true 1700000000 {\"n\":628,\"b\":true,\"t\":1700000000999}");
	expect_mapped("{" NONE "\"timestamp\":{\"body\":\"/t\"}}", &a,
	    "{\"t\":\"1700000000.5\"}", "default unknown 1700000000 {\"t\":\"1700000000.5\"}");
}

/* A query is read once for all items, not for each: it may have thousands of parameters. */
static void test_query_is_read_once(void **state)
{
	(void)state;
	char query[] = "s=one&e=two&i=three";
	const struct arrival a = {.header = header_of,
	    .request = NO_HEAD,
	    .query = {query, 19}};
	struct source *s = make("{" NONE "\"session\":{\"query\":\"s\"},\"event\":{\"query\":"
				"\"e\"},\"event_id\":{\"query\":\"i\"}}");
	struct source_event e = {.data = BUF_INIT(OUT_MAX), .id = BUF_INIT(OUT_MAX)};
	source_map(s, &a, SLICE("1"), &e);
	memset(query, '&', 19);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(e.session, "one");
		assert_string_equal(e.event, "two");
		assert_true(slice_eq(buf_view(&e.id), SLICE("three\0two\0one")));
		assert_false(e.missed);
		source_map(s, &a, SLICE("2"), &e);
	}
	source_event_fini(&e);
	source_free(s);
}

static void test_map_finds_nothing(void **state)
{
	(void)state;
	const struct arrival a = {.header = header_of, .request = NO_HEAD};
	static const char *const ITEMS[] = {"{}", "{\"s\":{},\"e\":[]}",
	    "{\"s\":null,\"e\":null}", "{\"s\":\"\",\"e\":\"/ /\"}", "17", "[]",
	    "{\"e\":\"All\"}"};
	for (size_t i = 0; i < COUNT(ITEMS); i++) {
		char expected[128];
		(void)snprintf(expected, sizeof(expected), "default unknown - %s !", ITEMS[i]);
		expect_mapped("{" NONE
			      "\"session\":{\"body\":\"/s\"},\"event\":{\"body\":\"/e\"},"
			      "\"timestamp\":{\"query\":\"t\"},\"data\":{\"body\":\"/d\"}}",
		    &a, ITEMS[i], expected);
	}
	/* the name of an event alone is missed */
	expect_mapped("{" NONE "\"event\":{\"path\":3}}", &a, "{}", "default unknown - {} !");
}

static void test_drop(void **state)
{
	(void)state;
	const struct arrival a = {.header = header_of, .request = NO_HEAD};
	expect_mapped("{" NONE "\"drop\":[\"/apikey\",\"/d/*/k\"]}", &a,
	    "{\"apikey\":\"s\",\"d\":[{\"k\":1,\"v\":2}]}",
	    "default unknown - {\"d\":[{\"v\":2}]}");
	expect_mapped("{" NONE "\"drop\":[\"/apikey\"],\"data\":{\"body\":\"/d\"}}", &a,
	    "{\"apikey\":\"s\",\"d\":{\"apikey\":\"mine\"}}",
	    "default unknown - {\"apikey\":\"mine\"}");
	/* an index is the one that an item had when it came */
	expect_mapped("{" NONE "\"drop\":[\"/l/0\",\"/l/1\"]}", &a, "{\"l\":[1,2,3]}",
	    "default unknown - {\"l\":[3]}");
	/* what is dropped can be mapped */
	expect_mapped("{" NONE "\"drop\":[\"/s\"],\"session\":{\"body\":\"/s\"}}", &a,
	    "{\"s\":\"one\"}", "one unknown - {}");
}

/* Whether two items are the same event again. */
static bool are_repeats(const char *settings, const char *one, const char *other)
{
	const struct arrival a = {.header = header_of, .request = NO_HEAD};
	struct source *s = make(settings);
	struct source_event e[2];
	for (size_t i = 0; i < 2; i++) {
		e[i] = (struct source_event){.data = BUF_INIT(OUT_MAX),
		    .id = BUF_INIT(OUT_MAX)};
		source_map(s, &a, slice_of(i == 0 ? one : other), &e[i]);
	}
	bool same = slice_eq(buf_view(&e[0].id), buf_view(&e[1].id));
	source_event_fini(&e[0]);
	source_event_fini(&e[1]);
	source_free(s);
	return same;
}

static void test_repeats(void **state)
{
	(void)state;
#define NAMED NONE "\"event\":{\"body\":\"/e\"},\"event_id\":{\"body\":\"/i\"}"
	/* a message and its ack share an id: the event tells them apart */
	assert_true(are_repeats("{" NAMED "}", "{\"e\":\"m\",\"i\":\"1\",\"x\":1}",
	    "{\"e\":\"m\",\"i\":\"1\",\"x\":2}"));
	assert_false(are_repeats("{" NAMED "}", "{\"e\":\"m\",\"i\":\"1\"}",
	    "{\"e\":\"m.ack\",\"i\":\"1\"}"));
	assert_true(are_repeats("{" NAMED ",\"id_scope\":\"id\"}", "{\"e\":\"m\",\"i\":\"1\"}",
	    "{\"e\":\"m.ack\",\"i\":\"1\"}"));
	assert_false(are_repeats("{" NAMED "}", "{\"e\":\"m\",\"i\":\"1\"}",
	    "{\"e\":\"m\",\"i\":\"2\"}"));
	/* without an id: all of it */
	assert_true(
	    are_repeats("{" NAMED "}", "{\"e\":\"m\",\"x\":1}", "{\"e\":\"m\",\"x\":1}"));
	assert_false(
	    are_repeats("{" NAMED "}", "{\"e\":\"m\",\"x\":1}", "{\"e\":\"m\",\"x\":2}"));
	/* another session's is another */
	assert_false(are_repeats("{" NAMED ",\"session\":{\"body\":\"/s\"}}",
	    "{\"s\":\"a\",\"i\":\"1\"}", "{\"s\":\"b\",\"i\":\"1\"}"));
}

/* An id of 1024 bytes counts, a longer one is none (docs/sources.md, 11). */
static void test_long_ids(void **state)
{
	(void)state;
	for (size_t len = 1024; len <= 1025; len++) {
		char one[1100];
		char other[1100];
		char id[1026] = "";
		memset(id, 'x', len);
		(void)snprintf(one, sizeof(one), "{\"i\":\"%s\",\"x\":1}", id);
		(void)snprintf(other, sizeof(other), "{\"i\":\"%s\",\"x\":2}", id);
		assert_int_equal(are_repeats("{" NAMED "}", one, other), len == 1024);
		assert_true(are_repeats("{" NAMED "}", one, one));
	}
}

static bool count_item(void *arg, struct slice item)
{
	buf_slice(arg, item);
	buf_putc(arg, ' ');
	return true;
}

static void test_split(void **state)
{
	(void)state;
	struct source *s = make("{" NONE "\"split\":\"/entry/*/changes/*\"}");
	struct buf out = BUF_INIT(OUT_MAX);
	source_split(s, SLICE("{\"entry\":[{\"changes\":[1,2]},{\"changes\":[3]}]}"),
	    count_item, &out);
	source_split(s, SLICE("{\"entry\":[]}"), count_item, &out); /* nothing is lost */
	assert_string_equal(buf_cstr(&out), "1 2 3 {\"entry\":[]} ");
	source_free(s);
	buf_fini(&out);
}

static void test_streams(void **state)
{
	(void)state;
	static const char SEED[] = "\"seed\":\"SUA\"";
	struct source *s = make("{\"type\":\"nats\",\"servers\":[\"nats://h:1\",\"tls://i\"],"
				"\"stream\":\"WA\",\"subjects\":[\"wa.>\"],\"token\":\"t\"}");
	const struct source_nats *n = source_nats(s);
	assert_string_equal(source_name(s), "WA"); /* the stream's, where none is given */
	assert_string_equal(source_preset(s), "waxum-nats");
	assert_null(source_verify(s));
	assert_int_equal(n->server_count, 2);
	assert_string_equal(n->servers[0].host, "h");
	assert_int_equal(n->servers[0].port, 1);
	assert_true(n->servers[1].is_tls);
	assert_string_equal(n->subjects[0], "wa.>");
	assert_string_equal(n->token, "t");
	assert_false(n->has_key);
	assert_int_equal(source_retention_ms(s), 0);
	source_free(s);
	static const struct {
		const char *more, *field;
	} BAD[] = {
	    {SEED, "seed"},
	    {"\"form\":\"x\"", "form"},
	    {"\"body\":\"raw\"", "body"},
	    {"\"raw_headers\":[]", "raw_headers"},
	    {"\"session\":{\"header\":\"X\"}", "session"},
	    {"\"event_id\":{\"path\":1}", "event_id"},
	    {"\"timestamp\":{\"query\":\"t\",\"unit\":\"s\"}", "timestamp"},
	    {"\"challenge\":\"meta\"", "challenge"},
	    {"\"begin\":\"middle\"", "begin"},
	    {"\"consumer\":\"a b\"", "consumer"},
	    {"\"event\":{\"subject\":\"{}.{}\"}", "event.subject"},
	    {"\"name\":\"\"", "name"},
	    {"\"password\":\"********\"", "password"},
	};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		char text[256];
		char made[SIGN_SECRET_SIZE];
		struct problem p = {0};
		struct source *bad = source_new(0);
		(void)snprintf(text, sizeof(text),
		    "{\"type\":\"nats\",\"servers\":[\"h\"],\"stream\":\"S\",%s}", BAD[i].more);
		assert_int_equal(source_apply(bad, slice_of(text), made, &p), ERR_INVALID);
		assert_string_equal(p.field, BAD[i].field);
		source_free(bad);
	}
}

static void test_subjects(void **state)
{
	(void)state;
	static const struct {
		const char *template, *subject, *taken; /* NULL: it does not fit */
	} TAKES[] = {
	    {"wa.events.{}.*", "wa.events.s.message", "s"},
	    {"wa.events.{}.*", "wa.events.loja.da.ana.message", "loja.da.ana"},
	    {"wa.events.>.{}", "wa.events.loja.da.ana.message", "message"},
	    {"wa.events.>.{}", "wa.events.s.message", "message"},
	    {"{}", "a.b.c", "a.b.c"},
	    {"{}.>", "a.b.c", "a"},
	    {"*.{}.c", "a.b.c", "b"},
	    {"wa.events.{}.*", "wa.events.s", NULL},
	    {"wa.events.{}.*", "wb.events.s.message", NULL},
	    {"wa.events.{}.x", "wa.events.s.y", NULL},
	    {"a.*.{}.>", "a.b.c", NULL},
	    {"{}.a", "a", NULL},
	    {"{}", "", NULL},
	};
	static const char *const BAD[] = {"", "a", "a.*", "{}.{}", "{}.>.>", ".{}", "{}.",
	    "a..{}", "a{}", "a b.{}", ">"};
	for (size_t i = 0; i < COUNT(TAKES); i++) {
		struct slice template = slice_of(TAKES[i].template);
		assert_true(subject_is_template(template));
		struct slice taken = subject_take(template, slice_of(TAKES[i].subject));
		bool good = TAKES[i].taken == NULL ? taken.ptr == NULL
						   : slice_eq(taken, slice_of(TAKES[i].taken));
		if (!good)
			fail_msg("%s of %s: %.*s", TAKES[i].template, TAKES[i].subject,
			    (int)taken.len, taken.ptr);
	}
	for (size_t i = 0; i < COUNT(BAD); i++) {
		if (subject_is_template(slice_of(BAD[i])))
			fail_msg("%s is a template", BAD[i]);
	}
}

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void expect_record(const struct vault *vault, bool is_open)
{
	static const unsigned char NONCE[VAULT_NONCE_SIZE];
	struct buf record = BUF_INIT(SOURCE_RECORD_MAX);
	struct vault_id key;
	struct source *s = make(
	    "{\"name\":\"n\",\"verify\":{\"type\":\"token\",\"header\":\"X\","
	    "\"secrets\":[\"very secret\"]}}");
	struct source *back = NULL;
	s->updated_ms = 1700000000001;
	source_encode(s, vault, NONCE, &record);
	bool shows = memmem(record.data, record.len, "very secret", 11) != NULL;
	assert_int_equal(shows, is_open);
	struct reader r = reader_of(buf_view(&record));
	assert_int_equal(source_decode(&r, vault, &key, &back), OK);
	assert_true(uuid_eq(&back->id, &s->id));
	assert_string_equal(back->door, s->door);
	assert_string_equal(back->settings, s->settings);
	assert_int_equal(back->created_ms, 1700000000000);
	assert_int_equal(back->updated_ms, 1700000000001);
	source_free(back);
	for (size_t len = 0; len < record.len; len++) { /* cut off anywhere it is none */
		r = reader_of((struct slice){record.data, len});
		assert_int_equal(source_decode(&r, vault, &key, &back), ERR_CORRUPT);
		assert_null(back);
	}
	source_free(s);
	buf_fini(&record);
}

static void test_records(void **state)
{
	(void)state;
	struct problem p;
	struct vault *vault = vault_new();
	expect_record(NULL, true);
	assert_int_equal(vault_add(vault, SLICE(KEY_HEX), &p), OK);
	expect_record(vault, false);
	vault_free(vault);
}

static void test_forms(void **state)
{
	(void)state;
	struct slice left = SLICE("&a=1&&b+c=%26%3d+%zz&d&=e&%");
	struct buf name = BUF_INIT(64);
	struct buf value = BUF_INIT(64);
	struct buf out = BUF_INIT(256);
	while (url_form_next(&left, &name, &value))
		buf_printf(&out, "%s:%s;", buf_cstr(&name), buf_cstr(&value));
	assert_string_equal(buf_cstr(&out), "a:1;b c:&= %zz;d:;:e;%:;");
	buf_reset(&out);
	url_decode(SLICE("a+b%2Bc%00d"), false, &out);
	assert_int_equal(out.len, 7);
	assert_memory_equal(out.data, "a+b+c\0d", 7);
	buf_fini(&name);
	buf_fini(&value);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_settings),
	    cmocka_unit_test(test_preset_and_what_replaces_it),
	    cmocka_unit_test(test_presets),
	    cmocka_unit_test(test_problems),
	    cmocka_unit_test(test_settings_together),
	    cmocka_unit_test(test_map),
	    cmocka_unit_test(test_raw),
	    cmocka_unit_test(test_query_is_read_once),
	    cmocka_unit_test(test_map_finds_nothing),
	    cmocka_unit_test(test_drop),
	    cmocka_unit_test(test_repeats),
	    cmocka_unit_test(test_long_ids),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_subjects),
	    cmocka_unit_test(test_records),
	    cmocka_unit_test(test_forms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
