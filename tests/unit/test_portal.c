/* Portal tokens: what was granted is read; what was changed, or made elsewhere, is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain/portal.h"
#include "store/portal_key.h"
#include "store/portal_series.h"
#include "support.h"

static const char KEY[PORTAL_KEY_SIZE] = "0123456789abcdef0123456789abcdef";

static struct mac *make_mac(char first)
{
	char key[PORTAL_KEY_SIZE];
	memcpy(key, KEY, sizeof(key));
	key[0] = first;
	return mac_new(MAC_SHA256, (struct slice){key, sizeof(key)});
}

static void test_round_trip(void **state)
{
	(void)state;
	struct mac *mac = make_mac('0');
	struct mac *other = make_mac('1');
	for (size_t len = 1; len <= SESSION_MAX; len++) {
		char token[PORTAL_TEXT_SIZE];
		struct portal_grant got;
		struct portal_grant g = {.series = UINT64_MAX, .expires_ms = (int64_t)1 << 50};
		memset(g.session, 's', len);
		memset(g.id, (int)len, sizeof(g.id));
		g.only_reads = len % 2 == 0;
		portal_write(mac, &g, token);
		assert_true(portal_is_token(slice_of(token)));
		assert_int_equal(strspn(token + 4,
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
				     "pqrstuvwxyz0123456789-_"),
		    strlen(token) - 4);
		assert_int_equal(portal_read(mac, slice_of(token), &got), OK);
		assert_string_equal(got.session, g.session);
		assert_true(got.series == g.series && got.expires_ms == g.expires_ms);
		assert_memory_equal(got.id, g.id, sizeof(g.id));
		assert_true(got.only_reads == g.only_reads);
		assert_int_equal(portal_read(other, slice_of(token), &got), ERR_REFUSED);
	}
	mac_free(mac);
	mac_free(other);
}

/* Each character counts but the last, of which some bits stand for nothing, and the length. */
static void test_changed_ones(void **state)
{
	(void)state;
	struct mac *mac = make_mac('0');
	char token[PORTAL_TEXT_SIZE];
	struct portal_grant got;
	const struct portal_grant g = {.session = "tenant", .series = 5, .expires_ms = 6};
	portal_write(mac, &g, token);
	size_t len = strlen(token);
	for (size_t i = 0; i + 1 < len; i++) {
		char was = token[i];
		token[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(portal_read(mac, slice_of(token), &got), ERR_REFUSED);
		token[i] = '=';
		assert_int_equal(portal_read(mac, slice_of(token), &got), ERR_REFUSED);
		token[i] = '\0';
		assert_int_equal(portal_read(mac, (struct slice){token, len}, &got),
		    ERR_REFUSED);
		assert_int_equal(portal_read(mac, (struct slice){token, i}, &got), ERR_REFUSED);
		token[i] = was;
	}
	char longer[2 * PORTAL_TEXT_SIZE];
	memset(longer, 'A', sizeof(longer));
	memcpy(longer, token, len);
	for (size_t n = len + 1; n < sizeof(longer); n++)
		assert_int_equal(portal_read(mac, (struct slice){longer, n}, &got),
		    ERR_REFUSED);
	assert_int_equal(portal_read(mac, slice_of(token), &got), OK);
	mac_free(mac);
}

/* The key is kept as it is without a vault, else encrypted under the vault's first key. */
static void test_key(void **state)
{
	struct problem p;
	struct vault *vault = vault_new();
	unsigned char got[PORTAL_KEY_SIZE];
	const unsigned char *key = (const unsigned char *)KEY;
	bool is_current = false;
	struct db_txn *txn = store_begin(*state);
	assert_int_equal(portal_key_get(txn, NULL, got, &is_current), ERR_NOTFOUND);
	assert_int_equal(portal_key_put(txn, NULL, key), OK);
	assert_int_equal(portal_key_get(txn, NULL, got, &is_current), OK);
	assert_memory_equal(got, KEY, sizeof(got));
	assert_true(is_current);
	assert_int_equal(vault_add(vault,
			     SLICE("000102030405060708090a0b0c0d0e0f"
				   "101112131415161718191a1b1c1d1e1f"),
			     &p),
	    OK);
	assert_int_equal(portal_key_get(txn, vault, got, &is_current), OK);
	assert_false(is_current);
	assert_int_equal(portal_key_put(txn, vault, key), OK);
	memset(got, 0, sizeof(got));
	assert_int_equal(portal_key_get(txn, vault, got, &is_current), OK);
	assert_memory_equal(got, KEY, sizeof(got));
	assert_true(is_current);
	assert_int_equal(portal_key_get(txn, NULL, got, &is_current), ERR_REFUSED);
	struct slice value;
	bool sound = false;
	assert_int_equal(db_get(txn, DB_META, SLICE("portal_key"), &value), OK);
	assert_null(memmem(value.ptr, value.len, KEY, sizeof(KEY)));
	assert_true(portal_key_check(SLICE("portal_key"), value, &sound) && sound);
	value.len--;
	assert_true(portal_key_check(SLICE("portal_key"), value, &sound) && !sound);
	assert_false(portal_key_check(SLICE("schema"), value, &sound));
	store_commit(txn);
	vault_free(vault);
}

static uint64_t series_of(struct db_txn *txn, const char *session, bool *has_row)
{
	uint64_t series = 1;
	assert_int_equal(portal_series_get(txn, slice_of(session), &series, has_row), OK);
	return series;
}

/* Each revocation begins a series that was never there, of that session alone. */
static void test_series(void **state)
{
	char longest[SESSION_MAX + 1] = "";
	bool has_row = true;
	struct db_txn *txn = store_begin(*state);
	assert_int_equal(portal_series_begin(txn, SLICE("a"), 5), OK);
	assert_int_equal(series_of(txn, "a", &has_row), 0);
	assert_false(has_row); /* no key, so no token */
	assert_int_equal(portal_key_put(txn, NULL, (const unsigned char *)KEY), OK);
	memset(longest, 's', SESSION_MAX);
	for (size_t len = 1; len <= SESSION_MAX; len += SESSION_MAX - 1) {
		longest[len] = '\0';
		assert_int_equal(portal_series_begin(txn, slice_of(longest), 5), OK);
		uint64_t first = series_of(txn, longest, &has_row);
		assert_true(has_row);
		assert_int_equal(portal_series_begin(txn, slice_of(longest), 5), OK);
		assert_true(series_of(txn, longest, &has_row) != first);
		longest[len] = 's';
	}
	(void)series_of(txn, "t", &has_row);
	assert_false(has_row);
	store_commit(txn);
}

#define SERIES_KEY ((struct slice){"portal_series\0a", sizeof("portal_series") + 1})

static void test_damaged_series(void **state)
{
	struct slice value;
	uint64_t series = 7;
	bool flag = false;
	unsigned char bytes[64];
	struct db_txn *txn = store_begin(*state);
	assert_int_equal(portal_key_put(txn, NULL, (const unsigned char *)KEY), OK);
	assert_int_equal(portal_series_begin(txn, SLICE("a"), 5), OK);
	assert_int_equal(db_get(txn, DB_META, SERIES_KEY, &value), OK);
	assert_true(portal_series_check(SERIES_KEY, value, &flag) && flag);
	assert_false(portal_series_check(SLICE("schema"), value, &flag));
	struct slice other = {SERIES_KEY.ptr, SERIES_KEY.len - 1}; /* of no session */
	assert_false(portal_series_check(other, value, &flag));
	memcpy(bytes, value.ptr, value.len);
	bytes[2] ^= 1;
	assert_int_equal(
	    db_put(txn, DB_META, SERIES_KEY, (struct slice){(char *)bytes, value.len}), OK);
	assert_int_equal(portal_series_get(txn, SLICE("a"), &series, &flag), ERR_CORRUPT);
	assert_int_equal(series, 7);
	assert_int_equal(db_get(txn, DB_META, SERIES_KEY, &value), OK);
	assert_true(portal_series_check(SERIES_KEY, value, &flag) && !flag);
	assert_int_equal(portal_series_begin(txn, SLICE("a"), 5), OK); /* mends it */
	assert_int_equal(portal_series_get(txn, SLICE("a"), &series, &flag), OK);
	store_commit(txn);
}

/* Rows go when they are a day old, whatever the steps; what is no row of these stays. */
static void test_swept_series(void **state)
{
	for (size_t step = 1; step < 9; step++) {
		struct portal_series_walk walk = {.len = 0};
		struct db_txn *txn = store_begin(*state);
		assert_int_equal(portal_key_put(txn, NULL, (const unsigned char *)KEY), OK);
		size_t others = store_count_in(txn, DB_META);
		for (char name[] = "a"; name[0] <= 'f'; name[0]++)
			assert_int_equal(portal_series_begin(txn, slice_of(name),
					     name[0] % 2 == 0 ? 5 : 6),
			    OK);
		const int64_t times[] = {4, 5, 6};
		for (size_t i = 0; i < 3; i++) {
			int64_t now_ms = times[i] + PORTAL_SERIES_KEEP_MS;
			bool ended = false;
			for (size_t n = 0; !ended; n++) {
				assert_in_range(n, 0, 7);
				assert_int_equal(
				    portal_series_sweep(txn, &walk, now_ms, step, &ended), OK);
			}
			assert_int_equal(store_count_in(txn, DB_META), others + 6 - 3 * i);
		}
		db_abort(txn);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_changed_ones),
	    STORE_TEST(test_key),
	    STORE_TEST(test_series),
	    STORE_TEST(test_damaged_series),
	    STORE_TEST(test_swept_series),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
