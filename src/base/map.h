/*
 * A hash map from bytes to a pointer: the one user of uthash. Keys are copied,
 * values are borrowed. Iteration order is insertion order. Each map hashes under a key of
 * its own: peers choose many of the keys in it, and must not know which share a bucket.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>

#include "base/hash.h"

struct map;

struct map *map_new(void);

/* The same under a key that is known: for tests. */
struct map *map_new_keyed(const struct hash_key *key);

/* Frees the map and its keys, never the values. NULL is fine. */
void map_free(struct map *m);

/* The same with the values, of which each is one piece of memory. */
void map_free_all(struct map *m);

/* Returns the value under `key`, or NULL. */
void *map_get(const struct map *m, const void *key, size_t len);

/* Sets the value under `key`, replacing an old one. `value` is not NULL. */
void map_put(struct map *m, const void *key, size_t len, void *value);

/* Removes `key` and returns its value, or NULL. */
void *map_del(struct map *m, const void *key, size_t len);

size_t map_count(const struct map *m);

/* How many entries the fullest bucket has: what the slowest look-up walks. O(buckets). */
size_t map_longest_chain(const struct map *m);

/* Calls `fn` for each value; `fn` may delete the entry it is called for, and no other. */
void map_each(struct map *m, void (*fn)(void *value, void *arg), void *arg);

#endif
