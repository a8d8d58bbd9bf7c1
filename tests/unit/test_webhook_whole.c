/* The whole of a webhook, as PUT has it: what is left out, what stays, what masks stand for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "domain/webhook_json.h"
#include "support.h"

#define URL "\"url\":\"http://a/\""
#define MASK "\"********\""

static const struct webhook_rules RULES = {.timeout_ms = 7000, .signature = SIGNATURE_V2};

/* A webhook with nothing as it is by default. */
static struct webhook *rich(void)
{
	struct problem p = {0};
	struct webhook *w = make_webhook(1, "s", "http://b/");
	enum err err = webhook_apply(w,
	    SLICE(
		"{\"name\":\"n\",\"events\":[\"message\"],\"payload\":\"data\","
		"\"filter\":{\"path\":\"/a\",\"exists\":true},\"secret\":\"s3cret\","
		"\"headers\":{\"X-A\":\"1\",\"X-B\":\"2\"},\"signature\":[\"v1\",\"ed25519\"],"
		"\"auth\":{\"type\":\"basic\",\"username\":\"me\",\"password\":\"it is\"},"
		"\"timeout_ms\":9000,\"max_in_flight\":3,\"ordering\":{\"key\":\"/k\"},"
		"\"rate_limit\":2.5,\"retry\":[\"5s\"],\"description\":\"d\","
		"\"tls_verify\":false,\"verify\":\"post\",\"enabled\":false}"),
	    &RULES, &p);
	if (err != OK)
		fail_msg("%s: %s", p.field, p.message);
	return w;
}

static enum err put(struct webhook *w, const char *body, struct problem *p)
{
	*p = (struct problem){0};
	return webhook_apply_whole(w, slice_of(body), &RULES, p);
}

static void put_good(struct webhook *w, const char *body)
{
	struct problem p;
	if (put(w, body, &p) != OK)
		fail_msg("%s: %s", p.field, p.message);
}

/* What is left out is as it is in a new one, whatever it was. */
static void test_left_out_is_default(void **state)
{
	(void)state;
	struct webhook *w = rich();
	struct webhook *new = make_webhook(1, "s", "http://b/");
	webhook_set_defaults(new, &RULES);
	put_good(w, "{" URL "}");
	put_good(new, "{" URL "}");
	assert_int_equal(new->timeout_ms, 7000);
	/* the rest stays */
	assert_string_equal(w->name, "n");
	assert_string_equal(w->secret, "s3cret");
	assert_non_null(w->pair);
	assert_false(w->enabled);
	webhook_set(&w->name, NULL);
	webhook_set(&w->secret, NULL);
	webhook_rotate_pair(w, NULL, 0);
	webhook_set_enabled(w, NULL);
	assert_true(webhook_same(w, new));
	webhook_free(w);
	webhook_free(new);
}

/* The same body twice is the same webhook, also where it names its secrets, or masks them. */
static void test_twice_is_once(void **state)
{
	(void)state;
	static const char *const BODIES[] = {"{" URL "}",
	    "{" URL ",\"secret\":\"other\",\"signature\":\"ed25519\",\"private_key\":null}",
	    "{" URL ",\"secret\":" MASK ",\"private_key\":" MASK ",\"headers\":{\"x-b\":" MASK
	    "},\"auth\":{\"type\":\"basic\",\"username\":\"you\",\"password\":" MASK "}}",
	    "{" URL ",\"auth\":{\"type\":\"basic\",\"username\":\"you\"}}",
	    "{" URL ",\"enabled\":true,\"ordering\":\"fifo\",\"events\":[\"message\"]}"};
	for (size_t i = 0; i < COUNT(BODIES); i++) {
		struct webhook *once = rich();
		struct webhook *twice = rich();
		webhook_rotate_pair(twice, once->pair, 0);
		put_good(once, BODIES[i]);
		put_good(twice, BODIES[i]);
		assert_true(webhook_same(once, twice));
		put_good(twice, BODIES[i]);
		if (!webhook_same(once, twice))
			fail_msg("row %zu", i);
		webhook_free(once);
		webhook_free(twice);
	}
}

static void test_masks_keep(void **state)
{
	(void)state;
	struct webhook *w = rich();
	const struct ed25519_pair pair = *w->pair;
	put_good(w,
	    "{" URL ",\"secret\":" MASK ",\"private_key\":" MASK ",\"headers\":{\"x-b\":" MASK
	    ",\"X-C\":\"3\"},"
	    "\"auth\":{\"type\":\"basic\",\"username\":\"you\"}}");
	assert_string_equal(w->secret, "s3cret");
	assert_memory_equal(w->pair, &pair, sizeof(pair));
	assert_int_equal(w->header_count, 2);
	assert_string_equal(w->headers[0].name, "x-b");
	assert_string_equal(w->headers[0].value, "2");
	assert_string_equal(w->headers[1].value, "3");
	assert_string_equal(w->auth->name, "you");
	assert_string_equal(w->auth->secret, "it is");
	put_good(w, "{" URL ",\"secret\":null}");
	assert_null(w->secret);
	assert_null(w->auth);
	webhook_free(w);
}

/* A secret that is there already is not set anew: the one before it goes on for its time. */
static void test_the_same_secret_ends_no_overlap(void **state)
{
	(void)state;
	struct webhook *w = rich();
	webhook_rotate_secret(w, "new", 5000);
	put_good(w, "{" URL ",\"secret\":\"new\"}");
	assert_string_equal(w->previous_secret, "s3cret");
	put_good(w, "{" URL ",\"secret\":\"newer\"}");
	assert_string_equal(w->secret, "newer");
	assert_null(w->previous_secret);
	webhook_free(w);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *body, *field;
	} ROWS[] = {
	    {"{}", "url"},
	    {"{\"url\":null}", "url"},
	    {"{" URL ",\"secret\":" MASK "}", "secret"},
	    {"{" URL ",\"private_key\":" MASK "}", "private_key"},
	    {"{" URL ",\"client_cert_pem\":" MASK "}", "client_cert_pem"},
	    {"{" URL ",\"client_key_pem\":" MASK "}", "client_key_pem"},
	    {"{" URL ",\"headers\":{\"X-A\":" MASK "}}", "headers"},
	    {"{" URL ",\"auth\":{\"type\":\"bearer\",\"token\":" MASK "}}", "auth.token"},
	    {"{" URL ",\"auth\":{\"type\":\"bearer\"}}", "auth.token"},
	    {"{" URL ",\"name\":\"dlq\"}", "name"},
	    {"{" URL ",\"name\":7}", "name"},
	    {"{" URL ",\"id\":\"x\"}", "id"},
	    {"{" URL ",", ""},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct problem p;
		struct webhook *w = make_webhook(1, "s", "http://b/");
		enum err err = put(w, ROWS[i].body, &p);
		if (err == OK || strcmp(p.field, ROWS[i].field) != 0)
			fail_msg("%s: %s: %s", ROWS[i].body, p.field, p.message);
		webhook_free(w);
	}
}

/* A secret goes to another type of auth only where it is given. */
static void test_auth_of_another_type_keeps_nothing(void **state)
{
	(void)state;
	struct problem p;
	struct webhook *w = rich();
	assert_int_equal(put(w, "{" URL ",\"auth\":{\"type\":\"bearer\"}}", &p), ERR_INVALID);
	assert_string_equal(p.field, "auth.token");
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_left_out_is_default),
	    cmocka_unit_test(test_twice_is_once),
	    cmocka_unit_test(test_masks_keep),
	    cmocka_unit_test(test_the_same_secret_ends_no_overlap),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_auth_of_another_type_keeps_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
