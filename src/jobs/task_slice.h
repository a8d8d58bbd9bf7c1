/*
 * One slice of a task, within a transaction of the turn: looks at what comes behind the
 * task's position, a bounded number, and sends again, or drops, what it is about. The record
 * moves on with it; the caller writes it in the same transaction.
 */
#ifndef JOBS_TASK_SLICE_H
#define JOBS_TASK_SLICE_H

#include <stdbool.h>

#include "store/queue.h"
#include "store/tasks.h"

#define TASK_SLICE_MAX 200 /* written a turn: what that takes stays about a commit's flush */

/* A delivery that was put into the queue. */
struct replayed {
	uint64_t webhook;
	struct queue_place place;
};

struct task_slice {
	int64_t now_ms;                         /* wall */
	size_t max;                             /* at most so many, to TASK_SLICE_MAX */
	struct replayed queued[TASK_SLICE_MAX]; /* out */
	size_t queued_count;                    /* out */
	size_t key_bytes; /* out: of events that were read for their lanes */
	bool ended;       /* out: nothing is left behind the position */
	bool full;        /* out: the session may hold no more of the store; it goes on later */
};

/*
 * Does a slice of `r`, which runs. ERR_NOTFOUND, with nothing written, where its webhook has
 * been deleted. The store's error.
 */
MUST_CHECK enum err task_slice_run(struct db_txn *txn, struct task *r, struct task_slice *s);

/*
 * Counts what a job on dead letters that starts now would be about, of the first `max` that it
 * looks at; *more says whether there are others behind them.
 */
MUST_CHECK enum err task_slice_count_letters(struct db_txn *txn, const struct task *r,
    size_t max, size_t *count, bool *more);

#endif
