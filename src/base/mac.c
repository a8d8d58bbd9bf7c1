/*
 * HMAC through OpenSSL's EVP_MAC; see mac.h. A context is keyed once and begun again with the
 * same key for each message; parts are fed one after the other, so that no body is ever
 * copied. A failing call means no memory or no HMAC in the library.
 */
#include "base/mac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct mac {
	EVP_MAC_CTX *ctx;
};

/* Fetched once and kept: a fetch searches the providers under a lock. */
static EVP_MAC *hmac;

struct mac *mac_new(enum mac_hash hash, struct slice key)
{
	char names[][8] =
	    {[MAC_SHA256] = "SHA256", [MAC_SHA512] = "SHA512", [MAC_SHA1] = "SHA1"};
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, names[hash], 0),
	    OSSL_PARAM_construct_end(),
	};
	if (hmac == NULL)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	panic_if(hmac == NULL, "OpenSSL has no HMAC");
	panic_if(key.len == 0, "empty key of an HMAC");
	struct mac *m = mem_new(sizeof(*m));
	m->ctx = EVP_MAC_CTX_new(hmac);
	panic_if(m->ctx == NULL ||
		EVP_MAC_init(m->ctx, (const unsigned char *)key.ptr, key.len, params) != 1,
	    "HMAC key failed");
	return m;
}

void mac_free(struct mac *m)
{
	if (m == NULL)
		return;
	EVP_MAC_CTX_free(m->ctx); /* OpenSSL wipes its copy of the key */
	free(m);
}

size_t mac_of(struct mac *m, const struct slice parts[], size_t n,
    unsigned char out[MAC_SIZE_MAX])
{
	size_t len = 0;
	bool ok = EVP_MAC_init(m->ctx, NULL, 0, NULL) == 1; /* the same key again */
	for (size_t i = 0; ok && i < n; i++) {
		const unsigned char *bytes = (const unsigned char *)parts[i].ptr;
		ok = EVP_MAC_update(m->ctx, bytes, parts[i].len) == 1;
	}
	ok = ok && EVP_MAC_final(m->ctx, out, &len, MAC_SIZE_MAX) == 1;
	panic_if(!ok || len == 0, "HMAC failed");
	return len;
}
