/*
 * A copy of the whole store as a stream of bytes: written from a snapshot while the store
 * goes on, read into a new store (docs/operations.md, section 6). All integers are
 * big-endian:
 *
 *   "waybill backup\n"  version of this form (1)  map_bytes (8)
 *   'T'  name (2 + n)                       the table of the rows that follow
 *   'R'  key (2 + n)  value (4 + n)         a row, in the order of keys
 *   'E'  rows (8)  checksum (8)             the end; XXH3 of every byte before the checksum
 *
 * Values lie in it as they do in the store, secrets too.
 */
#ifndef BACKUP_BACKUP_H
#define BACKUP_BACKUP_H

#include <stdbool.h>

#include "base/buf.h"
#include "store/db.h"

struct backup_source;

/* Begins a copy of the store as it is now. ERR_BUSY (there is one already), or the store's. */
MUST_CHECK enum err backup_source_new(struct db *db, struct backup_source **out);

/* Ends it and its snapshot. NULL is fine. */
void backup_source_free(struct backup_source *s);

/*
 * Appends the next rows to `out`, until that has `most` bytes or a row more; *end when it was
 * the last. The store's error: the copy cannot be ended. O(bytes).
 */
MUST_CHECK enum err backup_source_read(struct backup_source *s, size_t most, struct buf *out,
    bool *end);

/* Rows so far. */
uint64_t backup_source_rows(const struct backup_source *s);

struct backup_sink;

/* Begins a new store in folder `dir`, which must not be there. ERR_EXISTS, or as db_open(). */
MUST_CHECK enum err backup_sink_new(const char *dir, struct backup_sink **out,
    struct problem *p);

/* Closes the store as it is by then, and never removes it. NULL is fine. */
void backup_sink_free(struct backup_sink *s);

/*
 * Takes the next bytes of the stream, however it was cut, and writes what is complete.
 * ERR_SYNTAX (not such a stream, or a broken one), the store's error; with the problem in
 * words. After an error nothing more may be written.
 */
MUST_CHECK enum err backup_sink_write(struct backup_sink *s, struct slice bytes,
    struct problem *p);

/*
 * Says whether the stream was complete, as its end says, and all of it is on disk.
 * ERR_SYNTAX, the store's error.
 */
MUST_CHECK enum err backup_sink_finish(struct backup_sink *s, struct problem *p);

#endif
