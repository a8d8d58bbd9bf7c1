/* Certificates for tests of TLS: X.509 v3, valid for a day. */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include <openssl/x509.h>

#define DAY_S 86400

/* A certificate of `name` for `key`, not yet signed; `issuer` NULL: its own. X509_free() it. */
static inline X509 *begin_certificate(const char *name, EVP_PKEY *key, const X509 *issuer)
{
	X509 *x = X509_new();
	assert_non_null(x);
	X509_NAME *subject = X509_get_subject_name(x);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), DAY_S));
	assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
			     (const unsigned char *)name, -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(x,
			     issuer == NULL ? subject : X509_get_subject_name(issuer)),
	    1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	return x;
}

#endif
