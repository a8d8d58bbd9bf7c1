/*
 * Turns, windows and circuits; sched.h has the picture and the rules. An endpoint is in
 * exactly one place, which `state` names; place() is the only function that moves it.
 */
#include "sched/sched.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

#define WINDOW_FIRST 1.0
#define FREE_SHARE 4     /* in flight stays below the free slots divided by this */
#define TROUBLED_SHARE 2 /* the troubled ones get the slots divided by this */
#define THROTTLED_LOOK 4 /* throttled endpoints looked at for each slot that is given back */
#define LATENCY_SLACK_US 20000 /* latency is rising above twice the usual and this */
#define LATENCY_CUT 0.9        /* what the window is multiplied by then */
#define PAUSE_MIN_MS 100       /* the first pause after an overload; each further doubles it */
#define PAUSE_MAX_MS 5000
#define LATENCY_MEMORY 64 /* attempts after which a latency that stays is the usual one */

enum state {
	STATE_IDLE = 1,         /* nothing to start, or nothing may: in no structure */
	STATE_WAITING,          /* in the tree, by wake time */
	STATE_SOUND,            /* in line: its last attempt succeeded, or it had none */
	STATE_TROUBLED,         /* in the other line: its last attempt failed */
	STATE_BLOCKED,          /* in its host's list: the host has all that it may */
	STATE_BLOCKED_TROUBLED, /* the same in the other line's */
	STATE_THROTTLED,        /* in a list: it has its share of the free slots */
};

RB_HEAD(due_tree, sched_endpoint);

struct sched {
	struct sched_conf conf;
	struct due_tree waiting;
	struct sched_list sound;
	struct sched_list troubled;
	struct sched_list throttled;
	uint32_t in_flight;
	uint32_t troubled_in_flight;       /* of endpoints with failures */
	bool troubled_turn;                /* the two lines take turns too */
	uint32_t circuits[SCHED_CIRCUITS]; /* endpoints with theirs so */
};

static int compare(const struct sched_endpoint *a, const struct sched_endpoint *b)
{
	if (a->wake_ms != b->wake_ms)
		return a->wake_ms < b->wake_ms ? -1 : 1;
	if (a == b)
		return 0;
	return (uintptr_t)a < (uintptr_t)b ? -1 : 1;
}

/* Not all of the generated functions are called. */
RB_GENERATE_INTERNAL(due_tree, sched_endpoint, node, compare, __attribute__((unused)) static)

struct sched *sched_new(const struct sched_conf *conf)
{
	struct sched *s = mem_new(sizeof(*s));
	s->conf = *conf;
	RB_INIT(&s->waiting);
	TAILQ_INIT(&s->sound);
	TAILQ_INIT(&s->troubled);
	TAILQ_INIT(&s->throttled);
	return s;
}

void sched_free(struct sched *s)
{
	free(s);
}

void sched_configure(struct sched *s, const struct sched_conf *conf)
{
	uint32_t slots = s->conf.slots;
	s->conf = *conf;
	s->conf.slots = slots;
}

void sched_host_init(struct sched_host *h)
{
	TAILQ_INIT(&h->blocked);
	TAILQ_INIT(&h->blocked_troubled);
	h->in_flight = 0;
}

/* Takes `e` out of whatever structure it is in. */
static void leave(struct sched *s, struct sched_endpoint *e)
{
	switch ((enum state)e->state) {
	case STATE_IDLE:
		break;
	case STATE_WAITING:
		RB_REMOVE(due_tree, &s->waiting, e);
		break;
	case STATE_SOUND:
		TAILQ_REMOVE(&s->sound, e, link);
		break;
	case STATE_TROUBLED:
		TAILQ_REMOVE(&s->troubled, e, link);
		break;
	case STATE_BLOCKED:
		TAILQ_REMOVE(&e->host->blocked, e, link);
		break;
	case STATE_BLOCKED_TROUBLED:
		TAILQ_REMOVE(&e->host->blocked_troubled, e, link);
		break;
	case STATE_THROTTLED:
		TAILQ_REMOVE(&s->throttled, e, link);
		break;
	}
	e->state = STATE_IDLE;
}

