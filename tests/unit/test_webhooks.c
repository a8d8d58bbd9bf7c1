/* The tables of webhooks: records, a URL once a session, retiring and erasing, numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "store/webhooks.h"
#include "support.h"

static enum err add(struct db_txn *txn, uint64_t number, const char *session, const char *url)
{
	struct webhook *w = make_webhook(number, session, url);
	enum err err = webhooks_add(txn, NULL, w);
	webhook_free(w);
	return err;
}

static void test_add_and_get(void **state)
{
	struct store *s = *state;
	struct webhook *got = NULL;
	struct webhook *w = make_webhook(7, "s", "http://a/");
	webhook_set(&w->secret, "secret");
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_get(txn, NULL, 7, &got), ERR_NOTFOUND);
	assert_null(got);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	store_commit(txn);
	store_reopen(s);
	txn = store_read(s);
	assert_int_equal(webhooks_get(txn, NULL, 7, &got), OK);
	assert_true(webhook_same(got, w));
	webhook_free(got);
	got = NULL;
	assert_int_equal(webhooks_get(txn, NULL, 8, &got), ERR_NOTFOUND);
	assert_null(got);
	db_read_end(txn);
	webhook_free(w);
}

/* One URL once in a session; where it is taken nothing is written. */
static void test_url_is_unique(void **state)
{
	struct store *s = *state;
	struct webhook *none = NULL;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(add(txn, 1, "s", "http://a/"), OK);
	assert_int_equal(add(txn, 2, "s", "http://a/"), ERR_EXISTS);
	assert_int_equal(webhooks_get(txn, NULL, 2, &none), ERR_NOTFOUND);
	assert_int_equal(add(txn, 3, "t", "http://a/"), OK);
	assert_int_equal(add(txn, 4, "s", "http://a/b"), OK);
	assert_int_equal(add(txn, 5, "s", "http://A/"), OK);
	assert_int_equal(db_txn_error(txn), OK);
	store_commit(txn);
	assert_int_equal(store_count(s, DB_WEBHOOKS), 4);
	assert_int_equal(store_count(s, DB_URLS), 4);
}

static struct webhook *named(uint64_t number, const char *session, const char *url,
    const char *name)
{
	struct webhook *w = make_webhook(number, session, url);
	webhook_set(&w->name, name);
	return w;
}

static void assert_named(struct db_txn *txn, const char *session, const char *name,
    uint64_t number)
{
	struct slice found = SLICE("");
	enum err err = webhooks_find_name(txn, slice_of(session), slice_of(name), &found);
	struct reader r = reader_of(found);
	assert_int_equal(err, number == 0 ? ERR_NOTFOUND : OK);
	assert_true(get_u64(&r) == number);
}

/* The same of names: one that is given away, or goes with its webhook, is free at once. */
static void test_name_is_unique(void **state)
{
	struct store *s = *state;
	struct db_txn *txn = store_begin(s);
	struct webhook *a = named(1, "s", "http://a/", "n");
	struct webhook *b = named(2, "s", "http://b/", "n");
	struct webhook *c = named(2, "s", "http://b/", "http");
	struct webhook *d = named(2, "s", "http://b/", "m");
	struct webhook *other = named(3, "t", "http://a/", "n");
	assert_int_equal(webhooks_add(txn, NULL, a), OK);
	assert_int_equal(webhooks_add(txn, NULL, b), ERR_EXISTS);
	assert_int_equal(webhooks_check_url(txn, b), OK);
	assert_int_equal(webhooks_check_name(txn, b), ERR_EXISTS);
	assert_int_equal(webhooks_add(txn, NULL, other), OK);
	assert_int_equal(webhooks_add(txn, NULL, c), OK);
	assert_named(txn, "s", "n", 1);
	assert_named(txn, "t", "n", 3);

	assert_int_equal(webhooks_change(txn, NULL, c, b), ERR_EXISTS);
	assert_named(txn, "s", "http", 2);
	assert_int_equal(webhooks_change(txn, NULL, c, d), OK);
	assert_named(txn, "s", "http", 0);
	assert_named(txn, "s", "m", 2);
	assert_int_equal(store_count_in(txn, DB_URLS), 6);
	assert_int_equal(webhooks_rebuild_urls(txn), OK);
	assert_named(txn, "s", "m", 2);
	assert_int_equal(store_count_in(txn, DB_URLS), 6);

	assert_int_equal(webhooks_retire(txn, NULL, a), OK);
	assert_named(txn, "s", "n", 0);
	assert_int_equal(webhooks_change(txn, NULL, d, b), OK);
	assert_named(txn, "s", "n", 2);
	store_commit(txn);
	webhook_free(a);
	webhook_free(b);
	webhook_free(c);
	webhook_free(d);
	webhook_free(other);
}

