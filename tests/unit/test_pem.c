/*
 * Certificates in PEM: what is taken, and that everything which OpenSSL would later skip,
 * ask about or refuse is refused at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "domain/pem.h"
#include "support.h"

#define PEM TEST_CERTIFICATE("\n")
#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"

static const struct {
	const char *text;
	bool good;
} ROWS[] = {
    {PEM, true},
    {PEM PEM, true},
    {"Authority of tests\n" PEM "\n\nanother one:\n" PEM "the end\n", true},
    {TEST_CERTIFICATE("\r\n"), true},
    {TEST_CERTIFICATE("\n\n"), false},
    {"", false},
    {"no certificate", false},
    {BEGIN, false},
    {BEGIN END, false},
    {BEGIN "MIIB\n" END, false},
    {BEGIN "!!!!\n" END, false},
    {PEM BEGIN "MIIB\n" END, false},
    {PEM BEGIN, false},
    /* a SEQUENCE of nothing */
    {BEGIN "MAA=\n" END, false},
    /* other blocks, in front and behind */
    {"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n" PEM, false},
    {PEM "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", false},
    /* OpenSSL would ask for a passphrase, on the terminal */
    {BEGIN "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
	   "MIIB\n" END,
	false},
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (pem_is_certificates(slice_of(ROWS[i].text)) != ROWS[i].good)
			fail_msg("row %zu", i);
	}
}

/* Whatever is changed within the base64 or cut off is seen, or leaves a certificate. */
static void test_cut(void **state)
{
	(void)state;
	size_t shortest = strlen(PEM) - 1; /* but for the last line's end */
	for (size_t len = 0; len <= strlen(PEM); len++) {
		if (pem_is_certificates((struct slice){PEM, len}) != (len >= shortest))
			fail_msg("%zu bytes", len);
	}
}

/* What is written to it, as text; *out has room. */
static void take_text(BIO *bio, char *out, size_t size)
{
	int len = BIO_read(bio, out, (int)size - 1);
	assert_true(len > 0);
	out[len] = '\0';
	BIO_free(bio);
}

/* The verdict on a key with a certificate of its own. */
static enum pem_key verdict_on(EVP_PKEY *key)
{
	char cert_pem[4096];
	char key_pem[4096];
	X509 *certificate = X509_new();
	BIO *cert = BIO_new(BIO_s_mem());
	BIO *private = BIO_new(BIO_s_mem());
	assert_non_null(key);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(cert, certificate), 1);
	assert_int_equal(PEM_write_bio_PrivateKey(private, key, NULL, NULL, 0, NULL, NULL), 1);
	take_text(cert, cert_pem, sizeof(cert_pem));
	take_text(private, key_pem, sizeof(key_pem));
	X509_free(certificate);
	EVP_PKEY_free(key);
	return pem_check_key(slice_of(cert_pem), slice_of(key_pem));
}

/* A handshake with a client's certificate is a signature, on the loop. */
static void test_keys_of_certificates(void **state)
{
	(void)state;
	assert_int_equal(verdict_on(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")),
	    PEM_KEY_FITS);
	assert_int_equal(verdict_on(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "sect571r1")),
	    PEM_KEY_DEAR);
	assert_int_equal(verdict_on(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024)),
	    PEM_KEY_WEAK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_keys_of_certificates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
