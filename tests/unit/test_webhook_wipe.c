/* Secrets that are read, replaced or dropped do not stay in memory that is given back. */
#undef _FORTIFY_SOURCE /* explicit_bzero() is defined here */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "api/webhook_view.h"
#include "base/buf.h"
#include "base/mem.h"
#include "domain/webhook_json.h"
#include "store/webhooks.h"
#include "support.h"

#define SECRET "correct horse battery staple"
#define VALUE "Bearer of good news"

static const struct webhook_rules RULES;

static size_t leaked; /* blocks that were given back with a secret in them */
static size_t freed;

static struct buf wiped = {.max = 1u << 20}; /* what was, one after the other */

/* Apart, as gcc takes explicit_bzero()'s bytes for ones that are not read. */
static __attribute__((noinline)) void wipe(char *bytes, size_t n)
{
	buf_append(&wiped, bytes, n);
	memset(bytes, 0, n);
}

/* What mem_wipe() calls; with _FORTIFY_SOURCE the second. */
void explicit_bzero(void *bytes, size_t n)
{
	wipe(bytes, n);
}

void __explicit_bzero_chk(void *bytes, size_t n, size_t room);
void __explicit_bzero_chk(void *bytes, size_t n, size_t room)
{
	assert_true(n <= room);
	wipe(bytes, n);
}

static bool was_wiped(const char *text)
{
	return memmem(wiped.data, wiped.len, text, strlen(text)) != NULL;
}

/* What cJSON gives back goes through here. */
static void inspect_free(void *block)
{
	size_t size = block == NULL ? 0 : malloc_usable_size(block);
	freed += size > 0 ? 1 : 0;
	if (size > 0 &&
	    (memmem(block, size, SECRET, strlen(SECRET)) != NULL ||
		memmem(block, size, VALUE, strlen(VALUE)) != NULL))
		leaked++;
	free(block);
}

static void test_parsed_text_is_wiped(void **state)
{
	(void)state;
	static const char *const BODIES[] = {
	    "{\"secret\":\"" SECRET "\",\"headers\":{\"A\":\"" VALUE "\"}}",
	    "{\"secret\":\"" SECRET "\",\"headers\":{\"A\":\"" VALUE "\"},\"nope\":1}",
	    "{\"nope\":[{\"a\":\"" SECRET "\"}]}",
	};
	cJSON_Hooks hooks = {malloc, inspect_free};
	cJSON_InitHooks(&hooks);
	for (size_t i = 0; i < COUNT(BODIES); i++) {
		struct problem p = {0};
		struct webhook *w = make_webhook(1, "s", "http://a/");
		freed = 0;
		leaked = 0;
		enum err err = webhook_apply(w, slice_of(BODIES[i]), &RULES, &p);
		assert_int_equal(err, i == 0 ? OK : ERR_INVALID);
		assert_null(strstr(p.message, SECRET));
		assert_null(strstr(p.message, VALUE));
		assert_true(freed > 0);
		if (leaked > 0)
			fail_msg("row %zu: %zu blocks", i, leaked);
		webhook_free(w);
	}
	freed = 0;
	leaked = 0;
	struct problem p = {0};
	struct webhook *w = make_webhook(1, "s", "http://a/");
	assert_int_equal(
	    webhook_apply_rotation(w, SLICE("{\"secret\":\"" SECRET "\"}"), &RULES, 1, &p), OK);
	assert_true(freed > 0);
	assert_int_equal(leaked, 0);
	webhook_free(w);
	cJSON_InitHooks(NULL);
}

#define EARLIER "a secret that was replaced"

static struct webhook *make_secretive(void)
{
	struct webhook *w = make_webhook(1, "s", "http://a/");
	webhook_set(&w->secret, EARLIER);
	webhook_rotate_secret(w, SECRET, INT64_MAX);
	add_header(w, repeat('N', 3), mem_copy(VALUE, strlen(VALUE)));
	return w;
}

static void assert_wiped(void)
{
	assert_true(was_wiped(SECRET));
	assert_true(was_wiped(EARLIER));
	assert_true(was_wiped(VALUE));
	buf_fini(&wiped);
}

/* A deleted webhook's are wiped before its record is written, and are not in it. */
static void test_deleted_webhook_is_wiped(void **state)
{
	struct store *s = *state;
	struct webhook *w = make_secretive();
	struct slice key;
	struct slice value;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	buf_fini(&wiped);
	assert_int_equal(webhooks_retire(txn, NULL, w), OK);
	assert_wiped();
	assert_null(w->secret);
	assert_null(w->previous_secret);
	assert_int_equal(w->header_count, 0);
	assert_int_equal(db_first(txn, DB_WEBHOOKS, &key, &value), OK);
	assert_null(memmem(value.ptr, value.len, SECRET, strlen(SECRET)));
	assert_null(memmem(value.ptr, value.len, EARLIER, strlen(EARLIER)));
	assert_null(memmem(value.ptr, value.len, VALUE, strlen(VALUE)));
	db_abort(txn);
	webhook_free(w);
}

static void test_freed_webhook_is_wiped(void **state)
{
	(void)state;
	struct webhook *w = make_secretive();
	buf_fini(&wiped);
	webhook_free(w);
	assert_wiped();
}

static void test_expired_secret_is_dropped(void **state)
{
	(void)state;
	struct webhook *w = make_webhook(1, "s", "http://a/");
	webhook_set(&w->secret, "first");
	assert_false(webhook_drop_expired(w, 1000));
	webhook_rotate_secret(w, "second", 1000);
	assert_false(webhook_drop_expired(w, 999));
	assert_string_equal(w->previous_secret, "first");
	assert_true(webhook_drop_expired(w, 1000));
	assert_null(w->previous_secret);
	assert_true(w->previous_expires_ms == 0);
	assert_string_equal(w->secret, "second");
	assert_false(webhook_drop_expired(w, 2000));
	webhook_free(w);
}

/* The end of an overlap is shown while it lasts. */
static void test_overlap_is_shown(void **state)
{
	(void)state;
	static const struct dispatch_status CLOSED = {.circuit = "closed"};
	static const struct trend_last NONE = {0};
	struct webhook *w = make_webhook(1, "s", "http://a/");
	webhook_set(&w->secret, "first");
	webhook_rotate_secret(w, "second", 1767225600000);
	for (int over = 0; over <= 1; over++) {
		struct buf json = BUF_INIT(10000);
		struct json_writer writer = JSON_WRITER(&json);
		webhook_view_write(w, WEBHOOK_WHOLE, &CLOSED, &NONE, 1767225599999 + over,
		    &writer);
		bool shown = strstr(buf_cstr(&json), "\"2026-01-01T00:00:00.000Z\"") != NULL;
		assert_int_equal(shown, over == 0);
		buf_fini(&json);
	}
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parsed_text_is_wiped),
	    STORE_TEST(test_deleted_webhook_is_wiped),
	    cmocka_unit_test(test_freed_webhook_is_wiped),
	    cmocka_unit_test(test_expired_secret_is_dropped),
	    cmocka_unit_test(test_overlap_is_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
