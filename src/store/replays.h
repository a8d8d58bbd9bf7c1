/*
 * The table of replays: jobs that send many deliveries again, or drop many dead letters, a
 * slice a turn. What is left of one is on disk in the same transaction as what it has done, so
 * that it goes on where it was after any crash and does nothing twice.
 *
 * Key: the webhook's number (8) for a replay of a webhook's deliveries; for a session's dead
 * letters, and for its deletion, eight zeros, the kind (1) and the session: one of each kind at
 * a time. The row of a deletion stays for a day behind its end: it says what was removed.
 */
#ifndef STORE_REPLAYS_H
#define STORE_REPLAYS_H

#include "base/codec.h"
#include "domain/delivery.h"
#include "domain/name.h"
#include "store/db.h"

enum replay_kind {
	REPLAY_DELIVERIES = 1, /* a webhook's, of some time and some statuses */
	REPLAY_LETTERS = 2,    /* a session's dead letters */
	REPLAY_PURGE = 3,      /* the same, but they are dropped */
	REPLAY_FORGET = 4,     /* no replay: all of a session is removed (jobs/forgetter.h) */
};

enum replay_state { REPLAY_RUNNING = 1, REPLAY_DONE = 2, REPLAY_CANCELLED = 3 };

/* Statuses as a set. */
#define REPLAY_STATUS(status) (1u << (status))
#define REPLAY_FAILED                                                                          \
	(REPLAY_STATUS(DELIVERY_DEAD) | REPLAY_STATUS(DELIVERY_EXPIRED) |                      \
	    REPLAY_STATUS(DELIVERY_CANCELLED))
#define REPLAY_ALL (REPLAY_FAILED | REPLAY_STATUS(DELIVERY_DELIVERED))

/* Which one: the key. */
struct replay_key {
	enum replay_kind kind;
	uint64_t webhook;              /* REPLAY_DELIVERIES */
	char session[SESSION_MAX + 1]; /* the others; else empty */
};

/* What REPLAY_FORGET has removed. */
struct removed {
	uint64_t webhooks;
	uint64_t sources;
	uint64_t dead_letters;
	uint64_t events;
	uint64_t deliveries; /* their records, whatever had become of them */
	uint64_t attempts;
	uint64_t keys; /* idempotency keys */
};

struct replay {
	struct replay_key key; /* not part of the record */
	enum replay_state state;
	uint8_t statuses;       /* REPLAY_DELIVERIES: a set of REPLAY_STATUS() */
	int64_t since_ms;       /* REPLAY_DELIVERIES: of events accepted from then on, wall */
	int64_t until_ms;       /* … and before then */
	int64_t started_ms;     /* wall */
	int64_t finished_ms;    /* wall; 0: it runs */
	struct uuid position;   /* all up to here, this one included, has been passed */
	struct uuid last;       /* dead letters: none behind this one; those came later */
	struct uuid webhook;    /* dead letters: of this webhook alone; all zero: of any */
	uint64_t scheduled;     /* sent again, or dropped */
	uint64_t looked_at;     /* of those that it is about */
	struct removed removed; /* REPLAY_FORGET, whose `position` is among the keys */
};

/* ERR_NOTFOUND, ERR_CORRUPT. */
MUST_CHECK enum err replays_get(struct db_txn *txn, const struct replay_key *key,
    struct replay *out);

/* Writes it, in the place of one of the same key. */
MUST_CHECK enum err replays_put(struct db_txn *txn, const struct replay *r);

/* ERR_NOTFOUND. */
MUST_CHECK enum err replays_del(struct db_txn *txn, const struct replay_key *key);

/* Decodes a row. ERR_CORRUPT. */
MUST_CHECK enum err replays_decode(struct slice key, struct slice value, struct replay *out);

/* Calls `fn` for each; one that cannot be read is logged and passed by. */
MUST_CHECK enum err replays_each(struct db_txn *txn,
    void (*fn)(void *arg, const struct replay *r), void *arg);

#endif
