/*
 * Signatures over delivery bodies: the one user of OpenSSL's MACs. A key is made once
 * per webhook with work and reused (a keyed EVP_MAC context costs half of
 * HMAC() per call). HMAC-SHA256 of RFC 2104; standardwebhooks.com for the third.
 */
#ifndef DOMAIN_SIGN_H
#define DOMAIN_SIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SIGN_HEX_SIZE 72      /* "sha256=", 64 hex digits, NUL */
#define SIGN_STANDARD_SIZE 48 /* "v1,", 44 base64 characters, NUL */

#define SIGN_SECRET_SIZE 39 /* "whsec_", 32 base64 characters, NUL */

struct sign_key;

/* Makes a secret of 24 random bytes in the form of Standard Webhooks. */
void sign_make_secret(char out[SIGN_SECRET_SIZE]);

/* Makes the keys of `secret` (any bytes, at least one); the caller frees them. */
struct sign_key *sign_key_new(struct slice secret);

/* Wipes and frees; NULL is fine. */
void sign_key_free(struct sign_key *k);

/* X-Webhook-Signature v1: "sha256=" and lower hex over the raw body. */
void sign_body(struct sign_key *k, struct slice body, char out[SIGN_HEX_SIZE]);

/* X-Webhook-Signature v2: the same over "{timestamp}.{body}". */
void sign_timed_body(struct sign_key *k, int64_t timestamp_s, struct slice body,
    char out[SIGN_HEX_SIZE]);

/*
 * Standard Webhooks: "v1," and base64 over "{id}.{timestamp}.{body}". The key is
 * the base64-decoded part behind "whsec_" where the secret has that form and
 * decodes (standard alphabet, padding whole or left out), else the secret's own bytes.
 */
void sign_standard(struct sign_key *k, struct slice id, int64_t timestamp_s, struct slice body,
    char out[SIGN_STANDARD_SIZE]);

#endif
