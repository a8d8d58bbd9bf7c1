/*
 * Claims, attempts and their outcomes; see dispatch.h for the flow. What an
 * endpoint costs in memory: its record here and its attempts in flight. An
 * endpoint without work is kept for a while, since its signing key costs more to
 * make than to keep, and at most IDLE_MAX of them.
 */
#include "dispatch/dispatch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "courier/attempt.h"
#include "dispatch/hosts.h"
#include "dispatch/purge.h"
#include "store/events.h"

#define STARTS_PER_TURN 32 /* attempts started in one turn: bounds its work */
#define DROPS_MAX 128      /* expired deliveries between their claim and the commit */
#define READ_RETRY_MS 1000 /* after the queue could not be read */
#define IDLE_MAX 1024      /* endpoints without work that are kept */

struct endpoint {
	struct sched_endpoint sched; /* first: the scheduler's pointer is ours */
	TAILQ_ENTRY(endpoint) idle_link;
	TAILQ_HEAD(, flight) flights;
	uint64_t webhook;
	struct queue_place place; /* claimed up to here */
	int64_t forced_ms;        /* what was queued before is due at once; 0: nothing is */
	struct sign_key *key;     /* NULL: not made yet, or no secret */
	struct sign_key *previous_key; /* the same of the secret before */
	bool fifo;
	bool idle;
};

/* A delivery between its claim and the commit of its outcome: an attempt, or dropped. */
struct flight {
	TAILQ_ENTRY(flight) link;
	struct op op;
	struct dispatch *dispatch;
	struct endpoint *endpoint;
	struct event event;
	struct buf body;
	struct settlement settlement;
	enum sched_result result; /* what the endpoint learns from it */
	int64_t duration_us;
};

struct dispatch {
	struct dispatch_conf conf;
	struct sched *sched;
	struct map *endpoints; /* webhook number -> endpoint */
	struct hosts *hosts;
	TAILQ_HEAD(, endpoint) idle;
	size_t idle_count;
	struct purge *purge;
	uint64_t body_bytes;   /* in flight */
	unsigned drops;        /* expired deliveries whose end is not committed yet */
	int64_t read_retry_ms; /* monotonic; the queue is not read before */
	bool stopped;
};

static void on_purged(void *arg, uint64_t webhook);

struct dispatch *dispatch_new(const struct dispatch_conf *conf)
{
	struct dispatch *d = mem_new(sizeof(*d));
	d->conf = *conf;
	d->sched = sched_new(&conf->sched);
	d->endpoints = map_new();
	d->hosts = hosts_new();
	d->purge = purge_new(conf->turn, on_purged, d);
	TAILQ_INIT(&d->idle);
	return d;
}

static void free_flight(struct flight *f)
{
	TAILQ_REMOVE(&f->endpoint->flights, f, link);
	buf_fini(&f->body);
	settlement_fini(&f->settlement);
	free(f);
}

static void drop_keys(struct endpoint *ep)
{
	sign_key_free(ep->key);
	sign_key_free(ep->previous_key);
	ep->key = NULL;
	ep->previous_key = NULL;
}

static void free_endpoint(void *value, void *arg)
{
	struct endpoint *ep = value;
	struct dispatch *d = arg;
	while (!TAILQ_EMPTY(&ep->flights))
		free_flight(TAILQ_FIRST(&ep->flights));
	drop_keys(ep);
	hosts_give_back(d->hosts, ep->sched.host);
	free(ep);
}

void dispatch_free(struct dispatch *d)
{
	if (d == NULL)
		return;
	map_each(d->endpoints, free_endpoint, d);
	map_free(d->endpoints);
	hosts_free(d->hosts);
	sched_free(d->sched);
	purge_free(d->purge);
	free(d);
}

void dispatch_configure(struct dispatch *d, const struct dispatch_conf *conf)
{
	d->conf = *conf;
	sched_configure(d->sched, &conf->sched);
}

static void forget_endpoint(struct dispatch *d, struct endpoint *ep)
{
	TAILQ_REMOVE(&d->idle, ep, idle_link);
	d->idle_count--;
	(void)map_del(d->endpoints, &ep->webhook, sizeof(ep->webhook)); /* is `ep` */
	sched_remove(d->sched, &ep->sched);
	free_endpoint(ep, d);
}

/*
 * Moves `ep` between the idle ones and those with work; drops the longest idle beyond
 * IDLE_MAX.
 */
