/*
 * The ordering: puts what waits for a fifo webhook in the order in which it was published.
 * Where it was not fifo before, deliveries that failed lie where they are due. A queue of a
 * million deliveries must not hold up one turn; until it is in order, the webhook's attempts
 * are held. Queues take turns, a slice each: neither a long one nor one that becomes fifo again
 * and again holds up the others.
 */
#ifndef JOBS_ORDERING_H
#define JOBS_ORDERING_H

#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "store/registry.h"

struct ordering;

/*
 * Makes it. It begins with all fifo webhooks, as the last run may have been cut off; `jobs`
 * owns it. Those without a queue cost a step each.
 */
struct ordering *ordering_new(struct jobs *jobs, struct registry *registry,
    struct dispatch *dispatch);

/* The webhook has become fifo, and the registry knows. O(1). */
void ordering_add(struct ordering *o, uint64_t webhook);

#endif
