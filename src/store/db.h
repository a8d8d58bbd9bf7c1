/*
 * The embedded database: the only module that knows LMDB. Tables of bytes to bytes in key
 * order, one write transaction at a time, read transactions that live within one callback.
 *
 * A transaction's error is sticky: after a call fails for a reason of the store's, the later
 * ones do nothing and the commit reports it. ERR_NOTFOUND and ERR_EXISTS are answers only.
 *
 * It never: hands out pointers that outlive the next write or the end of the transaction; is
 * opened by two processes.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

/* Their numbers lie on disk (record_at()): new ones come last. */
enum db_table {
	DB_META,           /* name -> value: the schema's version */
	DB_WEBHOOKS,       /* webhook number -> webhook */
	DB_URLS,           /* hash of session and URL, or name -> webhook number: unique */
	DB_EVENTS,         /* event id, piece -> head and body of an event */
	DB_DELIVERIES,     /* delivery id -> delivery */
	DB_QUEUE,          /* webhook number, due time, delivery id -> nothing */
	DB_DEAD,           /* session, dead-letter id -> dead letter */
	DB_DEAD_BY_AGE,    /* dead-letter id -> session */
	DB_SETTLED,        /* time, event id -> bytes: events without open deliveries */
	DB_REPEATS,        /* digest of an idempotency key, piece -> what was answered */
	DB_REPEATS_BY_AGE, /* expiry, digest -> nothing */
	DB_BACKLOG,        /* webhook number -> how many deliveries wait for it */
	DB_ATTEMPTS,       /* delivery id, attempt number -> attempt */
	DB_HISTORY,        /* session, event id -> nothing */
	DB_TASKS,          /* webhook number, or kind and session -> task */
	DB_USAGE,          /* session -> what it holds of the store */
	DB_SOURCES,        /* source id -> source */
	DB_OPEN,           /* event id -> how many of its several deliveries are open */
	DB_TRENDS,         /* webhook number, day -> how its attempts went */
	DB_TABLES
};

#define DB_KEY_MAX 511 /* bytes of a key */

struct db;
struct db_txn;
struct db_cursor;

/*
 * Opens, or creates, the store in folder `dir`, locked against a second process. `max_bytes`:
 * how large the file may become. ERR_IO, ERR_BUSY (in use), ERR_NOTFOUND (it was there, and is
 * gone), ERR_BROKEN, in words.
 */
MUST_CHECK enum err db_open(const char *dir, uint64_t max_bytes, struct db **out,
    struct problem *p);

/*
 * Opens the store that is in folder `dir` for reading alone, whatever its version; a table
 * that it does not have is an empty one. Nothing is changed, but that the lock's file is made
 * where it is missing and can be. ERR_NOTFOUND (there is no store), ERR_CORRUPT (its pages
 * are damaged: pages.h), or as db_open().
 */
MUST_CHECK enum err db_open_readonly(const char *dir, struct db **out, struct problem *p);

MUST_CHECK enum err db_expect(const char *dir, struct problem *p); /* a file; ERR_NOTFOUND */

/*
 * Opens for reading the store that db_open() would open, and refuses what that would, but for a
 * store in use: this is to be asked while it is served. Changes nothing in the folder.
 * `*out` is NULL where there is none, and none was. ERR_NOTFOUND, ERR_IO, ERR_BROKEN, in words.
 */
MUST_CHECK enum err db_try(const char *dir, uint64_t max_bytes, struct db **out,
    struct problem *p);

/* Whether the open file is that of its name, and no damage was met in it. Logs a loss, once. */
bool db_is_there(struct db *db);

void db_close(struct db *db); /* no transaction may be open; NULL is fine */

/* Begins the one write transaction. ERR_STORE, ERR_NOSPACE, ERR_BROKEN. */
MUST_CHECK enum err db_begin(struct db *db, struct db_txn **out);

struct rows;
void db_gather(struct db *db, struct rows *rows); /* what is written from here on; NULL: not */

/* Lets the companions write; what is written behind it is not gathered. The sticky error. */
MUST_CHECK enum err db_prepare(struct db_txn *txn);

/*
 * Commits, synced: after OK it is on disk. The transaction is gone either way.
 * ERR_NOSPACE or ERR_STORE: nothing of it is there, the store is usable.
 * ERR_BROKEN: the outcome is unknown, or the file is gone; the process must end.
 */
MUST_CHECK enum err db_commit(struct db_txn *txn);
void db_abort(struct db_txn *txn);

/*
 * Lets a full file grow by an eighth more than it may, for what makes room. Between
 * transactions. ERR_NOSPACE: the last failure was another, it has grown by half, or there is a
 * snapshot. ERR_BROKEN: the process must end.
 */
MUST_CHECK enum err db_grow(struct db *db);

/* Keeps room behind the file's last page, for outcomes on a full disk. ERR_NOSPACE. */
MUST_CHECK enum err db_reserve(struct db *db);

