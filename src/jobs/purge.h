/*
 * The purge: empties the queues of retired webhooks, which the registry names, and then drops
 * their records, their replays among them. A queue of a million deliveries must not hold up one
 * turn.
 */
#ifndef JOBS_PURGE_H
#define JOBS_PURGE_H

#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "store/registry.h"

struct purge;

/* Makes it; `jobs` owns it. `registry` and `dispatch` hear of each webhook that is gone. */
struct purge *purge_new(struct jobs *jobs, struct registry *registry,
    struct dispatch *dispatch);

/* Deliveries that were cancelled so, since the start. */
uint64_t purge_cancelled(const struct purge *p);

#endif
