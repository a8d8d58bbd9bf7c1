/* Slices of the first retired webhook's queue, the last one with its record; see purge.h. */
#include "jobs/purge.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/retention.h"
#include "store/tasks.h"
#include "store/webhooks.h"

#define SLICE_MAX 1000 /* deliveries a turn */

struct purge {
	struct job job; /* first */
	struct registry *registry;
	struct dispatch *dispatch;
	uint64_t cancelled; /* by all slices that were committed */

	/* out of apply() */
	uint64_t webhook;
	size_t dropped; /* deliveries */
	bool erased;    /* the queue is empty and the record is gone */
};

static bool has_more(struct job *j)
{
	return registry_first_retired(((struct purge *)j)->registry) != NULL;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct purge *p = (struct purge *)j;
	p->webhook = registry_first_retired(p->registry)->number;
	p->erased = false;
	p->dropped = 0;
	enum err err = retention_cancel_queue(txn, p->webhook, clock_wall_ms(), max,
	    &p->dropped);
	if (err != OK || p->dropped == max)
		return err;
	const struct task_key replay = {.kind = TASK_REPLAY, .webhook = p->webhook};
	err = tasks_del(txn, &replay);
	if (err != OK && err != ERR_NOTFOUND)
		return err;
	err = webhooks_erase(txn, p->webhook);
	p->erased = err == OK || err == ERR_NOTFOUND;
	return p->erased ? OK : err;
}

static void done(struct job *j, enum err result)
{
	struct purge *p = (struct purge *)j;
	p->cancelled += result == OK ? p->dropped : 0;
	if (result != OK || !p->erased)
		return;
	registry_drop(p->registry, p->webhook);
	dispatch_forget(p->dispatch, p->webhook);
}

static const struct job_kind PURGE = {.slice_max = SLICE_MAX,
    .has_more = has_more,
    .apply = apply,
    .done = done};

struct purge *purge_new(struct jobs *jobs, struct registry *registry, struct dispatch *dispatch)
{
	struct purge *p = mem_new(sizeof(*p));
	p->registry = registry;
	p->dispatch = dispatch;
	jobs_add(jobs, &p->job, &PURGE);
	return p;
}

uint64_t purge_cancelled(const struct purge *p)
{
	return p->cancelled;
}
