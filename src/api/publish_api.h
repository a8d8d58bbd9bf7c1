/*
 * Intake: reads what a publisher sends (one envelope, an array of them, or one a line)
 * into publications that can be written as a whole or not at all.
 */
#ifndef API_PUBLISH_API_H
#define API_PUBLISH_API_H

#include "api/auth.h"
#include "domain/envelope.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/queue.h"

#define INTAKE_EVENTS_MAX 10000     /* in one request */
#define INTAKE_DELIVERIES_MAX 50000 /* of a batch; one event alone may make any number */

enum intake_form {
	INTAKE_ONE,    /* one envelope */
	INTAKE_ANY,    /* one envelope or an array of them */
	INTAKE_NDJSON, /* one a line */
};

/* One event of the request. */
struct intake_item {
	struct publication publication;
	int64_t timestamp_s;
	size_t body_at, body_len; /* in the intake's bodies */
	struct idempotency key;   /* of its "id" */
	struct uuid answer_id;    /* with a key: under which its answer is kept */
	size_t repeats; /* 1 + the index of an earlier item with the same key; 0: none */
	bool replayed;  /* out of apply: it was stored before */
	size_t answer_at, answer_len; /* out of apply: in the caller's answers */
};

struct intake {
	struct intake_item *items;
	size_t count;
	size_t cap;
	size_t deliveries; /* of all items */
	struct buf bodies;
	bool is_batch;
};

struct intake_conf {
	struct slice session; /* of the path; empty: each envelope names its own */
	const struct auth_token *token;
	const struct registry *registry;
	struct idgen *ids;
	struct buf *scratch;
	int64_t now_ms;
	uint64_t body_max;  /* bytes of one event alone */
	uint64_t batch_max; /* bytes of a batch */
};

/*
 * Reads `text`. On success every item is matched and stamped. It ends with the event that makes
 * the deliveries too many, so that memory is for so many and one event's. ERR_SYNTAX,
 * ERR_INVALID, ERR_TOOBIG, ERR_CONFLICT (one id for two events), ERR_REFUSED (a session that
 * the token does not reach), with the problem in words. intake_fini() it either way.
 */
MUST_CHECK enum err intake_read(struct intake *in, const struct intake_conf *conf,
    enum intake_form form, struct slice text, struct problem *p);

/* Makes `in` hold one event with this canonical body, for webhook `w` alone. */
void intake_make(struct intake *in, const struct intake_conf *conf, const char *event,
    struct slice body, const struct webhook *w);

/* About how many bytes writing it takes. */
size_t intake_bytes(const struct intake *in);

void intake_fini(struct intake *in);

/*
 * The quota of a session's queue (max_queue_per_session): whether what a request would add
 * finds room. Decides, writes nothing.
 */

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
