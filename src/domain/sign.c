/*
 * HMAC-SHA256 through OpenSSL's EVP_MAC; see sign.h. A context is keyed once and
 * re-initialised with the same key for each message; prefix and body are fed one
 * after the other, so that no body is ever copied. A failing call means no memory
 * or no HMAC in the library: there is no unsigned delivery to fall back to.
 */
#include "domain/sign.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"

#define MAC_SIZE 32   /* SHA-256 */
#define STAMP_SIZE 24 /* ".", a 64-bit number with its sign, ".", NUL */

struct sign_key {
	EVP_MAC_CTX *own;      /* keyed with the secret's own bytes */
	EVP_MAC_CTX *standard; /* keyed as Standard Webhooks says */
};

/* Fetched once and kept: a fetch searches the providers under a lock. */
static EVP_MAC *hmac;

static EVP_MAC_CTX *keyed_new(const void *key, size_t len)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end(),
	};
	if (hmac == NULL)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	panic_if(hmac == NULL, "OpenSSL has no HMAC");
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
	panic_if(ctx == NULL || EVP_MAC_init(ctx, key, len, params) != 1, "HMAC key failed");
	return ctx;
}

/* Returns the value of a digit of the base64 alphabet of RFC 4648 section 4, or -1. */
static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Returns `s` without its padding; false where the padding is not what its length asks for. */
static bool strip_padding(struct slice *s)
{
	size_t pad = 0;
	while (pad < 2 && pad < s->len && s->ptr[s->len - 1 - pad] == '=')
		pad++;
	bool padded_whole = pad == 0 || s->len % 4 == 0;
	s->len -= pad;
	return padded_whole && s->len % 4 != 1;
}

/*
 * Decodes base64 into `out` (room for 3/4 of the text): no white space, no other
 * alphabet; padding is whole or absent. Bits behind the last byte are ignored, as
 * the receivers' libraries do. False where the text is not that, or is empty.
 */
static bool decode_base64(struct slice s, unsigned char *out, size_t *out_len)
{
	uint32_t bits = 0;
	size_t n = 0;
	if (!strip_padding(&s) || s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int value = base64_value(s.ptr[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		/* digits 1, 2, 3 of a group complete a byte; 4, 2, 0 bits are left over */
		if (i % 4 > 0)
			out[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	*out_len = n;
	return true;
}

static EVP_MAC_CTX *standard_new(struct slice secret)
{
	const struct slice prefix = SLICE("whsec_");
	if (!slice_starts(secret, prefix))
		return keyed_new(secret.ptr, secret.len);
	struct slice text = {secret.ptr + prefix.len, secret.len - prefix.len};
	unsigned char *key = mem_new(secret.len);
	size_t len = 0;
	EVP_MAC_CTX *ctx = decode_base64(text, key, &len) ? keyed_new(key, len)
							  : keyed_new(secret.ptr, secret.len);
	mem_wipe(key, secret.len);
	free(key);
	return ctx;
}

struct sign_key *sign_key_new(struct slice secret)
{
	panic_if(secret.len == 0, "empty signing secret");
	struct sign_key *k = mem_new(sizeof(*k));
	k->own = keyed_new(secret.ptr, secret.len);
	k->standard = standard_new(secret);
	return k;
}

void sign_key_free(struct sign_key *k)
{
	if (k == NULL)
		return;
	EVP_MAC_CTX_free(k->own); /* OpenSSL wipes its copy of the key */
	EVP_MAC_CTX_free(k->standard);
	free(k);
}

/* Computes the MAC of `parts` one after the other. */
static void compute(EVP_MAC_CTX *ctx, const struct slice parts[], size_t n,
    unsigned char mac[MAC_SIZE])
{
	size_t len = 0;
	bool ok = EVP_MAC_init(ctx, NULL, 0, NULL) == 1; /* the same key again */
	for (size_t i = 0; ok && i < n; i++) {
		const unsigned char *bytes = (const unsigned char *)parts[i].ptr;
		ok = EVP_MAC_update(ctx, bytes, parts[i].len) == 1;
	}
	ok = ok && EVP_MAC_final(ctx, mac, &len, MAC_SIZE) == 1;
	panic_if(!ok || len != MAC_SIZE, "HMAC failed");
}

static void sign_hex(struct sign_key *k, const struct slice parts[], size_t n,
    char out[SIGN_HEX_SIZE])
{
	const struct slice scheme = SLICE("sha256=");
	unsigned char mac[MAC_SIZE];
	compute(k->own, parts, n, mac);
	memcpy(out, scheme.ptr, scheme.len);
	str_hex(mac, sizeof(mac), out + scheme.len);
}

/* Writes ".{timestamp}." for standard signatures; v2 leaves out the first dot. */
static struct slice write_stamp(int64_t timestamp_s, char out[STAMP_SIZE])
{
	out[0] = '.';
	size_t len = 1 + str_put_i64(timestamp_s, out + 1).len;
	out[len++] = '.';
	return (struct slice){out, len};
}

void sign_body(struct sign_key *k, struct slice body, char out[SIGN_HEX_SIZE])
{
	sign_hex(k, &body, 1, out);
}

void sign_timed_body(struct sign_key *k, int64_t timestamp_s, struct slice body,
    char out[SIGN_HEX_SIZE])
{
	char text[STAMP_SIZE];
	struct slice stamp = write_stamp(timestamp_s, text);
	const struct slice parts[] = {{stamp.ptr + 1, stamp.len - 1}, body};
	sign_hex(k, parts, sizeof(parts) / sizeof(parts[0]), out);
}

void sign_standard(struct sign_key *k, struct slice id, int64_t timestamp_s, struct slice body,
    char out[SIGN_STANDARD_SIZE])
{
	char text[STAMP_SIZE];
	const struct slice parts[] = {id, write_stamp(timestamp_s, text), body};
	const struct slice scheme = SLICE("v1,");
	unsigned char mac[MAC_SIZE];
	compute(k->standard, parts, sizeof(parts) / sizeof(parts[0]), mac);
	memcpy(out, scheme.ptr, scheme.len);
	(void)EVP_EncodeBlock((unsigned char *)out + scheme.len, mac, MAC_SIZE); /* and a NUL */
}

void sign_make_secret(char out[SIGN_SECRET_SIZE])
{
	unsigned char raw[24];
	rnd_secret(raw, sizeof(raw));
	memcpy(out, "whsec_", 6);
	(void)EVP_EncodeBlock((unsigned char *)out + 6, raw,
	    sizeof(raw)); /* writes 32 and a NUL */
	mem_wipe(raw, sizeof(raw));
}
