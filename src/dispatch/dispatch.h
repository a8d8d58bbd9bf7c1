/*
 * The dispatcher: moves deliveries from the queue on disk to the wire and their
 * outcomes back into the turn.
 *
 *   queue ──claim──▶ attempt ──▶ courier ──▶ result ──▶ outcome ──▶ turn
 *     ▲                                                               │
 *     └──────────────── retry, dead letter, done ◀────────────────────┘
 *
 * It owns what is in memory about webhooks with work: their place in the queue,
 * their signing key, their attempts in flight. It never writes outside the turn,
 * and a delivery in flight stays in the queue until its outcome is committed.
 */
#ifndef DISPATCH_DISPATCH_H
#define DISPATCH_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "courier/client.h"
#include "courier/tokens.h"
#include "dispatch/judge.h"
#include "feed/feed.h"
#include "sched/sched.h"
#include "store/registry.h"
#include "store/trends.h"
#include "store/turn.h"

#define DISPATCH_MARGIN_MS 1000

struct dispatch_conf {
	struct db *db; /* all borrowed */
	struct turn *turn;
	struct registry *registry;
	const struct vault *vault;
	struct client *client;
	struct tokens *tokens; /* NULL: no webhook's auth is of type oauth2 */
	struct judge judge;
	struct sched_conf sched;
	struct feed *feed;     /* told of what becomes of deliveries; NULL: nobody is */
	struct trends *trends; /* counts attempts by webhook; NULL: nobody does */
	/*
	 * Wall; when another process may have begun its last attempt; 0: there was none.
	 * Webhooks with an order wait for its end: their timeout and DISPATCH_MARGIN_MS.
	 */
	int64_t taken_over_ms;
};

struct dispatch;

struct dispatch *dispatch_new(const struct dispatch_conf *conf);
void dispatch_free(struct dispatch *d);

/* Changes how attempts are judged and scheduled, from the next one on; the slots stay. */
void dispatch_configure(struct dispatch *d, const struct dispatch_conf *conf);

/* Learns from the store which webhooks have work, one step each. The store's error. */
MUST_CHECK enum err dispatch_load(struct dispatch *d);

/*
 * A delivery of this webhook now lies at `place` of its queue. After the commit that put it
 * there.
 */
void dispatch_queued(struct dispatch *d, uint64_t webhook, const struct queue_place *place);

/*
 * The webhook was changed or retired; the registry has its new state. `enabled_now`:
 * it was enabled by hand, and what is queued is due at once.
 */
void dispatch_changed(struct dispatch *d, uint64_t webhook, bool enabled_now);

/* What became of the wish to try a webhook now. */
enum dispatch_try {
	TRY_NOTHING_WAITS, /* the next delivery goes at once, whatever the circuit was */
	TRY_STARTS,        /* what waits is due: one of it as the probe of a circuit */
	TRY_IS_UNDER_WAY,  /* a probe is, and decides */
};

/* The operator says that it is mended: what is queued is due, first of all a probe. */
enum dispatch_try dispatch_try(struct dispatch *d, uint64_t webhook);

/*
 * The webhook, which was changed, sends elsewhere or otherwise from now on: what fails of it is
 * tried at once, and what was under way says nothing of it any more.
 */
void dispatch_moved(struct dispatch *d, uint64_t webhook);

/*
 * A delivery that was just queued goes before all others of its webhook, past an open circuit;
 * where these keep their order the first of them does.
 */
void dispatch_send(struct dispatch *d, uint64_t webhook, const struct uuid *id);

/*
 * Holds the webhook's attempts, or lets them go on, whatever else says that they may start:
 * what waits for it has been put in order meanwhile.
 */
void dispatch_hold(struct dispatch *d, uint64_t webhook, bool holds);

/* The webhook, a retired one, is gone from store and registry, and so is its queue. */
void dispatch_forget(struct dispatch *d, uint64_t webhook);

#define DISPATCH_PUMP_US 10000 /* or a little more */

