/* The version of the tables' layout, and the way from an older one to this. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "domain/problem.h"
#include "store/db.h"

#define SCHEMA_VERSION 10

/*
 * Brings an open store to SCHEMA_VERSION, a migration, or a slice of one, a transaction; an
 * empty store is version 0. ERR_CONFLICT for a store that a newer waybill has written,
 * or the store's error; with the problem in words.
 */
MUST_CHECK enum err schema_migrate(struct db *db, struct problem *p);

/* Whether schema_migrate() could: ERR_CONFLICT as there, or the store's error, in words. */
MUST_CHECK enum err schema_check(struct db *db, struct problem *p);

/* Reads the store's version, 0 where it has none yet. ERR_CORRUPT, the store's error. */
MUST_CHECK enum err schema_version(struct db_txn *txn, uint32_t *out);

#endif
