/*
 * Assertions by which a client shows a token endpoint who it is, without a secret that both
 * know: JSON Web Tokens (RFC 7519) signed by its private key (RFC 7523 section 2.2). The one
 * user of OpenSSL for that. The algorithm is the key's: RSA signs by RS256, P-256 by ES256,
 * Ed25519 by EdDSA.
 */
#ifndef DOMAIN_ASSERTION_H
#define DOMAIN_ASSERTION_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define ASSERTION_RSA_MIN 2048 /* bits of an RSA key; private_key.h has the most */

/* Bytes of one that is put, of texts of at most 1024 bytes and a URL of 2048. */
#define ASSERTION_MAX 18432

enum assertion_key {
	ASSERTION_KEY_FITS,
	ASSERTION_KEY_BAD,       /* there is none, nothing that can be read, or more than it */
	ASSERTION_KEY_ENCRYPTED, /* nobody could be asked for the passphrase */
	ASSERTION_KEY_OTHER      /* of a kind that is not for this, or would take too long */
};

/* Whether `pem` is a private key by which assertions can be signed. */
enum assertion_key assertion_check_key(struct slice pem);

/* What an assertion says. Borrowed. */
struct assertion {
	struct slice key;       /* in PEM */
	struct slice key_id;    /* empty: is left out */
	struct slice client_id; /* who it is, and who says so */
	struct slice audience;  /* the token endpoint's URL */
	int64_t now_s;          /* wall */
};

/*
 * Appends one, good for five minutes, with an id of its own. ERR_INVALID where the key is of
 * no such kind; nothing is appended. assertion_check_key() has let it through before: what a
 * signature takes is not looked at here. By RSA of 4096 bits it is some milliseconds.
 */
MUST_CHECK enum err assertion_put(const struct assertion *a, struct buf *out);

#endif
