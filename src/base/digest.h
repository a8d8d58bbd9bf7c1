/*
 * SHA-256 of bytes, where nobody must be able to find two that have the same: keys of tables
 * that are made of what clients send, names of keys.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/slice.h"

#define DIGEST_SIZE 32

/* Hashes `parts` one behind the other; where one ends and the next begins is not marked. */
void digest_of(const struct slice parts[], size_t n, unsigned char out[DIGEST_SIZE]);

#endif
