/* A slice a second; see trend_writer.h. */
#include "jobs/trend_writer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define SLICE_MAX 250   /* webhooks a second */
#define COUNTED_MS 5000 /* so long it is counted in memory alone */

struct trend_writer {
	struct job job; /* first */
	struct trends *trends;
	const struct registry *registry;
	bool may; /* nothing was written in this second */
};

static void begin(struct job *j)
{
	((struct trend_writer *)j)->may = true;
}

static bool has_more(struct job *j)
{
	const struct trend_writer *tw = (const struct trend_writer *)j;
	return tw->may && trends_wait(tw->trends, clock_mono_ms() - COUNTED_MS);
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct trend_writer *tw = (struct trend_writer *)j;
	return trends_write(tw->trends, txn, tw->registry, max);
}

static void done(struct job *j, enum err result)
{
	struct trend_writer *tw = (struct trend_writer *)j;
	tw->may = false;
	if (result == OK)
		trends_written(tw->trends);
	else
		log_error("figures of webhooks were not written",
		    LOG_S("error", err_text(result)));
}

static const struct job_kind TREND_WRITER = {.slice_max = SLICE_MAX,
    .every_s = 1,
    .begin = begin,
    .has_more = has_more,
    .apply = apply,
    .done = done};

void trend_writer_add(struct jobs *jobs, struct trends *trends, const struct registry *registry)
{
	struct trend_writer *tw = mem_new(sizeof(*tw));
	tw->trends = trends;
	tw->registry = registry;
	jobs_add(jobs, &tw->job, &TREND_WRITER);
}
