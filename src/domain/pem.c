/* PEM through OpenSSL's own reader, the one that curl uses; see pem.h. Keeps nothing. */
#include "domain/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/log.h"

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
