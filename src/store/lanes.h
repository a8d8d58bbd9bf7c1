/* The lanes of deliveries whose events are stored: for those that change places. */
#ifndef STORE_LANES_H
#define STORE_LANES_H

#include "domain/delivery.h"
#include "domain/lane.h"
#include "store/db.h"

/*
 * Finds the lane of `d` by `key`; LANE_NONE where that is NULL, or its event gone or
 * unreadable. *bytes grows by what was read of the event. The store's error.
 */
MUST_CHECK enum err lanes_find(struct db_txn *txn, const struct lane_key *key,
    const struct delivery *d, uint16_t *lane, size_t *bytes);

#endif
