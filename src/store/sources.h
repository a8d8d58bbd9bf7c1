/*
 * The sources: their table (id -> record, encrypted as webhooks' are; id and a byte -> how far
 * its stream was taken) and a mirror of it in
 * memory, which is changed only after the commit that changed the table. Finds by id and by
 * door. With each go figures of this process's time: what came, and why the last was refused.
 */
#ifndef STORE_SOURCES_H
#define STORE_SOURCES_H

#include "domain/source.h"
#include "store/db.h"

#define SOURCES_MAX 1000       /* of a store: all are in memory, each has metrics of its own */
#define SOURCES_SESSION_MAX 50 /* of these, with the same session as a literal */

struct source_figures {
	uint64_t events;         /* stored for the first time */
	uint64_t repeats;        /* that were stored before */
	uint64_t missed;         /* of the events: a mapping found nothing */
	uint64_t refused;        /* requests that were not proven, or could not be read */
	int64_t last_ms;         /* wall; of the last request that was taken; 0: none */
	int64_t last_refused_ms; /* wall; 0: none */
	char last_refused[160];  /* why, in words */
};

struct source_entry {
	struct source *source;
	struct source_figures figures;
};

struct sources;

struct sources *sources_new(void);
void sources_free(struct sources *all); /* NULL is fine */

/*
 * Loads all of them; those that are not under the vault's first key are written anew.
 * ERR_REFUSED where the vault lacks a key, ERR_CORRUPT or the store's error, in words.
 */
MUST_CHECK enum err sources_load(struct sources *all, struct db *db, const struct vault *vault,
    struct problem *p);

/* Whether sources_load() could: reads all, keeps none and writes nothing. Its errors. */
MUST_CHECK enum err sources_try(struct db *db, const struct vault *vault, struct problem *p);

/* Puts `s` in the place of the source of its id, or adds it. Owns `s`; the old one is freed. */
void sources_set(struct sources *all, struct source *s);

/* Removes and frees the source of that id, if it is there. */
void sources_drop(struct sources *all, const struct uuid *id);

/* Borrow, until the mirror changes; NULL where there is none. */
struct source_entry *sources_find(const struct sources *all, const struct uuid *id);
struct source_entry *sources_at_door(const struct sources *all, struct slice door);

/* Notes that something was refused just now, and why; who counts it is another matter. */
void sources_note_refusal(struct source_entry *e, const char *why);

size_t sources_count(const struct sources *all);

/* Calls `fn` with each struct source_entry, in the order in which they were made. */
void sources_each(const struct sources *all, void (*fn)(void *entry, void *arg), void *arg);

/* Writes the record of `s`. The sticky error. */
MUST_CHECK enum err sources_put(struct db_txn *txn, const struct vault *vault,
    const struct source *s);

/* Counts the records, as this transaction has them. O(sources). */
MUST_CHECK enum err sources_records(struct db_txn *txn, uint64_t *out);

/* Reads one; *out is the caller's to free. ERR_NOTFOUND, ERR_CORRUPT. */
MUST_CHECK enum err sources_get(struct db_txn *txn, const struct vault *vault,
    const struct uuid *id, struct source **out);

/* Removes the record, and its position. ERR_NOTFOUND. */
MUST_CHECK enum err sources_del(struct db_txn *txn, const struct uuid *id);

/*
 * How far a source's stream has been taken: a row, in the transaction of the events. It names
 * the stream, and is none of another one that the source takes now. One of the configuration
 * keeps its row when it is removed there: it goes on once it is back.
 */
struct source_position {
	uint64_t stream; /* when it was made, as its server says */
	uint64_t seq;    /* of the last message */
};

/*
 * Reads that of the stream of `s`; zeroed where there is none yet. ERR_NOTFOUND: no such source
 * any more; ERR_CORRUPT.
 */
MUST_CHECK enum err sources_get_position(struct db_txn *txn, const struct source *s,
    struct source_position *out);
MUST_CHECK enum err sources_put_position(struct db_txn *txn, const struct source *s,
    const struct source_position *position);

/* Decodes a row as far as that goes without a key: whether it is whole. ERR_CORRUPT. */
MUST_CHECK enum err sources_check(struct slice key, struct slice value);

#endif
