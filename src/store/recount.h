/*
 * What a session holds, counted from the rows themselves: for a store that never had the table
 * of usage, and for proving that it is right. Neither counts idempotency keys: a store without
 * the table has none that count.
 */
#ifndef STORE_RECOUNT_H
#define STORE_RECOUNT_H

#include "store/usage.h"

/*
 * Counts what `session` holds but its keys. O(its events and dead letters); SESSION_ALL:
 * O(all events). ERR_CORRUPT where one of these events cannot be read: then nobody can say.
 */
MUST_CHECK enum err recount_session(struct db_txn *txn, struct slice session,
    struct holding *out);

/*
 * Fills DB_USAGE, for a migration: counts a slice of what lies behind the position that it
 * keeps in DB_META until it is through. *more: there is more. An event that cannot be read is
 * left out.
 */
MUST_CHECK enum err recount_fill(struct db_txn *txn, bool *more);

#endif
