/* Rotating a webhook's secret: given or made, the overlap, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "domain/webhook_json.h"
#include "support.h"

#define NOW_MS 1767225600000
#define DAY_MS 86400000

static struct webhook *webhook_with(const char *secret)
{
	struct webhook *w = make_webhook(1, "s", "http://a/");
	webhook_set(&w->secret, secret);
	return w;
}

static const struct webhook_rules RULES;

static void test_given(void **state)
{
	(void)state;
	static const struct {
		const char *body, *secret;
		int64_t expires_ms; /* 0: the old one does not go on signing */
	} ROWS[] = {
	    {"{\"secret\":\"new\"}", "new", NOW_MS + DAY_MS},
	    {"{\"overlap_seconds\":1,\"secret\":\"new\"}", "new", NOW_MS + 1000},
	    {"{\"secret\":\"new\",\"overlap_seconds\":0}", "new", 0},
	    {"{\"secret\":\"new\",\"overlap_seconds\":2592000}", "new", NOW_MS + 30LL * DAY_MS},
	    {"{\"secret\":\"old\"}", "old", NOW_MS + DAY_MS},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct problem p = {0};
		struct webhook *w = webhook_with("old");
		enum err err = webhook_apply_rotation(w, slice_of(ROWS[i].body), &RULES, NOW_MS,
		    &p);
		if (err != OK)
			fail_msg("row %zu: %s", i, p.message);
		assert_string_equal(w->secret, ROWS[i].secret);
		assert_true(w->previous_expires_ms == ROWS[i].expires_ms);
		assert_int_equal(w->previous_secret != NULL, ROWS[i].expires_ms != 0);
		if (w->previous_secret != NULL)
			assert_string_equal(w->previous_secret, "old");
		webhook_free(w);
	}
}

/* A secret that is made is in the form of Standard Webhooks, and never the same. */
static void test_made(void **state)
{
	(void)state;
	static const char *const BODIES[] = {"", "{}", " { } ", "{\"overlap_seconds\":60}",
	    "{\"secret\":null,\"overlap_seconds\":null}"};
	struct webhook *w = webhook_with("old");
	for (size_t i = 0; i < COUNT(BODIES); i++) {
		char before[100];
		struct problem p = {0};
		assert_true(strlen(w->secret) < sizeof(before));
		memcpy(before, w->secret, strlen(w->secret) + 1);
		enum err err = webhook_apply_rotation(w, slice_of(BODIES[i]), &RULES, NOW_MS,
		    &p);
		if (err != OK)
			fail_msg("row %zu: %s", i, p.message);
		assert_int_equal(strncmp(w->secret, "whsec_", 6), 0);
		assert_true(strlen(w->secret) >= 6 + 32); /* 24 bytes in base64 */
		assert_string_not_equal(w->secret, before);
		assert_string_equal(w->previous_secret, before);
		assert_true(w->previous_expires_ms == NOW_MS + (i == 3 ? 60000 : DAY_MS));
	}
	webhook_free(w);
}