/* Begins and ends reading; cheap, the reader's slot is kept. At most one at a time. */
MUST_CHECK enum err db_read(struct db *db, struct db_txn **out);
void db_read_end(struct db_txn *txn);

/* Companions of write transactions: they write what was gathered meanwhile, in this order. */
enum db_companion_role { DB_COUNTS_QUEUE, DB_COUNTS_USAGE, DB_JOURNAL, DB_COMPANIONS };

struct db_companion {
	void (*flush)(void *arg, struct db_txn *txn); /* before a commit: may still write */
	void (*ended)(void *arg, bool committed);     /* right behind its end */
	void *arg;
};

/* Sets the companion, outside a transaction; all zero: none. Gives its `arg`. */
void db_accompany(struct db *db, enum db_companion_role role, const struct db_companion *c);
void *db_companion_of(const struct db_txn *txn, enum db_companion_role role);

/*
 * Begins reading that may last over turns: it sees the store as it is now. One at a time, else
 * ERR_BUSY. While it lasts, no page that is freed can be used again and the file grows: its
 * owner ends it when db_usage() says that this cannot go on.
 */
MUST_CHECK enum err db_snapshot(struct db *db, struct db_txn **out);
void db_snapshot_end(struct db_txn *txn);

/* The transaction's sticky error, OK while there is none; sets it, where none is, to `err`. */
enum err db_txn_error(const struct db_txn *txn);
enum err db_txn_fail(struct db_txn *txn, enum err err);

/* Borrows the value under `key` until the next write. ERR_NOTFOUND or the sticky error. */
MUST_CHECK enum err db_get(struct db_txn *txn, enum db_table t, struct slice key,
    struct slice *value);

/* Sets the value under `key`. The sticky error. */
MUST_CHECK enum err db_put(struct db_txn *txn, enum db_table t, struct slice key,
    struct slice value);
/* The same behind the table's last key, else ERR_EXISTS: its pages are filled to the full. */
MUST_CHECK enum err db_append(struct db_txn *txn, enum db_table t, struct slice key,
    struct slice value);

/* Removes `key`. ERR_NOTFOUND or the sticky error. */
MUST_CHECK enum err db_del(struct db_txn *txn, enum db_table t, struct slice key);

/* Borrow the first row, or the last key, until the next write. ERR_NOTFOUND, sticky error. */
MUST_CHECK enum err db_first(struct db_txn *txn, enum db_table t, struct slice *key,
    struct slice *value);
MUST_CHECK enum err db_last(struct db_txn *txn, enum db_table t, struct slice *key);

/* Opens a cursor, closed before the transaction ends. ERR_NOTFOUND: no such table. */
MUST_CHECK enum err db_cursor(struct db_txn *txn, enum db_table t, struct db_cursor **out);
void db_cursor_close(struct db_cursor *c);

/*
 * Goes to the first key not below `key`, or behind it (an empty one: to the first of all), and
 * borrows key and value. ERR_NOTFOUND at the end.
 */
MUST_CHECK enum err db_seek(struct db_cursor *c, struct slice key, struct slice *found,
    struct slice *value);
MUST_CHECK enum err db_seek_behind(struct db_cursor *c, struct slice key, struct slice *found,
    struct slice *value);

/* Goes to the last key below `key`. ERR_NOTFOUND at the start. */
MUST_CHECK enum err db_seek_below(struct db_cursor *c, struct slice key, struct slice *found,
    struct slice *value);

/* Steps to the next or the previous key. ERR_NOTFOUND behind the last. */
MUST_CHECK enum err db_next(struct db_cursor *c, struct slice *found, struct slice *value);
MUST_CHECK enum err db_prev(struct db_cursor *c, struct slice *found, struct slice *value);

struct db_usage {
	uint64_t used_bytes;    /* live pages of all tables */
	uint64_t traffic_bytes; /* of these, what events, dead letters and keys have */
	uint64_t keys_bytes; /* of these, what idempotency keys have, whose order is random */
	uint64_t max_bytes;  /* how large the file may become */
	uint64_t file_bytes; /* how large it is: free pages that may be used again too */
	uint64_t disk_free_bytes; /* of the file system, for an ordinary user */
	uint64_t disk_bytes;      /* size of the file system */
	uint64_t page_bytes;
};

/* Measures; a handful of system calls. ERR_IO, ERR_STORE. The second: its largest size. */
MUST_CHECK enum err db_usage(struct db *db, struct db_usage *out);
uint64_t db_max_bytes(const struct db *db);

/* Counts a table's rows, as the database keeps their number. The sticky error. */
MUST_CHECK enum err db_rows(struct db_txn *txn, enum db_table t, uint64_t *out);

const char *db_table_name(enum db_table t); /* as in docs/architecture.md */
void db_clear_readers(struct db *db);       /* slots of dead processes; now and then */

#endif
