/*
 * The vault: encrypts what must not be readable in the store. AES-256-GCM (NIST SP 800-38D)
 * under the operator's keys: the first one encrypts, every one decrypts, so that keys can be
 * changed. What is encrypted names its key by an id, a digest that does not give the key away.
 *
 * It never: reads a file or a random number (who encrypts brings a nonce that was never used
 * before; 96 random bits are good for 2^32 records a key), keeps what it decrypts.
 */
#ifndef DOMAIN_VAULT_H
#define DOMAIN_VAULT_H

#include "base/buf.h"
#include "base/slice.h"
#include "domain/problem.h"

#define VAULT_KEYS_MAX 16
#define VAULT_NONCE_SIZE 12
#define VAULT_OVERHEAD (VAULT_NONCE_SIZE + 16) /* bytes more than the plain text: a tag too */
#define VAULT_ID_SIZE 8
#define VAULT_ID_TEXT_SIZE (2 * VAULT_ID_SIZE + 1) /* hex and a NUL */

/* The first bytes of SHA-256("waybill vault key" NUL key). All zero: no key, not encrypted. */
struct vault_id {
	unsigned char bytes[VAULT_ID_SIZE];
};

struct vault;

/* Makes a vault without keys: it encrypts nothing. NULL stands for one as well. */
struct vault *vault_new(void);

/* Wipes and frees; NULL is fine. */
void vault_free(struct vault *v);

/*
 * Adds a key of 64 hex digits behind the ones there are; one that is there already is OK.
 * ERR_INVALID, ERR_TOOBIG beyond VAULT_KEYS_MAX; the problem says nothing of the key.
 */
MUST_CHECK enum err vault_add(struct vault *v, struct slice hex, struct problem *p);

/* The id of the key that encrypts; all zero where there is none. */
struct vault_id vault_current(const struct vault *v);

/* Whether two ids are the same, and whether `id` stands for no key. */
bool vault_same(const struct vault_id *a, const struct vault_id *b);
bool vault_is_none(const struct vault_id *id);

void vault_put_id(const struct vault_id *id, char out[VAULT_ID_TEXT_SIZE]);

/*
 * Appends nonce, cipher text and tag of `plain` under the first key, of which there must be
 * one. `context` is not encrypted, but decrypting takes the very same: it binds the secret to
 * where it belongs.
 */
void vault_encrypt(const struct vault *v, const unsigned char nonce[VAULT_NONCE_SIZE],
    struct slice context, struct slice plain, struct buf *out);

/*
 * Appends the plain text; the caller wipes it. ERR_REFUSED: there is no key of that id.
 * ERR_CORRUPT: this is not what was encrypted under it, with this context.
 */
MUST_CHECK enum err vault_decrypt(const struct vault *v, const struct vault_id *id,
    struct slice context, struct slice encrypted, struct buf *plain);

#endif
