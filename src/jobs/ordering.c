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
#include "store/lanes.h"
#include "store/queue.h"
#include "store/webhooks.h"

#define SLICE_MAX 1000  /* deliveries that are looked at in a turn */
#define LOOK_BYTES 4096 /* of an event that is read for its lane: as dear as one of these */

struct entry {
	TAILQ_ENTRY(entry) link;
	uint64_t webhook;
	struct queue_place place; /* in its queue: all before it is in order */
	uint32_t unordered;       /* the webhook's, when the pass began */
	bool again;               /* changed once more: another pass, when this one ends */

	/* out of apply() */
	struct queue_place reached;
	struct webhook *ordered; /* as it was stored, in order; owned until taken; or NULL */
	bool ended;              /* the pass */
};

struct ordering {
	struct job job; /* first */
	struct registry *registry;
	const struct vault *vault;
	struct dispatch *dispatch;
	TAILQ_HEAD(, entry) line;
	struct map *entries; /* webhook number -> its entry in the line */
	size_t reached;      /* out of apply(): of those at the front, how many had a part */
};

static const struct queue_place FRONT;

static bool has_more(struct job *j)
{
	return !TAILQ_EMPTY(&((struct ordering *)j)->line);
}

/* Whether it is one whose queue has to be put in order. */
static bool is_wanted(const struct webhook *w)
{
	return w != NULL && !w->deleted && (w->fifo || w->unordered != 0);
}

static enum err find_lane(void *key, struct db_txn *txn, const struct delivery *d,
    uint16_t *lane, size_t *cost)
{
	size_t bytes = 0;
	enum err err = lanes_find(txn, key, d, lane, &bytes);
	*cost += bytes / LOOK_BYTES;
	return err;
}

/* Takes what is left of the slice off the queue of `w`. */
static enum err order_queue(struct db_txn *txn, const struct webhook *w, struct entry *e,
    size_t *left)
{
	bool more = false;
	const struct queue_order order = {.by_publishing = webhook_keeps_places(w),
	    .lane = w->key != NULL ? find_lane : NULL,
	    .arg = w->key};
	if (uuid_eq(&e->place.id, &FRONT.id))
		e->unordered = w->unordered;
	enum err err = queue_order(txn, e->webhook, &order, &e->reached, left, &more);
	e->ended = !more;
	return err;
}

static void forget_ordered(struct entry *e)
{
	webhook_free(e->ordered);
	e->ordered = NULL;
}

/*
 * The pass is over: the record says that the queue is in order, unless what is wanted was
 * changed meanwhile.
 */
static enum err write_ordered(const struct ordering *o, struct db_txn *txn, struct entry *e)
{
	struct webhook *w = NULL;
	if (e->unordered == 0)
		return OK;
	enum err err = webhooks_get(txn, o->vault, e->webhook, &w);
	if (err != OK)
		return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
	if (!w->deleted && w->unordered == e->unordered) {
		w->unordered = 0;
		err = webhooks_change(txn, o->vault, w, w);
		e->ordered = w;
		return err;
	}
	webhook_free(w);
	return OK;
}

/* Takes what is left of the slice off one queue. */
static enum err order_next(const struct ordering *o, struct db_txn *txn, struct entry *e,
    size_t *left)
{
	const struct webhook *w = registry_get(o->registry, e->webhook);
	forget_ordered(e); /* of a transaction that was voided */
	e->reached = e->place;
	e->ended = true;
	if (!is_wanted(w)) {
		*left -= 1;
		return OK;
	}
	enum err err = order_queue(txn, w, e, left);
	return err == OK && e->ended ? write_ordered(o, txn, e) : err;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct ordering *o = (struct ordering *)j;
	struct entry *e;
	o->reached = 0;
	TAILQ_FOREACH(e, &o->line, link) {
		enum err err = order_next(o, txn, e, &max);
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
	TAILQ_REMOVE(&o->line, e, link);
	if (e->ordered != NULL) {
		registry_set(o->registry, e->ordered);
		e->ordered = NULL;
		dispatch_changed(o->dispatch, e->webhook, false);
	}
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

static void free_entry(void *entry, void *arg)
{
	(void)arg;
	forget_ordered(entry);
	free(entry);
}

static void release(struct job *j)
{
	struct ordering *o = (struct ordering *)j;
	map_each(o->entries, free_entry, NULL);
	map_free(o->entries);
}

static const struct job_kind ORDERING = {.slice_max = SLICE_MAX,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

static void add_wanted(void *webhook, void *arg)
{
	const struct webhook *w = webhook;
	if (is_wanted(w))
		ordering_add(arg, w->number);
}

struct ordering *ordering_new(struct jobs *jobs, struct registry *registry,
    const struct vault *vault, struct dispatch *dispatch)
{
	struct ordering *o = mem_new(sizeof(*o));
	o->registry = registry;
	o->vault = vault;
	o->dispatch = dispatch;
	o->entries = map_new();
	TAILQ_INIT(&o->line);
	jobs_add(jobs, &o->job, &ORDERING);
	registry_each(registry, add_wanted, o);
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
