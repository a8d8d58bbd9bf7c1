/* The dead-letter queue: a session's own, newest first, in pages; the oldest of all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/dead_letters.h"
#include "store/usage.h"
#include "support.h"

static void put(struct db_txn *txn, const char *session, uint64_t n)
{
	struct dead_letter *d = mem_new(sizeof(*d));
	d->id = make_id(n);
	d->delivery_id = make_id(1000 + n);
	d->event_id = make_id(2000 + n);
	d->webhook_id = make_id(3000 + n);
	d->attempts = (uint32_t)n;
	d->failed_ms = (int64_t)n * 10;
	(void)snprintf(d->webhook_url, sizeof(d->webhook_url), "http://a/%u", (unsigned)n);
	(void)snprintf(d->event, sizeof(d->event), "message");
	(void)snprintf(d->last_error, sizeof(d->last_error), "HTTP status 500");
	assert_int_equal(dead_letters_put(txn, slice_of(session), d), OK);
	free(d);
}

/* Walks down from below `before`, or from the top; damaged ones are passed by. */
static void check_list(struct db_txn *txn, const char *session, const struct uuid *before,
    size_t max, const char *want, bool want_more)
{
	struct buf text = BUF_INIT(10000);
	struct dead_letter d;
	struct uuid at;
	size_t count = 0;
	memset(at.bytes, 0xff, UUID_SIZE);
	if (before != NULL)
		at = *before;
	enum err err = dead_letters_below(txn, slice_of(session), &at, &at);
	for (; err == OK && count < max;
	     err = dead_letters_below(txn, slice_of(session), &at, &at)) {
		if (dead_letters_get(txn, slice_of(session), &at, &d) != OK)
			continue;
		buf_printf(&text, "%s%u", count++ == 0 ? "" : " ", d.id.bytes[15]);
		assert_int_equal(d.attempts, d.id.bytes[15]);
		assert_string_equal(d.last_error, "HTTP status 500");
	}
	assert_string_equal(buf_cstr(&text), want);
	assert_int_equal(err, want_more ? OK : ERR_NOTFOUND);
	buf_fini(&text);
}

static void test_put_get_del(void **state)
{
	struct store *s = *state;
	struct dead_letter got;
	struct uuid id = make_id(7);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(dead_letters_get(txn, SLICE("s"), &id, &got), ERR_NOTFOUND);
	assert_int_equal(dead_letters_del(txn, SLICE("s"), &id), ERR_NOTFOUND);
	put(txn, "s", 7);
	assert_int_equal(dead_letters_get(txn, SLICE("s"), &id, &got), OK);
	struct uuid delivery = make_id(1007);
	assert_memory_equal(got.id.bytes, id.bytes, UUID_SIZE);
	assert_memory_equal(got.delivery_id.bytes, delivery.bytes, UUID_SIZE);
	assert_string_equal(got.webhook_url, "http://a/7");
	assert_true(got.failed_ms == 70);
	assert_int_equal(dead_letters_get(txn, SLICE("t"), &id, &got), ERR_NOTFOUND);
	assert_int_equal(dead_letters_get(txn, SLICE(""), &id, &got), ERR_NOTFOUND);
	assert_int_equal(dead_letters_del(txn, SLICE("s"), &id), OK);
	assert_int_equal(dead_letters_del(txn, SLICE("s"), &id), ERR_NOTFOUND);
	assert_int_equal(db_txn_error(txn), OK);
	for (enum db_table t = 0; t < DB_TABLES; t++)
		assert_int_equal(store_count_in(txn, t), 0);
	store_commit(txn);
}

static void test_pages(void **state)
{
	struct store *s = *state;
	struct uuid five = make_id(5);
	struct uuid one = make_id(1);
	struct uuid high = make_id(100);
	struct db_txn *txn = store_begin(s);
	check_list(txn, "s", NULL, 10, "", false);
	for (uint64_t n = 1; n <= 9; n += 2)
		put(txn, "s", n);
	check_list(txn, "s", NULL, 10, "9 7 5 3 1", false);
	check_list(txn, "s", NULL, 5, "9 7 5 3 1", false);
	check_list(txn, "s", NULL, 4, "9 7 5 3", true);
	check_list(txn, "s", NULL, 1, "9", true);
	check_list(txn, "s", NULL, 0, "", true);
	check_list(txn, "s", &five, 10, "3 1", false);
	check_list(txn, "s", &five, 1, "3", true);
	check_list(txn, "s", &one, 10, "", false);
	check_list(txn, "s", &high, 2, "9 7", true);
	struct uuid four = make_id(4); /* a cursor whose entry has gone */
	check_list(txn, "s", &four, 10, "3 1", false);
	store_commit(txn);
}

/* Each session lists its own, whatever others are called; at the greatest length too. */
static void test_sessions_are_apart(void **state)
{
	struct store *s = *state;
	char longest[SESSION_MAX + 1] = {0};
	char longer[SESSION_MAX] = {0};
	memset(longest, 'z', SESSION_MAX);
	memset(longer, 'z', SESSION_MAX - 1);
	const char *const sessions[] = {"a", "a.", "a~", "aa", "A", "b", longer, longest};
	struct db_txn *txn = store_begin(s);
	for (size_t i = 0; i < COUNT(sessions); i++) {
		put(txn, sessions[i], 2 * i + 1);
		put(txn, sessions[i], 2 * i + 2);
	}
	for (size_t i = 0; i < COUNT(sessions); i++) {
		char want[16];
		(void)snprintf(want, sizeof(want), "%zu %zu", 2 * i + 2, 2 * i + 1);
		check_list(txn, sessions[i], NULL, 10, want, false);
	}
	check_list(txn, "", NULL, 10, "", false);
	check_list(txn, "c", NULL, 10, "", false);
	store_commit(txn);
}

