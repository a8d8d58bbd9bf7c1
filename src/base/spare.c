/* Large blocks kept for their next use; see spare.h. */
#include "base/spare.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 32

/* A block that is used again would hide from AddressSanitizer that it was used too late. */
#ifdef __SANITIZE_ADDRESS__
#define KEEPS 0
#else
#define KEEPS 1
#endif

static struct {
	struct {
		void *bytes;
		size_t size;
	} blocks[BLOCKS_MAX]; /* the oldest first */
	size_t count;
	size_t held; /* bytes */
	size_t most;
} spare;

static void *remove_at(size_t i)
{
	void *block = spare.blocks[i].bytes;
	spare.held -= spare.blocks[i].size;
	spare.count--;
	memmove(&spare.blocks[i], &spare.blocks[i + 1],
	    (spare.count - i) * sizeof(spare.blocks[0]));
	return block;
}

/* Frees the oldest until `more` bytes have room. */
static void make_room(size_t more)
{
	while (spare.count > 0 && (spare.held + more > spare.most || spare.count == BLOCKS_MAX))
		free(remove_at(0));
}

void spare_keep(size_t bytes)
{
	spare.most = KEEPS ? bytes : 0;
	make_room(0);
}

void *spare_take(size_t bytes, size_t *size)
{
	size_t best = spare.count;
	for (size_t i = 0; i < spare.count; i++) {
		size_t has = spare.blocks[i].size;
		if (has >= bytes && (best == spare.count || has < spare.blocks[best].size))
			best = i;
	}
	if (best == spare.count)
		return NULL;
	*size = spare.blocks[best].size;
	return remove_at(best);
}

void spare_give(void *block, size_t size)
{
	if (block == NULL || size < SPARE_MIN || size > spare.most) {
		free(block);
		return;
	}
	make_room(size);
	spare.blocks[spare.count].bytes = block;
	spare.blocks[spare.count].size = size;
	spare.count++;
	spare.held += size;
}
