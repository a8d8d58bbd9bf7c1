/*
 * The replayer: runs the replays that are in the store (replays.h), a slice of one a turn, each
 * in its turn. A replay that would put more into the queue than its session may have waiting
 * waits until some of it has drained; so do all while the store has no room.
 *
 * It knows which replays run, and nothing of how far they are: that is on disk alone. One that
 * was cancelled there, or whose webhook was deleted, ends with its next slice.
 */
#ifndef JOBS_REPLAYER_H
#define JOBS_REPLAYER_H

#include "store/queue.h"
#include "store/replays.h"
#include "store/turn.h"

struct replayer;

struct replayer_conf {
	struct db *db; /* all borrowed */
	struct turn *turn;
	const struct registry *registry;
	const struct backlog *backlog;
	const bool *has_room; /* in the store */
	uint64_t most;        /* deliveries that may wait for a session; 0: any number */
	/* told after the commit that put a delivery into its queue */
	void (*queued)(void *arg, uint64_t webhook, const struct queue_place *place);
	void *arg;
};

struct replayer *replayer_new(const struct replayer_conf *conf);

/* Frees it, after the turn where it is staged. NULL is fine. */
void replayer_free(struct replayer *r);

/* Changes how many may wait. */
void replayer_configure(struct replayer *r, uint64_t most);

/* Learns from the store which replays were running. The store's error. */
MUST_CHECK enum err replayer_load(struct replayer *r);

/* A replay was started, after the commit that wrote its record. */
void replayer_add(struct replayer *r, const struct replay_key *key);

/* Stages the next slice, where one may go on. The loop calls it once a turn. */
void replayer_step(struct replayer *r);

#endif
