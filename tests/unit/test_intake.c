/*
 * Intake: what a request's text becomes, and which one of many events a problem names.
 * JSON is written with ' for " here, and ~ for the end of a line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/intake.h"
#include "support.h"

#define NOW_MS 1767143203500
#define TEXT_MAX (4u << 20)
#define BODY_MAX 200 /* bytes of one event here; whole texts are larger */
#define BATCH_MAX 2000

#define E1 "{'session_id':'s','event':'message','data':1}"
#define E2 "{'session_id':'t','event':'receipt','data':2}"

struct fixture {
	struct buf scratch;
	struct rnd rnd;
	struct idgen ids;
	struct registry *registry;
	struct auth *auth;
	struct intake_conf conf;
	struct buf text;
	struct intake in;
	struct problem p;
};

/* Session s has webhooks 1 for all and 2 for receipts, t has 3, which is disabled, and 4. */
static void add_webhooks(struct registry *reg)
{
	static const char *const SESSIONS[] = {"s", "s", "t", "t"};
	for (size_t i = 0; i < COUNT(SESSIONS); i++) {
		char url[16];
		(void)snprintf(url, sizeof(url), "http://a/%zu", i);
		struct webhook *w = make_webhook(i + 1, SESSIONS[i], url);
		if (i == 1)
			webhook_set(&w->events[0], "receipt");
		if (i == 2)
			webhook_set_enabled(w, WEBHOOK_DISABLED_BY_REQUEST);
		registry_set(reg, w);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct problem p;
	assert_non_null(f);
	f->scratch = BUF_INIT(TEXT_MAX);
	f->text = BUF_INIT(TEXT_MAX);
	rnd_seed(&f->rnd, 1);
	idgen_init(&f->ids, &f->rnd);
	f->registry = registry_new();
	add_webhooks(f->registry);
	f->auth = auth_new();
	assert_int_equal(auth_add_file(f->auth, SLICE("token-of-s s"), &p), OK);
	f->conf = (struct intake_conf){.registry = f->registry,
	    .key_ms = 5000,
	    .ids = &f->ids,
	    .scratch = &f->scratch,
	    .now_ms = NOW_MS,
	    .body_max = BODY_MAX,
	    .batch_max = BATCH_MAX};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	auth_free(f->auth);
	registry_free(f->registry);
	buf_fini(&f->text);
	buf_fini(&f->scratch);
	free(f);
	return 0;
}

#define INTAKE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static void quote(const char *text, struct buf *out)
{
	buf_reset(out);
	for (; *text != '\0'; text++)
		buf_putc(out, *text == '\'' ? '"' : *text == '~' ? '\n' : *text);
}

/* Reads f->text; intake_fini() f->in afterwards. */
static enum err take(struct fixture *f, enum intake_form form)
{
	f->p = (struct problem){.message = ""};
	return intake_read(&f->in, &f->conf, form, buf_view(&f->text), &f->p);
}

static enum err take_text(struct fixture *f, enum intake_form form, const char *text)
{
	quote(text, &f->text);
	return take(f, form);
}

static void assert_body(const struct intake_item *item, const char *want)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	quote(want, &text);
	if (!slice_eq(item->publication.body, buf_view(&text)))
		fail_msg("%.*s", (int)item->publication.body.len, item->publication.body.ptr);
	assert_true(item->publication.event.body_bytes == text.len);
	buf_fini(&text);
}

static void assert_id_before(const struct uuid *a, const struct uuid *b)
{
	assert_true(memcmp(a->bytes, b->bytes, UUID_SIZE) < 0);
}

