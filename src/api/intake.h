/*
 * Intake: reads what a publisher sends (one envelope, an array of them, or one a line)
 * into publications that can be written as a whole or not at all; and says whether there is
 * room for them: in the queues of their sessions (max_queue_per_session) and in the sessions'
 * shares of the store (store/usage.h).
 */
#ifndef API_INTAKE_H
#define API_INTAKE_H

#include "api/auth.h"
#include "base/digest.h"
#include "domain/envelope.h"
#include "domain/source.h"
#include "domain/trace.h"
#include "store/idempotency.h"
#include "store/publication.h"
#include "store/queue.h"
#include "store/usage.h"

#define INTAKE_EVENTS_MAX 10000     /* in one request */
#define INTAKE_DELIVERIES_MAX 50000 /* of a batch; one event alone may make any number */
#define INTAKE_STEPS_MAX 131072     /* of filters, the same: as many as one event takes */

enum intake_form {
	INTAKE_ONE,    /* one envelope */
	INTAKE_ANY,    /* one envelope or an array of them */
	INTAKE_NDJSON, /* one a line */
};

/* One event of the request. */
struct intake_item {
	struct publication publication;
	uint64_t steps; /* of filters that were asked for it */
	int64_t timestamp_s;
	size_t body_at, body_len;         /* in the intake's bodies */
	size_t attached_at, attached_len; /* the same; mostly none */
	bool has_timestamp;               /* named by the request */
	bool missed;                      /* of a source: a mapping found nothing */
	struct idempotency key;           /* of its "id" */
	size_t repeats; /* 1 + the index of an earlier item with the same key; 0: none */
	bool repeated;  /* out of apply: it was stored before */
	struct answered answered;     /* out of apply: what its answer says */
	size_t answer_at, answer_len; /* out of apply: a text of before, in the caller's */
};

struct intake {
	struct intake_item *items;
	size_t count;
	size_t cap;
	size_t deliveries; /* of all items */
	uint64_t steps;    /* the same */
	struct buf bodies;
	bool is_batch;
	unsigned char
	    sum[DIGEST_SIZE]; /* with `has_key`: of the events' JSON, in their order */
};

struct intake_conf {
	struct slice session; /* of the path; empty: each envelope names its own */
	const struct auth_token *token;
	const struct registry *registry;
	struct idgen *ids;
	struct buf *scratch;
	struct slice traceparent, tracestate; /* of the request: of all its events */
	int64_t now_ms;
	int64_t key_ms;     /* how long an "id" is known */
	bool has_key;       /* the request as a whole has a key */
	bool takes_any;     /* an object that is no envelope, too: envelope_read_any() */
	uint64_t body_max;  /* bytes of one event alone */
	uint64_t batch_max; /* bytes of a batch */
};

/* What a session may have; the pointers are borrowed. */
struct quota {
	uint64_t most; /* deliveries that may wait for a session's webhooks together; 0: any */
	const struct backlog *backlog;
	const struct registry *registry;
	struct usage *usage;
};

/*
 * Reads `text`. On success every item is matched and stamped. It ends with the event that makes
 * the deliveries, or the steps of filters, too many: memory and time are for so many and one
 * event's. ERR_SYNTAX,
 * ERR_INVALID, ERR_TOOBIG, ERR_CONFLICT (one id for two events), ERR_REFUSED (a session that
 * the token does not reach), with the problem in words. intake_fini() it either way.
 */
MUST_CHECK enum err intake_read(struct intake *in, const struct intake_conf *conf,
    enum intake_form form, struct slice text, struct problem *p);

/* Makes `in` hold one event with this canonical body, for webhook `w` alone. */
void intake_make(struct intake *in, const struct intake_conf *conf, const char *event,
    struct slice body, const struct webhook *w);

/*
 * Adds an event of a source to `in`, whose buffer of bodies the caller has set; intake_finish()
 * once all are there. `scope` keeps its repeats apart from others'; `key_ms` is how long they
 * are known, 0: not at all. ERR_TOOBIG with the problem in words.
 */
MUST_CHECK enum err intake_add(struct intake *in, const struct intake_conf *conf,
    const struct source_event *e, struct slice scope, int64_t key_ms, struct problem *p);

/*
 * Attaches what its sender has sent to the event that was added last. ERR_TOOBIG with the
 * problem in words.
 */
MUST_CHECK enum err intake_attach(struct intake *in, const struct attachment *a,
    struct problem *p);

/* Takes those behind the first `count` out again, whose bodies took `bytes`. */
void intake_cut(struct intake *in, size_t count, size_t bytes);

MUST_CHECK enum err intake_finish(struct intake *in, const struct intake_conf *conf,
    struct problem *p);

/* About how many bytes writing it takes. */
size_t intake_bytes(const struct intake *in);

/*
 * Looks whether every session has room for those events that are not `repeated`, and the first
 * one's for the key of the request (has_key). In the transaction that is to write them it is
 * exact, whatever was published before in the same one; where history must go for them, it
 * goes. ERR_FULL with the problem in words, or ERR_NOSPACE: all of the request is refused.
 * ERR_CONFLICT: a session is being deleted.
 */
MUST_CHECK enum err intake_admit(const struct intake *in, const struct quota *q,
    struct db_txn *txn, bool has_key, struct problem *p);

/*
 * Refuses a session that has its share of the store: counts that, and says in words what it
 * holds. Returns ERR_FULL.
 */
enum err intake_refuse_share(const struct quota *q, struct slice session, const char *field,
    struct problem *p);

void intake_fini(struct intake *in);

#endif
