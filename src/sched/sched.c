/*
 * Turns, windows and circuits; sched.h has the picture and the rules. An endpoint is in
 * exactly one place, which `state` names; arrange() is the only function that moves it.
 */
#include "sched/sched.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

#define WINDOW_FIRST 1.0
#define WINDOW_SHOWN 8.0 /* what the first success of all opens: below TCP's ten (RFC 6928) */
#define FREE_PART 4      /* in flight stays below the free slots divided by this */
#define BEHIND_MS 1000   /* so long a delivery has been due that waits in a queue */
#define BURST 8          /* starts in a turn of such: their rows lie in the same pages */
#define TROUBLED_SHARE 2 /* the troubled ones get the slots divided by this */
#define QUICK_US 1000000 /* an endpoint whose latency is up to this may have the last slots */
#define LOOK_MAX 4 /* of those who wait for a larger share, for each slot that is given back */
#define LATENCY_SLACK_US 20000 /* latency is rising above twice the usual and this */
#define LATENCY_CUT 0.9        /* what the window is multiplied by then */
#define PAUSE_MIN_MS 100       /* the first pause, or putting off; each further doubles it */
#define PAUSE_MAX_MS 5000
#define RECHECK_MS 100 /* between looks at who waits for a share, beside those when slots end */
#define RECHECK_MAX 64 /* hosts, and sessions, looked at in one */
#define LATENCY_MEMORY 64 /* attempts after which a latency that stays is the usual one */

enum state {
	STATE_IDLE = 1,  /* nothing to start, or nothing may: in no structure */
	STATE_WAITING,   /* in the tree, by wake time */
	STATE_IN_LINE,   /* in its session's line of its kind */
	STATE_BLOCKED,   /* in its tenant's list: the host, or its share there, is full */
	STATE_THROTTLED, /* in a list: it has its share of the free slots */
	STATE_SLOW,      /* in a list: the slow ones have all the slots that they may */
};

RB_HEAD(due_tree, sched_endpoint);
TAILQ_HEAD(line_list, sched_line);

