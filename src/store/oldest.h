/*
 * The oldest: since when the oldest waiting delivery has waited. DB_DELIVERIES is in the order
 * of ids, which is that of publishing. It keeps a place before which nothing waits; from there
 * it walks on, a slice at a time, past settled deliveries to the first that waits.
 * Each delivery is passed about once. It reads only.
 */
#ifndef STORE_OLDEST_H
#define STORE_OLDEST_H

#include "store/queue.h"

struct oldest;

/* Both are borrowed. */
struct oldest *oldest_new(struct db *db, const struct backlog *backlog);
void oldest_free(struct oldest *o);

/*
 * A delivery waits again that may lie before the place reached: one that was sent again, or
 * replayed. What is new lies behind it. O(1).
 */
void oldest_queued(struct oldest *o, const struct uuid *id);

/* Walks on, past at most 20000 deliveries. About once a second. */
void oldest_step(struct oldest *o);

/*
 * When the oldest waiting delivery was published, wall; 0: none waits. While a walk is under
 * way it may be a later one; false while the first since the start is, and nothing is known.
 */
bool oldest_created(const struct oldest *o, int64_t *created_ms);

#endif
