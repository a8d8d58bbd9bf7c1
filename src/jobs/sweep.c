/* One operation of the turn that is staged over and over; see sweep.h. */
#include "jobs/sweep.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/idempotency.h"

#define SLICE_MAX                                                                              \
	500 /* records of each kind a turn: what that takes stays below a commit's flush */

struct sweep {
	struct op op; /* first: the turn's pointer is ours */
	struct turn *turn;
	struct retention keep;
	size_t slice; /* records of each kind: fewer each time that there was no room for it */
	bool staged;
	bool full; /* the last slice was: there may be more */
};

static enum err apply(struct op *op, struct db_txn *txn)
{
	struct sweep *s = (struct sweep *)op;
	int64_t now_ms = clock_wall_ms();
	size_t settled = 0;
	size_t dead = 0;
	size_t repeats = 0;
	size_t max = s->slice;
	s->slice = (max + 1) / 2;
	enum err err = retention_sweep_settled(txn, &s->keep, now_ms, max, &settled);
	if (err == OK)
		err = retention_sweep_dead(txn, &s->keep, now_ms, max, &dead);
	if (err == OK)
		err = idempotency_sweep(txn, now_ms, max, &repeats);
	s->full = settled >= max || dead >= max || repeats >= max;
	return err;
}

static void done(struct op *op, enum err result)
{
	struct sweep *s = (struct sweep *)op;
	s->staged = false;
	if (result != OK) {
		s->full = false;
		log_error("sweep failed", LOG_S("error", err_text(result)));
	}
}

struct sweep *sweep_new(struct turn *turn, const struct retention *keep)
{
	struct sweep *s = mem_new(sizeof(*s));
	s->turn = turn;
	s->keep = *keep;
	s->op.class = OP_PROGRESS;
	s->op.apply = apply;
	s->op.done = done;
	return s;
}

void sweep_configure(struct sweep *s, const struct retention *keep)
{
	s->keep = *keep;
}

void sweep_free(struct sweep *s)
{
	free(s);
}

void sweep_begin(struct sweep *s)
{
	if (s->staged)
		return;
	s->staged = true;
	s->slice = SLICE_MAX;
	turn_stage(s->turn, &s->op);
}

void sweep_step(struct sweep *s)
{
	if (s->full)
		sweep_begin(s);
}
