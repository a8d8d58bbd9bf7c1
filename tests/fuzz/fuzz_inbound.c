/*
 * Signatures of what comes in. inbound_verify() is held against the contract's words and
 * OpenSSL's one-shot HMAC(): what it takes is signed, and what is signed it takes.
 *
 * The input: a byte that says whether the signature is to be made right (as v1 or v2) and
 * then perhaps damaged, since no fuzzer guesses one; then version, timestamp and signature, a
 * NUL behind each; then the body.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "api/inbound.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"

#define NOW_S 1767143203
#define SECRET "s3cret"
#define SIGNED_MAX (1u << 21)   /* bytes; above what the fuzzer's longest input can become */
#define SIGNATURE_SIZE (7 + 65) /* "sha256=", hex, NUL */

enum { MAKE_V1 = 1, MAKE_V2 = 2, DAMAGE = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The headers of the request that the input stands for. */
struct headers {
	struct slice version;
	struct slice timestamp;
	struct slice signature;
};

static struct slice header_of(const void *request, const char *name)
{
	const struct headers *h = request;
	if (strcmp(name, "X-Webhook-Signature-Version") == 0)
		return h->version;
	if (strcmp(name, "X-Webhook-Timestamp") == 0)
		return h->timestamp;
	if (strcmp(name, "X-Webhook-Signature") == 0)
		return h->signature;
	return (struct slice){0};
}

/* Signs {timestamp}.{body}, or the body alone where `timestamp` is NULL. */
static void sign(const struct slice *timestamp, struct slice body, char out[SIGNATURE_SIZE])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	struct buf text = BUF_INIT(SIGNED_MAX);
	if (timestamp != NULL) {
		buf_slice(&text, *timestamp);
		buf_putc(&text, '.');
	}
	buf_slice(&text, body);
	(void)HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1,
	    (const unsigned char *)buf_cstr(&text), text.len, mac, &len);
	panic_if(text.failed || len != 32, "HMAC");
	(void)snprintf(out, SIGNATURE_SIZE, "sha256=");
	str_hex(mac, len, out + 7);
	buf_fini(&text);
}

/* Whether a timestamp is a number without zeros in front and within the window. */
static bool is_timely(struct slice text)
{
	char digits[21] = "";
	if (text.len == 0 || text.len >= sizeof(digits) || text.ptr[0] == '0')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		digits[i] = text.ptr[i];
	}
	unsigned long long n = strtoull(digits, NULL, 10);
	return n >= NOW_S - INBOUND_WINDOW_S && n <= NOW_S + INBOUND_WINDOW_S;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char right[SIGNATURE_SIZE];
	char made[SIGNATURE_SIZE];
	if (size == 0)
		return 0;
	struct slice rest = {(const char *)data + 1, size - 1};
	struct headers given = {.version = slice_cut(&rest, '\0'),
	    .timestamp = slice_cut(&rest, '\0'),
	    .signature = slice_cut(&rest, '\0')};
	bool timed = slice_eq(given.version, SLICE("v2"));
	if ((data[0] & (MAKE_V1 | MAKE_V2)) != 0) {
		sign((data[0] & MAKE_V2) != 0 ? &given.timestamp : NULL, rest, made);
		if ((data[0] & DAMAGE) != 0)
			made[(data[0] >> 3) * 2] ^= 1;
		given.signature = slice_of(made);
	}
	sign(timed ? &given.timestamp : NULL, rest, right);
	bool good = given.signature.len == strlen(right) &&
	    strncasecmp(given.signature.ptr, right, strlen(right)) == 0 &&
	    (!timed || is_timely(given.timestamp));

	const struct sign_claim claim = {.header = header_of,
	    .request = &given,
	    .body = rest,
	    .now_s = NOW_S,
	    .window_s = INBOUND_WINDOW_S};
	struct inbound *in = inbound_new();
	panic_if(inbound_verify(in, SLICE("s"), &claim), "without a secret");
	inbound_add(in, SLICE("s"), SLICE(SECRET));
	panic_if(inbound_verify(in, SLICE("s"), &claim) != good, "verdict");
	panic_if(inbound_verify(in, SLICE("t"), &claim), "another session's");
	inbound_add(in, SLICE(""), SLICE("another"));
	panic_if(inbound_verify(in, SLICE("t"), &claim), "another secret's");
	inbound_free(in);
	return 0;
}
