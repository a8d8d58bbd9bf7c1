/* uthash behind functions, so that its macros stay in one file. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define uthash_fatal(msg)                                                                      \
	log_panic("out of memory") /* as mem.h; its own exits without a word */
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	void *value;
	unsigned char key[];
};

struct map {
	struct entry *head;
};

struct map *map_new(void)
{
	return mem_new(sizeof(struct map));
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

static struct entry *find(const struct map *m, const void *key, size_t len)
{
	struct entry *e = NULL;
	HASH_FIND(hh, m->head, key, (unsigned)len, e);
	return e;
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	struct entry *e = find(m, key, len);
	return e == NULL ? NULL : e->value;
}

void map_put(struct map *m, const void *key, size_t len, void *value)
{
	struct entry *e = find(m, key, len);
	if (e == NULL) {
		e = mem_new(sizeof(*e) + len);
		memcpy(e->key, key, len);
		HASH_ADD_KEYPTR(hh, m->head, e->key, (unsigned)len, e);
	}
	e->value = value;
}

void *map_del(struct map *m, const void *key, size_t len)
{
	struct entry *e = find(m, key, len);
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

void map_each(struct map *m, void (*fn)(void *value, void *arg), void *arg)
{
	struct entry *e = m->head;
	while (e != NULL) {
		struct entry *next = e->hh.next;
		fn(e->value, arg);
		e = next;
	}
}
