/*
 * The task runner: works on the tasks of the store (tasks.h) that send again or drop, a slice
 * of one, then of the next. One that would put more into the queue than its session may have
 * waiting waits until some of it has drained; so does one whose session may hold no more of the
 * store (store/usage.h), and so do all while the store has no room.
 *
 * It knows which of them run, and nothing of how far they are: that is on disk alone. One that
 * was cancelled there, or whose webhook was deleted, ends with its next slice.
 */
#ifndef JOBS_TASK_RUNNER_H
#define JOBS_TASK_RUNNER_H

#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "store/oldest.h"
#include "store/queue.h"
#include "store/tasks.h"

struct task_runner;

struct task_runner_conf {
	struct db *db; /* all borrowed */
	const struct registry *registry;
	const struct backlog *backlog;
	struct dispatch *dispatch; /* hears of each delivery that was put into its queue */
	struct oldest *oldest;     /* the same; NULL: does not */
	const bool *has_room;      /* in the store */
	uint64_t most;             /* deliveries that may wait for a session; 0: any number */
};

/* Makes it; `jobs` owns it. */
struct task_runner *task_runner_new(struct jobs *jobs, const struct task_runner_conf *conf);

/* Changes how many may wait. */
void task_runner_configure(struct task_runner *r, uint64_t most);

/* Learns from the store which tasks were running. The store's error. */
MUST_CHECK enum err task_runner_load(struct task_runner *r);

/* A task was started, after the commit that wrote its record. */
void task_runner_add(struct task_runner *r, const struct task_key *key);

#endif
