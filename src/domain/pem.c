/* PEM through OpenSSL's own reader, the one that curl uses; see pem.h. Keeps nothing. */
#include "domain/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "domain/private_key.h"

#define SECURITY_BITS_MIN 112 /* of OpenSSL's security level 2, which Debian has */

/* Is asked where a block is encrypted; OpenSSL's own would ask on the terminal. */
static int refuse_passphrase(char *out, int size, int writes, void *arg)
{
	(void)out;
	(void)size;
	(void)writes;
	(void)arg;
	return -1;
}

/* Whether a block is a certificate. `header`: the lines before the base64, of encryption. */
static bool is_certificate(const char *name, const char *header, const unsigned char *der,
    long len)
{
	if (strcmp(name, PEM_STRING_X509) != 0 || header[0] != '\0')
		return false;
	const unsigned char *end = der;
	X509 *certificate = d2i_X509(NULL, &end, len);
	X509_free(certificate);
	return certificate != NULL && end == der + len;
}

/* Reads the next block; *more is false behind the last one. */
static bool read_block(BIO *bio, bool *more)
{
	char *name = NULL;
	char *header = NULL;
	unsigned char *der = NULL;
	long len = 0;
	*more = PEM_read_bio(bio, &name, &header, &der, &len) == 1;
	if (!*more)
		return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	bool good = is_certificate(name, header, der, len);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	return good;
}

bool pem_is_certificates(struct slice text)
{
	if (text.len == 0 || text.len > INT_MAX)
		return false;
	BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
	panic_if(bio == NULL, "out of memory");
	size_t blocks = 0;
	bool more = true;
	bool good = true;
	while (good && more) {
		good = read_block(bio, &more);
		blocks += more ? 1 : 0;
	}
	BIO_free(bio);
	ERR_clear_error();
	return good && blocks > 0;
}

static BIO *open_text(struct slice text)
{
	BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
	panic_if(bio == NULL, "out of memory");
	return bio;
}

/* Seconds since 1970 of a certificate's end; INT64_MIN: it says none. */
static int64_t end_of(const X509 *certificate)
{
	struct tm utc = {0};
	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &utc) != 1)
		return INT64_MIN;
	return (int64_t)timegm(&utc);
}

int64_t pem_expires_ms(struct slice certificates)
{
	int64_t first_s = INT64_MAX;
	BIO *bio = open_text(certificates);
	X509 *one = PEM_read_bio_X509(bio, NULL, refuse_passphrase, NULL);
	while (one != NULL) {
		int64_t end_s = end_of(one);
		first_s = end_s < first_s ? end_s : first_s;
		X509_free(one);
		one = PEM_read_bio_X509(bio, NULL, refuse_passphrase, NULL);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (first_s < INT64_MIN / 1000 || first_s > INT64_MAX / 1000)
		return INT64_MIN; /* nothing to rely on */
	return first_s == 0 ? 1 : first_s * 1000;
}

enum pem_key pem_check_key(struct slice certificates, struct slice key)
{
	bool asked = false;
	BIO *bio = open_text(certificates);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, refuse_passphrase, NULL);
	BIO_free(bio);
	EVP_PKEY *private = private_key_open(key, &asked);
	enum pem_key result = PEM_KEY_FITS;
	if (private == NULL || certificate == NULL)
		result = asked ? PEM_KEY_ENCRYPTED : PEM_KEY_BAD;
	else if (X509_check_private_key(certificate, private) != 1)
		result = PEM_KEY_OTHER;
	else if (EVP_PKEY_get_security_bits(private) < SECURITY_BITS_MIN)
		result = PEM_KEY_WEAK;
	else if (private_key_is_dear(private))
		result = PEM_KEY_DEAR;
	EVP_PKEY_free(private);
	X509_free(certificate);
	ERR_clear_error();
	return result;
}
