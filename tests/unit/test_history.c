/* The events of a session, newest first; sessions one by one; keys of another form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "store/events.h"
#include "support.h"

static const char *const SESSIONS[] = {"a", "a-b", "ab", "b"}; /* as bytes sort them */

struct seen {
	struct uuid ids[16];
	size_t count;
};

static struct seen list(struct db_txn *txn, const char *session, const struct uuid *before,
    size_t most)
{
	struct seen s = {0};
	struct uuid at;
	memset(at.bytes, 0xff, UUID_SIZE);
	if (before != NULL)
		at = *before;
	while (s.count < most && history_below(txn, slice_of(session), &at, &at) == OK)
		s.ids[s.count++] = at;
	assert_int_equal(db_txn_error(txn), OK);
	return s;
}

/* Three events a session: 10 + i, 20 + i, 30 + i. */
static struct db_txn *fill(struct store *s)
{
	struct db_txn *txn = store_begin(s);
	for (uint64_t i = 0; i < COUNT(SESSIONS); i++) {
		for (uint64_t n = 1; n <= 3; n++) {
			struct uuid id = make_id(10 * n + i);
			assert_int_equal(history_put(txn, slice_of(SESSIONS[i]), &id), OK);
		}
	}
	return txn;
}

static void test_newest_first(void **state)
{
	struct db_txn *txn = fill(*state);
	for (uint64_t i = 0; i < COUNT(SESSIONS); i++) {
		struct seen all = list(txn, SESSIONS[i], NULL, 16);
		assert_int_equal(all.count, 3);
		for (uint64_t n = 0; n < 3; n++) {
			struct uuid want = make_id(10 * (3 - n) + i);
			assert_memory_equal(all.ids[n].bytes, want.bytes, UUID_SIZE);
		}
		struct seen older = list(txn, SESSIONS[i], &all.ids[0], 1);
		assert_int_equal(older.count, 1);
		assert_memory_equal(older.ids[0].bytes, all.ids[1].bytes, UUID_SIZE);
		assert_int_equal(list(txn, SESSIONS[i], &all.ids[2], 16).count, 0);
	}
	assert_int_equal(list(txn, "none", NULL, 16).count, 0);
	assert_int_equal(list(txn, "zz", NULL, 16).count, 0);
	store_commit(txn);
}

static void test_del(void **state)
{
	struct db_txn *txn = fill(*state);
	struct uuid id = make_id(20);
	assert_int_equal(history_find(txn, SLICE("a"), &id), OK);
	assert_int_equal(history_find(txn, SLICE("b"), &id), ERR_NOTFOUND);
	assert_int_equal(history_del(txn, SLICE("b"), &id), ERR_NOTFOUND);
	assert_int_equal(history_del(txn, SLICE("a"), &id), OK);
	assert_int_equal(history_find(txn, SLICE("a"), &id), ERR_NOTFOUND);
	assert_int_equal(list(txn, "a", NULL, 16).count, 2);
	store_commit(txn);
}

/* The events of a session one by one, oldest first, none of another's. */
static void test_next(void **state)
{
	struct db_txn *txn = fill(*state);
	struct uuid at = {0};
	struct seen all = list(txn, "a", NULL, 16);
	assert_true(all.count > 1);
	for (size_t i = all.count; i > 0; i--) {
		struct uuid next;
		assert_int_equal(history_next(txn, SLICE("a"), &at, &next), OK);
		assert_true(uuid_eq(&next, &all.ids[i - 1]));
		at = next;
	}
	struct uuid none;
	assert_int_equal(history_next(txn, SLICE("a"), &at, &none), ERR_NOTFOUND);
	at = (struct uuid){0};
	assert_int_equal(history_next(txn, SLICE("aa"), &at, &none), ERR_NOTFOUND);
	assert_int_equal(history_next(txn, SLICE("zzz"), &at, &none), ERR_NOTFOUND);
	store_commit(txn);
}

static void test_keys(void **state)
{
	static const struct slice MALFORMED[] = {SLICE_INIT(""), SLICE_INIT("short"),
	    SLICE_INIT("\0ghijklmnopqrstuv"), SLICE_INIT("sghijklmnopqrstuv"),
	    SLICE_INIT("a\nb\0ghijklmnopqrstuv"), SLICE_INIT("s\0ghijklmnopqrstu")};
	static const struct slice KEY = SLICE_INIT("s\0ghijklmnopqrstuv");
	struct slice session;
	struct uuid id;
	(void)state;
	for (size_t i = 0; i < COUNT(MALFORMED); i++) {
		if (history_parse_key(MALFORMED[i], &session, &id))
			fail_msg("key %zu is taken", i);
	}
	assert_true(history_parse_key(KEY, &session, &id));
	assert_true(slice_eq(session, SLICE("s")));
	assert_memory_equal(id.bytes, "ghijklmnopqrstuv", UUID_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_newest_first),
	    STORE_TEST(test_del),
	    STORE_TEST(test_next),
	    cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
