/*
 * The table of history: which events a session has, in the order of time. Key: session, a NUL,
 * event id (16); no value. A row is written with its event and dropped with it.
 */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include <stdbool.h>

#include "domain/id.h"
#include "domain/name.h"
#include "store/db.h"

/* Adds an event to its session's. The sticky error. */
MUST_CHECK enum err history_put(struct db_txn *txn, struct slice session,
    const struct uuid *event);

/* Removes it. ERR_NOTFOUND. */
MUST_CHECK enum err history_del(struct db_txn *txn, struct slice session,
    const struct uuid *event);

/* Looks whether it is there. ERR_NOTFOUND. */
MUST_CHECK enum err history_find(struct db_txn *txn, struct slice session,
    const struct uuid *event);

/*
 * Calls `fn` with the session's events newest first, those below `before` (NULL: from the
 * newest), until it returns false: that bounds the work. The sticky error.
 */
MUST_CHECK enum err history_list(struct db_txn *txn, struct slice session,
    const struct uuid *before, bool (*fn)(void *arg, const struct uuid *event), void *arg);

/*
 * Names the first session behind `session` ("": the first of all) that has events, in the order
 * of bytes. One step, however many events there are. ERR_NOTFOUND.
 */
MUST_CHECK enum err history_next_session(struct db_txn *txn, struct slice session,
    char out[SESSION_MAX + 1]);

/* Takes a key apart; *session is borrowed from it. False for one of another form. */
bool history_parse_key(struct slice key, struct slice *session, struct uuid *event);

/*
 * Fills the table from the events, for a migration: a slice of them behind those that it has
 * looked at, which it keeps in DB_META until it is through. *more: there are others.
 */
MUST_CHECK enum err history_fill(struct db_txn *txn, bool *more);

#endif
