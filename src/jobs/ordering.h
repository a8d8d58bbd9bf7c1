/*
 * The ordering: puts what waits for a webhook whose ordering was changed in the new order: that
 * of publishing for fifo and within the lanes of a key, and out of the lanes where there is no
 * key any more. Where it was none before, deliveries that failed lie where they are due. A
 * queue of a million deliveries must not hold up one turn; until it is in order, the webhook's
 * attempts are held. Queues take turns, a slice each: neither a long one nor one that changes
 * again and again holds up the others.
 */
#ifndef JOBS_ORDERING_H
#define JOBS_ORDERING_H

#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "store/registry.h"

struct ordering;

/*
 * Makes it. It begins with all webhooks whose record says that their queue is not in order, and
 * with all that are fifo, of which older records do not say so: the last run may have been cut
 * off. `jobs` owns it. Those without a queue cost a step each. `vault` writes records anew.
 */
struct ordering *ordering_new(struct jobs *jobs, struct registry *registry,
    const struct vault *vault, struct dispatch *dispatch);

/* The webhook's ordering was changed, and the registry knows. O(1). */
void ordering_add(struct ordering *o, uint64_t webhook);

#endif
