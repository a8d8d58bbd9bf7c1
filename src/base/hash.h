/*
 * Fast hashes of bytes, XXH3: the one user of xxHash. A checksum that finds what a disk or a
 * memory has changed, and a keyed hash that says in which bucket something goes. Neither
 * stands up to a peer who knows the bytes and the key: for that there is base/digest.h.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_KEY_SIZE 136 /* XXH3_SECRET_SIZE_MIN */

/* Random bytes that decide what goes where; who knows them can aim. */
struct hash_key {
	unsigned char bytes[HASH_KEY_SIZE];
};

/* Draws a key from the system. */
void hash_key_draw(struct hash_key *key);

/* Hashes without a key: the same everywhere and for good, so it may lie on disk. */
uint64_t hash_checksum(const void *bytes, size_t len);

#define HASH_DIGEST_SIZE 16

/* The same in 128 bits, in XXH3's canonical order: for what is told apart by it alone. */
void hash_digest(const void *bytes, size_t len, unsigned char out[HASH_DIGEST_SIZE]);

/* The same with a number as a seed: another hash for each. */
uint64_t hash_seeded(uint64_t seed, const void *bytes, size_t len);

/* Hashes under a key. Keys of a process's own: the result must not lie on disk. */
uint64_t hash_keyed(const struct hash_key *key, const void *bytes, size_t len);

/* A checksum of bytes that come in pieces. hash_sum_free() it. */
struct hash_sum;

struct hash_sum *hash_sum_new(void);
void hash_sum_free(struct hash_sum *s);
void hash_sum_add(struct hash_sum *s, const void *bytes, size_t len);

/* The checksum of what was added so far: as hash_checksum() of all of it. */
uint64_t hash_sum_get(const struct hash_sum *s);

#endif
