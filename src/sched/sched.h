/*
 * The scheduler: which webhook may start its next attempt now. Pure: it knows
 * no disk, no socket and no clock, so that a test drives thousands of endpoints
 * through virtual hours.
 *
 * An endpoint is the scheduler's part of a webhook with work; its owner embeds
 * it. The scheduler knows of an endpoint when its next unclaimed delivery is due
 * and how many of its attempts are in flight, never the deliveries themselves:
 * memory is bounded by the number of webhooks with work, not by the backlog.
 *
 *              due, and nothing holds it back
 *     IDLE ──────────▶ WAITING ──────────▶ READY ──sched_next──▶ starts one,
 *      ▲ no work, or    (tree by time)    (round-robin list)     goes to the end
 *      │ at its window                        │
 *      └──────────────────────────────────────┘
 *
 * What an endpoint may have in flight is its window: it starts at one, and its first success
 * opens it to eight. It grows by one with each success up to where it last failed (slow start,
 * after an outage: to half of what it was), then by one a window; a failure halves it, rising
 * latency narrows it. It is never above max_in_flight.
 *
 * What keeps one endpoint from hurting the others:
 *  - Sessions take turns, within a session its READY endpoints do: one attempt a turn, a few
 *    where it drains a queue. The prompt ones have every other turn, and so do not wait.
 *  - Endpoints whose last attempt failed have at most half of the slots, and take turns among
 *    themselves. A session has its share of all slots (shares/share.h), and of that half. One
 *    that holds all it may is parked, with all of its line, until a slot comes back.
 *  - Within that, an endpoint that has attempts in flight starts another only while they are
 *    fewer than a quarter of the free slots, so that the slow ones together never take the
 *    last.
 *  - The last slots, one in SHARE_RESERVE, are for endpoints whose last attempt succeeded, and
 *    that take up to a second: receivers that hang, of any number of sessions, leave them free.
 *  - One host is sent at most `per_host` attempts at a time, from all sessions, and each
 *    session has its share of these. One that has none there yet goes first.
 *  - One that answers that it is overloaded is paused, longer each time and shorter with
 *    each success: without that, quick refusals would open the circuit of a receiver that
 *    only wants to be asked less often.
 *  - The circuit: after so many failures in a row it opens, and for a time nothing of the
 *    endpoint is tried; then one probe decides. Somebody may ask for the probe before.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "sched/tenancy.h"
#include "shares/share.h"

#define SCHED_NEVER INT64_MAX

struct sched_conf {
	uint32_t slots;            /* attempts in flight over all endpoints */
	uint32_t per_host;         /* attempts in flight to one host */
	uint32_t circuit_failures; /* in a row; so many open the circuit */
	int64_t circuit_open_ms;   /* for how long, until a probe */
};

/* What the webhook allows. */
struct sched_limits {
	uint32_t max_in_flight;
	double rate; /* starts per second; 0: any number */
	bool enabled;
};

enum sched_circuit { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF_OPEN };
#define SCHED_CIRCUITS 3

/* How an attempt went, as far as the window and the circuit care. */
enum sched_result {
	RESULT_OK,
	RESULT_FAILED,
	RESULT_OVERLOADED, /* a failure that asks to slow down: counts, and narrows at once */
	RESULT_NONE,       /* says nothing about the endpoint: it was never sent */
	RESULT_STALE,      /* the same: it was sent before the last sched_try() */
};

struct sched_endpoint {
	struct { /* RB_ENTRY's: the tree's macros are the .c's alone */
		struct sched_endpoint *rbe_left, *rbe_right, *rbe_parent;
		int rbe_color;
	} node;
	TAILQ_ENTRY(sched_endpoint) link; /* in the list that `state` names */
	struct sched_tenant *tenant;
	struct sched_limits limits;
	int64_t due_ms;  /* wall; of the next unclaimed delivery; SCHED_NEVER: none known */
	int64_t wake_ms; /* wall; its key in the tree */
	double window;
	double threshold;         /* of slow start: above it the window grows by one a window */
	double borne;             /* the window when the last run of failures began */
	double tokens;            /* of the rate limit's bucket */
	int64_t tokens_ms;        /* wall; when they were counted */
	int64_t base_us;          /* latency: the usual one */
	int64_t recent_us;        /* latency: of the last few attempts */
	int64_t opened_ms;        /* wall; when the circuit opened last */
	int64_t probe_ms;         /* wall; while it is open: when the probe may start */
	int64_t failing_since_ms; /* wall; of the first failure since a success; 0: none */
	int64_t resume_ms;        /* wall; nothing starts before: a pause, or it was put off */
	int64_t pause_ms;         /* how long the last pause after an overload was */
	int64_t put_off_ms;       /* for how long it was put off last; 0: no longer */
	uint32_t failures;        /* in a row */
	uint32_t in_flight;
	uint32_t filled;    /* attempts under way of those that filled the window last */
	uint32_t since_cut; /* attempts ended since the window was last cut */
	uint8_t circuit;    /* enum sched_circuit */
	bool quick;         /* its last attempt succeeded; the last few took up to a second */
	bool mark;          /* its owner's own; not looked at */
	bool is_asked;      /* sched_try() wants the probe beside whatever is under way */
	uint8_t kind;       /* enum sched_kind, as it was lined up */
	uint8_t state;
};

