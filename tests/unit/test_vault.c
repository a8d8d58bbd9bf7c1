/* The vault: a published vector, what it refuses to decrypt, what it takes for a key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain/vault.h"
#include "support.h"

/* Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B. */
#define KEY_HEX "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define KEY_ID "064ae9526c082ef5" /* SHA-256 of the label and it, of Python's hashlib */
static const unsigned char NONCE[VAULT_NONCE_SIZE] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb,
    0xad, 0xde, 0xca, 0xf8, 0x88};
static const char CONTEXT[] = "\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe\xef"
			      "\xab\xad\xda\xd2";
static const char PLAIN[] = "\xd9\x31\x32\x25\xf8\x84\x06\xe5\xa5\x59\x09\xc5\xaf\xf5\x26\x9a"
			    "\x86\xa7\xa9\x53\x15\x34\xf7\xda\x2e\x4c\x30\x3d\x8a\x31\x8a\x72"
			    "\x1c\x3c\x0c\x95\x95\x68\x09\x53\x2f\xcf\x0e\x24\x49\xa6\xb5\x25"
			    "\xb1\x6a\xed\xf5\xaa\x0d\xe6\x57\xba\x63\x7b\x39";
static const char CIPHER[] = "\x52\x2d\xc1\xf0\x99\x56\x7d\x07\xf4\x7f\x37\xa3\x2a\x84\x42\x7d"
			     "\x64\x3a\x8c\xdc\xbf\xe5\xc0\xc9\x75\x98\xa2\xbd\x25\x55\xd1\xaa"
			     "\x8c\xb0\x8e\x48\x59\x0d\xbb\x3d\xa7\xb0\x8b\x10\x56\x82\x88\x38"
			     "\xc5\xf6\x1e\x63\x93\xba\x7a\x0a\xbc\xc9\xf6\x62"
			     "\x76\xfc\x6e\xce\x0f\x4e\x17\x68\xcd\xdf\x88\x53\xbb\x2d\x55\x1b";

static const struct slice context = {CONTEXT, sizeof(CONTEXT) - 1};
static const struct slice plain = {PLAIN, sizeof(PLAIN) - 1};

static struct vault *make_vault(const char *hex)
{
	struct vault *v = vault_new();
	struct problem p;
	assert_int_equal(vault_add(v, slice_of(hex), &p), OK);
	return v;
}

static void test_vector(void **state)
{
	(void)state;
	struct vault *v = make_vault(KEY_HEX);
	struct vault_id id = vault_current(v);
	char text[VAULT_ID_TEXT_SIZE];
	struct buf out = BUF_INIT(1000);
	struct buf back = BUF_INIT(1000);
	vault_put_id(&id, text);
	assert_string_equal(text, KEY_ID);
	buf_puts(&out, "before");
	vault_encrypt(v, NONCE, context, plain, &out);
	assert_int_equal(out.len, 6 + VAULT_NONCE_SIZE + sizeof(CIPHER) - 1);
	assert_memory_equal(out.data, "before", 6);
	assert_memory_equal(out.data + 6, NONCE, VAULT_NONCE_SIZE);
	assert_memory_equal(out.data + 6 + VAULT_NONCE_SIZE, CIPHER, sizeof(CIPHER) - 1);
	struct slice encrypted = {out.data + 6, out.len - 6};
	buf_puts(&back, "ahead");
	assert_int_equal(vault_decrypt(v, &id, context, encrypted, &back), OK);
	assert_int_equal(back.len, 5 + plain.len);
	assert_memory_equal(back.data + 5, plain.ptr, plain.len);
	buf_fini(&out);
	buf_fini(&back);
	vault_free(v);
}

static void test_nothing_to_encrypt(void **state)
{
	(void)state;
	struct vault *v = make_vault(KEY_HEX);
	struct vault_id id = vault_current(v);
	struct buf out = BUF_INIT(1000);
	struct buf back = BUF_INIT(1000);
	vault_encrypt(v, NONCE, SLICE(""), SLICE(""), &out);
	assert_int_equal(out.len, VAULT_OVERHEAD);
	assert_int_equal(vault_decrypt(v, &id, SLICE(""), buf_view(&out), &back), OK);
	assert_int_equal(back.len, 0);
	assert_int_equal(vault_decrypt(v, &id, SLICE("x"), buf_view(&out), &back), ERR_CORRUPT);
	buf_fini(&out);
	buf_fini(&back);
	vault_free(v);
}