/* The same two events in every form that holds two. */
static void test_events(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum intake_form form;
		const char *text;
	} ROWS[] = {
	    {INTAKE_ANY, "[" E1 "," E2 "]"},
	    {INTAKE_ANY, "~ [ " E1 " ,~" E2 " ] ~"},
	    {INTAKE_NDJSON, E1 "~" E2},
	    {INTAKE_NDJSON, "~" E1 "~~ " E2 " ~~"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (take_text(f, ROWS[i].form, ROWS[i].text) != OK)
			fail_msg("row %zu: %s", i, f->p.message);
		const struct intake_item *a = &f->in.items[0];
		const struct intake_item *b = &f->in.items[1];
		assert_true(f->in.is_batch);
		assert_int_equal(f->in.count, 2);
		assert_int_equal(f->in.deliveries, 2);
		assert_body(a,
		    "{'session_id':'s','event':'message','timestamp':1767143203,'data':1}");
		assert_body(b,
		    "{'session_id':'t','event':'receipt','timestamp':1767143203,'data':2}");
		assert_string_equal(a->publication.event.session, "s");
		assert_string_equal(b->publication.event.name, "receipt");
		assert_true(a->timestamp_s == 1767143203);
		assert_true(a->publication.event.created_ms == NOW_MS);
		assert_int_equal(a->publication.event.deliveries, 1);
		assert_true(a->publication.targets[0].webhook == 1);
		assert_true(b->publication.targets[0].webhook == 4);
		assert_id_before(&a->publication.event.id, &b->publication.event.id);
		assert_true(intake_bytes(&f->in) > f->in.bodies.len);
		intake_fini(&f->in);
	}
}

static void test_one(void **state)
{
	struct fixture *f = *state;
	static const enum intake_form FORMS[] = {INTAKE_ONE, INTAKE_ANY};
	for (size_t i = 0; i < COUNT(FORMS); i++) {
		f->conf.session = i == 0 ? SLICE("s") : SLICE("");
		assert_int_equal(take_text(f, FORMS[i],
				     "{'session_id':'s','event':'receipt','timestamp':5}"),
		    OK);
		assert_false(f->in.is_batch);
		assert_int_equal(f->in.count, 1);
		assert_int_equal(f->in.deliveries, 2);
		assert_true(f->in.items[0].publication.targets[1].webhook == 2);
		assert_true(f->in.items[0].timestamp_s == 5);
		assert_true(f->in.items[0].key.expires_ms == 0);
		intake_fini(&f->in);
	}
}

static void test_empty_batches(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum intake_form form;
		const char *text;
	} ROWS[] = {{INTAKE_ANY, "[]"}, {INTAKE_ANY, " [ ~] "}, {INTAKE_NDJSON, ""},
	    {INTAKE_NDJSON, "~"}, {INTAKE_NDJSON, " ~\t~~"}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (take_text(f, ROWS[i].form, ROWS[i].text) != OK)
			fail_msg("row %zu: %s", i, f->p.message);
		assert_true(f->in.is_batch);
		assert_int_equal(f->in.count, 0);
		intake_fini(&f->in);
	}
}

