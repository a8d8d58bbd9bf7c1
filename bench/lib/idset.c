/* Open addressing with linear probing, at most half full; see idset.h. */
#include "idset.h"

#include <stdlib.h>

#include "net.h"

#define FIRST_SIZE 4096

/* FNV-1a, then the finalizer of MurmurHash3, as ids differ in few bits. Never 0. */
static uint64_t hash_of(struct slice id)
{
	uint64_t h = 0xcbf29ce484222325;
	for (size_t i = 0; i < id.len; i++)
		h = (h ^ (unsigned char)id.ptr[i]) * 0x100000001b3;
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53;
	return (h ^ (h >> 33)) | 1;
}

static uint64_t *find_slot(uint64_t *slots, size_t size, uint64_t hash)
{
	size_t i = (size_t)(hash >> 1) & (size - 1);
	while (slots[i] != 0 && slots[i] != hash)
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static void grow(struct idset *set)
{
	size_t size = set->size == 0 ? FIRST_SIZE : set->size * 2;
	uint64_t *slots = calloc(size, sizeof(*slots));
	if (slots == NULL)
		net_die("ids");
	for (size_t i = 0; i < set->size; i++) {
		if (set->slots[i] != 0)
			*find_slot(slots, size, set->slots[i]) = set->slots[i];
	}
	free(set->slots);
	set->slots = slots;
	set->size = size;
}

bool idset_add(struct idset *set, struct slice id)
{
	if (set->count * 2 >= set->size)
		grow(set);
	uint64_t hash = hash_of(id);
	uint64_t *slot = find_slot(set->slots, set->size, hash);
	if (*slot == hash)
		return false;
	*slot = hash;
	set->count++;
	return true;
}

void idset_fini(struct idset *set)
{
	free(set->slots);
	*set = (struct idset){0};
}
