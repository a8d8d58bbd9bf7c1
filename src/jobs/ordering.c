/*
 * A line of the webhooks whose queues are not in order yet, each in it once. A turn takes a
 * slice off those at the front, which then go to the end of the line or are done; see
 * ordering.h.
 */
#include "jobs/ordering.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/map.h"
#include "base/mem.h"
#include "store/queue.h"

#define SLICE_MAX 1000 /* deliveries that are looked at in a turn */

struct entry {
	TAILQ_ENTRY(entry) link;
	uint64_t webhook;
	struct queue_place place; /* in its queue: all before it is in order */
	bool again;               /* became fifo once more: another pass, when this one ends */

	/* out of apply() */
	struct queue_place reached;
	bool ended; /* the pass */
};

struct ordering {
	struct job job; /* first */
	struct registry *registry;
	struct dispatch *dispatch;
	TAILQ_HEAD(, entry) line;
	struct map *entries; /* webhook number -> its entry in the line */
	size_t reached;      /* out of apply(): of those at the front, how many had a part */
};

static bool has_more(struct job *j)
{
	return !TAILQ_EMPTY(&((struct ordering *)j)->line);
}

/* Whether it still is one whose queue has to be in order. */
static bool is_fifo(const struct ordering *o, uint64_t webhook)
{
	const struct webhook *w = registry_get(o->registry, webhook);
	return w != NULL && w->fifo && !w->deleted;
}

/* Takes what is left of the slice off one queue. */
static enum err order(const struct ordering *o, struct db_txn *txn, struct entry *e,
    size_t *left)
{
	bool more = false;
	enum err err = OK;
	e->reached = e->place;
	if (is_fifo(o, e->webhook))
		err = queue_order(txn, e->webhook, &e->reached, left, &more);
	else
		*left -= 1;
	e->ended = !more;
	return err;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct ordering *o = (struct ordering *)j;
	struct entry *e;
	o->reached = 0;
	TAILQ_FOREACH(e, &o->line, link) {
		enum err err = order(o, txn, e, &max);
		if (err != OK)
			return err;
		o->reached++;
		if (max == 0)
			break;
	}
	return OK;
}

/* Sends an entry that had its part to the end of the line, or out of it. */
static void follow(struct ordering *o, struct entry *e)
{
	static const struct queue_place FRONT = {0};
	TAILQ_REMOVE(&o->line, e, link);
	if (!e->ended || e->again) {
		e->place = e->ended ? FRONT : e->reached;
		e->again = e->again && !e->ended;
		TAILQ_INSERT_TAIL(&o->line, e, link);
		return;
	}
	dispatch_hold(o->dispatch, e->webhook, false);
	free(map_del(o->entries, &e->webhook, sizeof(e->webhook)));
}

static void done(struct job *j, enum err result)
{
	struct ordering *o = (struct ordering *)j;
	for (; result == OK && o->reached > 0; o->reached--)
		follow(o, TAILQ_FIRST(&o->line));
}

static void release(struct job *j)
{
	map_free_all(((struct ordering *)j)->entries);
}

static const struct job_kind ORDERING = {.slice_max = SLICE_MAX,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

static void add_fifo(void *webhook, void *arg)
{
	const struct webhook *w = webhook;
	if (w->fifo && !w->deleted)
		ordering_add(arg, w->number);
}

struct ordering *ordering_new(struct jobs *jobs, struct registry *registry,
    struct dispatch *dispatch)
{
	struct ordering *o = mem_new(sizeof(*o));
	o->registry = registry;
	o->dispatch = dispatch;
	o->entries = map_new();
	TAILQ_INIT(&o->line);
	jobs_add(jobs, &o->job, &ORDERING);
	registry_each(registry, add_fifo, o);
	return o;
}

void ordering_add(struct ordering *o, uint64_t webhook)
{
	struct entry *e = map_get(o->entries, &webhook, sizeof(webhook));
	if (e != NULL) {
		e->again = true;
		return;
	}
	e = mem_new(sizeof(*e));
	e->webhook = webhook;
	map_put(o->entries, &webhook, sizeof(webhook), e);
	TAILQ_INSERT_TAIL(&o->line, e, link);
	dispatch_hold(o->dispatch, webhook, true);
}
