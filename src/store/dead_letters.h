/*
 * The dead-letter queue on disk. Key: session, a NUL, the dead letter's id;
 * ids grow with time, so a session's entries lie oldest first.
 */
#ifndef STORE_DEAD_LETTERS_H
#define STORE_DEAD_LETTERS_H

#include "base/codec.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "domain/name.h"
#include "domain/url.h"
#include "store/db.h"

/*
 * A dead letter: a delivery whose schedule is exhausted, with what its reader
 * needs to know even after the webhook is gone. The body stays with the event.
 */

#define DEAD_ERROR_MAX 400 /* bytes of the last error in words */

struct dead_letter {
	struct uuid id; /* the key, made when it died: newest last */
	struct uuid delivery_id;
	struct uuid event_id;
	struct uuid webhook_id;
	char webhook_url[URL_MAX + 1];
	char event[EVENT_MAX + 1];
	char last_error[DEAD_ERROR_MAX + 1];
	uint32_t attempts;
	int64_t failed_ms; /* wall */
};

/* Appends the record of `d`, without its id. */
void dead_letter_encode(const struct dead_letter *d, struct buf *out);

/* Reads a record into *d, whose id the caller sets. ERR_CORRUPT. */
MUST_CHECK enum err dead_letter_decode(struct reader *r, struct dead_letter *d);

/* Adds a dead letter, to its session's and to the index by age. It counts for the session. */
MUST_CHECK enum err dead_letters_put(struct db_txn *txn, struct slice session,
    const struct dead_letter *d);

/* ERR_NOTFOUND where the session has no such entry, ERR_CORRUPT. */
MUST_CHECK enum err dead_letters_get(struct db_txn *txn, struct slice session,
    const struct uuid *id, struct dead_letter *out);

/*
 * Cuts URL and error of a dead letter so that it takes no more than a delivery that waits
 * counts for already (USAGE_LETTER): for a session that may hold no more.
 */
void dead_letter_shorten(struct dead_letter *d);

/* What a dead letter counts for, in bytes: by the record's bytes, with their checksum. */
uint64_t dead_letters_cost(struct slice session, size_t record_bytes);

/* Whether the session may hold all of `d`, uncut. */
bool dead_letters_has_room(struct db_txn *txn, struct slice session,
    const struct dead_letter *d);

/* Removes it from both. ERR_NOTFOUND. */
MUST_CHECK enum err dead_letters_del(struct db_txn *txn, struct slice session,
    const struct uuid *id);

/* Names the session of a dead letter by its id alone. ERR_NOTFOUND. */
MUST_CHECK enum err dead_letters_find(struct db_txn *txn, const struct uuid *id,
    char session[SESSION_MAX + 1]);

/* Names the oldest dead letter of all, and its session. ERR_NOTFOUND. */
MUST_CHECK enum err dead_letters_oldest(struct db_txn *txn, struct uuid *id,
    char session[SESSION_MAX + 1]);

/*
 * Names the newest dead letter below `below`, of one session, or of all with its session.
 * ERR_NOTFOUND: there is none.
 */
MUST_CHECK enum err dead_letters_below(struct db_txn *txn, struct slice session,
    const struct uuid *below, struct uuid *id);
MUST_CHECK enum err dead_letters_below_in_all(struct db_txn *txn, const struct uuid *below,
    struct uuid *id, char session[SESSION_MAX + 1]);

/*
 * Names the first session behind `passed`, in the order of bytes, that has dead letters;
 * `passed` may lie in `session`. ERR_NOTFOUND: there is none.
 */
MUST_CHECK enum err dead_letters_next_session(struct db_txn *txn, struct slice passed,
    char session[SESSION_MAX + 1]);

/*
 * Decodes a row of DB_DEAD; *session is borrowed from its key. ERR_CORRUPT, with *d's id and
 * *session set where the key at least is whole, and *session empty where it is not.
 */
MUST_CHECK enum err dead_letters_decode(struct slice key, struct slice value,
    struct slice *session, struct dead_letter *d);

#endif
