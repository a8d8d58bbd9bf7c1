/*
 * The table of attempts: a row for each attempt whose outcome was stored, for as long as its
 * event is kept. Key: delivery id (16), attempt number (4) from 1 on, which goes on counting
 * over replays. The deliveries of an event are the range behind its id: so are their attempts.
 *
 * An attempt number without a row was not made (its event could not be read), was made before
 * there was this table, or while the store had no room for it.
 */
#ifndef STORE_ATTEMPTS_H
#define STORE_ATTEMPTS_H

#include <stdbool.h>

#include "domain/attempt_record.h"
#include "store/db.h"
#include "store/events.h"

/* Writes the row of attempt `number` of a delivery; `record` is sealed (record.h). */
MUST_CHECK enum err attempts_put(struct db_txn *txn, const struct uuid *delivery,
    uint32_t number, struct slice record);

/*
 * Calls `fn` with each attempt of a delivery in order of number, those from `first` on, at most
 * `max`; `a` is borrowed for the call. Ends early when `fn` returns false. A row that cannot be
 * read is logged and passed by. The sticky error.
 */
MUST_CHECK enum err attempts_each(struct db_txn *txn, const struct uuid *delivery,
    uint32_t first, size_t max,
    bool (*fn)(void *arg, uint32_t number, const struct attempt_record *a), void *arg);

/* What the attempts of an event's deliveries count for, in bytes. The sticky error. */
MUST_CHECK enum err attempts_cost(struct db_txn *txn, const struct event *e, uint64_t *out);

/*
 * Removes the attempts of an event's deliveries; *dropped grows by how many. The sticky error.
 */
MUST_CHECK enum err attempts_drop(struct db_txn *txn, const struct event *e, size_t *dropped);

/* Takes a row apart. ERR_CORRUPT; the key is then read all the same where *number is not 0. */
MUST_CHECK enum err attempts_decode(struct slice key, struct slice value, struct uuid *delivery,
    uint32_t *number, struct attempt_record *a);

#endif