struct sched;

struct sched *sched_new(const struct sched_conf *conf);
void sched_free(struct sched *s);

/* Changes how many and how long; `slots` stays as it was made. */
void sched_configure(struct sched *s, const struct sched_conf *conf);

/* Makes `e`, zeroed before, known with no work yet; `tenant` is borrowed until it goes. */
void sched_add(struct sched *s, struct sched_endpoint *e, struct sched_tenant *tenant,
    const struct sched_limits *limits, int64_t now_ms);

/* Forgets `e`; attempts still in flight are given back by sched_finish() before. */
void sched_remove(struct sched *s, struct sched_endpoint *e);

/* `session`, or `host`, is about to be freed: none of its endpoints is offered any more. */
void sched_forget_session(struct sched *s, const struct sched_session *session);
void sched_forget_host(struct sched *s, struct sched_host *host);

/* Moves `e` to another host of its session's, with its attempts in flight. */
void sched_move(struct sched *s, struct sched_endpoint *e, struct sched_tenant *tenant);

/* Changes what the webhook allows. A disabled endpoint starts nothing. */
void sched_limit(struct sched *s, struct sched_endpoint *e, const struct sched_limits *limits);

/* Closes the circuit and forgets the failures: the operator says that it is mended. */
void sched_reset(struct sched *s, struct sched_endpoint *e);

/*
 * Lets the next attempt start at once, whatever it was paused for: while the circuit is not
 * closed that is the probe, beside what is under way, which reports RESULT_STALE.
 */
void sched_try(struct sched *s, struct sched_endpoint *e, int64_t now_ms);

/* Takes up a run of failures from before a restart: the next failure opens the circuit. */
void sched_resume_failing(struct sched *s, struct sched_endpoint *e, int64_t failing_since_ms);

/* Says when the next unclaimed delivery of `e` is due; SCHED_NEVER when it has none. */
void sched_set_due(struct sched *s, struct sched_endpoint *e, int64_t due_ms);

/*
 * Borrows the endpoint whose turn it is at `now_ms`, or NULL. The caller claims one
 * of its due deliveries and reports sched_start(), or that there is none by
 * sched_set_due() with a later time; else it would be offered again.
 */
struct sched_endpoint *sched_next(struct sched *s, int64_t now_ms);

/* Offers those that are prompt alone, or all again. */
void sched_hold_others(struct sched *s, bool holds);

/* One attempt of `e`, which was offered, started: takes a slot, and `e` the end of its line. */
void sched_start(struct sched *s, struct sched_endpoint *e, int64_t now_ms);

/* Nothing of `e`, which was offered, starts for now: it goes to the end of the line. */
void sched_pass(struct sched *s, struct sched_endpoint *e);

/* One attempt of `e` ended: gives the slot back and learns from the result. */
void sched_finish(struct sched *s, struct sched_endpoint *e, int64_t now_ms,
    enum sched_result result, int64_t latency_us);

/*
 * An attempt of `e`, which still has its slot, could not be made from here: nothing of it
 * starts for a moment, each time a longer one until an attempt is made.
 */
void sched_put_off(struct sched *s, struct sched_endpoint *e, int64_t now_ms);

/* When sched_next() could next have something that it has not now; SCHED_NEVER. O(log n). */
int64_t sched_wake(struct sched *s, int64_t now_ms);

uint32_t sched_in_flight(const struct sched *s);

/* How the slots are shared. */
struct sched_figures {
	struct share slots; /* their takers are sessions */
	uint64_t parks;     /* how often a session had all that it may, and more to start */
	/* whose that was last: NULL: nobody's, or it was removed with its last endpoint */
	const struct sched_session *parked;
};

void sched_figures(const struct sched *s, struct sched_figures *out);

/* How many of the endpoints that it knows have their circuit so. O(1). */
uint32_t sched_circuits(const struct sched *s, enum sched_circuit circuit);

#endif