static void test_problems(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum intake_form form;
		const char *text;
		enum err err;
		const char *field;
		const char *words; /* in the message */
	} ROWS[] = {
	    {INTAKE_ONE, "[" E1 "]", ERR_INVALID, "", "a JSON object"},
	    {INTAKE_ONE, "", ERR_SYNTAX, "", "byte 0"},
	    {INTAKE_ONE, "{'event':'X'}", ERR_INVALID, "session_id", ""},
	    {INTAKE_ONE, "{'event':'X'}x", ERR_SYNTAX, "", "byte 13"},
	    {INTAKE_ANY, "5", ERR_INVALID, "", "a JSON object"},
	    {INTAKE_ANY, "", ERR_SYNTAX, "", "byte 0"},
	    {INTAKE_ANY, E1 "," E1, ERR_SYNTAX, "", "byte 45"},
	    {INTAKE_ANY, "[", ERR_SYNTAX, "[0]", "byte 1"},
	    {INTAKE_ANY, "[" E1, ERR_SYNTAX, "", "byte 46"},
	    {INTAKE_ANY, "[" E1 ",]", ERR_SYNTAX, "[1]", "byte 47"},
	    {INTAKE_ANY, "[" E1 E1 "]", ERR_SYNTAX, "", "byte 46"},
	    {INTAKE_ANY, "[" E1 "]]", ERR_SYNTAX, "", "byte 47"},
	    {INTAKE_ANY, "[" E1 ",{'session_id':'s'}]", ERR_INVALID, "[1].event", ""},
	    {INTAKE_ANY, "[" E1 ",{'session_id':'s'},x", ERR_INVALID, "[1].event", ""},
	    {INTAKE_ANY, "[" E1 ",{x,{'session_id':'s'}]", ERR_SYNTAX, "[1]", "byte 48"},
	    {INTAKE_ANY, "[[" E1 "]]", ERR_INVALID, "[0]", "a JSON object"},
	    {INTAKE_NDJSON, E1 "~" E1 " " E1 "~", ERR_SYNTAX, "", "line 2: malformed JSON"},
	    {INTAKE_NDJSON, "~" E1 "~{'session_id':'s'}~x", ERR_INVALID, "[1].event",
		"line 3: "},
	    {INTAKE_NDJSON, E1 "~{'session_id':'s',~'event':'e'}", ERR_SYNTAX, "[1]",
		"line 2: "},
	    {INTAKE_NDJSON, "[" E1 "]", ERR_INVALID, "[0]", "line 1: an event must be"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		enum err err = take_text(f, ROWS[i].form, ROWS[i].text);
		if (err != ROWS[i].err || strcmp(f->p.field, ROWS[i].field) != 0 ||
		    strstr(f->p.message, ROWS[i].words) == NULL)
			fail_msg("row %zu: %s, field \"%s\": %s", i, err_text(err), f->p.field,
			    f->p.message);
		intake_fini(&f->in);
	}
}

/* Makes the text of one event that has `bytes` bytes. */
static void put_event(struct buf *out, size_t bytes)
{
	static const char HEAD[] = "{\"session_id\":\"s\",\"event\":\"e\",\"data\":\"";
	buf_puts(out, HEAD);
	for (size_t n = sizeof(HEAD) - 1 + 2; n < bytes; n++)
		buf_putc(out, 'x');
	buf_puts(out, "\"}");
}

static void test_limits_of_bytes(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum intake_form form;
		size_t event, total; /* bytes; the rest is white space behind */
		enum err err;
		const char *field;
		const char *words;
	} ROWS[] = {
	    {INTAKE_ONE, BODY_MAX, BODY_MAX, OK, "", ""},
	    {INTAKE_ONE, BODY_MAX + 1, BODY_MAX + 1, ERR_TOOBIG, "", "max_body_bytes"},
	    {INTAKE_ONE, BODY_MAX, BODY_MAX + 1, ERR_TOOBIG, "", "max_body_bytes"},
	    {INTAKE_ONE, BODY_MAX, BATCH_MAX + 1, ERR_TOOBIG, "", "max_body_bytes"},
	    {INTAKE_ANY, BODY_MAX, BODY_MAX, OK, "", ""},
	    {INTAKE_ANY, BODY_MAX + 1, BODY_MAX + 1, ERR_TOOBIG, "", "max_body_bytes"},
	    {INTAKE_NDJSON, BODY_MAX, BATCH_MAX, OK, "", ""},
	    {INTAKE_NDJSON, BODY_MAX, BATCH_MAX + 1, ERR_TOOBIG, "", "max_batch_bytes"},
	    {INTAKE_NDJSON, BODY_MAX + 1, BATCH_MAX, ERR_TOOBIG, "[0]", "max_body_bytes"},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		buf_reset(&f->text);
		put_event(&f->text, ROWS[i].event);
		while (f->text.len < ROWS[i].total)
			buf_putc(&f->text, '\n');
		enum err err = take(f, ROWS[i].form);
		if (err != ROWS[i].err || strcmp(f->p.field, ROWS[i].field) != 0 ||
		    strstr(f->p.message, ROWS[i].words) == NULL)
			fail_msg("row %zu: %s, field \"%s\": %s", i, err_text(err), f->p.field,
			    f->p.message);
		intake_fini(&f->in);
	}
}