struct sched {
	struct sched_conf conf;
	struct due_tree waiting;
	struct line_list turns[SCHED_KINDS]; /* of sessions, the next one first */
	struct line_list parked[SCHED_KINDS];
	struct sched_list throttled;
	struct sched_list slow;
	TAILQ_HEAD(, sched_host) crowded;
	int64_t recheck_ms;    /* wall; when who waits is looked at again */
	struct share slots;    /* the takers are sessions */
	struct share troubled; /* the part of them that endpoints with failures have */
	uint64_t slow_held;    /* those of endpoints that are not quick */
	bool others_turn;      /* those that are prompt have every other turn… */
	bool troubled_turn;    /* …and the other two kinds have the rest in turn */
	bool holds_others;     /* those that are prompt alone are offered */
	int64_t now_ms;        /* wall; of the last call that said */
	uint64_t parks;
	const struct sched_session *last_parked;
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
	s->slots.capacity = conf->slots;
	s->troubled.capacity = conf->slots / TROUBLED_SHARE > 0 ? conf->slots / TROUBLED_SHARE
								: 1;
	RB_INIT(&s->waiting);
	for (int kind = 0; kind < SCHED_KINDS; kind++) {
		TAILQ_INIT(&s->turns[kind]);
		TAILQ_INIT(&s->parked[kind]);
	}
	TAILQ_INIT(&s->throttled);
	TAILQ_INIT(&s->slow);
	TAILQ_INIT(&s->crowded);
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

static struct sched_session *session_of(const struct sched_endpoint *e)
{
	return e->tenant->session;
}

static struct sched_line *line_of(const struct sched_endpoint *e, enum sched_kind kind)
{
	return &session_of(e)->lines[kind];
}

/* Its last attempt failed, or its next delivery has waited for its turn, or neither. */
static enum sched_kind kind_of(const struct sched *s, const struct sched_endpoint *e)
{
	if (e->failures > 0)
		return SCHED_TROUBLED;
	return e->due_ms < s->now_ms - BEHIND_MS ? SCHED_BEHIND : SCHED_PROMPT;
}

/* Puts `e`, which is in no structure, at the end of its session's line of its kind. */
static void line_up(struct sched *s, struct sched_endpoint *e)
{
	e->kind = (uint8_t)kind_of(s, e);
	struct sched_line *line = line_of(e, e->kind);
	if (TAILQ_EMPTY(&line->endpoints))
		TAILQ_INSERT_TAIL(&s->turns[e->kind], line, link);
	e->state = STATE_IN_LINE;
	TAILQ_INSERT_TAIL(&line->endpoints, e, link);
}

/* The same in front of all others: its turn goes on. */
static void line_up_first(struct sched *s, struct sched_endpoint *e)
{
	struct sched_line *line = line_of(e, e->kind);
	if (TAILQ_EMPTY(&line->endpoints))
		TAILQ_INSERT_HEAD(&s->turns[e->kind], line, link);
	e->state = STATE_IN_LINE;
	TAILQ_INSERT_HEAD(&line->endpoints, e, link);
}

static void leave_line(struct sched *s, struct sched_endpoint *e)
{
	struct sched_line *line = line_of(e, e->kind);
	TAILQ_REMOVE(&line->endpoints, e, link);
	if (!TAILQ_EMPTY(&line->endpoints))
		return;
	TAILQ_REMOVE(line->parked ? &s->parked[e->kind] : &s->turns[e->kind], line, link);
	line->parked = false;
}

/* The line has had its turn: it goes behind the others of its kind. */
static void rotate(struct sched *s, struct sched_line *line)
{
	if (TAILQ_EMPTY(&line->endpoints) || line->parked)
		return;
	TAILQ_REMOVE(&s->turns[line->kind], line, link);
	TAILQ_INSERT_TAIL(&s->turns[line->kind], line, link);
}

static bool has_blocked(const struct sched_tenant *t)
{
	for (int kind = 0; kind < SCHED_KINDS; kind++) {
		if (!TAILQ_EMPTY(&t->blocked[kind]))
			return true;
	}
	return false;
}

/* The list of its host's in which a tenant waits. */
static struct sched_tenants *waiting_list(const struct sched_tenant *t)
{
	return t->in_flight == 0 ? &t->host->newcomers : &t->host->others;
}

/* Makes `e`, which is in no structure, wait for a slot of its host. */
static void block(struct sched *s, struct sched_endpoint *e)
{
	struct sched_tenant *t = e->tenant;
	if (!t->host->crowded)
		TAILQ_INSERT_TAIL(&s->crowded, t->host, link);
	t->host->crowded = true;
	if (!has_blocked(t))
		TAILQ_INSERT_TAIL(waiting_list(t), t, link);
	e->state = STATE_BLOCKED;
	TAILQ_INSERT_TAIL(&t->blocked[e->kind], e, link);
}

static void leave_blocked(struct sched_endpoint *e)
{
	struct sched_tenant *t = e->tenant;
	TAILQ_REMOVE(&t->blocked[e->kind], e, link);
	if (!has_blocked(t))
		TAILQ_REMOVE(waiting_list(t), t, link);
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
	case STATE_IN_LINE:
		leave_line(s, e);
		break;
	case STATE_BLOCKED:
		leave_blocked(e);
		break;
	case STATE_THROTTLED:
		TAILQ_REMOVE(&s->throttled, e, link);
		break;
	case STATE_SLOW:
		TAILQ_REMOVE(&s->slow, e, link);
		break;
	}
	e->state = STATE_IDLE;
}

/* Whether the tenant may send its host one attempt more. */
static bool has_host_share(const struct sched *s, const struct sched_tenant *t)
{
	const struct share share = {.capacity = s->conf.per_host,
	    .held = t->host->in_flight,
	    .takers = t->host->takers};
	return share_allows(&share, t->in_flight, 1);
}