static void test_change(void **state)
{
	struct store *s = *state;
	struct webhook *got = NULL;
	struct webhook *old = make_webhook(1, "s", "http://a/");
	struct webhook *new = make_webhook(1, "s", "http://a/");
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_add(txn, NULL, old), OK);
	assert_int_equal(add(txn, 2, "s", "http://b/"), OK);

	webhook_set(&new->description, "the same URL");
	assert_int_equal(webhooks_change(txn, NULL, old, new), OK);
	assert_int_equal(webhooks_get(txn, NULL, 1, &got), OK);
	assert_true(webhook_same(got, new));
	webhook_free(got);

	webhook_set(&new->url, "http://b/");
	assert_int_equal(webhooks_change(txn, NULL, old, new), ERR_EXISTS);
	assert_int_equal(webhooks_get(txn, NULL, 1, &got), OK);
	assert_string_equal(got->url, "http://a/");
	webhook_free(got);

	webhook_set(&new->url, "http://c/");
	assert_int_equal(webhooks_change(txn, NULL, old, new), OK);
	assert_int_equal(webhooks_get(txn, NULL, 1, &got), OK);
	assert_true(webhook_same(got, new));
	webhook_free(got);
	assert_int_equal(add(txn, 3, "s", "http://c/"), ERR_EXISTS);
	assert_int_equal(add(txn, 3, "s", "http://a/"), OK); /* is free again */
	assert_int_equal(store_count_in(txn, DB_WEBHOOKS), 3);
	assert_int_equal(store_count_in(txn, DB_URLS), 3);
	store_commit(txn);
	webhook_free(old);
	webhook_free(new);
}

/* A retired webhook's URL is free at once; its record stays until it is erased. */
static void test_retire_and_erase(void **state)
{
	struct store *s = *state;
	struct webhook *got = NULL;
	struct webhook *w = make_webhook(1, "s", "http://a/");
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	assert_int_equal(webhooks_retire(txn, NULL, w), OK);
	assert_true(w->deleted);
	assert_int_equal(webhooks_get(txn, NULL, 1, &got), OK);
	assert_true(got->deleted);
	webhook_free(got);
	assert_int_equal(add(txn, 2, "s", "http://a/"), OK);
	assert_int_equal(webhooks_erase(txn, 1), OK);
	assert_int_equal(webhooks_erase(txn, 1), ERR_NOTFOUND);
	got = NULL;
	assert_int_equal(webhooks_get(txn, NULL, 1, &got), ERR_NOTFOUND);
	assert_int_equal(webhooks_get(txn, NULL, 2, &got), OK);
	webhook_free(got);
	assert_int_equal(store_count_in(txn, DB_URLS), 1);
	store_commit(txn);
	webhook_free(w);
}

struct seen {
	uint64_t numbers[16];
	size_t count;
};

static void on_webhook(void *arg, struct webhook *w)
{
	struct seen *seen = arg;
	seen->numbers[seen->count++] = w->number;
	webhook_free(w);
}

static void test_each_in_order(void **state)
{
	struct store *s = *state;
	static const uint64_t NUMBERS[] = {300, 2, UINT64_MAX, 1, 256};
	static const uint64_t WANT[] = {1, 2, 256, 300, UINT64_MAX};
	struct seen seen = {.count = 0};
	struct problem p;
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_each(txn, NULL, on_webhook, &seen, &p), OK);
	assert_int_equal(seen.count, 0);
	for (size_t i = 0; i < COUNT(NUMBERS); i++) {
		char url[] = "http://x/";
		url[7] = (char)('a' + i);
		assert_int_equal(add(txn, NUMBERS[i], "s", url), OK);
	}
	assert_int_equal(webhooks_each(txn, NULL, on_webhook, &seen, &p), OK);
	assert_int_equal(seen.count, COUNT(WANT));
	assert_memory_equal(seen.numbers, WANT, sizeof(WANT));
	store_commit(txn);
}

static void test_damage(void **state)
{
	struct store *s = *state;
	struct webhook *none = NULL;
	struct seen seen = {.count = 0};
	struct problem p;
	unsigned char key[8];
	struct db_txn *txn = store_begin(s);
	assert_int_equal(add(txn, 1, "s", "http://a/"), OK);
	assert_int_equal(add(txn, 3, "s", "http://b/"), OK);
	codec_store_u64(key, 2);
	assert_int_equal(db_put(txn, DB_WEBHOOKS, (struct slice){(const char *)key, 8},
			     SLICE("this is not the record of a webhook")),
	    OK);
	assert_int_equal(webhooks_get(txn, NULL, 2, &none), ERR_CORRUPT);
	assert_null(none);
	assert_int_equal(webhooks_each(txn, NULL, on_webhook, &seen, &p), ERR_CORRUPT);
	assert_int_equal(seen.count, 1);
	assert_int_equal(db_txn_error(txn), OK);
	db_abort(txn);
}

static void test_last_number(void **state)
{
	struct store *s = *state;
	uint64_t last = 99;
	struct webhook *w = make_webhook(9, "s", "http://nine/");
	struct db_txn *txn = store_begin(s);
	assert_int_equal(webhooks_last_number(txn, &last), OK);
	assert_true(last == 0);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	assert_int_equal(add(txn, 5, "s", "http://five/"), OK);
	assert_int_equal(add(txn, 10, "s", "http://five/"), ERR_EXISTS);
	assert_int_equal(webhooks_retire(txn, NULL, w), OK);
	assert_int_equal(webhooks_erase(txn, 9), OK);
	store_commit(txn);
	store_reopen(s);
	txn = store_read(s);
	assert_int_equal(webhooks_last_number(txn, &last), OK);
	assert_true(last == 9);
	db_read_end(txn);
	webhook_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_add_and_get),
	    STORE_TEST(test_url_is_unique),
	    STORE_TEST(test_name_is_unique),
	    STORE_TEST(test_change),
	    STORE_TEST(test_retire_and_erase),
	    STORE_TEST(test_each_in_order),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_last_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