/* Puts `e`, which is in no structure, at the end of its line. */
static void line_up(struct sched *s, struct sched_endpoint *e)
{
	bool troubled = e->failures > 0;
	e->state = troubled ? STATE_TROUBLED : STATE_SOUND;
	TAILQ_INSERT_TAIL(troubled ? &s->troubled : &s->sound, e, link);
}

static void line_up_first(struct sched *s, struct sched_list *list)
{
	struct sched_endpoint *e = TAILQ_FIRST(list);
	if (e == NULL)
		return;
	leave(s, e);
	line_up(s, e);
}

/*
 * Lines up endpoints that wait for a slot of `h`: for each slot that is given back, and
 * for each endpoint that leaves the line without taking the slot it was let in for. One of
 * either kind, since a troubled one may have to wait in its line for long.
 */
static void unblock(struct sched *s, struct sched_host *h)
{
	line_up_first(s, &h->blocked);
	line_up_first(s, &h->blocked_troubled);
}

/* Takes `e` out of whatever structure it is in, and lets the next of its host into line. */
static void withdraw(struct sched *s, struct sched_endpoint *e)
{
	bool in_line = e->state == STATE_SOUND || e->state == STATE_TROUBLED;
	leave(s, e);
	if (in_line)
		unblock(s, e->host);
}

static uint32_t window_of(const struct sched_endpoint *e)
{
	uint32_t window = (uint32_t)e->window;
	return window < e->limits.max_in_flight ? window : e->limits.max_in_flight;
}

/* Whether `e` may start something at its wake time, as far as it alone is concerned. */
static bool is_open(const struct sched_endpoint *e)
{
	if (!e->limits.enabled || e->due_ms == SCHED_NEVER)
		return false;
	switch ((enum sched_circuit)e->circuit) {
	case CIRCUIT_CLOSED:
		return e->in_flight < window_of(e);
	case CIRCUIT_OPEN:
		return e->in_flight == 0; /* the probe goes alone */
	case CIRCUIT_HALF_OPEN:
		return false; /* until the probe has ended */
	}
	return false;
}

/* When the rate limit lets the next attempt start. */
static int64_t rate_ms(const struct sched_endpoint *e)
{
	if (e->limits.rate <= 0 || e->tokens >= 1)
		return 0;
	return e->tokens_ms + (int64_t)((1 - e->tokens) * 1000 / e->limits.rate) + 1;
}

static int64_t wake_time(const struct sched_endpoint *e)
{
	int64_t at = e->due_ms;
	int64_t rate = rate_ms(e);
	at = rate > at ? rate : at;
	at = e->resume_ms > at ? e->resume_ms : at;
	return e->circuit == CIRCUIT_OPEN && e->probe_ms > at ? e->probe_ms : at;
}

/*
 * Puts `e` where its fields say. One that is in line and still due now keeps its place
 * there.
 */
static void place(struct sched *s, struct sched_endpoint *e)
{
	bool open = is_open(e);
	int64_t wake = wake_time(e);
	bool waits = e->state == STATE_IDLE || e->state == STATE_WAITING;
	if (open && !waits && wake <= e->wake_ms)
		return;
	withdraw(s, e);
	if (!open)
		return;
	e->wake_ms = wake;
	e->state = STATE_WAITING;
	RB_INSERT(due_tree, &s->waiting, e);
}

void sched_add(struct sched *s, struct sched_endpoint *e, struct sched_host *host,
    const struct sched_limits *limits, int64_t now_ms)
{
	e->host = host;
	s->circuits[e->circuit]++;
	e->state = STATE_IDLE;
	e->due_ms = SCHED_NEVER;
	e->window = WINDOW_FIRST;
	e->threshold = limits->max_in_flight;
	e->tokens = 1;
	e->tokens_ms = now_ms;
	sched_limit(s, e, limits);
}

