/* JSON Web Tokens by OpenSSL; see assertion.h. Keeps nothing. */
#include "domain/assertion.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/base64.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/uuid.h"
#include "domain/private_key.h"

#define LIFE_S 300
#define P256_BYTES 32     /* of each of the two numbers of a signature; RFC 7518 section 3.4 */
#define SIGNATURE_MAX 512 /* bytes: of RSA with the longest key */
#define PART_MAX 10240    /* bytes of the JSON of a part: every byte of a text may be escaped */

/* By what the key signs; NULL: it is none for this. */
static const char *algorithm_of(const EVP_PKEY *key)
{
	char group[32] = "";
	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= ASSERTION_RSA_MIN ? "RS256" : NULL;
	if (EVP_PKEY_is_a(key, "ED25519"))
		return "EdDSA";
	if (!EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
		return NULL;
	return slice_eq(slice_of(group), SLICE("prime256v1")) ? "ES256" : NULL;
}

/* Appends bytes as base64url without padding. Source: RFC 7515 section 2. */
static void put_base64url(struct buf *out, struct slice bytes)
{
	char text[BASE64_SIZE(PART_MAX)];
	panic_if(bytes.len > PART_MAX, "a part of an assertion is over its limit");
	base64_encode(bytes.ptr, bytes.len, text);
	for (const char *c = text; *c != '\0' && *c != '='; c++)
		buf_putc(out, *c == '+' ? '-' : *c == '/' ? '_' : *c);
}

static void put_head(struct buf *out, const char *algorithm, struct slice key_id)
{
	struct buf b = BUF_INIT(PART_MAX);
	struct json_writer json = JSON_WRITER(&b);
	json_open_object(&json, NULL);
	json_write_cstr(&json, "alg", algorithm);
	json_write_cstr(&json, "typ", "JWT");
	if (key_id.len > 0)
		json_write_text(&json, "kid", key_id);
	json_close(&json);
	json_expect_whole(&json);
	put_base64url(out, buf_view(&b));
	buf_fini(&b);
}

static void put_claims(struct buf *out, const struct assertion *a)
{
	struct buf b = BUF_INIT(PART_MAX);
	struct json_writer json = JSON_WRITER(&b);
	struct uuid id;
	uuid_random(&id);
	json_open_object(&json, NULL);
	json_write_text(&json, "iss", a->client_id);
	json_write_text(&json, "sub", a->client_id);
	json_write_text(&json, "aud", a->audience);
	uuid_write(&json, "jti", &id);
	json_write_i64(&json, "iat", a->now_s);
	json_write_i64(&json, "exp", a->now_s + LIFE_S);
	json_close(&json);
	json_expect_whole(&json);
	put_base64url(out, buf_view(&b));
	buf_fini(&b);
}

/* Makes a signature of ECDSA, which is DER, two numbers of fixed length. */
static void flatten(unsigned char signature[SIGNATURE_MAX], size_t *len)
{
	const unsigned char *der = signature;
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)*len);
	panic_if(pair == NULL ||
		BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, P256_BYTES) != P256_BYTES ||
		BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + P256_BYTES, P256_BYTES) !=
		    P256_BYTES,
	    "a signature of ECDSA is none");
	ECDSA_SIG_free(pair);
	*len = 2 * P256_BYTES;
}

/* Signs what stands in `text`. False: the key cannot, as one whose numbers do not fit. */
static bool sign(EVP_PKEY *key, struct slice text, unsigned char out[SIGNATURE_MAX],
    size_t *len)
{
	const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	panic_if(ctx == NULL, "out of memory");
	*len = SIGNATURE_MAX;
	bool good = EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1 &&
	    EVP_DigestSign(ctx, out, len, (const unsigned char *)text.ptr, text.len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (good && EVP_PKEY_is_a(key, "EC"))
		flatten(out, len);
	return good;
}

enum assertion_key assertion_check_key(struct slice pem)
{
	bool encrypted = false;
	unsigned char signature[SIGNATURE_MAX];
	size_t len = 0;
	EVP_PKEY *key = private_key_open(pem, &encrypted);
	enum assertion_key result = ASSERTION_KEY_FITS;
	if (key == NULL)
		result = encrypted ? ASSERTION_KEY_ENCRYPTED : ASSERTION_KEY_BAD;
	else if (algorithm_of(key) == NULL || private_key_is_dear(key))
		result = ASSERTION_KEY_OTHER;
	else if (!sign(key, SLICE("a trial"), signature, &len))
		result = ASSERTION_KEY_BAD;
	EVP_PKEY_free(key);
	return result;
}

enum err assertion_put(const struct assertion *a, struct buf *out)
{
	unsigned char signature[SIGNATURE_MAX];
	bool encrypted = false;
	size_t len = 0;
	EVP_PKEY *key = private_key_open(a->key, &encrypted);
	const char *algorithm = key == NULL ? NULL : algorithm_of(key);
	struct buf text = BUF_INIT(ASSERTION_MAX);
	enum err err = ERR_INVALID;
	if (algorithm == NULL)
		goto out;
	put_head(&text, algorithm, a->key_id);
	buf_putc(&text, '.');
	put_claims(&text, a);
	panic_if(text.failed, "an assertion is over its limit");
	if (!sign(key, buf_view(&text), signature, &len))
		goto out;
	buf_putc(&text, '.');
	put_base64url(&text, (struct slice){(const char *)signature, len});
	buf_slice(out, buf_view(&text));
	err = OK;
out:
	buf_fini(&text);
	EVP_PKEY_free(key);
	return err;
}
