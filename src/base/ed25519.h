/*
 * Ed25519 (RFC 8032): key pairs that are made of a seed, signatures, their check. The one user
 * of OpenSSL's.
 */
#ifndef BASE_ED25519_H
#define BASE_ED25519_H

#include <stdbool.h>

#include "base/slice.h"

#define ED25519_SEED_SIZE 32
#define ED25519_PUBLIC_SIZE 32
#define ED25519_SIGNATURE_SIZE 64

/* The private key is its seed; whoever has it has the pair. */
struct ed25519_pair {
	unsigned char seed[ED25519_SEED_SIZE];
	unsigned char public_key[ED25519_PUBLIC_SIZE];
};

/* Computes the public key of `out->seed`, which the caller has set. */
void ed25519_complete(struct ed25519_pair *out);

struct ed25519_key;

/* Opens a pair for signing, once for many messages; ed25519_key_free() it. */
struct ed25519_key *ed25519_key_new(const unsigned char seed[ED25519_SEED_SIZE]);

/* Wipes and frees; NULL is fine. */
void ed25519_key_free(struct ed25519_key *k);

/* Signs; the same message has the same signature each time. */
void ed25519_sign(const struct ed25519_key *k, struct slice message,
    unsigned char out[ED25519_SIGNATURE_SIZE]);

/* Whether `signature` is that of `message` by the private key of `public_key`. */
bool ed25519_verify(const unsigned char public_key[ED25519_PUBLIC_SIZE], struct slice message,
    const unsigned char signature[ED25519_SIGNATURE_SIZE]);

#endif