void sched_remove(struct sched *s, struct sched_endpoint *e)
{
	panic_if(e->in_flight > 0, "an endpoint with attempts in flight was removed");
	withdraw(s, e);
	s->circuits[e->circuit]--;
}

void sched_set_host(struct sched *s, struct sched_endpoint *e, struct sched_host *host)
{
	struct sched_host *old = e->host;
	withdraw(s, e);
	old->in_flight -= e->in_flight;
	host->in_flight += e->in_flight;
	for (uint32_t i = 0; i < e->in_flight; i++)
		unblock(s, old);
	e->host = host;
	place(s, e);
}

void sched_limit(struct sched *s, struct sched_endpoint *e, const struct sched_limits *limits)
{
	e->limits = *limits;
	place(s, e);
}

/* The one function that changes how often `e` has failed in a row. */
static void set_failures(struct sched *s, struct sched_endpoint *e, uint32_t failures)
{
	if (e->failures == 0 && failures > 0)
		s->troubled_in_flight += e->in_flight;
	else if (e->failures > 0 && failures == 0)
		s->troubled_in_flight -= e->in_flight;
	e->failures = failures;
}

/* The one function that changes how the circuit of `e` stands. */
static void set_circuit(struct sched *s, struct sched_endpoint *e, enum sched_circuit circuit)
{
	s->circuits[e->circuit]--;
	e->circuit = (uint8_t)circuit;
	s->circuits[e->circuit]++;
}

void sched_reset(struct sched *s, struct sched_endpoint *e)
{
	leave(s, e);
	set_failures(s, e, 0);
	e->failing_since_ms = 0;
	e->pause_ms = 0;
	e->resume_ms = 0;
	set_circuit(s, e, CIRCUIT_CLOSED);
	e->window = WINDOW_FIRST;
	e->threshold = e->limits.max_in_flight;
	place(s, e);
}

void sched_resume_failing(struct sched *s, struct sched_endpoint *e, int64_t failing_since_ms)
{
	leave(s, e);
	set_failures(s, e, s->conf.circuit_failures - 1);
	e->failing_since_ms = failing_since_ms;
	place(s, e);
}

void sched_set_due(struct sched *s, struct sched_endpoint *e, int64_t due_ms)
{
	if (due_ms == e->due_ms)
		return;
	e->due_ms = due_ms;
	place(s, e);
}

/* Moves the endpoints whose time has come to the end of their line. */
static void promote(struct sched *s, int64_t now_ms)
{
	struct sched_endpoint *e = RB_MIN(due_tree, &s->waiting);
	while (e != NULL && e->wake_ms <= now_ms) {
		leave(s, e);
		line_up(s, e);
		e = RB_MIN(due_tree, &s->waiting);
	}
}

/*
 * Whether `e` has less than its share of what is free; one with nothing in flight always
 * has.
 */
static bool has_share(const struct sched *s, const struct sched_endpoint *e)
{
	uint32_t free_slots = s->conf.slots - s->in_flight;
	return e->in_flight == 0 || (uint64_t)e->in_flight * FREE_SHARE < free_slots;
}

/* Moves `e` from its line to those that wait for a slot of its host. */
static void block(struct sched *s, struct sched_endpoint *e)
{
	bool troubled = e->state == STATE_TROUBLED;
	leave(s, e);
	e->state = troubled ? STATE_BLOCKED_TROUBLED : STATE_BLOCKED;
	TAILQ_INSERT_TAIL(troubled ? &e->host->blocked_troubled : &e->host->blocked, e, link);
}

/* Moves `e` from its line to those that wait for more slots to be free. */
static void throttle(struct sched *s, struct sched_endpoint *e)
{
	withdraw(s, e);
	e->state = STATE_THROTTLED;
	TAILQ_INSERT_TAIL(&s->throttled, e, link);
}

/* Returns the first of a line that may start; those in front that may not leave the line. */
static struct sched_endpoint *first_of(struct sched *s, struct sched_list *line)
{
	struct sched_endpoint *e = TAILQ_FIRST(line);
	while (e != NULL) {
		bool blocked = e->host->in_flight >= s->conf.per_host;
		if (!blocked && has_share(s, e))
			return e;
		if (blocked)
			block(s, e);
		else
			throttle(s, e);
		e = TAILQ_FIRST(line);
	}
	return NULL;
}