/* All of them, whatever sessions they are of; and the sessions that have some. */
static void test_in_all(void **state)
{
	static const char *const NAMES[] = {"b", "a", "ab", "a"};
	struct store *s = *state;
	char session[SESSION_MAX + 1] = "";
	struct uuid at;
	memset(at.bytes, 0xff, UUID_SIZE);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(dead_letters_below_in_all(txn, &at, &at, session), ERR_NOTFOUND);
	assert_int_equal(dead_letters_next_session(txn, SLICE(""), session), ERR_NOTFOUND);
	for (uint64_t n = 1; n <= COUNT(NAMES); n++)
		put(txn, NAMES[n - 1], n);
	for (uint64_t n = COUNT(NAMES); n > 0; n--) {
		struct uuid want = make_id(n);
		assert_int_equal(dead_letters_below_in_all(txn, &at, &at, session), OK);
		assert_memory_equal(at.bytes, want.bytes, UUID_SIZE);
		assert_string_equal(session, NAMES[n - 1]);
	}
	assert_int_equal(dead_letters_below_in_all(txn, &at, &at, session), ERR_NOTFOUND);
	session[0] = '\0';
	static const char *const IN_ORDER[] = {"a", "ab", "b"};
	for (size_t i = 0; i < COUNT(IN_ORDER); i++) {
		assert_int_equal(dead_letters_next_session(txn, slice_of(session), session),
		    OK);
		assert_string_equal(session, IN_ORDER[i]);
	}
	assert_int_equal(dead_letters_next_session(txn, slice_of(session), session),
	    ERR_NOTFOUND);
	store_commit(txn);
}

/* A damaged entry is passed; those around it are shown. */
static void test_damage(void **state)
{
	struct store *s = *state;
	struct dead_letter got;
	struct uuid id = make_id(2);
	struct db_txn *txn = store_begin(s);
	for (uint64_t n = 1; n <= 3; n++)
		put(txn, "s", n);
	struct buf key = BUF_INIT(100);
	buf_puts(&key, "s");
	buf_putc(&key, '\0');
	buf_slice(&key, id_bytes(&id));
	assert_int_equal(db_put(txn, DB_DEAD, buf_view(&key), SLICE("a damaged record")), OK);
	check_list(txn, "s", NULL, 10, "3 1", false);
	assert_int_equal(dead_letters_get(txn, SLICE("s"), &id, &got), ERR_CORRUPT);
	assert_int_equal(dead_letters_del(txn, SLICE("s"), &id), OK);
	assert_int_equal(db_txn_error(txn), OK);
	store_commit(txn);
	buf_fini(&key);
}

static void test_oldest(void **state)
{
	struct store *s = *state;
	struct uuid id;
	char session[SESSION_MAX + 1];
	char longest[SESSION_MAX + 1] = {0};
	memset(longest, 'z', SESSION_MAX);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(dead_letters_oldest(txn, &id, session), ERR_NOTFOUND);
	put(txn, "a", 5);
	put(txn, longest, 3);
	put(txn, "b", 4);
	static const uint64_t WANT[] = {3, 4, 5};
	const char *const sessions[] = {longest, "b", "a"};
	for (size_t i = 0; i < COUNT(WANT); i++) {
		assert_int_equal(dead_letters_oldest(txn, &id, session), OK);
		assert_int_equal(id.bytes[15], WANT[i]);
		assert_string_equal(session, sessions[i]);
		assert_int_equal(dead_letters_del(txn, slice_of(session), &id), OK);
	}
	assert_int_equal(dead_letters_oldest(txn, &id, session), ERR_NOTFOUND);
	store_commit(txn);
}

/* A session that may hold just so much may hold just that, and not a byte more. */
static void test_room(void **state)
{
	struct store *s = *state;
	struct dead_letter *d = mem_new(sizeof(*d));
	memset(d->webhook_url, 'u', 1000);
	memset(d->last_error, 'e', 77);
	(void)snprintf(d->event, sizeof(d->event), "message");
	d->id = make_id(1);
	struct db_txn *txn = store_begin(s);
	assert_int_equal(dead_letters_put(txn, SLICE("some"), d), OK);
	uint64_t cost = usage_of(s->usage, SLICE("some")).n[USAGE_OPEN];
	for (uint64_t more = 0; more < 3; more++) {
		const struct usage_conf conf = {.per_session = cost - 1 + more};
		usage_configure(s->usage, &conf);
		assert_int_equal(dead_letters_has_room(txn, SLICE("else"), d), more >= 1);
	}
	dead_letter_shorten(d); /* so much was counted for it while it waited */
	usage_configure(s->usage, &(struct usage_conf){.per_session = 1});
	assert_true(dead_letters_has_room(txn, SLICE("else"), d));
	store_commit(txn);
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_put_get_del),
	    STORE_TEST(test_pages),
	    STORE_TEST(test_sessions_are_apart),
	    STORE_TEST(test_in_all),
	    STORE_TEST(test_damage),
	    STORE_TEST(test_oldest),
	    STORE_TEST(test_room),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the damage is ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
