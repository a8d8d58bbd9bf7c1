/*
 * Private keys that others give us to sign with on the loop: read from PEM, and known for what
 * a signature may take. The one reader of such keys.
 */
#ifndef DOMAIN_PRIVATE_KEY_H
#define DOMAIN_PRIVATE_KEY_H

#include <stdbool.h>

#include "base/slice.h"

#define PRIVATE_KEY_RSA_MAX 4096 /* bits; twice as many take seven times as long */

struct evp_pkey_st; /* OpenSSL's */

/*
 * Opens the key, NULL where there is none; EVP_PKEY_free() it. *encrypted: nobody can be asked
 * for its passphrase, and there is none either.
 */
struct evp_pkey_st *private_key_open(struct slice pem, bool *encrypted);

/*
 * Whether a signature by it might hold the loop up: RSA of more bits than PRIVATE_KEY_RSA_MAX,
 * or by numbers that do not belong together, or are longer than they need be, for which
 * OpenSSL takes ten times as long and longer; a curve of over 521 bits, a binary one, or one
 * that the key defines itself; DSA. Takes as long as some signatures.
 */
bool private_key_is_dear(const struct evp_pkey_st *key);

#endif