static void mark_idle(struct dispatch *d, struct endpoint *ep)
{
	bool idle = ep->sched.due_ms == SCHED_NEVER && TAILQ_EMPTY(&ep->flights);
	if (idle == ep->idle)
		return;
	ep->idle = idle;
	if (!idle) {
		TAILQ_REMOVE(&d->idle, ep, idle_link);
		d->idle_count--;
		return;
	}
	TAILQ_INSERT_TAIL(&d->idle, ep, idle_link);
	if (++d->idle_count > IDLE_MAX)
		forget_endpoint(d, TAILQ_FIRST(&d->idle));
}

/* A fifo webhook has one attempt in flight, the next only after its outcome is on disk. */
static struct sched_limits limits_of(const struct webhook *w)
{
	return (struct sched_limits){
	    .max_in_flight = w->fifo ? 1 : w->max_in_flight,
	    .rate = w->rate_limit,
	    .enabled = w->enabled && !w->deleted,
	};
}

static struct endpoint *find_endpoint(const struct dispatch *d, uint64_t webhook)
{
	return map_get(d->endpoints, &webhook, sizeof(webhook));
}

/* Finds or makes the endpoint of a webhook; NULL where there is no such webhook. */
static struct endpoint *take_endpoint(struct dispatch *d, uint64_t webhook)
{
	struct endpoint *ep = find_endpoint(d, webhook);
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	if (ep != NULL || w == NULL)
		return ep;
	ep = mem_new(sizeof(*ep));
	ep->webhook = webhook;
	TAILQ_INIT(&ep->flights);
	map_put(d->endpoints, &ep->webhook, sizeof(ep->webhook), ep);
	struct sched_limits limits = limits_of(w);
	ep->fifo = w->fifo;
	sched_add(d->sched, &ep->sched, hosts_take(d->hosts, w->url), &limits, clock_wall_ms());
	if (w->failing_since_ms != 0)
		sched_resume_failing(d->sched, &ep->sched, w->failing_since_ms);
	return ep;
}

/* Claims start over from the front: something may lie before the place they had reached. */
static void rewind_place(struct endpoint *ep)
{
	ep->place = (struct queue_place){0};
}

void dispatch_queued(struct dispatch *d, uint64_t webhook, const struct queue_place *place)
{
	struct endpoint *ep = take_endpoint(d, webhook);
	if (ep == NULL)
		return;
	if (!queue_place_before(&ep->place, place))
		rewind_place(ep);
	/* a fifo place may lie ahead of the clock: when it is claimed, it shows what is due */
	int64_t due_ms = ep->fifo ? clock_wall_ms() : place->place_ms;
	if (due_ms < ep->sched.due_ms)
		sched_set_due(d->sched, &ep->sched, due_ms);
	mark_idle(d, ep);
}

/* Takes over what a changed webhook says. */
static void follow_webhook(struct dispatch *d, struct endpoint *ep, const struct webhook *w)
{
	struct sched_host *old = ep->sched.host;
	struct sched_limits limits = limits_of(w);
	drop_keys(ep);
	rewind_place(ep);
	ep->fifo = w->fifo;
	sched_set_host(d->sched, &ep->sched, hosts_take(d->hosts, w->url));
	hosts_give_back(d->hosts, old);
	sched_limit(d->sched, &ep->sched, &limits);
}

void dispatch_changed(struct dispatch *d, uint64_t webhook, bool enabled_now)
{
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	struct endpoint *ep = find_endpoint(d, webhook);
	if (w != NULL && w->deleted)
		purge_add(d->purge, webhook);
	if (w == NULL || ep == NULL)
		return;
	follow_webhook(d, ep, w);
	if (enabled_now) {
		ep->forced_ms = clock_wall_ms() + 1;
		sched_reset(d->sched, &ep->sched);
		if (ep->sched.due_ms != SCHED_NEVER)
			sched_set_due(d->sched, &ep->sched, 0);
	}
	if (w->deleted)
		sched_set_due(d->sched, &ep->sched, SCHED_NEVER);
	mark_idle(d, ep);
}

/* A retired webhook's queue is empty and its record gone. */
static void on_purged(void *arg, uint64_t webhook)
{
	struct dispatch *d = arg;
	struct endpoint *ep = find_endpoint(d, webhook);
	registry_drop(d->conf.registry, webhook);
	if (ep == NULL)
		return;
	sched_set_due(d->sched, &ep->sched, SCHED_NEVER);
	mark_idle(d, ep);
}

