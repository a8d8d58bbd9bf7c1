/* A slice of each kind that is kept for a time; see sweep.h. */
#include "jobs/sweep.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/idempotency.h"
#include "store/portal_series.h"

#define SLICE_MAX                                                                              \
	500 /* records of each kind a turn: what that takes stays below a commit's flush */

#define SERIES_EVERY_MS (10 * 60 * 1000) /* a walk over all: they are in no order of age */

struct sweep {
	struct job job; /* first */
	struct retention keep;
	struct portal_series_walk walk;
	int64_t series_mono_ms; /* when the next walk begins */
	bool more;              /* it was begun, or the last slice was full */
};

static void begin(struct job *j)
{
	((struct sweep *)j)->more = true;
}

static bool has_more(struct job *j)
{
	return ((struct sweep *)j)->more;
}

/* A slice of the walk over the series of portal tokens; *full: it goes on. */
static enum err sweep_series(struct sweep *s, struct db_txn *txn, int64_t now_ms, size_t max,
    bool *full)
{
	bool ended = false;
	*full = false;
	if (clock_mono_ms() < s->series_mono_ms)
		return OK;
	enum err err = portal_series_sweep(txn, &s->walk, now_ms, max, &ended);
	*full = err == OK && !ended;
	if (ended)
		s->series_mono_ms = clock_mono_ms() + SERIES_EVERY_MS;
	return err;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct sweep *s = (struct sweep *)j;
	int64_t now_ms = clock_wall_ms();
	size_t settled = 0;
	size_t dead = 0;
	size_t repeats = 0;
	bool series = false;
	enum err err = retention_sweep_settled(txn, &s->keep, now_ms, max, &settled);
	if (err == OK)
		err = retention_sweep_dead(txn, &s->keep, now_ms, max, &dead);
	if (err == OK)
		err = idempotency_sweep(txn, now_ms, max, &repeats);
	if (err == OK)
		err = sweep_series(s, txn, now_ms, max, &series);
	s->more = settled >= max || dead >= max || repeats >= max || series;
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
