/* Ed25519 by OpenSSL; see ed25519.h. It takes a message in one piece: that is hashed twice. */
#include "base/ed25519.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

/* struct ed25519_key is never defined: a pointer to one is a pointer to OpenSSL's key. */
struct ed25519_key *ed25519_key_new(const unsigned char seed[ED25519_SEED_SIZE])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed,
	    ED25519_SEED_SIZE);
	panic_if(pkey == NULL, "no Ed25519");
	return (struct ed25519_key *)pkey;
}

void ed25519_key_free(struct ed25519_key *k)
{
	EVP_PKEY_free((EVP_PKEY *)k); /* wipes */
}

void ed25519_complete(struct ed25519_pair *out)
{
	size_t len = ED25519_PUBLIC_SIZE;
	struct ed25519_key *k = ed25519_key_new(out->seed);
	panic_if(EVP_PKEY_get_raw_public_key((EVP_PKEY *)k, out->public_key, &len) != 1,
	    "no Ed25519");
	ed25519_key_free(k);
}

void ed25519_sign(const struct ed25519_key *k, struct slice message,
    unsigned char out[ED25519_SIGNATURE_SIZE])
{
	size_t len = ED25519_SIGNATURE_SIZE;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	/* OpenSSL counts who has the key, and so takes none that is const */
	EVP_PKEY *pkey = (EVP_PKEY *)(uintptr_t)k;
	panic_if(ctx == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) != 1 ||
		EVP_DigestSign(ctx, out, &len, (const unsigned char *)message.ptr,
		    message.len) != 1,
	    "no Ed25519");
	EVP_MD_CTX_free(ctx);
}

bool ed25519_verify(const unsigned char public_key[ED25519_PUBLIC_SIZE], struct slice message,
    const unsigned char signature[ED25519_SIGNATURE_SIZE])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key,
	    ED25519_PUBLIC_SIZE);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	panic_if(pkey == NULL || ctx == NULL, "no Ed25519");
	bool good = EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
	    EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_SIZE,
		(const unsigned char *)message.ptr, message.len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}
