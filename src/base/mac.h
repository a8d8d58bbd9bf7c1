/*
 * HMAC (RFC 2104): the one user of OpenSSL's MACs. A key is made once and used for many
 * messages: a keyed context costs half of HMAC() a message.
 */
#ifndef BASE_MAC_H
#define BASE_MAC_H

#include <stddef.h>

#include "base/slice.h"

#define MAC_SIZE_MAX 64 /* bytes: of SHA-512 */

enum mac_hash { MAC_SHA256, MAC_SHA512, MAC_SHA1 };

struct mac;

/* Copies `key`, of any length but 0; mac_free() it. No memory ends the process. */
struct mac *mac_new(enum mac_hash hash, struct slice key);

/* Wipes and frees; NULL is fine. */
void mac_free(struct mac *m);

/*
 * Computes the code of `parts`, one behind the other, into `out`. Returns its length: 20 bytes
 * of SHA-1, 32 of SHA-256, 64 of SHA-512.
 */
size_t mac_of(struct mac *m, const struct slice parts[], size_t n,
    unsigned char out[MAC_SIZE_MAX]);

#endif
