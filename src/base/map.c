/* uthash behind functions, so that its macros stay in one file. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define uthash_fatal(msg)                                                                      \
	log_panic("out of memory") /* as mem.h; its own exits without a word */
#include <uthash.h>

/* Entries of the fullest bucket: at its own of ten a look-up walks over two that are cold. */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 6U

struct entry {
	UT_hash_handle hh;
	void *value;
	unsigned char key[];
};

struct map {
	struct entry *head;
	struct hash_key
	    hash_key; /* uthash's own hashes have none: their buckets can be aimed at */
};

struct map *map_new(void)
{
	struct hash_key key;
	hash_key_draw(&key);
	return map_new_keyed(&key);
}

struct map *map_new_keyed(const struct hash_key *key)
{
	struct map *m = mem_new(sizeof(*m));
	m->hash_key = *key;
	return m;
}

void map_free(struct map *m)
{
	if (m == NULL)
		return;
	struct entry *e = m->head;
	HASH_CLEAR(hh, m->head);
	while (e != NULL) {
		struct entry *next = e->hh.next;
		free(e);
		e = next;
	}
	free(m);
}

static unsigned hash(const struct map *m, const void *key, size_t len)
{
	return (unsigned)hash_keyed(&m->hash_key, key, len);
}

static struct entry *find(const struct map *m, const void *key, size_t len, unsigned hashed)
{
	struct entry *e = NULL;
	HASH_FIND_BYHASHVALUE(hh, m->head, key, (unsigned)len, hashed, e);
	return e;
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	struct entry *e = find(m, key, len, hash(m, key, len));
	return e == NULL ? NULL : e->value;
}

void map_put(struct map *m, const void *key, size_t len, void *value)
{
	unsigned hashed = hash(m, key, len);
	struct entry *e = find(m, key, len, hashed);
	if (e == NULL) {
		e = mem_new(sizeof(*e) + len);
		memcpy(e->key, key, len);
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, m->head, e->key, (unsigned)len, hashed, e);
	}
	e->value = value;
}

void *map_del(struct map *m, const void *key, size_t len)
{
	struct entry *e = find(m, key, len, hash(m, key, len));
	if (e == NULL)
		return NULL;
	void *value = e->value;
	HASH_DEL(m->head, e);
	free(e);
	return value;
}

size_t map_count(const struct map *m)
{
	return HASH_COUNT(m->head);
}

size_t map_longest_chain(const struct map *m)
{
	const UT_hash_table *table = m->head == NULL ? NULL : m->head->hh.tbl;
	size_t longest = 0;
	for (unsigned i = 0; table != NULL && i < table->num_buckets; i++) {
		if (table->buckets[i].count > longest)
			longest = table->buckets[i].count;
	}
	return longest;
}

void map_each(struct map *m, void (*fn)(void *value, void *arg), void *arg)
{
	struct entry *e = m->head;
	while (e != NULL) {
		struct entry *next = e->hh.next;
		fn(e->value, arg);
		e = next;
	}
}

static void free_value(void *value, void *arg)
{
	(void)arg;
	free(value);
}

void map_free_all(struct map *m)
{
	if (m != NULL)
		map_each(m, free_value, NULL);
	map_free(m);
}
