/* A set of ids that only grows and only counts. */
#ifndef BENCH_IDSET_H
#define BENCH_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * Holds 63 bits of each id's hash, not the id: two of a million ids are taken for
 * one in one run of 18 million. All zero is an empty set.
 */
struct idset {
	uint64_t *slots; /* 0: free */
	size_t size;     /* a power of two */
	size_t count;
};

/* Adds `id`; false when it was there. */
bool idset_add(struct idset *set, struct slice id);
void idset_fini(struct idset *set);

#endif
