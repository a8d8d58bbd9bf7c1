/*
 * Usage: what each session holds of the store, in bytes, and whether it may hold more.
 *
 * Kept on disk, in DB_USAGE (key: session; value: the numbers below, sealed; a session that
 * holds nothing has no row), so that a start counts nothing, and in memory, so that asking
 * costs nothing. Who writes events, attempts, dead letters and idempotency keys tells it. In
 * memory the numbers change at once, so that an operation sees what those before it in its turn
 * have written. On disk they are written once a session right before the commit, in the same
 * transaction; one that fails takes its changes out of memory again.
 *
 * The store's room is shared among the sessions by the rule of shares/share.h:
 *
 *   0                                                             capacity
 *   |-- registry --|-- open, keys --|-- may yet become --|-- history --| free |
 *                  '------ what the sessions hold -------'  yields, counts for nobody
 *
 *  - The capacity is what the store may take: its largest size, or what the disk has, up to the
 *    mark above which new events get 507.
 *  - Bytes are counted as rows have them; pages are larger than what lies in them, so the rule
 *    takes them times what all pages have for each byte counted (at most 4: LMDB joins pages
 *    that are emptier than a quarter).
 *  - The webhooks for all sessions have a share as a session has, under the name SESSION_ALL.
 *    An event that waits for both counts for both (events.h, event_charge()): so neither comes
 *    to hold more than was asked for when the other is done with it. The ratio above evens out
 *    what is counted twice. They hold half of the capacity at most: what they have no room for
 *    is cancelled, and history, which says so, is to find some.
 *  - A delivery that waits counts for the dead letter that it may become, too: that is written
 *    without asking anybody.
 *  - History is never the reason for a refusal: it yields (retention.h). A session that has
 *    nothing else takes no part of the room from others.
 */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H

#include <stdbool.h>

#include "domain/name.h"
#include "shares/shares.h"
#include "store/db.h"
#include "store/queue.h"
#include "store/registry.h"

#define USAGE_LETTER 768 /* bytes that a delivery that waits counts for as a dead letter */

/* The numbers, in the order of the record. */
enum usage_kind {
	USAGE_OPEN,    /* bytes: events with an open delivery, their attempts, dead letters */
	USAGE_KEYS,    /* bytes: idempotency keys */
	USAGE_HISTORY, /* bytes: events without an open delivery, their attempts */
	USAGE_LETTERS, /* dead letters; their bytes are in USAGE_OPEN */
	USAGE_KINDS
};

/* What a session holds. */
struct holding {
	uint64_t n[USAGE_KINDS];
};

struct usage;

/* A session that may hold so many bytes, whatever the rule says. */
struct usage_allotment {
	char session[SESSION_MAX + 1];
	uint64_t bytes;
};

struct usage_conf {
	const struct backlog *backlog; /* borrowed; NULL: nothing waits */
	const struct registry *registry;
	uint64_t per_session; /* bytes that a session may hold at most; 0: by the rule alone */
	const struct usage_allotment *allotments;
	size_t allotment_count;
};

/*
 * Reads the numbers of `db` and goes along with its transactions from then on: without it none
 * of what it counts may be written. usage_free() it, before the db is closed. The store's
 * error. One step a session that holds anything.
 */
MUST_CHECK enum err usage_new(struct db *db, const struct usage_conf *conf, struct usage **out);
void usage_free(struct usage *u);

/* Changes who may hold how much. */
void usage_configure(struct usage *u, const struct usage_conf *conf);

/* Closes a session, which is being deleted, to all who would write to it; or opens it again. */
void usage_close(struct usage *u, struct slice session, bool is_closed);

/* How many are closed; whether this one is. O(1). */
size_t usage_closed(const struct usage *u);
bool usage_is_closed(const struct usage *u, struct slice session);

/* How the store stands. */
struct usage_room {
	uint64_t capacity;      /* bytes of pages that it may take */
	uint64_t used_bytes;    /* that it has */
	uint64_t traffic_bytes; /* of these, what is counted here */
	uint64_t keys_bytes;    /* of these, what idempotency keys have */
	uint64_t most_bytes;    /* that the file may have; above the capacity is room to copy */
	bool disk_full;         /* nothing may be written, whatever the capacity */
};

