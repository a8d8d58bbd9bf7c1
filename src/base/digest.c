/* SHA-256 through OpenSSL's EVP_MD; see digest.h. A failing call means no memory. */
#include "base/digest.h"

#include <openssl/evp.h>
#include <stdbool.h>

#include "base/log.h"

/* Fetched once and kept: a fetch searches the providers under a lock. */
static EVP_MD *sha256;

void digest_of(const struct slice parts[], size_t n, unsigned char out[DIGEST_SIZE])
{
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = sha256 != NULL && ctx != NULL && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1;
	for (size_t i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	panic_if(!ok, "SHA-256 failed");
	EVP_MD_CTX_free(ctx);
}
