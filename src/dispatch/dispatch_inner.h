/*
 * What the parts of the dispatcher share: dispatch.c has the endpoints, flight.c the
 * deliveries that were claimed. For them alone.
 */
#ifndef DISPATCH_DISPATCH_INNER_H
#define DISPATCH_DISPATCH_INNER_H

#include "base/map.h"
#include "dispatch/dispatch.h"
#include "dispatch/lanes.h"
#include "dispatch/tenants.h"
#include "domain/attachment.h"
#include "domain/sign.h"

struct endpoint {
	struct sched_endpoint sched; /* first: the scheduler's pointer is ours */
	struct fallback *fallback;   /* NULL: its webhook has no fallback_url */
	struct sched_endpoint *turn; /* whose it is, in a claim: `sched`, or its fallback's */
	struct dispatch *dispatch;
	TAILQ_ENTRY(endpoint) idle_link;
	TAILQ_HEAD(, flight) flights;
	uint64_t webhook;
	struct queue_place place; /* claimed up to here */
	int64_t forced_ms;        /* what was queued before is due at once; 0: nothing is */
	struct uuid wanted;       /* if it is, this delivery goes before all others */
	struct sign_key *key;     /* NULL: not made yet, or no secret */
	struct sign_key *previous_key; /* the same of the secret before */
	struct sign_pair *pair;        /* the same of its key pairs */
	struct sign_pair *previous_pair;
	char *last_error; /* of the last attempt; NULL: it succeeded, or there was none */
	int last_status;
	uint32_t round;      /* of attempts: those of an earlier one say nothing any more */
	struct lanes *lanes; /* NULL: its webhook has no key */
	struct token *token; /* of its auth, if that needs one; NULL: not taken yet */
	struct token_waiter waiter;
	uint32_t
	    repeats;     /* attempts under way whose token was refused, and that do not count */
	bool is_refused; /* its token is there since the one before was refused */
	bool lacks_token; /* nothing starts: a token is asked for */
	bool fifo;
	bool is_held; /* nothing starts: its queue is being put in order */
	bool idle;
	bool is_wanted;
};

/*
 * Where attempts go while the circuit of the webhook's own URL is open: for the scheduler an
 * endpoint of its own, with a host, a window and a circuit, that claims from the same queue
 * (fallback.c).
 */
struct fallback {
	struct sched_endpoint sched; /* first, and marked; as above */
	struct endpoint *endpoint;
};

#define SEEN_SLOTS 1024

/* What a source's sender has sent, with the bytes that it borrows from. */
struct raw {
	struct buf bytes;
	struct attachment attachment;
};

/* A delivery between its claim and the commit of its outcome: an attempt, or dropped. */
struct flight {
	TAILQ_ENTRY(flight) link;
	struct op op;
	struct dispatch *dispatch;
	struct endpoint *endpoint;
	struct sched_endpoint *sched; /* its slot's: the endpoint's, or its fallback's */
	uint64_t token;               /* the number of the one that it is sent with; 0: none */
	uint32_t round;               /* the endpoint's, when it began */
	struct event event;
	struct buf body;             /* as it is sent */
	struct payload_body payload; /* how that is made of the event's */
	struct raw *raw;             /* what is sent in its place, until it is; mostly NULL */
	char *trace;                 /* its publisher's, until it is sent; mostly NULL */
	struct settlement settlement;
	enum sched_result result; /* what the endpoint learns from it */
	int64_t duration_us;
	int status;                  /* of HTTP; 0: none came */
	char error[FEED_ERROR_SIZE]; /* why none came; for the feed */
	bool landed; /* its slot was given back before its outcome was on disk */
};

