/*
 * Signatures over deliveries, HMAC-SHA256 (base/mac.h) and Ed25519 (base/ed25519.h);
 * standardwebhooks.com and RFC 9421 (httpsig.h) have two of the forms. A key is made once per
 * webhook with work, and used for all its deliveries.
 *
 * SIGN_SCHEMES is the list of what a webhook can choose as its `signature`: whoever signs,
 * verifies, reads or shows a choice asks it. tests/lint/schemes.sh holds the documents to it.
 */
#ifndef DOMAIN_SIGN_H
#define DOMAIN_SIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ed25519.h"
#include "base/err.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "domain/problem.h"

#define SIGN_HEX_SIZE 72      /* "sha256=", 64 hex digits, NUL */
#define SIGN_STANDARD_SIZE 48 /* "v1,", 44 base64 characters, NUL */

#define SIGN_SECRET_SIZE 39 /* "whsec_", 32 base64 characters, NUL */
#define SIGN_PUBLIC_SIZE 50 /* "whpk_", 44 base64 characters, NUL */
#define SIGN_HEADERS_MAX 4  /* that one scheme sets itself */
#define SIGN_LABELS_MAX 4   /* signatures of RFC 9421 in one request */

struct sign_key;

/* A key pair, opened for signing. */
struct sign_pair;

/*
 * The schemes' codes in the records of webhooks, a bit each: a webhook has a set of them. One
 * that was given is never used again.
 */
enum signature {
	SIGNATURE_V1 = 1,
	SIGNATURE_V2 = 2,
	SIGNATURE_ED25519 = 4,
	SIGNATURE_RFC9421 = 8
};

/* What an attempt signs. Borrowed. */
struct sign_message {
	unsigned schemes;              /* a set of enum signature */
	struct sign_key *key;          /* NULL: no secret, what wants one is left out */
	struct sign_key *previous_key; /* NULL unless a secret is being rotated */
	struct sign_pair *pair;        /* NULL: no key pair, as with `key` */
	struct sign_pair *previous_pair;
	struct slice event_id;
	int64_t timestamp_s; /* of the attempt; X-Webhook-Timestamp */
	struct slice body;
	struct slice method;  /* empty: POST */
	struct slice content; /* the body as it is sent, where that is compressed; or empty */
	struct slice url;
	struct slice content_type;
};

/* Takes one header of the attempt; both are borrowed for the call. */
typedef void (*sign_put_fn)(void *arg, struct slice name, struct slice value);

/* What a request shows as proof that its sender knows a secret. Borrowed. */
struct sign_claim {
	/* gives a header of `request`; empty where it has none of that name */
	struct slice (*header)(const void *request, const char *name);
	const void *request;
	struct slice method; /* as sent, here and in the next; empty: what signs them fails */
	struct slice target; /* @target-uri */
	struct slice body;
	struct slice content; /* the same as it came, where that was compressed; or empty */
	const unsigned char *public_key; /* of Ed25519; NULL: what is signed by one fails */
	int64_t now_s;                   /* wall */
	int64_t window_s; /* how far a time that is signed may be off; INT64_MAX: any */
};

struct sign_scheme {
	const char *name;    /* in JSON, and in X-Webhook-Signature-Version */
	unsigned code;       /* enum signature; 0: goes beside others, cannot be chosen */
	const char *summary; /* for people */
	const char
	    *headers[SIGN_HEADERS_MAX + 1]; /* up to a NULL; the first has the signature */
	bool has_lists; /* these are lists, which may go over several lines (RFC 9110, 5.3) */
	const struct sign_scheme *beside; /* whose headers are set too; NULL: none */
	void (*sign)(const struct sign_message *m, sign_put_fn put, void *arg);
	bool (*verify)(struct sign_key *k, const struct sign_claim *c);
};

/* All that can be chosen; the first is what a request is signed with that names none. */
extern const struct sign_scheme SIGN_SCHEMES[];
extern const size_t SIGN_SCHEMES_COUNT;

/* Finds a scheme by its code or its name; NULL where none has it. */
const struct sign_scheme *sign_find_code(unsigned code);
const struct sign_scheme *sign_find_name(struct slice name);

/*
 * Whether a webhook may have that set: at least one scheme, all are known, and no two set the
 * same header.
 */
bool sign_is_set(unsigned schemes);

/*
 * Reads names with commas between them, and perhaps spaces behind these, into a set. 0: they
 * are none.
 */
unsigned sign_read_set(struct slice names);

/* Writes a set: the name of its scheme, or an array of them in the table's order. */
void sign_write_set(unsigned schemes, const char *key, struct json_writer *json);

/*
 * Calls `put` for each header of the message's schemes and of what goes beside them, in the
 * order of the wire.
 */
void sign_put_headers(const struct sign_message *m, sign_put_fn put, void *arg);

/*
 * Whether the claim is proven under the scheme that it names in X-Webhook-Signature-Version,
 * of those that are in X-Webhook-Signature; the first one where it names none of them.
 */
bool sign_verify(struct sign_key *k, const struct sign_claim *c);

/*
 * Whether there are signatures, of any scheme, and all are right. `k` NULL, or no public_key:
 * those by such a key are passed over, and there must be others. With `k`,
 * X-Webhook-Signature must be there unless another scheme is.
 */
bool sign_verify_all(struct sign_key *k, const struct sign_claim *c);

/* Makes a secret of 24 random bytes in the form of Standard Webhooks. */
void sign_make_secret(char out[SIGN_SECRET_SIZE]);

/* Draws a key pair. */
void sign_make_pair(struct ed25519_pair *out);

/*
 * Reads a private key of Standard Webhooks, "whsk_" and base64 of its seed, which the public
 * key may stand behind. ERR_INVALID with the problem on `field`.
 */
MUST_CHECK enum err sign_read_private(struct slice text, const char *field,
    struct ed25519_pair *out, struct problem *p);

/* The same of a public key, "whpk_" and base64; and writes one. */
MUST_CHECK enum err sign_read_public(struct slice text, const char *field,
    unsigned char out[ED25519_PUBLIC_SIZE], struct problem *p);
void sign_put_public(const unsigned char key[ED25519_PUBLIC_SIZE], char out[SIGN_PUBLIC_SIZE]);

/* Opens a pair; sign_pair_free() it. */
struct sign_pair *sign_pair_new(const struct ed25519_pair *pair);

/* Wipes and frees; NULL is fine. */
void sign_pair_free(struct sign_pair *p);

/*
 * Whether receivers will be able to use `secret`: not empty, no white space around it, behind
 * "whsec_" base64 as libraries of Standard Webhooks read it (standard alphabet, padding whole
 * or left out), nothing in front of that, and none of their keys of other kinds. ERR_INVALID
 * with the problem on `field`.
 */
MUST_CHECK enum err sign_check_secret(struct slice secret, const char *field,
    struct problem *p);

/*
 * Makes the keys of `secret` (any bytes, at least one: a store may have what was taken before
 * sign_check_secret() was asked); the caller frees them.
 */
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
