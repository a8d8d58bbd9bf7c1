/*
 * Jobs: work that is larger than a turn. A job does a slice of it in each turn, as one
 * operation (store/turn.h), and the next slice after the commit, while there is more.
 *
 * Where the transaction of a slice was voided, mostly for want of room, the slice is tried
 * again with half as much to do, and again, down to 1: a full store may have room for a small
 * slice and none for a large one. The next slice is a whole one again.
 *
 * A struct job has what all of them need for that. It never knows what a slice does, nor how
 * far the job has come: that is the job's own, in a struct that begins with a struct job.
 */
#ifndef JOBS_JOB_H
#define JOBS_JOB_H

#include "store/turn.h"

struct job;

/* What a job does. */
struct job_kind {
	size_t slice_max; /* what a whole slice does, in units of the job's own */
	unsigned every_s; /* how often begin() is called; 0: never */
	void (*begin)(struct job *j);
	/* Whether there is something to do now. Asked once a turn, unless a slice is staged. */
	bool (*has_more)(struct job *j);
	/* Does a slice of at most `max`, 1 or more. This and done(): as of an operation. */
	enum err (*apply)(struct job *j, struct db_txn *txn, size_t max);
	void (*done)(struct job *j, enum err result);
	/* Frees what the job keeps beyond its struct; NULL: nothing. */
	void (*release)(struct job *j);
};

struct job {
	struct op op; /* first: the turn's pointer is ours */
	TAILQ_ENTRY(job) link;
	const struct job_kind *kind;
	size_t max; /* of the slice that is staged, when it is next tried */
	bool staged;
};

/* The jobs of a store, in the order in which they were added. */
struct jobs;

struct jobs *jobs_new(struct turn *turn);

/* Frees all jobs. The turn commits no more. NULL is fine. */
void jobs_free(struct jobs *jobs);

/* Adds `j`, on the heap, which becomes theirs to free. */
void jobs_add(struct jobs *jobs, struct job *j, const struct job_kind *kind);

/* Stages the next slice of each job that has more to do. Once a turn, after the commit. */
void jobs_step(struct jobs *jobs);

/* Begins and stages the jobs that begin by time: at the start, and once a second. */
void jobs_tick(struct jobs *jobs);

#endif
