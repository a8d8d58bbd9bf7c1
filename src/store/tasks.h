/*
 * The table of tasks that jobs work on, a slice a turn: to send many deliveries again (a
 * replay), to drop many dead letters, to delete a session. What is left of one is on disk in
 * the same transaction as what it has done, so that it goes on where it was after any crash and
 * does nothing twice. On disk the table is named replays, as the first ones were.
 *
 * Key: the webhook's number (8) for a replay of a webhook's deliveries; for a session's dead
 * letters, and for its deletion, eight zeros, the kind (1) and the session: one of each kind at
 * a time. The row of a deletion stays for a day behind its end: it says what was removed.
 */
#ifndef STORE_TASKS_H
#define STORE_TASKS_H

#include "base/codec.h"
#include "domain/delivery.h"
#include "domain/name.h"
#include "store/db.h"

enum task_kind {
	TASK_REPLAY = 1,         /* a webhook's, of some time and some statuses */
	TASK_REPLAY_LETTERS = 2, /* a session's dead letters */
	TASK_DROP_LETTERS = 3,   /* the same, but they are dropped */
	TASK_DELETE_SESSION = 4, /* all of a session is removed (jobs/forgetter.h) */
};

enum task_state { TASK_RUNNING = 1, TASK_DONE = 2, TASK_CANCELLED = 3 };

/* Statuses as a set. */
#define REPLAY_STATUS(status) (1u << (status))
#define REPLAY_FAILED                                                                          \
	(REPLAY_STATUS(DELIVERY_DEAD) | REPLAY_STATUS(DELIVERY_EXPIRED) |                      \
	    REPLAY_STATUS(DELIVERY_CANCELLED))
#define REPLAY_ALL (REPLAY_FAILED | REPLAY_STATUS(DELIVERY_DELIVERED))

/* Which one: the key. */
struct task_key {
	enum task_kind kind;
	uint64_t webhook;              /* TASK_REPLAY */
	char session[SESSION_MAX + 1]; /* the others; else empty */
};

/* What TASK_DELETE_SESSION has removed. */
struct removed {
	uint64_t webhooks;
	uint64_t sources;
	uint64_t dead_letters;
	uint64_t events;
	uint64_t deliveries; /* their records, whatever had become of them */
	uint64_t attempts;
	uint64_t keys; /* idempotency keys */
};

struct task {
	struct task_key key; /* not part of the record */
	enum task_state state;
	uint8_t statuses;       /* TASK_REPLAY: a set of REPLAY_STATUS() */
	int64_t since_ms;       /* TASK_REPLAY: of events accepted from then on, wall */
	int64_t until_ms;       /* … and before then */
	int64_t started_ms;     /* wall */
	int64_t finished_ms;    /* wall; 0: it runs */
	struct uuid position;   /* all up to here, this one included, has been passed */
	struct uuid last;       /* dead letters: none behind this one; those came later */
	struct uuid webhook;    /* dead letters: of this webhook alone; all zero: of any */
	uint64_t scheduled;     /* sent again, or dropped */
	uint64_t looked_at;     /* of those that it is about */
	struct removed removed; /* TASK_DELETE_SESSION, whose `position` is among the keys */
};

/* ERR_NOTFOUND, ERR_CORRUPT. */
MUST_CHECK enum err tasks_get(struct db_txn *txn, const struct task_key *key, struct task *out);

/* Writes it, in the place of one of the same key. */
MUST_CHECK enum err tasks_put(struct db_txn *txn, const struct task *r);

/* ERR_NOTFOUND. */
MUST_CHECK enum err tasks_del(struct db_txn *txn, const struct task_key *key);

/* Decodes a row. ERR_CORRUPT. */
MUST_CHECK enum err tasks_decode(struct slice key, struct slice value, struct task *out);

/* Calls `fn` for each; one that cannot be read is logged and passed by. */
MUST_CHECK enum err tasks_each(struct db_txn *txn, void (*fn)(void *arg, const struct task *r),
    void *arg);

#endif