/* Repeats E1 as the items of an array. */
static void put_array(struct buf *out, size_t count)
{
	buf_reset(out);
	for (size_t i = 0; i < count; i++) {
		buf_putc(out, i == 0 ? '[' : ',');
		put_event(out, 0);
	}
	buf_putc(out, ']');
}

static void test_limits_of_numbers(void **state)
{
	struct fixture *f = *state;
	f->conf.batch_max = TEXT_MAX;
	put_array(&f->text, INTAKE_EVENTS_MAX);
	assert_int_equal(take(f, INTAKE_ANY), OK);
	assert_int_equal(f->in.count, INTAKE_EVENTS_MAX);
	assert_int_equal(f->in.deliveries, INTAKE_EVENTS_MAX);
	intake_fini(&f->in);
	put_array(&f->text, INTAKE_EVENTS_MAX + 1);
	assert_int_equal(take(f, INTAKE_ANY), ERR_TOOBIG);
	assert_non_null(strstr(f->p.message, "10000 events"));
	intake_fini(&f->in);
	for (uint64_t n = 10; n < 20; n++) /* eleven for session s now */
		registry_set(f->registry, make_webhook(n, "s", "http://a/"));
	put_array(&f->text, INTAKE_DELIVERIES_MAX / 11);
	assert_int_equal(take(f, INTAKE_ANY), OK);
	intake_fini(&f->in);
	put_array(&f->text, INTAKE_DELIVERIES_MAX / 11 + 1);
	assert_int_equal(take(f, INTAKE_ANY), ERR_TOOBIG);
	assert_non_null(strstr(f->p.message, "4546 events make 50006 deliveries"));
	assert_non_null(strstr(f->p.message, "at most 50000 deliveries"));
	assert_non_null(strstr(f->p.message, "split the batch"));
	assert_true(f->in.deliveries <= INTAKE_DELIVERIES_MAX + 11); /* it went no further */
	intake_fini(&f->in);
}

/* One event goes to all its session's webhooks, however many; two of them are a batch. */
static void test_single_event_has_no_limit_of_deliveries(void **state)
{
	struct fixture *f = *state;
	f->conf.batch_max = TEXT_MAX;
	for (uint64_t n = 0; n < INTAKE_DELIVERIES_MAX; n++) /* one more than that */
		registry_set(f->registry, make_webhook(100 + n, "s", "http://a/"));
	put_array(&f->text, 1);
	assert_int_equal(take(f, INTAKE_ANY), OK);
	assert_int_equal(f->in.deliveries, INTAKE_DELIVERIES_MAX + 1);
	intake_fini(&f->in);
	put_array(&f->text, 2);
	assert_int_equal(take(f, INTAKE_ANY), ERR_TOOBIG);
	intake_fini(&f->in);
}

/* Whom each event goes to does not depend on what stands before it. */
static void test_events_in_a_row_are_matched_as_each_alone(void **state)
{
	struct fixture *f = *state;
	static const char *const TEXTS[] = {E1, E2,
	    "{'session_id':'s','event':'receipt','data':1}",
	    "{'session_id':'t','event':'message','data':1}",
	    "{'session_id':'nobody','event':'message','data':1}"};
	static const uint32_t WANT[] = {1, 1, 2, 1, 0};
	f->conf.body_max = TEXT_MAX;
	f->conf.batch_max = TEXT_MAX;
	for (size_t first = 0; first < COUNT(TEXTS); first++) {
		for (size_t then = 0; then < COUNT(TEXTS); then++) {
			char text[512];
			(void)snprintf(text, sizeof(text), "[%s,%s,%s]", TEXTS[first],
			    TEXTS[then], TEXTS[then]);
			assert_int_equal(take_text(f, INTAKE_ANY, text), OK);
			assert_int_equal(f->in.items[0].publication.event.deliveries,
			    WANT[first]);
			for (size_t i = 1; i < 3; i++) {
				const struct publication *p = &f->in.items[i].publication;
				assert_int_equal(p->event.deliveries, WANT[then]);
				if (WANT[then] == 2)
					assert_true(p->targets[0].webhook == 1 &&
					    p->targets[1].webhook == 2);
			}
			intake_fini(&f->in);
		}
	}
}

