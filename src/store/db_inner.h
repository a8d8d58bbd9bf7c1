/*
 * What is in a store and in a transaction, for db.c alone.
 */
#ifndef STORE_DB_INNER_H
#define STORE_DB_INNER_H

#include <limits.h>

#include "store/db.h"
#include "store/folder.h"

#define NO_TABLE UINT_MAX /* in place of the handle of a table that the store does not have */

struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

struct db_txn {
	struct db *db;
	struct MDB_txn *mdb;
	enum err err;
	bool open;
};

struct db {
	struct MDB_env *env;
	unsigned tables[DB_TABLES];
	struct db_txn write;
	struct db_companion companions[DB_COMPANIONS];
	struct db_txn read; /* its MDB_txn is reset and renewed, so the reader's slot stays */
	uint64_t max_bytes; /* what the file may take; the map is larger once it had to grow */
	bool map_full;      /* the last failure was that */
	uint64_t reserved;  /* where the room ends that was taken behind the file's last page */
	struct folder folder;
	char *dir;
	uint64_t least_bytes; /* that the file had once: it never becomes shorter */
	struct db_txn snapshot;
	bool readonly;
};

struct db_cursor {
	struct db_txn *txn;
	struct MDB_cursor *mdb;
};

/* Maps a result of LMDB's and makes a failure of the store's stick to the transaction. */
enum err db_result(struct db_txn *txn, int rc);

#endif
