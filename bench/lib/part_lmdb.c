/*
 * LMDB with the default sync, one transaction after the other: each puts a batch
 * of events with their queue rows and deletes the batch before; see parts.h.
 */
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "parts.h"
#include "shelf.h"

/* Commits batch number `n`, of `size` events, and takes the one before away. */
static void turn(struct shelf *s, uint64_t n, uint64_t size, struct slice event)
{
	shelf_begin(s);
	for (uint64_t i = 0; i < size; i++)
		shelf_put(s, n * size + i, event);
	for (uint64_t i = 0; n > 0 && i < size; i++)
		shelf_drop(s, (n - 1) * size + i);
	shelf_commit(s);
}

uint64_t part_lmdb(const struct part *p, double *seconds)
{
	char *event = malloc(p->body + 1);
	if (event == NULL)
		net_die("lmdb");
	memset(event, 'x', p->body);
	struct shelf *s = shelf_open(p->dir);
	uint64_t start_us = net_now_us();
	uint64_t stop_us = start_us + (uint64_t)(p->seconds * 1e6);
	uint64_t turns = 0;
	while (net_now_us() < stop_us && turns * p->commit < p->count)
		turn(s, turns++, p->commit, (struct slice){event, p->body});
	*seconds = (double)(net_now_us() - start_us) / 1e6;
	shelf_close(s);
	free(event);
	return turns * p->commit;
}