/* Lines up one endpoint of each kind that waits for a slot of the tenant's host. */
static void unblock_tenant(struct sched *s, struct sched_tenant *t)
{
	for (int kind = 0; kind < SCHED_KINDS; kind++) {
		struct sched_endpoint *e = TAILQ_FIRST(&t->blocked[kind]);
		if (e == NULL)
			continue;
		leave(s, e);
		line_up(s, e);
	}
	if (!has_blocked(t))
		return;
	TAILQ_REMOVE(waiting_list(t), t, link);
	TAILQ_INSERT_TAIL(waiting_list(t), t, link);
}

/*
 * Lines up endpoints that wait for a slot of `h`: for each slot that is given back, and
 * for each endpoint that leaves the line without taking the slot it was let in for. One of
 * each kind, since a troubled one may have to wait in its line for long. Who has nothing
 * there goes first.
 */
static void unblock(struct sched *s, struct sched_host *h)
{
	struct sched_tenant *t = TAILQ_FIRST(&h->newcomers);
	if (t != NULL) {
		unblock_tenant(s, t);
		return;
	}
	t = TAILQ_FIRST(&h->others);
	for (int i = 0; i < LOOK_MAX && t != NULL; i++) {
		if (has_host_share(s, t)) {
			unblock_tenant(s, t);
			return;
		}
		TAILQ_REMOVE(&h->others, t, link);
		TAILQ_INSERT_TAIL(&h->others, t, link);
		t = TAILQ_FIRST(&h->others);
	}
}

