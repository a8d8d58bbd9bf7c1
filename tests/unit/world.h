/*
 * What a gateway does to its store, done by hand: for tests of what is in a store as a whole.
 */
#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H

#include "base/record.h"
#include "base/rnd.h"
#include "fsck/check.h"
#include "store/retention.h"
#include "support.h"

#define WORLD_BODY_MAX 20000 /* bytes: several pieces */
#define WORLD_START_MS 1000000000

struct world {
	struct db_txn *txn;
	struct rnd rnd;
	int64_t now_ms;
	uint64_t next_id; /* of events and dead letters; each leaves room for deliveries */
};

/* Brings the store to its version and begins a transaction. */
void world_begin(struct store *s, struct world *w);

/* Takes an id with room behind it. */
struct uuid world_take_id(struct world *w);

/* Registers webhook `number`, the next one, in session "s". */
void world_register(struct world *w, uint64_t number);

/* Publishes an event of `bytes` to the webhooks first … first + count - 1. */
struct uuid world_publish(struct world *w, uint64_t first, uint32_t count, uint32_t bytes);

/* Reads delivery `k`, from 1, of an event. */
struct delivery world_delivery(struct world *w, struct uuid event, uint32_t k);

/* Writes the row of a delivery's last attempt. */
void world_attempt(struct world *w, const struct delivery *d);

/* An attempt's end: delivered, to be tried again, or dead; then the dead letter's id. */
void world_deliver(struct world *w, struct delivery d);
void world_defer(struct world *w, struct delivery d);
struct uuid world_bury(struct world *w, struct delivery d);

/* Replays a dead letter, unless its webhook is gone. */
void world_replay(struct world *w, struct uuid letter);

/* Marks a webhook deleted. */
void world_retire(struct world *w, uint64_t number);

/* Keeps an answer about `events` events, none alike, under idempotency key `n`. */
void world_answer(struct world *w, uint64_t n, size_t events);

/* The same as version 1 of the record did: an answer as text, of `bytes`. */
void world_text_answer(struct world *w, uint64_t n, size_t bytes);

/* The digest of that key. */
void world_key(uint64_t n, unsigned char digest[RECORD_DIGEST]);

/* One slice of the sweep. */
void world_sweep(struct world *w, const struct retention *keep);

/* A store with a row or more in every table, all of which count. */
struct sample {
	struct world w;
	struct uuid waiting; /* an event with a delivery that waits, in three pieces */
	struct uuid over;    /* all delivered */
	struct uuid mixed;   /* one delivered, one dead */
	struct uuid letter;
};

/* Makes it, in a transaction that stays open. */
void sample_make(struct store *s, struct sample *m);

/* The findings of one check, a line each; buf_fini() the text. */
struct findings {
	struct buf text;
	struct check_result result;
};

void world_check(struct store *s, struct findings *f);

#endif