static void learn_head(void *arg, uint64_t webhook, int64_t place_ms)
{
	struct queue_place front = {.place_ms = place_ms};
	dispatch_queued(arg, webhook, &front);
}

static void learn_retired(void *webhook, void *arg)
{
	const struct webhook *w = webhook;
	struct dispatch *d = arg;
	if (w->deleted)
		purge_add(d->purge, w->number);
}

enum err dispatch_load(struct dispatch *d)
{
	struct db_txn *txn = NULL;
	enum err err = db_read(d->conf.db, &txn);
	if (err != OK)
		return err;
	err = queue_heads(txn, learn_head, d);
	db_read_end(txn);
	registry_each(d->conf.registry, learn_retired, d);
	return err;
}

static struct flight *flight_of(struct op *op)
{
	return (struct flight *)((char *)op - offsetof(struct flight, op));
}

static enum err apply_flight(struct op *op, struct db_txn *txn)
{
	struct flight *f = flight_of(op);
	return settlement_write(&f->settlement, f->dispatch->conf.vault, txn);
}

/* The webhook and its notice are on disk as the settlement says: memory follows. */
static void follow_settlement(struct dispatch *d, struct endpoint *ep, struct settlement *s)
{
	if (s->changed != NULL) {
		bool disabled = !s->changed->enabled;
		registry_set(d->conf.registry, s->changed);
		s->changed = NULL;
		if (disabled)
			dispatch_changed(d, ep->webhook, false);
	}
	for (uint32_t n = 0; s->noticed && n < s->notice.event.deliveries; n++) {
		struct queue_place place = publication_place(&s->notice, n);
		dispatch_queued(d, s->notice.targets[n].webhook, &place);
	}
	if (s->verdict == VERDICT_RETRY) {
		s->delivery.place_ms = s->fifo ? s->delivery.place_ms : s->retry_ms;
		struct queue_place place = queue_place_of(&s->delivery);
		dispatch_queued(d, ep->webhook, &place);
	}
}

/* The outcome is on disk: what is in memory follows. */
static void finish_flight(struct flight *f, enum err result)
{
	struct dispatch *d = f->dispatch;
	struct endpoint *ep = f->endpoint;
	if (result != OK && result != ERR_NOTFOUND)
		log_error("outcome was not stored", LOG_S("error", err_text(result)));
	if (result == OK)
		follow_settlement(d, ep, &f->settlement);
	free_flight(f);
	mark_idle(d, ep);
}

static void finish_attempt(struct op *op, enum err result)
{
	struct flight *f = flight_of(op);
	sched_finish(f->dispatch->sched, &f->endpoint->sched, clock_wall_ms(), f->result,
	    f->duration_us);
	finish_flight(f, result);
}

static void finish_drop(struct op *op, enum err result)
{
	struct flight *f = flight_of(op);
	f->dispatch->drops--;
	finish_flight(f, result);
}

/* An attempt ended: its outcome joins the turn. */
static void on_result(void *arg, const struct client_result *r)
{
	struct flight *f = arg;
	struct dispatch *d = f->dispatch;
	const struct webhook *w = registry_get(d->conf.registry, f->endpoint->webhook);
	d->body_bytes -= f->body.len;
	buf_fini(&f->body);
	f->result = judge_endpoint(r);
	f->duration_us = r->duration_us;
	f->settlement.now_ms = clock_wall_ms();
	if (w != NULL) /* else deleted and purged: the settlement will find nothing */
		judge_attempt(&d->conf.judge, w, &f->endpoint->sched, &f->event, r,
		    &f->settlement);
	turn_stage(d->conf.turn, &f->op);
}

/* Makes the signing keys that are not there yet. */
static void make_keys(struct endpoint *ep, const struct webhook *w)
{
	if (ep->key == NULL && w->secret != NULL)
		ep->key = sign_key_new(slice_of(w->secret));
	if (ep->previous_key == NULL && w->previous_secret != NULL)
		ep->previous_key = sign_key_new(slice_of(w->previous_secret));
}