/* Starts what may start now, for at most so long. Once a turn, after the commit. */
void dispatch_pump(struct dispatch *d);

/* Who drains a queue, or failed last, starts for `us` of that from now on: others publish. */
void dispatch_bound_queues(struct dispatch *d, int64_t us);

/*
 * Milliseconds until dispatch_pump() has something to do; 0: at once; -1: only events bring
 * it.
 */
int64_t dispatch_delay(struct dispatch *d);

/*
 * Whether the records of attempts are kept from now on, as they are at first. They only add to
 * the store, where other outcomes free more than they take.
 */
void dispatch_keep_attempts(struct dispatch *d, bool keep);

/* Whether nothing starts for now, whatever is due; what is in flight goes on. */
void dispatch_pause(struct dispatch *d, bool pauses);

/* Starts nothing from now on; what is in flight goes on. */
void dispatch_stop(struct dispatch *d);

/* Attempts in flight, and outcomes that are not committed yet. */
uint32_t dispatch_in_flight(const struct dispatch *d);

/* Whether an attempt of a webhook's delivery is under way, or its outcome not committed yet. */
bool dispatch_is_in_flight(const struct dispatch *d, uint64_t webhook, const struct uuid *id);

#define DISPATCH_CLASSES 6 /* of an attempt's outcome: 0 no status, else its first digit */

/* What it has done since it was made, and how it stands. */
struct dispatch_figures {
	uint64_t delivered; /* deliveries, as outcomes were committed; so the next three */
	uint64_t retried;   /* once for each attempt that will be followed by another */
	uint64_t dead;
	uint64_t expired;
	uint64_t attempts[DISPATCH_CLASSES];
	uint64_t shortages[SHORTAGES]; /* attempts put off: something of ours lacked */
	struct histogram attempt;      /* from its start to its result */
	struct histogram receipt;      /* from the event's 202 to the receiver's 2xx, wall */
	struct sched_figures sched;    /* how slots are shared */
	uint32_t in_flight;
	uint32_t open; /* circuits; so the next */
	uint32_t half_open;
};

void dispatch_figures(const struct dispatch *d, struct dispatch_figures *out);

/* How a webhook's endpoint stands at the moment. Times are wall milliseconds, 0: none. */
struct dispatch_status {
	const char *circuit; /* "closed", "open" or "half_open" */
	int64_t failing_since_ms;
	int64_t opened_ms;
	int64_t probe_ms;
	const char *held_reason; /* why nothing of it starts, though it may; NULL: it does */
	uint32_t failures;       /* in a row */
	uint32_t in_flight;
};

/* Why a delivery does not go though it may be due. */
struct dispatch_hold {
	const char *reason; /* NULL: nothing holds it; borrowed until the webhook changes */
	int64_t until_ms;   /* wall; when that ends by itself; 0: nobody knows */
};

/* What holds the deliveries of the webhook that are due at `due_ms`, wall. */
void dispatch_find_hold(const struct dispatch *d, uint64_t webhook, int64_t due_ms,
    struct dispatch_hold *out);

/* How the webhook's endpoint stands; false where there is no such webhook. */
bool dispatch_status(const struct dispatch *d, uint64_t webhook, struct dispatch_status *out);

/* How an endpoint does, for the list of those that hurt. */
struct dispatch_trouble {
	uint64_t webhook;
	struct dispatch_status status;
	int last_status;        /* of the last attempt; 0: none came */
	const char *last_error; /* why, in words; NULL: it succeeded, or there was none */
};

/* Says that of one webhook; false, and *out as it was: it is not in memory. */
bool dispatch_trouble(const struct dispatch *d, uint64_t webhook, struct dispatch_trouble *out);

/*
 * Calls `fn` for each endpoint in memory: the webhooks with work, and some that had some
 * lately. O(endpoints).
 */
void dispatch_each(const struct dispatch *d,
    void (*fn)(void *arg, const struct dispatch_trouble *t), void *arg);

#endif
