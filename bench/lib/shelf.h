/* The bare store: LMDB with its default sync, a table of events and one of what waits. */
#ifndef BENCH_SHELF_H
#define BENCH_SHELF_H

#include <stdint.h>

#include "base/slice.h"

struct shelf;

/* Makes a file of its own below `dir`; its end removes it. */
struct shelf *shelf_open(const char *dir);
void shelf_close(struct shelf *s);

/* Begins the transaction, one at a time; the commit is on disk when it returns. */
void shelf_begin(struct shelf *s);
void shelf_commit(struct shelf *s);

/* Puts an event and its queue row. Ids go up. */
void shelf_put(struct shelf *s, uint64_t id, struct slice event);

/* Deletes both. */
void shelf_drop(struct shelf *s, uint64_t id);

#endif
