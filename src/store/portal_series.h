/*
 * The series of a session's portal tokens (domain/portal.h): revoking them, and deleting the
 * session, begins another one, and tokens of all others are void then. A number drawn at
 * random, and no time: whatever the clock does, no token of before is taken again.
 *
 * A row of DB_META a session whose tokens were revoked of late: "portal_series", a NUL and the
 * session. It goes after a day, when all that it made void have expired; then tokens of any
 * series are taken. Nothing else removes it: a session that is deleted leaves it for that day.
 */
#ifndef STORE_PORTAL_SERIES_H
#define STORE_PORTAL_SERIES_H

#include "domain/name.h"
#include "store/db.h"

#define PORTAL_SERIES_KEEP_MS (24LL * 60 * 60 * 1000) /* a token lasts no longer */

/* Reads the series, 0 where there is no row; *has_row says which. ERR_CORRUPT. */
MUST_CHECK enum err portal_series_get(struct db_txn *txn, struct slice session,
    uint64_t *series, bool *has_row);

/*
 * Begins another series; where the store has no key for tokens there are none, and nothing is
 * written. The sticky error.
 */
MUST_CHECK enum err portal_series_begin(struct db_txn *txn, struct slice session,
    int64_t now_ms);

/* A walk over the rows, some at a time; all zero: at their start. */
struct portal_series_walk {
	char key[DB_KEY_MAX]; /* of the last that was looked at */
	size_t len;
};

/*
 * Looks at the next `max` rows and removes those that are a day old; *ended: there was none
 * behind them, and the walk is at the start again. The sticky error.
 */
MUST_CHECK enum err portal_series_sweep(struct db_txn *txn, struct portal_series_walk *walk,
    int64_t now_ms, size_t max, bool *ended);

/* Whether a row of DB_META is one of these; then *sound says whether it is whole. */
bool portal_series_check(struct slice key, struct slice value, bool *sound);

#endif