struct dispatch {
	struct dispatch_conf conf;
	struct sched *sched;
	struct map *endpoints; /* webhook number -> endpoint */
	struct tenants *tenants;
	TAILQ_HEAD(, endpoint) idle;
	size_t idle_count;
	uint64_t bytes_begun;   /* of bodies whose attempts were started, since the start */
	int64_t queues_us;      /* so long those that drain a queue start in a turn */
	unsigned drops;         /* expired deliveries whose end is not committed yet */
	int64_t rest_until_ms;  /* monotonic; nothing is claimed before */
	int64_t short_quiet_ms; /* monotonic; no line about a shortage before */
	int64_t share_quiet_ms; /* the same about a session that has its share */
	uint64_t parks;         /* sessions that had theirs, when it was looked last */
	bool keeps_attempts;    /* there is room for their records */
	/*
	 * Monotonic, by the webhook's number: before it no success at the first attempt is kept
	 * with its headers. Webhooks that share a slot take turns: so a gateway of many keeps
	 * no more of them than it has slots.
	 */
	int64_t seen_ms[SEEN_SLOTS];
	bool stopped;
	bool is_paused;
	struct dispatch_figures figures; /* those that are counted, not asked for */
};

/*
 * Moves `ep` between the idle ones and those with work; drops the longest idle beyond
 * IDLE_MAX.
 */
void endpoint_mark_idle(struct dispatch *d, struct endpoint *ep);

/* An attempt of `se` went to `address`: that is its host from now on. */
void endpoint_move(struct dispatch *d, struct sched_endpoint *se, const char *address);

/* Says when the next unclaimed delivery of `ep` is due; SCHED_NEVER when it has none. */
void endpoint_set_due(struct dispatch *d, struct endpoint *ep, int64_t due_ms);

/* The endpoint, or that whose fallback it is, that the scheduler knows so. */
struct endpoint *endpoint_of(struct sched_endpoint *se);

/* The scheduler learns what the webhook allows now. */
void endpoint_apply_limits(struct dispatch *d, struct endpoint *ep, const struct webhook *w);

/* How many attempts of the endpoint are under way, to either URL. */
uint32_t endpoint_in_flight(const struct endpoint *ep);

/*
 * Gives `ep`, which is new or whose webhook has changed, a fallback where that has a
 * fallback_url. One that it had stays, and starts nothing without.
 */
void fallback_follow(struct dispatch *d, struct endpoint *ep, const struct webhook *w);

/* Frees it, with nothing in flight. NULL is fine. */
void fallback_free(struct dispatch *d, struct fallback *fb);

/*
 * An attempt of `ep`, which has a fallback, began or ended: each of both URLs starts what it
 * may now.
 */
void fallback_adjust(struct dispatch *d, struct endpoint *ep);

/* When an endpoint with a delivery that is due at `due_ms` may send it to its fallback. */
int64_t fallback_due(const struct endpoint *ep, int64_t due_ms);

/* Something of that lane of a webhook with a key may have become due. */
void endpoint_look(struct dispatch *d, struct endpoint *ep, uint16_t lane);

/* Whether a webhook with auth may start: it has its token, or needs none. If not, it waits. */
bool endpoint_has_token(struct dispatch *d, struct endpoint *ep, const struct webhook *w);

/* Claims start over from the front: something may lie before the place they had reached. */
void endpoint_rewind(struct endpoint *ep);

/*
 * Starts what may start now, drops what is too old to be sent and buries what cannot be read;
 * what 10 ms and 2 MiB of bodies do not hold is for the next turn.
 */
void flights_start_due(struct dispatch *d);

/*
 * Whether another may start: not too many drops wait for their commit, and while descriptors
 * are short there is a connection left.
 */
bool flights_have_room(const struct dispatch *d);

/* Whether the endpoint has a flight of that delivery. `ep`: an endpoint. */
bool flight_exists(void *ep, const struct uuid *id);

/*
 * The queue was put in order: the flights of `ep` learn in which lanes their deliveries are.
 */
void flights_find_lanes(struct dispatch *d, struct endpoint *ep);

/* Forgets a flight, whatever came of it. */
void flight_free(struct flight *f);

#endif