static void start(struct dispatch *d, struct flight *f)
{
	struct endpoint *ep = f->endpoint;
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	make_keys(ep, w);
	struct attempt a = {
	    .webhook = w,
	    .delivery = &f->settlement.delivery,
	    .key = ep->key,
	    .previous_key = w->previous_expires_ms > clock_wall_ms() ? ep->previous_key : NULL,
	    .session = slice_of(f->event.session),
	    .event = slice_of(f->event.name),
	    .body = buf_view(&f->body),
	    .now_ms = clock_system_ms(),
	};
	d->body_bytes += f->body.len;
	attempt_send(d->conf.client, &a, on_result, f);
}

static struct flight *make_flight(struct dispatch *d, struct endpoint *ep,
    const struct delivery *delivery)
{
	struct flight *f = mem_new(sizeof(*f));
	f->dispatch = d;
	f->endpoint = ep;
	f->op.class = OP_PROGRESS;
	f->op.apply = apply_flight;
	f->op.done = finish_attempt;
	f->body = BUF_INIT(EVENT_BODY_MAX);
	f->settlement.delivery = *delivery;
	TAILQ_INSERT_TAIL(&ep->flights, f, link);
	return f;
}

static bool is_in_flight(void *arg, const struct uuid *id)
{
	const struct endpoint *ep = arg;
	const struct flight *f;
	TAILQ_FOREACH(f, &ep->flights, link) {
		if (memcmp(f->settlement.delivery.id.bytes, id->bytes, UUID_SIZE) == 0)
			return true;
	}
	return false;
}

/* The event of a delivery cannot be read: the attempt fails without having been made. */
static void fail_unreadable(struct flight *f, const struct webhook *w, enum err err)
{
	char words[96];
	f->event = (struct event){.id = f->settlement.delivery.event_id};
	(void)snprintf(f->event.session, sizeof(f->event.session), "%s", w->session);
	(void)snprintf(words, sizeof(words), "the stored event cannot be read: %s",
	    err_text(err));
	struct client_result r = {.error = words, .retry_after = ""};
	buf_fini(&f->body); /* was not counted as in flight */
	on_result(f, &r);
	f->result = RESULT_NONE;
}

/*
 * Whether a claimed delivery is too old to be sent; then *e is its event. Most are too young
 * whatever the event, which is not read then.
 */
static bool has_expired(const struct dispatch *d, const struct delivery *delivery,
    struct db_txn *txn, int64_t now_ms, struct event *e)
{
	return judge_may_be_expired(&d->conf.judge, delivery, now_ms) &&
	    events_get(txn, &delivery->event_id, e, NULL) == OK &&
	    judge_is_expired(&d->conf.judge, e, delivery, now_ms);
}

/*
 * Drops a claimed delivery that has expired: without an attempt, and without a slot. It costs
 * its endpoint the turn, so that a queue of such does not hold up the others.
 */
static void drop_expired(struct dispatch *d, struct endpoint *ep,
    const struct delivery *delivery, const struct event *e, int64_t now_ms)
{
	struct flight *f = make_flight(d, ep, delivery);
	d->drops++;
	sched_start(d->sched, &ep->sched, now_ms);
	sched_finish(d->sched, &ep->sched, now_ms, RESULT_NONE, 0);
	f->op.done = finish_drop;
	f->settlement.now_ms = now_ms;
	judge_expired(registry_get(d->conf.registry, ep->webhook), e, &f->settlement);
	turn_stage(d->conf.turn, &f->op);
}

/* Starts the attempt of a claimed delivery. */
static void take_off(struct dispatch *d, struct endpoint *ep, const struct delivery *delivery,
    struct db_txn *txn, int64_t now_ms)
{
	struct flight *f = make_flight(d, ep, delivery);
	sched_start(d->sched, &ep->sched, now_ms);
	enum err err = events_get(txn, &delivery->event_id, &f->event, &f->body);
	if (err != OK)
		fail_unreadable(f, registry_get(d->conf.registry, ep->webhook), err);
	else
		start(d, f);
}

/* Drops a claimed delivery, or starts its attempt. */
static void take_on(struct dispatch *d, struct endpoint *ep, const struct delivery *delivery,
    struct db_txn *txn, int64_t now_ms)
{
	struct event e;
	if (has_expired(d, delivery, txn, now_ms, &e))
		drop_expired(d, ep, delivery, &e, now_ms);
	else
		take_off(d, ep, delivery, txn, now_ms);
}

/*
 * Claims the next due delivery of `ep` and takes it on. True when it did, or when `ep` has
 * moved to a later time; false when claiming is over for this turn.
 */