/* Any other bit, length or context: nothing comes out. */
static void test_tampered(void **state)
{
	(void)state;
	struct vault *v = make_vault(KEY_HEX);
	struct vault_id id = vault_current(v);
	struct buf out = BUF_INIT(1000);
	struct buf back = BUF_INIT(1000);
	vault_encrypt(v, NONCE, context, plain, &out);
	for (size_t bit = 0; bit < out.len * 8; bit++) {
		out.data[bit / 8] = (char)(out.data[bit / 8] ^ 1 << bit % 8);
		if (vault_decrypt(v, &id, context, buf_view(&out), &back) != ERR_CORRUPT ||
		    back.len != 0)
			fail_msg("bit %zu", bit);
		out.data[bit / 8] = (char)(out.data[bit / 8] ^ 1 << bit % 8);
	}
	for (size_t len = 0; len < out.len; len++) {
		struct slice cut = {out.data, len};
		if (vault_decrypt(v, &id, context, cut, &back) != ERR_CORRUPT)
			fail_msg("cut to %zu", len);
	}
	struct slice shorter = {context.ptr, context.len - 1};
	assert_int_equal(vault_decrypt(v, &id, shorter, buf_view(&out), &back), ERR_CORRUPT);
	assert_int_equal(back.len, 0);
	buf_fini(&out);
	buf_fini(&back);
	vault_free(v);
}

/* The first key encrypts, all decrypt; a key that is not there is named by the error. */
static void test_rotation(void **state)
{
	(void)state;
	static const char *const HEX[] = {
	    "0000000000000000000000000000000000000000000000000000000000000001",
	    "0000000000000000000000000000000000000000000000000000000000000002",
	};
	struct vault *old = make_vault(HEX[0]);
	struct vault *both = make_vault(HEX[1]);
	struct vault *new = make_vault(HEX[1]);
	struct vault_id old_id = vault_current(old);
	struct vault_id new_id = vault_current(both);
	struct problem p;
	struct buf out = BUF_INIT(1000);
	struct buf back = BUF_INIT(1000);
	assert_int_equal(vault_add(both, slice_of(HEX[0]), &p), OK);
	assert_int_equal(vault_add(both, slice_of(HEX[1]), &p), OK); /* again */
	assert_false(vault_same(&old_id, &new_id));
	assert_true(vault_same(&new_id, &(struct vault_id){0}) == false);
	vault_encrypt(old, NONCE, context, plain, &out);
	assert_int_equal(vault_decrypt(both, &old_id, context, buf_view(&out), &back), OK);
	assert_int_equal(vault_decrypt(new, &old_id, context, buf_view(&out), &back),
	    ERR_REFUSED);
	assert_int_equal(vault_decrypt(NULL, &old_id, context, buf_view(&out), &back),
	    ERR_REFUSED);
	assert_int_equal(vault_decrypt(both, &new_id, context, buf_view(&out), &back),
	    ERR_CORRUPT);
	assert_int_equal(back.len, plain.len);
	buf_reset(&out);
	vault_encrypt(both, NONCE, context, plain, &out);
	buf_reset(&back);
	assert_int_equal(vault_decrypt(new, &new_id, context, buf_view(&out), &back), OK);
	buf_fini(&out);
	buf_fini(&back);
	vault_free(old);
	vault_free(both);
	vault_free(new);
}

static void test_no_key(void **state)
{
	(void)state;
	struct vault *v = vault_new();
	struct vault_id id = vault_current(v);
	assert_true(vault_is_none(&id));
	id = vault_current(NULL);
	assert_true(vault_is_none(&id));
	vault_free(v);
	vault_free(NULL);
}

static void encrypt_without_a_key(void *arg)
{
	struct buf out = BUF_INIT(1000);
	vault_encrypt(arg, NONCE, context, plain, &out);
	buf_fini(&out);
}

static void test_no_key_cannot_encrypt(void **state)
{
	(void)state;
	assert_true(panics(encrypt_without_a_key, NULL));
}

static void test_bad_keys(void **state)
{
	(void)state;
	static const char *const BAD[] = {
	    "",
	    "0123456789abcdef",
	    KEY_HEX "0",
	    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f946730830g",
	    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f946730830",
	    "feffe9928665731c6d6a8f9467308308 feffe9928665731c6d6a8f94673083",
	};
	struct vault *v = vault_new();
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct problem p = {0};
		if (vault_add(v, slice_of(BAD[i]), &p) != ERR_INVALID)
			fail_msg("row %zu", i);
		assert_non_null(strstr(p.message, "64 hex digits"));
		assert_null(strstr(p.message, "feff"));
	}
	struct vault_id id = vault_current(v);
	assert_true(vault_is_none(&id));
	vault_free(v);
}

static void test_too_many_keys(void **state)
{
	(void)state;
	struct vault *v = vault_new();
	struct problem p;
	for (unsigned i = 0; i <= VAULT_KEYS_MAX; i++) {
		char hex[65];
		(void)snprintf(hex, sizeof(hex), "%064u", i);
		assert_int_equal(vault_add(v, slice_of(hex), &p),
		    i < VAULT_KEYS_MAX ? OK : ERR_TOOBIG);
	}
	vault_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vector),
	    cmocka_unit_test(test_nothing_to_encrypt),
	    cmocka_unit_test(test_tampered),
	    cmocka_unit_test(test_rotation),
	    cmocka_unit_test(test_no_key),
	    cmocka_unit_test(test_no_key_cannot_encrypt),
	    cmocka_unit_test(test_bad_keys),
	    cmocka_unit_test(test_too_many_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
