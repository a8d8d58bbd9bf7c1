/*
 * Where a migration is that takes several transactions: a position in its tables, kept in
 * DB_META under a name of its own, sealed, from the first slice until it is through. What the
 * bytes mean is the migration's own matter; most keep the last key that they have looked at.
 */
#ifndef STORE_MIGRATION_H
#define STORE_MIGRATION_H

#include "store/db.h"

#define MIGRATION_POSITION_MAX (DB_KEY_MAX + 1) /* bytes: a key, and which table's */

struct migration_position {
	char bytes[MIGRATION_POSITION_MAX];
	size_t len; /* 0: it has not begun */
};

/* Sets the position; `key` is no longer than DB_KEY_MAX, and may die with the next write. */
void migration_set(struct migration_position *p, struct slice key);

/* Reads the position of migration `name`. ERR_CORRUPT, the store's error. */
MUST_CHECK enum err migration_read(struct db_txn *txn, struct slice name,
    struct migration_position *out);

/* Keeps it. The store's error. */
MUST_CHECK enum err migration_write(struct db_txn *txn, struct slice name,
    const struct migration_position *p);

/* It is through: removes the position, if there is one. The store's error. */
MUST_CHECK enum err migration_end(struct db_txn *txn, struct slice name);

#endif
