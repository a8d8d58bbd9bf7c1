/* Portal tokens: what was granted is read; what was changed, or made elsewhere, is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain/portal.h"
#include "store/portal_key.h"
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
		struct portal_grant g = {.issued_ms = 1, .expires_ms = (int64_t)1 << 50};
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
		assert_true(got.issued_ms == 1 && got.expires_ms == g.expires_ms);
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
	const struct portal_grant g = {.session = "tenant", .issued_ms = 5, .expires_ms = 6};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_changed_ones),
	    STORE_TEST(test_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
