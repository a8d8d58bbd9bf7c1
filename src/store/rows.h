/*
 * What a write transaction writes, row by row, gathered as bytes: to be read by another store
 * that does the same (docs/cluster.md). db.c adds to it; nothing is gathered where a store has
 * none (db_gather()).
 *
 *   op (1): 1 put, 2 delete   table (1)   key (2 + n)   of a put: value (4 + n)
 *
 * It never: looks at what a row means, reorders rows, drops one that a later one replaces.
 */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include "base/buf.h"
#include "store/db.h"

struct rows {
	struct buf bytes;
	uint64_t count;
};

#define ROWS_BYTES_MAX (512u << 20) /* LMDB's own bound of a transaction is below */

#define ROWS_INIT ((struct rows){.bytes = BUF_INIT(ROWS_BYTES_MAX)})

void rows_fini(struct rows *r);

/* Forgets all, and keeps the memory unless it is large. */
void rows_reset(struct rows *r);

/* Each returns what rows_take_back() takes to forget the row again, while it is the last. */
size_t rows_add_put(struct rows *r, enum db_table t, struct slice key, struct slice value);
size_t rows_add_del(struct rows *r, enum db_table t, struct slice key);
void rows_take_back(struct rows *r, size_t to);

/*
 * Cuts the next whole rows off the front of *left: as many as `most` bytes hold, at least one.
 * Empty where nothing is left. ERR_CORRUPT as rows_apply().
 */
MUST_CHECK enum err rows_cut(struct slice *left, size_t most, struct slice *out);

/*
 * Does in the transaction what the rows say. ERR_CORRUPT: they are none, or one deletes what
 * is not there: the stores have parted. Fails the transaction then, as with the store's errors.
 */
MUST_CHECK enum err rows_apply(struct slice rows, struct db_txn *txn);

#endif
