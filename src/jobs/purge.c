/* One slice at a time, as an operation of the turn; see purge.h. */
#include "jobs/purge.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/replays.h"
#include "store/retention.h"
#include "store/webhooks.h"

#define SLICE_MAX 1000 /* deliveries a turn */

struct retired {
	TAILQ_ENTRY(retired) link;
	uint64_t webhook;
};

struct purge {
	struct op op; /* first: the turn's pointer is ours */
	struct turn *turn;
	TAILQ_HEAD(, retired) targets;
	void (*gone)(void *arg, uint64_t webhook);
	void *arg;
	size_t dropped;     /* deliveries, by the last slice */
	uint64_t cancelled; /* by all that were committed */
	size_t slice;       /* deliveries: fewer each time that there was no room for it */
	bool staged;
	bool erased; /* the last slice emptied the queue and erased the record */
};

static enum err apply(struct op *op, struct db_txn *txn)
{
	struct purge *p = (struct purge *)op;
	uint64_t webhook = TAILQ_FIRST(&p->targets)->webhook;
	size_t max = p->slice;
	p->slice = (max + 1) / 2;
	p->erased = false;
	p->dropped = 0;
	enum err err = retention_cancel_queue(txn, webhook, clock_wall_ms(), max, &p->dropped);
	if (err != OK || p->dropped == max)
		return err;
	const struct replay_key replay = {.kind = REPLAY_DELIVERIES, .webhook = webhook};
	err = replays_del(txn, &replay);
	if (err != OK && err != ERR_NOTFOUND)
		return err;
	err = webhooks_erase(txn, webhook);
	p->erased = err == OK || err == ERR_NOTFOUND;
	return p->erased ? OK : err;
}

static void done(struct op *op, enum err result)
{
	struct purge *p = (struct purge *)op;
	p->staged = false;
	p->cancelled += result == OK ? p->dropped : 0;
	if (result != OK || !p->erased)
		return;
	struct retired *t = TAILQ_FIRST(&p->targets);
	uint64_t webhook = t->webhook;
	TAILQ_REMOVE(&p->targets, t, link);
	free(t);
	p->gone(p->arg, webhook);
}

struct purge *purge_new(struct turn *turn, void (*gone)(void *arg, uint64_t webhook), void *arg)
{
	struct purge *p = mem_new(sizeof(*p));
	p->op.class = OP_PROGRESS;
	p->op.apply = apply;
	p->op.done = done;
	p->turn = turn;
	p->gone = gone;
	p->arg = arg;
	TAILQ_INIT(&p->targets);
	return p;
}

void purge_free(struct purge *p)
{
	if (p == NULL)
		return;
	while (!TAILQ_EMPTY(&p->targets)) {
		struct retired *t = TAILQ_FIRST(&p->targets);
		TAILQ_REMOVE(&p->targets, t, link);
		free(t);
	}
	free(p);
}

void purge_add(struct purge *p, uint64_t webhook)
{
	struct retired *t = mem_new(sizeof(*t));
	t->webhook = webhook;
	TAILQ_INSERT_TAIL(&p->targets, t, link);
}

void purge_step(struct purge *p)
{
	if (p->staged || TAILQ_EMPTY(&p->targets))
		return;
	p->staged = true;
	p->slice = SLICE_MAX;
	turn_stage(p->turn, &p->op);
}

uint64_t purge_cancelled(const struct purge *p)
{
	return p->cancelled;
}