static bool claim_one(struct dispatch *d, struct endpoint *ep, struct db_txn *txn,
    int64_t now_ms)
{
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	struct delivery delivery;
	size_t count = 0;
	int64_t next_due_ms = QUEUE_NEVER;
	struct queue_claim claim = {.webhook = ep->webhook,
	    .now_ms = now_ms,
	    .forced_ms = ep->forced_ms,
	    .max = 1,
	    .fifo = w->fifo,
	    .place = ep->place,
	    .skip = is_in_flight,
	    .arg = ep};
	enum err err = queue_claim(txn, &claim, &delivery, &count, &next_due_ms);
	if (err != OK) {
		log_error("cannot claim from the queue", LOG_S("error", err_text(err)));
		d->read_retry_ms = clock_mono_ms() + READ_RETRY_MS;
		return false;
	}
	ep->place = claim.place;
	if (count == 0 && next_due_ms <= now_ms)
		return false; /* passed many: goes on from its place in the next turn */
	if (count == 0 && ep->forced_ms != 0) {
		ep->forced_ms =
		    0; /* all of it was passed once: the ordinary due times count again */
		rewind_place(ep);
		return true;
	}
	if (count > 0)
		take_on(d, ep, &delivery, txn, now_ms);
	sched_set_due(d->sched, &ep->sched, next_due_ms);
	mark_idle(d, ep);
	return true;
}

static void start_due(struct dispatch *d)
{
	struct db_txn *txn = NULL;
	int64_t now_ms = clock_wall_ms();
	if (d->stopped || clock_mono_ms() < d->read_retry_ms ||
	    sched_next(d->sched, now_ms) == NULL)
		return;
	if (db_read(d->conf.db, &txn) != OK) {
		d->read_retry_ms = clock_mono_ms() + READ_RETRY_MS;
		return;
	}
	/* a claim that starts nothing counts too, but not a drop: those are bounded apart */
	int claims = 0;
	while (claims < STARTS_PER_TURN && d->drops < DROPS_MAX &&
	    d->body_bytes < d->conf.body_bytes_max) {
		struct sched_endpoint *se = sched_next(d->sched, now_ms);
		unsigned drops = d->drops;
		if (se == NULL || !claim_one(d, (struct endpoint *)se, txn, now_ms))
			break;
		claims += d->drops == drops ? 1 : 0;
	}
	db_read_end(txn);
}

void dispatch_pump(struct dispatch *d)
{
	start_due(d);
	if (!d->stopped)
		purge_step(d->purge);
}

int64_t dispatch_delay(struct dispatch *d)
{
	int64_t now_ms = clock_wall_ms();
	int64_t wake_ms = SCHED_NEVER;
	if (!d->stopped && d->drops < DROPS_MAX && d->body_bytes < d->conf.body_bytes_max)
		wake_ms = sched_wake(d->sched, now_ms);
	if (wake_ms == SCHED_NEVER)
		return -1;
	int64_t due = wake_ms > now_ms ? wake_ms - now_ms : 0;
	int64_t readable = d->read_retry_ms - clock_mono_ms();
	return due > readable ? due : readable;
}

void dispatch_stop(struct dispatch *d)
{
	d->stopped = true;
}

uint32_t dispatch_in_flight(const struct dispatch *d)
{
	return sched_in_flight(d->sched);
}

bool dispatch_status(const struct dispatch *d, uint64_t webhook, struct webhook_status *out)
{
	static const char *const NAMES[] = {
	    [CIRCUIT_CLOSED] = "closed",
	    [CIRCUIT_OPEN] = "open",
	    [CIRCUIT_HALF_OPEN] = "half_open",
	};
	const struct endpoint *ep = find_endpoint(d, webhook);
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	if (ep == NULL && w != NULL) /* it has no work, but may have been failing before */
		*out = (struct webhook_status){
		    .circuit = NAMES[CIRCUIT_CLOSED],
		    .failing_since_ms = w->failing_since_ms,
		};
	if (ep == NULL)
		return w != NULL;
	bool closed = ep->sched.circuit == CIRCUIT_CLOSED;
	*out = (struct webhook_status){
	    .circuit = NAMES[ep->sched.circuit],
	    .failures = ep->sched.failures,
	    .failing_since_ms = ep->sched.failing_since_ms,
	    .opened_ms = closed ? 0 : ep->sched.opened_ms,
	    .probe_ms = closed ? 0 : ep->sched.probe_ms,
	    .in_flight = ep->sched.in_flight,
	};
	return true;
}