/* Takes in how it stands now; until the first time there is room for everything. */
void usage_measure(struct usage *u, const struct usage_room *room);

/*
 * Adds `by` to what `session` holds, in this write transaction. For those who write the rows.
 * A session without a name is nobody: that of a damaged record.
 */
void usage_change(struct db_txn *txn, struct slice session, enum usage_kind kind, int64_t by);

/* What a session holds, and all together. */
struct holding usage_of(const struct usage *u, struct slice session);
struct holding usage_total(const struct usage *u);

/*
 * Whether `session` may hold `bytes` more and have `deliveries` more waiting: also within the
 * transaction that is to write them. OK; ERR_FULL: it has its share; ERR_NOSPACE: it is within
 * its share, and nothing is left.
 */
MUST_CHECK enum err usage_allows(const struct usage *u, struct slice session, uint64_t bytes,
    uint64_t deliveries);

/* Whether any session may, without a look at one: mostly that is so. */
bool usage_allows_any(const struct usage *u, uint64_t bytes, uint64_t deliveries);

/* The same for what is written within a transaction. */
bool usage_admits(struct db_txn *txn, struct slice session, uint64_t bytes);

/*
 * The same for an event of `bytes` of which `deliveries` wait; one that is not admitted is
 * counted as given up. None are always admitted.
 */
bool usage_admits_waiting(struct db_txn *txn, struct slice session, uint64_t bytes,
    uint64_t deliveries);

/* Deliveries that were given up so, since it was made. */
uint64_t usage_given_up(const struct usage *u);

/* Counts that a session was refused, and says so in the log, once a minute a session. */
void usage_note_refusal(struct usage *u, struct slice session);

/*
 * Whether one transaction may write so many idempotency keys: their order is random, and each
 * page that one of them falls into is copied. What was copied is free two transactions later.
 */
bool usage_may_copy(const struct usage *u, uint64_t keys);

/* Bytes of history that must go before `bytes` more can be written; 0: none. */
uint64_t usage_lacks(const struct usage *u, uint64_t bytes);

/* Bytes of history that should go, so that nobody ever has to wait for it. */
uint64_t usage_excess(const struct usage *u);

/* How it stands, in bytes of pages, and who was refused; borrowed until a change. */
const struct shares_figures *usage_figures(struct usage *u);

/* Who is to lose history first. */
enum usage_order {
	USAGE_MOST_HISTORY, /* the one that has most of it */
	USAGE_MOST_HELD,    /* the one with history that holds most of all */
};

/* Where the walk over a session's history is; retention.h keeps its place here. */
struct usage_walk {
	struct slice session; /* borrowed until the transaction's end */
	struct uuid passed;   /* all up to here, this one included, was open or is gone */
	bool found;           /* some went, or was added, since it was at the front */
	uint64_t surplus;     /* bytes that it is to lose, at least 1 */
};

#define USAGE_YIELDERS 16

/*
 * Names those who lose history where `bytes` must go, the first of them first, and how much
 * each: down to an equal part of what is left, or a piece that is worth the search. Returns how
 * many; 0: nobody has any that could be found. O(sessions).
 */
size_t usage_yielders(const struct usage *u, enum usage_order order, uint64_t bytes,
    struct usage_walk out[USAGE_YIELDERS]);

/* Keeps how far the walk over a session's history has come. */
void usage_keep_walk(struct usage *u, const struct usage_walk *w);

/* No history was found where it is counted: it is not looked for until some is added. */
void usage_end_walk(struct usage *u, const struct usage_walk *w);

/* Names the next session behind `session` ("": the first) with a row. ERR_NOTFOUND. */
MUST_CHECK enum err usage_next_session(struct db_txn *txn, struct slice session,
    char out[SESSION_MAX + 1]);

/* Reads and writes a row; one that holds nothing is removed. ERR_NOTFOUND, ERR_CORRUPT. */
MUST_CHECK enum err usage_get(struct db_txn *txn, struct slice session, struct holding *out);
MUST_CHECK enum err usage_put(struct db_txn *txn, struct slice session,
    const struct holding *h);

/* Decodes the value of a row. ERR_CORRUPT. */
MUST_CHECK enum err usage_decode(struct slice session, struct slice value, struct holding *out);

#endif
