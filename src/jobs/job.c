/* Slices as operations of the turn; see job.h. */
#include "jobs/job.h"

#include <stdlib.h>

#include "base/mem.h"

struct jobs {
	struct turn *turn;
	TAILQ_HEAD(, job) list;
	unsigned ticks;
};

struct jobs *jobs_new(struct turn *turn)
{
	struct jobs *jobs = mem_new(sizeof(*jobs));
	jobs->turn = turn;
	TAILQ_INIT(&jobs->list);
	return jobs;
}

void jobs_free(struct jobs *jobs)
{
	if (jobs == NULL)
		return;
	while (!TAILQ_EMPTY(&jobs->list)) {
		struct job *j = TAILQ_FIRST(&jobs->list);
		TAILQ_REMOVE(&jobs->list, j, link);
		if (j->kind->release != NULL)
			j->kind->release(j);
		free(j);
	}
	free(jobs);
}

static enum err apply(struct op *op, struct db_txn *txn)
{
	struct job *j = (struct job *)op;
	size_t max = j->max;
	j->max = (max + 1) / 2; /* if this transaction is voided */
	return j->kind->apply(j, txn, max);
}

static void done(struct op *op, enum err result)
{
	struct job *j = (struct job *)op;
	j->staged = false;
	j->kind->done(j, result);
}

void jobs_add(struct jobs *jobs, struct job *j, const struct job_kind *kind)
{
	j->op.class = OP_PROGRESS;
	j->op.apply = apply;
	j->op.done = done;
	j->kind = kind;
	TAILQ_INSERT_TAIL(&jobs->list, j, link);
}

static void stage(struct jobs *jobs, struct job *j)
{
	j->staged = true;
	j->max = j->kind->slice_max;
	turn_stage(jobs->turn, &j->op);
}

void jobs_step(struct jobs *jobs)
{
	struct job *j;
	TAILQ_FOREACH(j, &jobs->list, link) {
		if (!j->staged && j->kind->has_more(j))
			stage(jobs, j);
	}
}

void jobs_tick(struct jobs *jobs)
{
	struct job *j;
	TAILQ_FOREACH(j, &jobs->list, link) {
		if (j->kind->every_s > 0 && jobs->ticks % j->kind->every_s == 0)
			j->kind->begin(j);
	}
	jobs->ticks++;
	jobs_step(jobs);
}
