/*
 * The quota of a session: whether what a request would add finds room in its queue
 * (max_queue_per_session) and in its share of the store (store/usage.h).
 */
#ifndef API_QUOTA_H
#define API_QUOTA_H

#include "api/intake.h"
#include "store/queue.h"
#include "store/usage.h"

struct quota {
	uint64_t most; /* deliveries that may wait for a session's webhooks together; 0: any */
	const struct backlog *backlog; /* borrowed */
	const struct registry *registry;
	struct usage *usage; /* borrowed */
};

/*
 * Looks whether every session has room for those events of `in` that are not `repeated`, and
 * the first one's for the key of the request (has_key). In the transaction that is to write
 * them it is exact, whatever was published before in the same one; where history must go for
 * them, it goes. ERR_FULL with the problem in words, or ERR_NOSPACE: all of the request is
 * refused. ERR_CONFLICT: a session is being deleted.
 */
MUST_CHECK enum err quota_check(const struct quota *q, struct db_txn *txn,
    const struct intake *in, bool has_key, struct problem *p);

/*
 * Refuses a session that has its share of the store: counts that, and says in words what it
 * holds. Returns ERR_FULL.
 */
enum err quota_refuse(const struct quota *q, struct slice session, const char *field,
    struct problem *p);

#endif
