/*
 * The sweep: drops settled events, dead letters and idempotency keys that are too old or take
 * too much room, each second in as many slices as it takes; every ten minutes what was revoked
 * of portal tokens more than a day ago.
 */
#ifndef JOBS_SWEEP_H
#define JOBS_SWEEP_H

#include "jobs/job.h"
#include "store/retention.h"

struct sweep;

/* Makes it; `jobs` owns it. */
struct sweep *sweep_new(struct jobs *jobs, const struct retention *keep);

/* Changes how long things stay, from the next slice on. */
void sweep_configure(struct sweep *s, const struct retention *keep);

#endif
