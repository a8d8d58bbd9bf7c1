/*
 * Judges an attempt: what its result means for the delivery and its webhook
 * (docs/api.md). Decides and logs, writes nothing.
 */
#ifndef DISPATCH_JUDGE_H
#define DISPATCH_JUDGE_H

#include "base/rnd.h"
#include "courier/client.h"
#include "dispatch/settlement.h"
#include "sched/sched.h"
#include "store/registry.h"

#define JUDGE_EXPIRIES_MAX 64

/* Deliveries of event `name` are of no use after `after_ms`. */
struct expiry {
	char name[EVENT_MAX + 1];
	int64_t after_ms;
};

struct judge {
	const struct retry_schedule *retry; /* for webhooks without their own; all borrowed */
	const struct expiry *expiries;
	size_t expiry_count;
	uint32_t circuit_failures; /* failures in a row after which failing is kept on disk */
	int64_t
	    disable_after_ms; /* a webhook that failed at everything for so long is disabled */
	const struct registry *registry;
	struct rnd *rnd;
	struct idgen *ids;
};

/*
 * Whether a delivery of `e` is too old to be sent at `at_ms`; one that was replayed never
 * is.
 */
bool judge_is_expired(const struct judge *j, const struct event *e, const struct delivery *d,
    int64_t at_ms);

/* Whether it is old enough for some event; where not, nobody need look at its event. */
bool judge_may_be_expired(const struct judge *j, const struct delivery *d, int64_t at_ms);

/*
 * Fills `s`, whose delivery and now_ms are set, from result `r` of an attempt at event `e` for
 * webhook `w`, whose endpoint, of the URL that was asked, stood as `ep` says. Logs the verdict.
 */
void judge_attempt(const struct judge *j, const struct webhook *w,
    const struct sched_endpoint *ep, const struct event *e, const struct client_result *r,
    struct settlement *s);

/*
 * Fills `s` for a delivery that cannot be read, or its event: `e` is what is known of that. It
 * is a dead letter at once, and nothing of it counts against the receiver. Logs it.
 */
void judge_damaged(const struct judge *j, const struct webhook *w, const struct event *e,
    const char *why, struct settlement *s);

/* Fills `s` for a delivery that is too old to be sent. Logs it. */
void judge_expired(const struct webhook *w, const struct event *e, struct settlement *s);

/*
 * What the result, of which judge_attempt() has said whether it delivered, says of the
 * endpoint: nothing where it came of a shortage of ours. Such a
 * result is not judged otherwise, and the attempt does not count.
 */
enum sched_result judge_endpoint(const struct client_result *r, bool delivered);

#endif
