/* A slice of each kind that is kept for a time; see sweep.h. */
#include "jobs/sweep.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/idempotency.h"

#define SLICE_MAX                                                                              \
	500 /* records of each kind a turn: what that takes stays below a commit's flush */

struct sweep {
	struct job job; /* first */
	struct retention keep;
	bool more; /* it was begun, or the last slice was full */
};

static void begin(struct job *j)
{
	((struct sweep *)j)->more = true;
}

static bool has_more(struct job *j)
{
	return ((struct sweep *)j)->more;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct sweep *s = (struct sweep *)j;
	int64_t now_ms = clock_wall_ms();
	size_t settled = 0;
	size_t dead = 0;
	size_t repeats = 0;
	enum err err = retention_sweep_settled(txn, &s->keep, now_ms, max, &settled);
	if (err == OK)
		err = retention_sweep_dead(txn, &s->keep, now_ms, max, &dead);
	if (err == OK)
		err = idempotency_sweep(txn, now_ms, max, &repeats);
	s->more = settled >= max || dead >= max || repeats >= max;
	return err;
}

static void done(struct job *j, enum err result)
{
	if (result == OK)
		return;
	((struct sweep *)j)->more = false;
	log_error("sweep failed", LOG_S("error", err_text(result)));
}

static const struct job_kind SWEEP = {.slice_max = SLICE_MAX,
    .every_s = 1,
    .begin = begin,
    .has_more = has_more,
    .apply = apply,
    .done = done};

struct sweep *sweep_new(struct jobs *jobs, const struct retention *keep)
{
	struct sweep *s = mem_new(sizeof(*s));
	s->keep = *keep;
	jobs_add(jobs, &s->job, &SWEEP);
	return s;
}

void sweep_configure(struct sweep *s, const struct retention *keep)
{
	s->keep = *keep;
}