static void test_scopes(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum intake_form form;
		const char *text;
		const char *field; /* NULL: the token reaches all */
	} ROWS[] = {
	    {INTAKE_ANY, E1, NULL},
	    {INTAKE_ANY, E2, "session_id"},
	    {INTAKE_ANY, "[" E1 "," E1 "]", NULL},
	    {INTAKE_ANY, "[" E1 "," E2 "]", "[1].session_id"},
	    {INTAKE_NDJSON, "~" E1 "~" E2, "[1].session_id"},
	};
	const char *name = NULL;
	assert_true(auth_check(f->auth, SLICE("Bearer token-of-s"), &f->conf.token, &name));
	assert_non_null(f->conf.token);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		enum err want = ROWS[i].field == NULL ? OK : ERR_REFUSED;
		enum err err = take_text(f, ROWS[i].form, ROWS[i].text);
		if (err != want || (err != OK && strcmp(f->p.field, ROWS[i].field) != 0))
			fail_msg("row %zu: %s, field \"%s\"", i, err_text(err), f->p.field);
		intake_fini(&f->in);
	}
}

static void test_repeats(void **state)
{
	struct fixture *f = *state;
	static const char TEXT[] = "[{'session_id':'s','event':'e','id':'a'}," E1 ","
				   "{'session_id':'t','event':'e','id':'a'},"
				   "{'session_id':'s', 'event':'e', 'id':'\\u0061'},"
				   "{'session_id':'s','event':'e','id':'b'},"
				   "{'session_id':'t','event':'e','id':'a'}]";
	static const size_t REPEATS[] = {0, 0, 0, 1, 0, 3};
	assert_int_equal(take_text(f, INTAKE_ANY, TEXT), OK);
	assert_int_equal(f->in.count, COUNT(REPEATS));
	for (size_t i = 0; i < COUNT(REPEATS); i++) {
		const struct intake_item *item = &f->in.items[i];
		if (item->repeats != REPEATS[i])
			fail_msg("item %zu repeats %zu", i, item->repeats);
		bool has_key = i != 1;
		assert_true(item->key.expires_ms == (has_key ? NOW_MS + f->conf.key_ms : 0));
	}
	intake_fini(&f->in);
	assert_int_equal(take_text(f, INTAKE_ANY,
			     "[" E1 ",{'session_id':'s','event':'e','id':'a'},"
			     "{'session_id':'s','event':'f','id':'a'}]"),
	    ERR_CONFLICT);
	assert_string_equal(f->p.field, "[2].id");
	intake_fini(&f->in);
}