/* Takes `e` out of whatever structure it is in, and lets the next of its host into line. */
static void withdraw(struct sched *s, struct sched_endpoint *e)
{
	bool in_line = e->state == STATE_IN_LINE;
	leave(s, e);
	if (in_line)
		unblock(s, e->tenant->host);
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
		return e->in_flight == 0 || e->is_asked; /* else the probe goes alone */
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
static void arrange(struct sched *s, struct sched_endpoint *e)
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

void sched_add(struct sched *s, struct sched_endpoint *e, struct sched_tenant *tenant,
    const struct sched_limits *limits, int64_t now_ms)
{
	e->tenant = tenant;
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

void sched_forget_session(struct sched *s, const struct sched_session *session)
{
	if (s->last_parked == session)
		s->last_parked = NULL;
}

void sched_forget_host(struct sched *s, struct sched_host *host)
{
	if (host->crowded)
		TAILQ_REMOVE(&s->crowded, host, link);
	host->crowded = false;
}

/* Adds `by` to what a taker holds of a resource. */
static void count(struct share *share, uint32_t *held, int64_t by)
{
	bool held_some = *held > 0;
	*held = (uint32_t)(*held + by);
	share->held = (uint64_t)((int64_t)share->held + by);
	if (held_some != (*held > 0))
		share->takers += *held > 0 ? 1 : (uint64_t)-1;
}

/* Adds `by` to what the endpoint's tenant, and its host, have in flight. */
static void count_at_host(struct sched_tenant *t, int64_t by)
{
	struct sched_host *h = t->host;
	bool waits = has_blocked(t);
	if (waits)
		TAILQ_REMOVE(waiting_list(t), t, link); /* that depends on it */
	h->takers -= t->in_flight > 0 ? 1 : 0;
	t->in_flight = (uint32_t)(t->in_flight + by);
	h->in_flight = (uint32_t)(h->in_flight + by);
	h->takers += t->in_flight > 0 ? 1 : 0;
	if (waits)
		TAILQ_INSERT_TAIL(waiting_list(t), t, link);
}

/* Adds `by`, 1 or -1, to what is in flight, wherever that is counted. */
static void count_in_flight(struct sched *s, struct sched_endpoint *e, int by)
{
	struct sched_session *session = session_of(e);
	count(&s->slots, &session->in_flight, by);
	if (e->failures > 0)
		count(&s->troubled, &session->troubled_in_flight, by);
	if (!e->quick)
		s->slow_held += (uint64_t)(int64_t)by;
	count_at_host(e->tenant, by);
	e->in_flight = (uint32_t)((int64_t)e->in_flight + by);
}

void sched_move(struct sched *s, struct sched_endpoint *e, struct sched_tenant *tenant)
{
	struct sched_host *old = e->tenant->host;
	panic_if(e->tenant->session != tenant->session, "an endpoint moved to another session");
	withdraw(s, e);
	count_at_host(e->tenant, -(int64_t)e->in_flight);
	count_at_host(tenant, e->in_flight);
	for (uint32_t i = 0; i < e->in_flight; i++)
		unblock(s, old);
	e->tenant = tenant;
	arrange(s, e);
}

void sched_limit(struct sched *s, struct sched_endpoint *e, const struct sched_limits *limits)
{
	e->limits = *limits;
	arrange(s, e);
}

/* The one function that changes how often `e` has failed in a row. */
static void set_failures(struct sched *s, struct sched_endpoint *e, uint32_t failures)
{
	uint32_t *held = &session_of(e)->troubled_in_flight;
	if (e->failures == 0 && failures > 0)
		count(&s->troubled, held, e->in_flight);
	else if (e->failures > 0 && failures == 0)
		count(&s->troubled, held, -(int64_t)e->in_flight);
	e->failures = failures;
}

/* The one function that changes whether `e` is quick. */
static void set_quick(struct sched *s, struct sched_endpoint *e, bool quick)
{
	if (e->quick && !quick)
		s->slow_held += e->in_flight;
	else if (!e->quick && quick)
		s->slow_held -= e->in_flight;
	e->quick = quick;
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
	e->put_off_ms = 0;
	e->resume_ms = 0;
	set_circuit(s, e, CIRCUIT_CLOSED);
	e->is_asked = false;
	e->window = WINDOW_FIRST;
	e->threshold = e->limits.max_in_flight;
	arrange(s, e);
}

void sched_try(struct sched *s, struct sched_endpoint *e, int64_t now_ms)
{
	withdraw(s, e);
	e->pause_ms = 0;
	e->put_off_ms = 0;
	e->resume_ms = 0;
	if (e->circuit != CIRCUIT_CLOSED) {
		set_circuit(s, e, CIRCUIT_OPEN);
		e->probe_ms = now_ms;
		e->is_asked = true;
	}
	arrange(s, e);
}

void sched_resume_failing(struct sched *s, struct sched_endpoint *e, int64_t failing_since_ms)
{
	leave(s, e);
	set_failures(s, e, s->conf.circuit_failures - 1);
	e->failing_since_ms = failing_since_ms;
	arrange(s, e);
}

void sched_set_due(struct sched *s, struct sched_endpoint *e, int64_t due_ms)
{
	if (due_ms == e->due_ms)
		return;
	e->due_ms = due_ms;
	arrange(s, e);
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
 * Whether `e` has less than its part of what is free; one with nothing in flight always
 * has.
 */
static bool has_part(const struct sched *s, const struct sched_endpoint *e)
{
	uint64_t free_slots = s->slots.capacity - s->slots.held;
	return e->in_flight == 0 || (uint64_t)e->in_flight * FREE_PART < free_slots;
}

/* Moves `e` from its line to those that wait for more slots to be free. */
static void throttle(struct sched *s, struct sched_endpoint *e)
{
	withdraw(s, e);
	e->state = STATE_THROTTLED;
	TAILQ_INSERT_TAIL(&s->throttled, e, link);
}

/* Whether one more slot may go to an endpoint that is not quick. */
static bool may_be_slow(const struct sched *s)
{
	uint64_t reserve = s->slots.capacity / SHARE_RESERVE;
	return s->slow_held < s->slots.capacity - reserve;
}

/* Lines up those that are not quick and wait for others such, as many as may start; `most`. */
static void let_slow_in(struct sched *s, int most)
{
	for (int i = 0; i < most && may_be_slow(s) && !TAILQ_EMPTY(&s->slow); i++) {
		struct sched_endpoint *e = TAILQ_FIRST(&s->slow);
		leave(s, e);
		line_up(s, e);
	}
}

/* Moves `e` from its line to those that wait until fewer slots are with the slow. */
static void hold_back(struct sched *s, struct sched_endpoint *e)
{
	withdraw(s, e);
	e->state = STATE_SLOW;
	TAILQ_INSERT_TAIL(&s->slow, e, link);
}

/* Whether the session of a line may start one of it. */
static bool has_share(const struct sched *s, const struct sched_line *line)
{
	return share_allows(&s->slots, line->session->in_flight, 1) &&
	    (line->kind != SCHED_TROUBLED ||
		share_allows(&s->troubled, line->session->troubled_in_flight, 1));
}

/* The session has all that it may: its line has no turn until it may have more. */
static void park(struct sched *s, struct sched_line *line)
{
	TAILQ_REMOVE(&s->turns[line->kind], line, link);
	TAILQ_INSERT_TAIL(&s->parked[line->kind], line, link);
	line->parked = true;
	s->parks++;
	s->last_parked = line->session;
}

static void unpark(struct sched *s, struct sched_line *line)
{
	TAILQ_REMOVE(&s->parked[line->kind], line, link);
	TAILQ_INSERT_TAIL(&s->turns[line->kind], line, link);
	line->parked = false;
}

/* Returns the first of a kind that may start; those in front that may not leave the line. */
static struct sched_endpoint *first_of(struct sched *s, enum sched_kind kind)
{
	struct sched_line *line = TAILQ_FIRST(&s->turns[kind]);
	for (; line != NULL; line = TAILQ_FIRST(&s->turns[kind])) {
		struct sched_endpoint *e = TAILQ_FIRST(&line->endpoints);
		if (!has_share(s, line)) {
			park(s, line);
		} else if (!has_host_share(s, e->tenant)) {
			leave(s, e);
			block(s, e);
		} else if (!e->quick && !may_be_slow(s)) {
			hold_back(s, e);
		} else if (!has_part(s, e)) {
			throttle(s, e);
		} else {
			return e;
		}
	}
	return NULL;
}

/* Gives parked sessions of a kind that may have more a turn; looks at `most` of them. */
static void unpark_some(struct sched *s, enum sched_kind kind, int most)
{
	struct line_list *parked = &s->parked[kind];
	for (int i = 0; i < most && !TAILQ_EMPTY(parked); i++) {
		struct sched_line *line = TAILQ_FIRST(parked);
		TAILQ_REMOVE(parked, line, link);
		TAILQ_INSERT_TAIL(parked, line, link);
		if (has_share(s, line))
			unpark(s, line);
	}
}

/* Lines up who waits for the hosts that have a free slot; looks at a few hosts. */
static void look_at_hosts(struct sched *s)
{
	for (int i = 0; i < RECHECK_MAX && !TAILQ_EMPTY(&s->crowded); i++) {
		struct sched_host *h = TAILQ_FIRST(&s->crowded);
		TAILQ_REMOVE(&s->crowded, h, link);
		h->crowded = !TAILQ_EMPTY(&h->newcomers) || !TAILQ_EMPTY(&h->others);
		if (!h->crowded)
			continue;
		TAILQ_INSERT_TAIL(&s->crowded, h, link);
		for (int n = 0; n < LOOK_MAX && h->in_flight < s->conf.per_host; n++)
			unblock(s, h);
	}
}

/*
 * Looks now and then at who waits for a share. Nearly all of them are let in when an attempt
 * ends; but who is let in may be one who cannot start just then, for another reason.
 */
static void recheck(struct sched *s, int64_t now_ms)
{
	s->recheck_ms = now_ms + RECHECK_MS;
	look_at_hosts(s);
	let_slow_in(s, RECHECK_MAX);
	for (int kind = 0; kind < SCHED_KINDS; kind++)
		unpark_some(s, kind, RECHECK_MAX);
}

/* Who is next of those that are not prompt. */
static struct sched_endpoint *next_of_others(struct sched *s)
{
	struct sched_endpoint *behind = first_of(s, SCHED_BEHIND);
	struct sched_endpoint *troubled = NULL;
	if (s->troubled.held < s->troubled.capacity)
		troubled = first_of(s, SCHED_TROUBLED);
	return behind == NULL || (troubled != NULL && s->troubled_turn) ? troubled : behind;
}

/* Returns who is next in line, of the kinds in turn. */
static struct sched_endpoint *next_in_line(struct sched *s)
{
	struct sched_endpoint *prompt = first_of(s, SCHED_PROMPT);
	struct sched_endpoint *other = s->holds_others ? NULL : next_of_others(s);
	return prompt == NULL || (other != NULL && s->others_turn) ? other : prompt;
}

struct sched_endpoint *sched_next(struct sched *s, int64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->slots.held >= s->slots.capacity)
		return NULL;
	promote(s, now_ms);
	struct sched_endpoint *e = next_in_line(s);
	if (e != NULL || now_ms < s->recheck_ms)
		return e;
	recheck(s, now_ms);
	return next_in_line(s);
}

void sched_hold_others(struct sched *s, bool holds)
{
	s->holds_others = holds;
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
	panic_if(e->state != STATE_IN_LINE, "an endpoint started out of turn");
	struct sched_line *line = line_of(e, e->kind);
	s->others_turn = line->kind == SCHED_PROMPT;
	if (line->kind != SCHED_PROMPT)
		s->troubled_turn = line->kind == SCHED_BEHIND;
	bool goes_on = line->kind == SCHED_BEHIND && ++line->burst < BURST;
	leave(s, e);
	if (!goes_on) {
		line->burst = 0;
		rotate(s, line);
	}
	if (e->limits.rate > 0) {
		refill(e, now_ms);
		e->tokens -= 1;
	}
	if (e->circuit == CIRCUIT_OPEN)
		set_circuit(s, e, CIRCUIT_HALF_OPEN);
	e->is_asked = false;
	count_in_flight(s, e, 1);
	if (e->in_flight >= window_of(e))
		e->filled = e->in_flight;
	bool is_due = is_open(e) && wake_time(e) <= now_ms;
	if (is_due && goes_on)
		line_up_first(s, e);
	else if (is_due)
		line_up(s, e);
	else
		arrange(s, e);
}

void sched_pass(struct sched *s, struct sched_endpoint *e)
{
	panic_if(e->state != STATE_IN_LINE, "an endpoint passed out of turn");
	struct sched_line *line = line_of(e, e->kind);
	TAILQ_REMOVE(&line->endpoints, e, link);
	TAILQ_INSERT_TAIL(&line->endpoints, e, link);
	rotate(s, line);
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

/* The pause that follows one of `pause_ms`. */
static int64_t next_pause(int64_t pause_ms)
{
	int64_t next_ms = pause_ms < PAUSE_MIN_MS ? PAUSE_MIN_MS : 2 * pause_ms;
	return next_ms < PAUSE_MAX_MS ? next_ms : PAUSE_MAX_MS;
}

/* Spaces the attempts of a receiver that is asked too often. */
static void pause_longer(struct sched_endpoint *e, int64_t now_ms)
{
	e->pause_ms = next_pause(e->pause_ms);
	e->resume_ms = now_ms + e->pause_ms;
}

static void pause_shorter(struct sched_endpoint *e, int64_t now_ms)
{
	e->pause_ms = e->pause_ms > PAUSE_MIN_MS / 4 ? e->pause_ms / 2 : 0;
	e->resume_ms = e->pause_ms > 0 ? now_ms + e->pause_ms : 0;
}

/* The window after a success that had it full. */
static double wider(const struct sched_endpoint *e, bool is_first)
{
	if (is_first && e->window < WINDOW_SHOWN)
		return WINDOW_SHOWN < e->threshold ? WINDOW_SHOWN : e->threshold;
	return e->window + (e->window < e->threshold ? 1 : 1 / e->window);
}

/* After an outage: it may not bear more yet, and soon the half of what it bore before. */
static void start_slowly(struct sched_endpoint *e)
{
	e->window = WINDOW_FIRST;
	if (e->threshold < e->borne / 2)
		e->threshold = e->borne / 2;
}

static void succeed(struct sched *s, struct sched_endpoint *e, bool was_full,
    int64_t latency_us)
{
	bool is_first = e->base_us == 0;
	bool rising = learn_latency(e, latency_us);
	bool was_closed = e->circuit == CIRCUIT_CLOSED;
	set_failures(s, e, 0);
	set_quick(s, e, e->recent_us <= QUICK_US);
	e->failing_since_ms = 0;
	e->put_off_ms = 0;
	set_circuit(s, e, CIRCUIT_CLOSED);
	if (!was_closed)
		start_slowly(e);
	else if (rising && e->since_cut >= window_of(e))
		cut_window(e, LATENCY_CUT);
	else if (was_full && !rising)
		e->window = wider(e, is_first);
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
	if (e->failures == 0)
		e->borne = e->window;
	set_failures(s, e, e->failures + 1);
	set_quick(s, e, false);
	e->put_off_ms = 0;
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

/* A slot is free again: lines up who waited for a larger part of the free ones. */
static void unthrottle(struct sched *s)
{
	struct sched_endpoint *e = TAILQ_FIRST(&s->throttled);
	for (int i = 0; i < LOOK_MAX && e != NULL; i++) {
		TAILQ_REMOVE(&s->throttled, e, link);
		TAILQ_INSERT_TAIL(&s->throttled, e, link);
		if (has_part(s, e)) {
			leave(s, e);
			line_up(s, e);
		}
		e = TAILQ_FIRST(&s->throttled);
	}
}

void sched_finish(struct sched *s, struct sched_endpoint *e, int64_t now_ms,
    enum sched_result result, int64_t latency_us)
{
	panic_if(e->in_flight == 0, "an attempt ended twice");
	bool was_full = e->filled > 0; /* although others of them may have ended before */
	bool was_troubled = e->failures > 0;
	e->filled -= was_full ? 1 : 0;
	count_in_flight(s, e, -1);
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
	case RESULT_STALE:
		break;
	}
	/* its line, its share or its wake time may be others now */
	if (e->state == STATE_THROTTLED || e->state == STATE_SLOW ||
	    e->state == STATE_WAITING || was_troubled != (e->failures > 0))
		withdraw(s, e);
	arrange(s, e);
	if (TAILQ_EMPTY(&e->tenant->host->newcomers) && has_blocked(e->tenant) &&
	    has_host_share(s, e->tenant))
		unblock_tenant(s, e->tenant);
	else
		unblock(s, e->tenant->host);
	unthrottle(s);
	let_slow_in(s, LOOK_MAX);
	for (int kind = 0; kind < SCHED_KINDS; kind++) {
		struct sched_line *line = line_of(e, kind);
		if (line->parked && has_share(s, line))
			unpark(s, line);
		unpark_some(s, kind, LOOK_MAX);
	}
}

void sched_put_off(struct sched *s, struct sched_endpoint *e, int64_t now_ms)
{
	if (now_ms < e->resume_ms)
		return; /* it was, for one that started beside this */
	e->put_off_ms = next_pause(e->put_off_ms);
	e->resume_ms = now_ms + e->put_off_ms;
	arrange(s, e);
}

int64_t sched_wake(struct sched *s, int64_t now_ms)
{
	if (s->slots.held >= s->slots.capacity)
		return SCHED_NEVER; /* an attempt must end first */
	if (sched_next(s, now_ms) != NULL)
		return now_ms;
	const struct sched_endpoint *e = RB_MIN(due_tree, &s->waiting);
	int64_t wake_ms = e == NULL ? SCHED_NEVER : e->wake_ms;
	bool waits = !TAILQ_EMPTY(&s->crowded) || !TAILQ_EMPTY(&s->slow);
	for (int kind = 0; kind < SCHED_KINDS; kind++)
		waits = waits || !TAILQ_EMPTY(&s->parked[kind]);
	return waits && s->recheck_ms < wake_ms ? s->recheck_ms : wake_ms;
}

uint32_t sched_in_flight(const struct sched *s)
{
	return (uint32_t)s->slots.held;
}

void sched_figures(const struct sched *s, struct sched_figures *out)
{
	*out = (struct sched_figures){.slots = s->slots,
	    .parks = s->parks,
	    .parked = s->last_parked};
}

uint32_t sched_circuits(const struct sched *s, enum sched_circuit circuit)
{
	return s->circuits[circuit];
}
