/*
 * Idempotency keys: what was answered to a request that named one, so that its
 * repeat gets the same answer and stores nothing (docs/api.md).
 *
 * Two tables: DB_REPEATS (digest of scope and key -> digest of the request, expiry,
 * and the id under which the answer lies in the table of events) and DB_REPEATS_BY_AGE
 * (expiry, digest -> nothing), which the sweep walks.
 */
#ifndef STORE_IDEMPOTENCY_H
#define STORE_IDEMPOTENCY_H

#include "base/buf.h"
#include "domain/id.h"
#include "store/db.h"
#include "store/record.h"

#define IDEMPOTENCY_MS (24LL * 3600 * 1000)  /* docs/api.md */
#define IDEMPOTENCY_IN_MS (10LL * 60 * 1000) /* the same for webhook-in */

/* One key of one request. Zeroed: none. */
struct idempotency {
	unsigned char key[RECORD_DIGEST];
	unsigned char request[RECORD_DIGEST];
	int64_t expires_ms; /* wall; 0: there is no key */
};

/* Fills `k` for key `name` in `scope`, made with a request of these bytes. */
void idempotency_set(struct idempotency *k, struct slice scope, struct slice name,
    struct slice request, int64_t expires_ms);

/*
 * Looks whether the key is known at `now_ms`. OK: it is, by the same request, and its answer
 * replaces what `answer` holds. ERR_NOTFOUND: it is not. ERR_CONFLICT: by another request.
 */
MUST_CHECK enum err idempotency_find(struct db_txn *txn, const struct idempotency *k,
    int64_t now_ms, struct buf *answer);

/* Keeps `answer` under the key; `id` is a new id that the caller took for it. */
MUST_CHECK enum err idempotency_keep(struct db_txn *txn, const struct idempotency *k,
    const struct uuid *id, int64_t now_ms, struct slice answer);

/* What is kept of a key. */
struct repeat {
	unsigned char request[RECORD_DIGEST];
	int64_t expires_ms; /* wall */
	struct uuid answer; /* the id of the event whose body it is */
};

/* Decodes a record of DB_REPEATS. ERR_CORRUPT. */
MUST_CHECK enum err idempotency_decode(struct slice value, struct repeat *out);

#define IDEMPOTENCY_AGE_KEY_SIZE (8 + RECORD_DIGEST) /* bytes */

/* Makes the key of DB_REPEATS_BY_AGE for the digest of a key. */
struct slice idempotency_age_key(int64_t expires_ms, const unsigned char digest[RECORD_DIGEST],
    unsigned char out[IDEMPOTENCY_AGE_KEY_SIZE]);

/* Drops at most `max` keys that have expired at `now_ms`; *dropped says how many. */
MUST_CHECK enum err idempotency_sweep(struct db_txn *txn, int64_t now_ms, size_t max,
    size_t *dropped);

#endif
