/* What check.c and check_rows.c share: the state of one check. For them alone. */
#ifndef FSCK_CHECK_INNER_H
#define FSCK_CHECK_INNER_H

#include "base/map.h"
#include "base/record.h"
#include "fsck/check.h"
#include "store/events.h"

/*
 * A set of ids that is too large to keep: how many, and the sum of their digests. Two sets
 * with the same tally are the same set, but for one chance in 2^64.
 */
struct tally {
	uint64_t count;
	uint64_t sum;
};

struct check {
	struct db_txn *txn; /* of the table that is walked */
	enum db_table table;
	struct slice key; /* of the row that is looked at; empty between rows */
	check_found_fn found;
	void *arg;
	struct check_result *result;
	bool cut_short; /* a table could not be read to its end: the tallies mean nothing */

	/* DB_META */
	uint64_t last_webhook;

	/* DB_EVENTS: the event whose pieces are being passed */
	struct event event;
	uint64_t body_bytes; /* of its body so far */
	uint32_t pieces;     /* so far; 0: there is none, or its first one cannot be read */

	/* DB_QUEUE: the webhook whose rows are being passed */
	uint64_t queue_webhook;
	uint64_t queue_rows; /* so far */
	bool queue_has_lanes;
	uint64_t queues; /* webhooks that had any */

	/* DB_BACKLOG */
	uint64_t backlogs; /* rows */

	/* DB_HISTORY and DB_DEAD: the session whose rows are being passed; "": none yet */
	char session[SESSION_MAX + 1];
	bool passed_for_all; /* an event that counts for SESSION_ALL was among them */

	/*
	 * DB_REPEATS and DB_USAGE: bytes of keys, each times a number that its session's digest
	 * gives. Equal sums are equal bytes of each session, but for one chance in 2^64.
	 */
	uint64_t key_bytes;  /* as the keys count */
	uint64_t key_shares; /* as the sessions' rows say */
	bool keys_unread;    /* a key's record is corrupt: nobody can say */

	/* sets that must be the same, two by two */
	struct tally answers;      /* events that hold an answer, of a key of version 1 */
	struct tally answers_used; /* those that DB_REPEATS names */
	struct tally dead;         /* deliveries that are dead */
	struct tally dead_letters; /* those that DB_DEAD names */
	struct tally over;         /* events without open deliveries that were never replayed */
	struct tally over_entered; /* those that DB_SETTLED names */
	struct map *replayed;      /* events without open deliveries that were replayed and that
	                         DB_SETTLED has not named yet; at most REPLAYED_MAX */
};

/* Reports a finding about the row that is looked at, or the table between rows. */
void check_find(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

typedef void (*check_row_fn)(struct check *c, struct slice key, struct slice value);

struct check_table {
	check_row_fn row;                /* looks at one row */
	void (*finish)(struct check *c); /* after the last one; NULL: nothing */
};

/* How each table is checked, in the order of enum db_table. */
extern const struct check_table CHECK_TABLES[DB_TABLES];

/* Compares what the walks have counted, when all tables were read to their ends. */
void check_totals(struct check *c);

#endif
