/* Slices of the queues of those that became fifo, one after the other; see ordering.h. */
#include "jobs/ordering.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/queue.h"

#define SLICE_MAX 1000 /* deliveries that are looked at in a turn */

struct ordering {
	struct job job; /* first */
	struct registry *registry;
	struct dispatch *dispatch;
	uint64_t *webhooks; /* in the order of their turns */
	size_t count;
	size_t cap;
	struct queue_place place; /* in the first one's queue: all before it is in order */

	/* out of apply() */
	size_t ordered; /* webhooks whose queues are in order now */
	struct queue_place reached;
};

static bool has_more(struct job *j)
{
	return ((struct ordering *)j)->count > 0;
}

/* Whether it still is one whose queue has to be in order. */
static bool is_fifo(const struct ordering *o, uint64_t webhook)
{
	const struct webhook *w = registry_get(o->registry, webhook);
	return w != NULL && w->fifo && !w->deleted;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct ordering *o = (struct ordering *)j;
	o->ordered = 0;
	o->reached = o->place;
	while (o->ordered < o->count && max > 0) {
		bool more = false;
		uint64_t webhook = o->webhooks[o->ordered];
		enum err err = OK;
		if (is_fifo(o, webhook))
			err = queue_order(txn, webhook, &o->reached, &max, &more);
		if (err != OK)
			return err;
		if (more)
			break;
		o->ordered++;
		o->reached = (struct queue_place){0};
	}
	return OK;
}

/* Whether the webhook's turn is still to come: it has become fifo once more. */
static bool comes_again(const struct ordering *o, size_t from, uint64_t webhook)
{
	for (size_t i = from; i < o->count; i++) {
		if (o->webhooks[i] == webhook)
			return true;
	}
	return false;
}

static void done(struct job *j, enum err result)
{
	struct ordering *o = (struct ordering *)j;
	if (result != OK)
		return;
	for (size_t i = 0; i < o->ordered; i++) {
		if (!comes_again(o, o->ordered, o->webhooks[i]))
			dispatch_hold(o->dispatch, o->webhooks[i], false);
	}
	o->count -= o->ordered;
	for (size_t i = 0; i < o->count; i++)
		o->webhooks[i] = o->webhooks[i + o->ordered];
	o->place = o->reached;
}

static void release(struct job *j)
{
	free(((struct ordering *)j)->webhooks);
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
	jobs_add(jobs, &o->job, &ORDERING);
	registry_each(registry, add_fifo, o);
	return o;
}

void ordering_add(struct ordering *o, uint64_t webhook)
{
	if (o->count == o->cap) {
		o->cap = 2 * o->cap + 8;
		o->webhooks = mem_resize(o->webhooks, o->cap, sizeof(*o->webhooks));
	}
	o->webhooks[o->count++] = webhook;
	dispatch_hold(o->dispatch, webhook, true);
}