static void assert_digest(const unsigned char *digest, size_t size, const char *want)
{
	char text[2 * DIGEST_SIZE + 1];
	for (size_t i = 0; i < size; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(text, want);
}

/*
 * What repeats are known by lies in stores for idempotency_retention: a version that made it in
 * another way would answer 409 to repeats of what the one before it took.
 */
static void test_digests_stay(void **state)
{
	struct fixture *f = *state;
	static const char TEXT[] =
	    "[{'id':'a','session_id':'s','event':'e',"
	    "'data':{'zz':[{'d':1e2,'c':{'y':1,'x':2}}],'b':'\\/',"
	    "'long':'0123456789012345678901234567890123456789','10':1,'9':2}}," E1 "]";
	f->conf.has_key = true;
	assert_int_equal(take_text(f, INTAKE_ANY, TEXT), OK);
	assert_digest(f->in.sum, DIGEST_SIZE,
	    "1b885505b6aa76b594f3877534d9c84989ff0d194368d097ed0a5198888e613f");
	assert_digest(f->in.items[0].key.request, RECORD_DIGEST,
	    "3991fca0a37ebf98bdeba6d351c3cc81");
	assert_digest(f->in.items[0].key.bytes, RECORD_DIGEST,
	    "5b273f1993a8668f8034c8fd446d3108");
	assert_digest(f->in.items[0].key.key, RECORD_DIGEST,
	    "58eae07a7b5015bbe5b3dac28c960b9d");
	intake_fini(&f->in);
}

/* Only what is asked for is worked out: the sum for a request's key, digests for an event's. */
static void test_sum_is_for_a_key(void **state)
{
	struct fixture *f = *state;
	static const unsigned char NONE[DIGEST_SIZE];
	assert_int_equal(take_text(f, INTAKE_ANY, "[{'session_id':'s','event':'e','id':'a'}]"),
	    OK);
	assert_memory_equal(f->in.sum, NONE, DIGEST_SIZE);
	assert_memory_not_equal(f->in.items[0].key.request, NONE, RECORD_DIGEST);
	intake_fini(&f->in);
	f->conf.has_key = true;
	assert_int_equal(take_text(f, INTAKE_ANY, "[" E1 "]"), OK);
	assert_memory_not_equal(f->in.sum, NONE, DIGEST_SIZE);
	assert_memory_equal(f->in.items[0].key.request, NONE, RECORD_DIGEST);
	intake_fini(&f->in);
}

static void test_make(void **state)
{
	struct fixture *f = *state;
	f->conf.session = SLICE("s");
	intake_make(&f->in, &f->conf, "test", SLICE("{}"), registry_get(f->registry, 2));
	assert_int_equal(f->in.count, 1);
	assert_int_equal(f->in.deliveries, 1);
	const struct intake_item *item = &f->in.items[0];
	assert_true(item->publication.targets[0].webhook == 2);
	assert_string_equal(item->publication.event.name, "test");
	assert_string_equal(item->publication.event.session, "s");
	assert_body(item, "{}");
	assert_true(item->timestamp_s == NOW_MS / 1000);
	intake_fini(&f->in);
}

/* What is cut off again leaves nothing behind: neither deliveries nor steps of filters. */
static void test_cut(void **state)
{
	struct fixture *f = *state;
	struct webhook *w = make_webhook(9, "s", "http://a/9");
	struct source_event e = {.session = "s",
	    .event = "message",
	    .data = BUF_INIT(BODY_MAX)};
	assert_int_equal(filter_compile(SLICE("{\"path\":\"/data\",\"equals\":1}"), "filter",
			     &w->filter, &f->p),
	    OK);
	registry_set(f->registry, w);
	buf_puts(&e.data, "1");
	f->in = (struct intake){.bodies = BUF_INIT(TEXT_MAX)};
	assert_int_equal(intake_add(&f->in, &f->conf, &e, SLICE(""), 0, &f->p), OK);
	size_t bytes = f->in.bodies.len;
	assert_int_equal(f->in.deliveries, 2);
	assert_int_equal(f->in.steps, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(intake_add(&f->in, &f->conf, &e, SLICE(""), 0, &f->p), OK);
	assert_int_equal(f->in.steps, 4);
	intake_cut(&f->in, 1, bytes);
	assert_int_equal(f->in.count, 1);
	assert_int_equal(f->in.deliveries, 2);
	assert_int_equal(f->in.steps, 1);
	assert_int_equal(f->in.bodies.len, bytes);
	intake_fini(&f->in);
	source_event_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    INTAKE_TEST(test_events),
	    INTAKE_TEST(test_one),
	    INTAKE_TEST(test_empty_batches),
	    INTAKE_TEST(test_problems),
	    INTAKE_TEST(test_limits_of_bytes),
	    INTAKE_TEST(test_limits_of_numbers),
	    INTAKE_TEST(test_single_event_has_no_limit_of_deliveries),
	    INTAKE_TEST(test_events_in_a_row_are_matched_as_each_alone),
	    INTAKE_TEST(test_scopes),
	    INTAKE_TEST(test_repeats),
	    INTAKE_TEST(test_digests_stay),
	    INTAKE_TEST(test_sum_is_for_a_key),
	    INTAKE_TEST(test_make),
	    INTAKE_TEST(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
