/*
 * The quota of a session's queue (max_queue_per_session): whether what a request would add
 * finds room. Decides, writes nothing.
 */
#ifndef API_QUOTA_H
#define API_QUOTA_H

#include "api/intake.h"
#include "store/backlog.h"

struct quota {
	uint64_t most; /* deliveries that may wait for a session's webhooks together; 0: any */
	const struct backlog *backlog; /* borrowed */
	const struct registry *registry;
};

/*
 * Looks whether every session has room for the deliveries of those events of `in` that are not
 * `replayed`. In the transaction that is to write them it is exact, whatever was published
 * before in the same one. ERR_FULL with the problem in words: all of the request is refused.
 */
MUST_CHECK enum err quota_check(const struct quota *q, const struct intake *in,
    struct problem *p);

#endif
