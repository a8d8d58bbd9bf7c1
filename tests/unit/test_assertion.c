/* Assertions: what tests/e2e/test_private_key_jwt.py verifies, at its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/assertion.h"

/* A key as PEM, of PKCS #8; free() it. */
static char *write_key(EVP_PKEY *key, const char *passphrase)
{
	char *text = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	assert_non_null(bio);
	assert_non_null(key);
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key,
			     passphrase == NULL ? NULL : EVP_aes_128_cbc(), NULL, 0, NULL,
			     (void *)(uintptr_t)passphrase),
	    1);
	long len = BIO_get_mem_data(bio, &text);
	char *copy = mem_copy(text, (size_t)len);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return copy;
}

static void test_each_kind_of_key_has_its_verdict(void **state)
{
	(void)state;
	const struct {
		EVP_PKEY *key;
		const char *passphrase;
		enum assertion_key verdict;
	} rows[] = {
	    {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), NULL, ASSERTION_KEY_FITS},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2040), NULL, ASSERTION_KEY_OTHER},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), "x", ASSERTION_KEY_ENCRYPTED},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), NULL, ASSERTION_KEY_FITS},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"), NULL, ASSERTION_KEY_OTHER},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1"), NULL, ASSERTION_KEY_OTHER},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, ASSERTION_KEY_FITS},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), NULL, ASSERTION_KEY_OTHER},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL, ASSERTION_KEY_OTHER},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *pem = write_key(rows[i].key, rows[i].passphrase);
		if (assertion_check_key(slice_of(pem)) != rows[i].verdict)
			fail_msg("row %zu", i);
		free(pem);
	}
	assert_int_equal(assertion_check_key(SLICE("")), ASSERTION_KEY_BAD);
	assert_int_equal(assertion_check_key(SLICE("-----BEGIN PRIVATE KEY-----\n")),
	    ASSERTION_KEY_BAD);
}

/* The longest texts, of bytes that JSON escapes, stay within what the header promises. */
static void test_longest_fits(void **state)
{
	(void)state;
	char text[2049];
	char *pem = write_key(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)4096), NULL);
	memset(text, '"', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	const struct slice all = slice_of(text);
	const struct slice half = {text, 1024};
	const struct assertion a = {slice_of(pem), half, half, all, INT32_MAX};
	struct buf out = BUF_INIT(ASSERTION_MAX);
	assert_int_equal(assertion_put(&a, &out), OK);
	assert_false(out.failed);
	assert_true(out.len > 2 * (1024 + 1024 + 2048));
	assert_int_equal(
	    strspn(buf_cstr(&out),
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."),
	    out.len);
	buf_fini(&out);
	free(pem);
}

/* A key of ECDSA signs two numbers of 32 bytes, whatever zeros they begin with. */
static void test_ecdsa_is_of_one_length(void **state)
{
	(void)state;
	char *pem = write_key(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), NULL);
	const struct assertion a = {slice_of(pem), SLICE(""), SLICE("c"), SLICE("https://t/"),
	    1};
	for (int i = 0; i < 600; i++) { /* of 256 one number begins with a zero */
		struct buf out = BUF_INIT(ASSERTION_MAX);
		assert_int_equal(assertion_put(&a, &out), OK);
		assert_int_equal(strlen(strrchr(buf_cstr(&out), '.') + 1), 86);
		buf_fini(&out);
	}
	free(pem);
}

static void test_nothing_is_put_without_a_key(void **state)
{
	(void)state;
	const struct assertion a = {SLICE("no key"), SLICE(""), SLICE("c"), SLICE("u"), 1};
	struct buf out = BUF_INIT(ASSERTION_MAX);
	assert_int_equal(assertion_put(&a, &out), ERR_INVALID);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_kind_of_key_has_its_verdict),
	    cmocka_unit_test(test_longest_fits),
	    cmocka_unit_test(test_ecdsa_is_of_one_length),
	    cmocka_unit_test(test_nothing_is_put_without_a_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