/* A webhook without a secret gets one; there is nothing that could overlap. */
static void test_first(void **state)
{
	(void)state;
	struct problem p = {0};
	struct webhook *w = webhook_with(NULL);
	assert_int_equal(
	    webhook_apply_rotation(w, SLICE("{\"secret\":\"new\"}"), &RULES, NOW_MS, &p), OK);
	assert_string_equal(w->secret, "new");
	assert_null(w->previous_secret);
	assert_true(w->previous_expires_ms == 0);
	webhook_free(w);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		enum err err;
		const char *field;
	} ROWS[] = {
	    {"{\"secret\":\"\"}", ERR_INVALID, "secret"},
	    {"{\"secret\":7}", ERR_INVALID, "secret"},
	    {"{\"secret\":\"********\"}", ERR_INVALID, "secret"},
	    {"{\"secret\":\"a\\u0000b\"}", ERR_INVALID, ""},
	    {"{\"secret\":\"\\ud800\"}", ERR_INVALID, ""},
	    {"{\"overlap_seconds\":-1}", ERR_INVALID, "overlap_seconds"},
	    {"{\"overlap_seconds\":2592001}", ERR_INVALID, "overlap_seconds"},
	    {"{\"overlap_seconds\":1.5}", ERR_INVALID, "overlap_seconds"},
	    {"{\"overlap_seconds\":\"60\"}", ERR_INVALID, "overlap_seconds"},
	    {"{\"secret\":\"new\",\"overlap\":60}", ERR_INVALID, ""},
	    {"{\"Secret\":\"new\"}", ERR_INVALID, ""},
	    {"[]", ERR_SYNTAX, ""},
	    {"{", ERR_SYNTAX, ""},
	    {"{} x", ERR_SYNTAX, ""},
	};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct problem p = {0};
		struct webhook *w = webhook_with("old");
		enum err err = webhook_apply_rotation(w, slice_of(ROWS[i].body), &RULES, NOW_MS,
		    &p);
		if (err != ROWS[i].err || strcmp(p.field, ROWS[i].field) != 0 ||
		    p.message[0] == '\0')
			fail_msg("row %zu: %s, %s %s", i, err_text(err), p.field, p.message);
		assert_string_equal(w->secret, "old");
		assert_null(w->previous_secret);
		webhook_free(w);
	}
}

/* A key pair is rotated as a secret is, beside it: neither moves the other. */
static void test_pairs(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		int64_t expires_ms;
	} ROWS[] = {{"", NOW_MS + DAY_MS}, {"{\"overlap_seconds\":0}", 0},
	    {"{\"private_key\":null,\"overlap_seconds\":1}", NOW_MS + 1000},
	    {"{\"private_key\":\"whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
		NOW_MS + DAY_MS}};
	static const char *const BAD[] = {"{\"private_key\":\"x\"}", "{\"secret\":\"x\"}",
	    "{\"overlap_seconds\":-1}", "[]"};
	struct problem p;
	struct webhook *w = webhook_with("old");
	assert_int_equal(webhook_apply_key_rotation(w, SLICE(""), &RULES, NOW_MS, &p), OK);
	assert_non_null(w->pair); /* the first: nothing to overlap with */
	assert_null(w->previous_pair);
	assert_true(w->previous_pair_expires_ms == 0);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct ed25519_pair old = *w->pair;
		enum err err = webhook_apply_key_rotation(w, slice_of(ROWS[i].body), &RULES,
		    NOW_MS, &p);
		if (err != OK)
			fail_msg("row %zu: %s", i, p.message);
		assert_memory_not_equal(w->pair, &old, sizeof(old));
		assert_true(w->previous_pair_expires_ms == ROWS[i].expires_ms);
		assert_int_equal(w->previous_pair != NULL, ROWS[i].expires_ms != 0);
		if (w->previous_pair != NULL)
			assert_memory_equal(w->previous_pair, &old, sizeof(old));
		assert_string_equal(w->secret, "old");
		assert_true(w->previous_expires_ms == 0);
	}
	for (size_t i = 0; i < COUNT(BAD); i++) {
		const struct ed25519_pair old = *w->pair;
		assert_int_not_equal(
		    webhook_apply_key_rotation(w, slice_of(BAD[i]), &RULES, NOW_MS, &p), OK);
		assert_memory_equal(w->pair, &old, sizeof(old));
	}
	assert_false(webhook_drop_expired(w, NOW_MS + DAY_MS - 1));
	assert_true(webhook_drop_expired(w, NOW_MS + DAY_MS));
	assert_null(w->previous_pair);
	assert_false(webhook_drop_expired(w, INT64_MAX));
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_given),
	    cmocka_unit_test(test_made),
	    cmocka_unit_test(test_first),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_pairs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