static bool has_troubled_slot(const struct sched *s)
{
	uint32_t share = s->conf.slots / TROUBLED_SHARE;
	return s->troubled_in_flight < (share > 0 ? share : 1);
}

struct sched_endpoint *sched_next(struct sched *s, int64_t now_ms)
{
	struct sched_endpoint *sound = NULL;
	struct sched_endpoint *troubled = NULL;
	if (s->in_flight >= s->conf.slots)
		return NULL;
	promote(s, now_ms);
	sound = first_of(s, &s->sound);
	if (has_troubled_slot(s))
		troubled = first_of(s, &s->troubled);
	if (sound == NULL || (troubled != NULL && s->troubled_turn))
		return troubled;
	return sound;
}

static void refill(struct sched_endpoint *e, int64_t now_ms)
{
	double rate = e->limits.rate;
	double most = rate > 1 ? rate : 1; /* a burst of a second's worth */
	if (now_ms > e->tokens_ms)
		e->tokens += (double)(now_ms - e->tokens_ms) * rate / 1000;
	e->tokens = e->tokens < most ? e->tokens : most;
	e->tokens_ms = now_ms;
}

void sched_start(struct sched *s, struct sched_endpoint *e, int64_t now_ms)
{
	panic_if(e->state != STATE_SOUND && e->state != STATE_TROUBLED,
	    "an endpoint started out of turn");
	s->troubled_turn = e->state == STATE_SOUND;
	leave(s, e);
	if (e->limits.rate > 0) {
		refill(e, now_ms);
		e->tokens -= 1;
	}
	if (e->circuit == CIRCUIT_OPEN)
		set_circuit(s, e, CIRCUIT_HALF_OPEN);
	s->in_flight++;
	s->troubled_in_flight += e->failures > 0 ? 1 : 0;
	e->host->in_flight++;
	e->in_flight++;
	if (is_open(e) && wake_time(e) <= now_ms)
		line_up(s, e);
	else
		place(s, e);
}

/* Learns a latency; true when it is rising: queues build up at the receiver. */
static bool learn_latency(struct sched_endpoint *e, int64_t latency_us)
{
	if (e->base_us == 0) {
		e->base_us = latency_us;
		e->recent_us = latency_us;
	}
	e->recent_us += (latency_us - e->recent_us) / 8;
	if (e->recent_us < e->base_us)
		e->base_us = e->recent_us;
	else
		e->base_us += (e->recent_us - e->base_us) / LATENCY_MEMORY;
	return e->recent_us > 2 * e->base_us + LATENCY_SLACK_US;
}

static void cut_window(struct sched_endpoint *e, double factor)
{
	e->window *= factor;
	if (e->window < 1)
		e->window = 1;
	e->threshold = e->window;
	e->since_cut = 0;
}

/* Spaces the attempts of a receiver that is asked too often. */
static void pause_longer(struct sched_endpoint *e, int64_t now_ms)
{
	e->pause_ms = e->pause_ms < PAUSE_MIN_MS ? PAUSE_MIN_MS : 2 * e->pause_ms;
	if (e->pause_ms > PAUSE_MAX_MS)
		e->pause_ms = PAUSE_MAX_MS;
	e->resume_ms = now_ms + e->pause_ms;
}

static void pause_shorter(struct sched_endpoint *e, int64_t now_ms)
{
	e->pause_ms = e->pause_ms > PAUSE_MIN_MS / 4 ? e->pause_ms / 2 : 0;
	e->resume_ms = e->pause_ms > 0 ? now_ms + e->pause_ms : 0;
}

