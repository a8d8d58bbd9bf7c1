/*
 * The sweep: drops what is kept no longer (settled events, dead letters, idempotency keys),
 * a slice a turn, so that none is held up by it.
 */
#ifndef JOBS_SWEEP_H
#define JOBS_SWEEP_H

#include "store/retention.h"
#include "store/turn.h"

struct sweep;

struct sweep *sweep_new(struct turn *turn, const struct retention *keep);

/* Changes how long things stay, from the next slice on. */
void sweep_configure(struct sweep *s, const struct retention *keep);

/* Frees it, after the turn where it is staged. NULL is fine. */
void sweep_free(struct sweep *s);

/* Stages a slice, unless one is staged. Once a second will do. */
void sweep_begin(struct sweep *s);

/* Stages the next slice if the last one was full. The loop calls it once a turn. */
void sweep_step(struct sweep *s);

#endif
