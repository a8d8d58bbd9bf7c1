/*
 * Idempotency keys: what was answered to a request that named one, so that its
 * repeat gets the same answer and stores nothing (docs/api.md).
 *
 * Kept is not the answer, but what the same answer is made from, with the repeated request:
 * each event's id and how many deliveries it made, and its time where the request named none.
 * Events that follow each other in ids and are alike in the rest are kept as one run, so that a
 * key takes about a hundred bytes, whether it stands for one event or for a thousand.
 *
 * Two tables: DB_REPEATS (digest of scope and key -> digest of the request, expiry, session,
 * runs; what is over 4000 bytes lies in pieces under the digest and their number) and
 * DB_REPEATS_BY_AGE (expiry, digest -> nothing), which the sweep walks. Keys count for the
 * session (usage.h).
 *
 * Records of version 1 name an event that holds the answer as text: they are read until they
 * expire, and count for nobody.
 */
#ifndef STORE_IDEMPOTENCY_H
#define STORE_IDEMPOTENCY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/record.h"
#include "base/uuid.h"
#include "domain/name.h"
#include "store/db.h"

#define IDEMPOTENCY_IN_MS (10LL * 60 * 1000) /* how long webhook-in knows what it has got */

#define IDEMPOTENCY_COST 300 /* bytes that a key counts for with one run, at most */
#define IDEMPOTENCY_RUN 32   /* the same for each run more */

/* One key of one request. Zeroed: none. */
struct idempotency {
	unsigned char key[RECORD_DIGEST];
	unsigned char request[RECORD_DIGEST];
	unsigned char bytes[RECORD_DIGEST]; /* the same of the request as it came: version 1 */
	int64_t expires_ms;                 /* wall; 0: there is no key */
};

/*
 * Fills `k` for key `name` in `scope`. `request`: what equal requests have in common; `bytes`:
 * the request as it came, which records of version 1 compare.
 */
void idempotency_set(struct idempotency *k, struct slice scope, struct slice name,
    struct slice request, struct slice bytes, int64_t expires_ms);

/* The same for the id that a publisher gave an event of `session` itself. */
void idempotency_set_own(struct idempotency *k, const char *session, struct slice id,
    struct slice request, struct slice bytes, int64_t expires_ms);

/* What was answered about one event. */
struct answered {
	struct uuid event;
	uint32_t deliveries;
	bool has_timestamp;  /* the request did not name it */
	int64_t timestamp_s; /* only then */
};

/* An answer; zeroed it is none. answer_fini() it. */
struct answer {
	bool is_batch;
	struct answered *events; /* owned */
	size_t count;
	struct buf text; /* of a record of version 1: the whole of it, and no events */
};

void answer_fini(struct answer *a);

/*
 * Looks whether the key is known at `now_ms`. OK: it is, by the same request, and `out` is what
 * was answered, else none. ERR_NOTFOUND: it is not. ERR_CONFLICT: by another request.
 */
MUST_CHECK enum err idempotency_find(struct db_txn *txn, const struct idempotency *k,
    int64_t now_ms, struct answer *out);

/*
 * Keeps an answer under the key, for `session`, which it counts for. One about no event has
 * nothing to repeat, and is not kept.
 */
MUST_CHECK enum err idempotency_keep(struct db_txn *txn, const struct idempotency *k,
    struct slice session, const struct answer *a);

/* What is kept of a key. */
struct repeat {
	unsigned char request[RECORD_DIGEST];
	int64_t expires_ms;            /* wall */
	bool is_text;                  /* version 1: */
	struct uuid text;              /* the id of the event whose body is the answer */
	char session[SESSION_MAX + 1]; /* of the others, as the rest */
	uint16_t pieces;               /* behind the first */
	bool is_batch;
	struct slice runs; /* those in the first piece, borrowed from the record */
};

/* Decodes a record of DB_REPEATS. ERR_CORRUPT. */
MUST_CHECK enum err idempotency_decode(struct slice key, struct slice value,
    struct repeat *out);

/* Decodes all that is kept under `key`: the whole answer. ERR_NOTFOUND, ERR_CORRUPT. */
MUST_CHECK enum err idempotency_get(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    struct repeat *known, struct answer *out);

/* What is kept under `key` counts for, in bytes; 0 for one of version 1. ERR_CORRUPT. */
MUST_CHECK enum err idempotency_cost(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    const struct repeat *known, uint64_t *out);

/* Takes apart the key of a piece behind the first; false for one of another form. */
bool idempotency_parse_piece(struct slice key, unsigned char digest[RECORD_DIGEST],
    uint16_t *piece);

#define IDEMPOTENCY_AGE_KEY_SIZE (8 + RECORD_DIGEST) /* bytes */

/* Makes the key of DB_REPEATS_BY_AGE for the digest of a key. */
struct slice idempotency_age_key(int64_t expires_ms, const unsigned char digest[RECORD_DIGEST],
    unsigned char out[IDEMPOTENCY_AGE_KEY_SIZE]);

/*
 * Drops keys that count for `session`, at most `max`, among the next few thousand behind
 * `passed`, which moves on with what was looked at; all zero: from the first on. *dropped says
 * how many keys went, *ended whether none is left behind `passed`.
 */
MUST_CHECK enum err idempotency_drop_of(struct db_txn *txn, struct slice session,
    struct uuid *passed, size_t max, size_t *dropped, bool *ended);

/*
 * Drops keys that have expired at `now_ms`, about `max` rows; *dropped says how many, at least
 * `max` when there may be more.
 */
MUST_CHECK enum err idempotency_sweep(struct db_txn *txn, int64_t now_ms, size_t max,
    size_t *dropped);

#endif