static void succeed(struct sched *s, struct sched_endpoint *e, bool was_full,
    int64_t latency_us)
{
	bool rising = learn_latency(e, latency_us);
	bool was_closed = e->circuit == CIRCUIT_CLOSED;
	set_failures(s, e, 0);
	e->failing_since_ms = 0;
	set_circuit(s, e, CIRCUIT_CLOSED);
	if (!was_closed)
		e->window = WINDOW_FIRST; /* slow start: it may not bear more yet */
	else if (rising && e->since_cut >= window_of(e))
		cut_window(e, LATENCY_CUT);
	else if (was_full && !rising)
		e->window += e->window < e->threshold ? 1 : 1 / e->window;
	if (e->window > e->limits.max_in_flight)
		e->window = e->limits.max_in_flight;
}

static void open_circuit(struct sched *s, struct sched_endpoint *e, int64_t now_ms)
{
	set_circuit(s, e, CIRCUIT_OPEN);
	e->opened_ms = now_ms;
	e->probe_ms = now_ms + s->conf.circuit_open_ms;
}

static void fail(struct sched *s, struct sched_endpoint *e, int64_t now_ms, bool overloaded)
{
	if (e->failing_since_ms == 0)
		e->failing_since_ms = now_ms;
	set_failures(s, e, e->failures + 1);
	if (overloaded || e->since_cut >= window_of(e))
		cut_window(e, 0.5);
	/*
	 * one that failed with the circuit open already was started before: it opens nothing
	 * anew
	 */
	if (e->circuit == CIRCUIT_HALF_OPEN ||
	    (e->circuit == CIRCUIT_CLOSED && e->failures >= s->conf.circuit_failures))
		open_circuit(s, e, now_ms);
}

/* A slot is free again: lines up who waited for a larger share. */
static void unthrottle(struct sched *s)
{
	struct sched_endpoint *e = TAILQ_FIRST(&s->throttled);
	for (int i = 0; i < THROTTLED_LOOK && e != NULL; i++) {
		struct sched_endpoint *next = TAILQ_NEXT(e, link);
		if (has_share(s, e)) {
			leave(s, e);
			line_up(s, e);
		}
		e = next;
	}
}

void sched_finish(struct sched *s, struct sched_endpoint *e, int64_t now_ms,
    enum sched_result result, int64_t latency_us)
{
	panic_if(e->in_flight == 0 || s->in_flight == 0, "an attempt ended twice");
	bool was_full = e->in_flight >= window_of(e);
	bool was_troubled = e->failures > 0;
	s->in_flight--;
	s->troubled_in_flight -= was_troubled ? 1 : 0;
	e->host->in_flight--;
	e->in_flight--;
	e->since_cut++;
	switch (result) {
	case RESULT_OK:
		succeed(s, e, was_full, latency_us);
		pause_shorter(e, now_ms);
		break;
	case RESULT_OVERLOADED:
		pause_longer(e, now_ms);
		fail(s, e, now_ms, true);
		break;
	case RESULT_FAILED:
		fail(s, e, now_ms, false);
		break;
	case RESULT_NONE:
		e->tokens += e->limits.rate > 0 ? 1 : 0;
		if (e->circuit == CIRCUIT_HALF_OPEN) /* another probe may go at once */
			set_circuit(s, e, CIRCUIT_OPEN);
		break;
	}
	/* its line, its share or its wake time may be others now */
	if (e->state == STATE_THROTTLED || e->state == STATE_WAITING ||
	    was_troubled != (e->failures > 0))
		withdraw(s, e);
	place(s, e);
	unblock(s, e->host);
	unthrottle(s);
}

int64_t sched_wake(struct sched *s, int64_t now_ms)
{
	if (s->in_flight >= s->conf.slots)
		return SCHED_NEVER; /* an attempt must end first */
	if (sched_next(s, now_ms) != NULL)
		return now_ms;
	const struct sched_endpoint *e = RB_MIN(due_tree, &s->waiting);
	return e == NULL ? SCHED_NEVER : e->wake_ms;
}

uint32_t sched_in_flight(const struct sched *s)
{
	return s->in_flight;
}

uint32_t sched_circuits(const struct sched *s, enum sched_circuit circuit)
{
	return s->circuits[circuit];
}
