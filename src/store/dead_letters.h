/*
 * The dead-letter queue on disk. Key: session, a NUL, the dead letter's id;
 * ids grow with time, so a session's entries lie oldest first.
 */
#ifndef STORE_DEAD_LETTERS_H
#define STORE_DEAD_LETTERS_H

#include "base/slice.h"
#include "domain/dead_letter.h"
#include "store/db.h"

/* Adds a dead letter, to its session's and to the index by age. */
MUST_CHECK enum err dead_letters_put(struct db_txn *txn, struct slice session,
    const struct dead_letter *d);

/* ERR_NOTFOUND where the session has no such entry, ERR_CORRUPT. */
MUST_CHECK enum err dead_letters_get(struct db_txn *txn, struct slice session,
    const struct uuid *id, struct dead_letter *out);

/* Removes it from both. ERR_NOTFOUND. */
MUST_CHECK enum err dead_letters_del(struct db_txn *txn, struct slice session,
    const struct uuid *id);

/* Names the oldest dead letter of all, and its session. ERR_NOTFOUND. */
MUST_CHECK enum err dead_letters_oldest(struct db_txn *txn, struct uuid *id,
    char session[SESSION_MAX + 1]);

/*
 * Decodes a row of DB_DEAD; *session is borrowed from its key. ERR_CORRUPT, with *d's id and
 * *session set where the key at least is whole, and *session empty where it is not.
 */
MUST_CHECK enum err dead_letters_decode(struct slice key, struct slice value,
    struct slice *session, struct dead_letter *d);

/*
 * Calls `fn` for the session's entries newest first, at most `max`, those below
 * `before` (NULL: from the newest); stops early when `fn` returns false. *more
 * says whether older ones are left.
 */
MUST_CHECK enum err dead_letters_list(struct db_txn *txn, struct slice session,
    const struct uuid *before, size_t max, bool (*fn)(void *arg, const struct dead_letter *d),
    void *arg, bool *more);

#endif
