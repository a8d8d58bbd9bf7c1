/*
 * The endpoints: webhooks with work; see dispatch.h for the flow. What one costs in memory:
 * its record here and its attempts in flight. An endpoint without work is kept for a while,
 * since its signing key costs more to make than to keep, and at most IDLE_MAX of them.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dispatch/dispatch_inner.h"

#define IDLE_MAX 1024 /* endpoints without work that are kept */

static const char *const CIRCUIT_NAMES[SCHED_CIRCUITS] = {
    [CIRCUIT_CLOSED] = "closed",
    [CIRCUIT_OPEN] = "open",
    [CIRCUIT_HALF_OPEN] = "half_open",
};

struct dispatch *dispatch_new(const struct dispatch_conf *conf)
{
	struct dispatch *d = mem_new(sizeof(*d));
	d->conf = *conf;
	d->sched = sched_new(&conf->sched);
	d->endpoints = map_new();
	d->tenants = tenants_new(d->sched);
	d->keeps_attempts = true;
	d->queues_us = DISPATCH_PUMP_US;
	TAILQ_INIT(&d->idle);
	return d;
}

static void drop_keys(struct endpoint *ep)
{
	sign_key_free(ep->key);
	sign_key_free(ep->previous_key);
	sign_pair_free(ep->pair);
	sign_pair_free(ep->previous_pair);
	ep->key = NULL;
	ep->previous_key = NULL;
	ep->pair = NULL;
	ep->previous_pair = NULL;
}

/* Starts what was held for want of something, now that it is there. */
static void resume(struct dispatch *d, struct endpoint *ep)
{
	if (ep->sched.due_ms == SCHED_NEVER && ep->lanes == NULL)
		return;
	endpoint_rewind(ep);
	endpoint_set_due(d, ep, 0); /* a claim shows when it really is */
	endpoint_mark_idle(d, ep);
}

static void drop_token(struct endpoint *ep)
{
	token_leave(&ep->waiter);
	token_give_back(ep->token);
	ep->token = NULL;
	ep->lacks_token = false;
}

static void free_endpoint(void *value, void *arg)
{
	struct endpoint *ep = value;
	struct dispatch *d = arg;
	while (!TAILQ_EMPTY(&ep->flights))
		flight_free(TAILQ_FIRST(&ep->flights));
	drop_keys(ep);
	drop_token(ep);
	lanes_free(ep->lanes);
	free(ep->last_error);
	fallback_free(d, ep->fallback);
	tenants_give_back(d->tenants, ep->sched.tenant);
	free(ep);
}

void dispatch_free(struct dispatch *d)
{
	if (d == NULL)
		return;
	map_each(d->endpoints, free_endpoint, d);
	map_free(d->endpoints);
	tenants_free(d->tenants);
	sched_free(d->sched);
	free(d);
}

void dispatch_bound_queues(struct dispatch *d, int64_t us)
{
	d->queues_us = us;
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
	if (ep->fallback != NULL)
		sched_remove(d->sched, &ep->fallback->sched);
	free_endpoint(ep, d);
}

void endpoint_mark_idle(struct dispatch *d, struct endpoint *ep)
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

/*
 * A fifo webhook has one attempt in flight, the next only after its outcome is on disk. Nothing
 * starts whose queue is still in another order, or whose endpoint has not shown that it wants
 * it.
 */
static struct sched_limits limits_of(const struct webhook *w, bool is_held)
{
	return (struct sched_limits){
	    .max_in_flight = w->fifo ? 1 : w->max_in_flight,
	    .rate = w->rate_limit,
	    .enabled = w->enabled && !w->deleted && !is_held && w->unordered == 0 &&
		ownership_hold(&w->ownership) == NULL,
	};
}

/* One of both URLs starts only while the other, of a fifo webhook, has nothing under way. */
static bool has_way(const struct sched_endpoint *other, const struct webhook *w)
{
	return !w->fifo || other->in_flight == 0;
}

void endpoint_apply_limits(struct dispatch *d, struct endpoint *ep, const struct webhook *w)
{
	struct sched_limits limits = limits_of(w, ep->is_held || ep->lacks_token);
	if (ep->fallback == NULL) {
		sched_limit(d->sched, &ep->sched, &limits);
		return;
	}
	struct sched_endpoint *other = &ep->fallback->sched;
	struct sched_limits spare = limits;
	spare.enabled = limits.enabled && w->fallback_url != NULL &&
	    ep->sched.circuit != CIRCUIT_CLOSED && has_way(&ep->sched, w);
	limits.enabled = limits.enabled && has_way(other, w);
	sched_limit(d->sched, &ep->sched, &limits);
	sched_limit(d->sched, other, &spare);
}

void endpoint_set_due(struct dispatch *d, struct endpoint *ep, int64_t due_ms)
{
	sched_set_due(d->sched, &ep->sched, due_ms);
	if (ep->fallback != NULL)
		sched_set_due(d->sched, &ep->fallback->sched, fallback_due(ep, due_ms));
}

static struct endpoint *find_endpoint(const struct dispatch *d, uint64_t webhook)
{
	return map_get(d->endpoints, &webhook, sizeof(webhook));
}

static struct sched_tenant *take_tenant(struct dispatch *d, const struct webhook *w)
{
	return tenants_take(d->tenants, slice_of(w->session), w->url);
}

static void follow_order(struct endpoint *ep, const struct webhook *w)
{
	ep->fifo = w->fifo;
	ep->is_wanted = ep->is_wanted && !webhook_keeps_places(w);
	if (w->key != NULL && ep->lanes == NULL)
		ep->lanes = lanes_new();
	if (w->key != NULL)
		return;
	lanes_free(ep->lanes);
	ep->lanes = NULL;
}

/* Finds or makes the endpoint of a webhook; NULL where there is no such webhook. */
static struct endpoint *take_endpoint(struct dispatch *d, uint64_t webhook)
{
	struct endpoint *ep = find_endpoint(d, webhook);
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	if (ep != NULL || w == NULL)
		return ep;
	ep = mem_new(sizeof(*ep));
	ep->dispatch = d;
	ep->webhook = webhook;
	TAILQ_INIT(&ep->flights);
	map_put(d->endpoints, &ep->webhook, sizeof(ep->webhook), ep);
	struct sched_limits limits = limits_of(w, false);
	follow_order(ep, w);
	sched_add(d->sched, &ep->sched, take_tenant(d, w), &limits, clock_wall_ms());
	if (w->failing_since_ms != 0)
		sched_resume_failing(d->sched, &ep->sched, w->failing_since_ms);
	fallback_follow(d, ep, w);
	return ep;
}

void endpoint_move(struct dispatch *d, struct sched_endpoint *se, const char *address)
{
	struct sched_tenant *old = se->tenant;
	if (address[0] == '\0' || tenants_is_at(old, address))
		return;
	sched_move(d->sched, se, tenants_take_at(d->tenants, old, address));
	tenants_give_back(d->tenants, old);
}

void endpoint_rewind(struct endpoint *ep)
{
	ep->place = (struct queue_place){0};
	if (ep->lanes != NULL)
		lanes_look_all(ep->lanes);
}

void endpoint_look(struct dispatch *d, struct endpoint *ep, uint16_t lane)
{
	int64_t now_ms = clock_wall_ms(); /* when it is claimed, it shows what is due */
	lanes_look(ep->lanes, lane);
	if (now_ms < ep->sched.due_ms)
		endpoint_set_due(d, ep, now_ms);
	endpoint_mark_idle(d, ep);
}

void dispatch_queued(struct dispatch *d, uint64_t webhook, const struct queue_place *place)
{
	struct endpoint *ep = take_endpoint(d, webhook);
	if (ep == NULL)
		return;
	if (ep->lanes != NULL) {
		endpoint_look(d, ep, place->lane);
		return;
	}
	if (!queue_place_before(&ep->place, place))
		endpoint_rewind(ep);
	/* a fifo place may lie ahead of the clock: when it is claimed, it shows what is due */
	int64_t due_ms = ep->fifo ? clock_wall_ms() : place->place_ms;
	if (due_ms < ep->sched.due_ms)
		endpoint_set_due(d, ep, due_ms);
	endpoint_mark_idle(d, ep);
}

/* Takes the token of its auth as that is now: the one that it has, where that is the same. */
static void follow_auth(struct dispatch *d, struct endpoint *ep, const struct webhook *w)
{
	struct token *token = NULL;
	bool waited = ep->lacks_token;
	if (w->auth != NULL && w->auth->type == AUTH_OAUTH2 && !w->deleted)
		token = tokens_take(d->conf.tokens, w);
	drop_token(ep);
	ep->token = token;
	if (waited && ep->sched.due_ms != SCHED_NEVER)
		endpoint_set_due(d, ep, 0);
}

/* Takes over what a changed webhook says. */
static void follow_webhook(struct dispatch *d, struct endpoint *ep, const struct webhook *w)
{
	struct sched_tenant *old = ep->sched.tenant;
	follow_auth(d, ep, w);
	bool had_lanes = ep->lanes != NULL;
	drop_keys(ep);
	follow_order(ep, w);
	if (had_lanes != (ep->lanes != NULL)) /* what waited for others may be due */
		endpoint_set_due(d, ep, 0);
	endpoint_rewind(ep);
	sched_move(d->sched, &ep->sched, take_tenant(d, w));
	tenants_give_back(d->tenants, old);
	fallback_follow(d, ep, w);
	endpoint_apply_limits(d, ep, w);
}

/* Forgets the failures of both URLs. */
static void reset(struct dispatch *d, struct endpoint *ep, const struct webhook *w)
{
	sched_reset(d->sched, &ep->sched);
	if (ep->fallback == NULL)
		return;
	sched_reset(d->sched, &ep->fallback->sched);
	endpoint_apply_limits(d, ep, w);
}

/* What is queued is due, whatever it was waiting for. */
static void force(struct dispatch *d, struct endpoint *ep)
{
	ep->forced_ms = clock_wall_ms() + 1;
	endpoint_rewind(ep);
	if (ep->sched.due_ms != SCHED_NEVER)
		endpoint_set_due(d, ep, 0);
}

/* Lets a probe through to both URLs, beside what is under way. */
static void try_both(struct dispatch *d, struct endpoint *ep)
{
	ep->round++;
	sched_try(d->sched, &ep->sched, clock_wall_ms());
	if (ep->fallback != NULL)
		sched_try(d->sched, &ep->fallback->sched, clock_wall_ms());
}

enum dispatch_try dispatch_try(struct dispatch *d, uint64_t webhook)
{
	struct endpoint *ep = find_endpoint(d, webhook);
	if (ep == NULL)
		return TRY_NOTHING_WAITS;
	if (ep->sched.circuit == CIRCUIT_HALF_OPEN)
		return TRY_IS_UNDER_WAY;
	try_both(d, ep);
	force(d, ep);
	return ep->sched.due_ms == SCHED_NEVER ? TRY_NOTHING_WAITS : TRY_STARTS;
}

void dispatch_moved(struct dispatch *d, uint64_t webhook)
{
	struct endpoint *ep = find_endpoint(d, webhook);
	if (ep == NULL)
		return;
	bool fails = ep->sched.failures > 0 ||
	    (ep->fallback != NULL && ep->fallback->sched.failures > 0);
	try_both(d, ep);
	if (fails)
		force(d, ep);
}

void dispatch_send(struct dispatch *d, uint64_t webhook, const struct uuid *id)
{
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	struct endpoint *ep = find_endpoint(d, webhook);
	if (w == NULL || ep == NULL)
		return;
	if (!webhook_keeps_places(w)) {
		ep->wanted = *id;
		ep->is_wanted = true;
	}
	if (ep->sched.circuit != CIRCUIT_CLOSED)
		try_both(d, ep);
}

void dispatch_changed(struct dispatch *d, uint64_t webhook, bool enabled_now)
{
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	struct endpoint *ep = find_endpoint(d, webhook);
	if (w == NULL || ep == NULL)
		return;
	follow_webhook(d, ep, w);
	if (enabled_now) {
		reset(d, ep, w);
		force(d, ep);
	}
	if (w->deleted) {
		reset(d, ep, w); /* its circuit is nobody's trouble any more */
		endpoint_set_due(d, ep, SCHED_NEVER);
	}
	endpoint_mark_idle(d, ep);
}

void dispatch_hold(struct dispatch *d, uint64_t webhook, bool holds)
{
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	struct endpoint *ep = find_endpoint(d, webhook);
	if (w == NULL || ep == NULL)
		return; /* it has no work */
	ep->is_held = holds;
	if (!holds && ep->lanes != NULL)
		flights_find_lanes(d, ep);
	endpoint_apply_limits(d, ep, w);
	if (!holds)
		resume(d, ep);
}

/* The token that it has waited for is there. */
static void on_token(void *arg)
{
	struct endpoint *ep = arg;
	struct dispatch *d = ep->dispatch;
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	ep->lacks_token = false;
	if (w == NULL)
		return;
	endpoint_apply_limits(d, ep, w);
	resume(d, ep);
}

bool endpoint_has_token(struct dispatch *d, struct endpoint *ep, const struct webhook *w)
{
	if (w->auth->type != AUTH_OAUTH2)
		return true;
	if (ep->token == NULL)
		ep->token = tokens_take(d->conf.tokens, w);
	ep->waiter.fn = on_token;
	ep->waiter.arg = ep;
	if (token_want(ep->token, &ep->waiter))
		return true;
	ep->lacks_token = true;
	endpoint_apply_limits(d, ep, w);
	return false;
}

void dispatch_forget(struct dispatch *d, uint64_t webhook)
{
	struct endpoint *ep = find_endpoint(d, webhook);
	if (ep == NULL)
		return;
	endpoint_set_due(d, ep, SCHED_NEVER);
	endpoint_mark_idle(d, ep);
	if (ep->idle) /* else it has flights, which end first */
		forget_endpoint(d, ep);
}

static void learn_head(void *arg, uint64_t webhook, int64_t place_ms)
{
	struct queue_place front = {.place_ms = place_ms};
	dispatch_queued(arg, webhook, &front);
}

enum err dispatch_load(struct dispatch *d)
{
	struct db_txn *txn = NULL;
	enum err err = db_read(d->conf.db, &txn);
	if (err != OK)
		return err;
	err = queue_heads(txn, learn_head, d);
	db_read_end(txn);
	return err;
}

void dispatch_pump(struct dispatch *d)
{
	flights_start_due(d);
}

int64_t dispatch_delay(struct dispatch *d)
{
	int64_t now_ms = clock_wall_ms();
	int64_t wake_ms = SCHED_NEVER;
	if (!d->stopped && !d->is_paused && flights_have_room(d))
		wake_ms = sched_wake(d->sched, now_ms);
	if (wake_ms == SCHED_NEVER)
		return -1;
	int64_t due = wake_ms > now_ms ? wake_ms - now_ms : 0;
	int64_t rest = d->rest_until_ms - clock_mono_ms();
	return due > rest ? due : rest;
}

void dispatch_keep_attempts(struct dispatch *d, bool keep)
{
	d->keeps_attempts = keep;
}

void dispatch_pause(struct dispatch *d, bool pauses)
{
	d->is_paused = pauses;
}

void dispatch_stop(struct dispatch *d)
{
	d->stopped = true;
}

uint32_t dispatch_in_flight(const struct dispatch *d)
{
	return sched_in_flight(d->sched);
}

bool dispatch_is_in_flight(const struct dispatch *d, uint64_t webhook, const struct uuid *id)
{
	struct endpoint *ep = find_endpoint(d, webhook);
	return ep != NULL && flight_exists(ep, id);
}

/* Why nothing of an endpoint starts, whatever is due. */
static const char *held_reason(const struct endpoint *ep, const struct webhook *w)
{
	const char *unproven = w == NULL ? NULL : ownership_hold(&w->ownership);
	if (unproven != NULL)
		return unproven;
	return ep->lacks_token ? token_why(ep->token) : NULL;
}

static void put_status(const struct endpoint *ep, const struct webhook *w,
    struct dispatch_status *out)
{
	bool closed = ep->sched.circuit == CIRCUIT_CLOSED;
	*out = (struct dispatch_status){
	    .circuit = CIRCUIT_NAMES[ep->sched.circuit],
	    .failures = ep->sched.failures,
	    .failing_since_ms = ep->sched.failing_since_ms,
	    .opened_ms = closed ? 0 : ep->sched.opened_ms,
	    .probe_ms = closed ? 0 : ep->sched.probe_ms,
	    .in_flight = endpoint_in_flight(ep),
	    .held_reason = held_reason(ep, w),
	};
}

/* When a probe of its own may go, or through its fallback something; 0: one is under way. */
static int64_t probe_ms(const struct endpoint *ep, const struct webhook *w)
{
	const struct sched_endpoint *own = &ep->sched;
	const struct sched_endpoint *other = w->fallback_url != NULL && ep->fallback != NULL
	    ? &ep->fallback->sched
	    : own;
	if (own->circuit == CIRCUIT_HALF_OPEN)
		return other->circuit == CIRCUIT_OPEN ? other->probe_ms : 0;
	return other->circuit == CIRCUIT_OPEN && other->probe_ms < own->probe_ms
	    ? other->probe_ms
	    : own->probe_ms;
}

void dispatch_find_hold(const struct dispatch *d, uint64_t webhook, int64_t due_ms,
    struct dispatch_hold *out)
{
	const struct endpoint *ep = find_endpoint(d, webhook);
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	*out = (struct dispatch_hold){0};
	if (w == NULL)
		return;
	if (!w->enabled)
		out->reason = "the webhook is disabled";
	else
		out->reason = ep == NULL ? ownership_hold(&w->ownership) : held_reason(ep, w);
	if (out->reason != NULL || ep == NULL || ep->sched.circuit == CIRCUIT_CLOSED)
		return;
	bool has_other = w->fallback_url != NULL && ep->fallback != NULL;
	if (has_other && ep->fallback->sched.circuit == CIRCUIT_CLOSED)
		return; /* it goes there */
	int64_t until_ms = probe_ms(ep, w);
	if (until_ms == 0 && due_ms <= clock_wall_ms())
		out->reason = "a probe is under way";
	else if (until_ms > clock_wall_ms() && due_ms < until_ms)
		*out = (struct dispatch_hold){"circuit open", until_ms};
}

bool dispatch_status(const struct dispatch *d, uint64_t webhook, struct dispatch_status *out)
{
	const struct endpoint *ep = find_endpoint(d, webhook);
	const struct webhook *w = registry_get(d->conf.registry, webhook);
	if (ep == NULL && w != NULL) /* it has no work, but may have been failing before */
		*out = (struct dispatch_status){
		    .circuit = CIRCUIT_NAMES[CIRCUIT_CLOSED],
		    .failing_since_ms = w->failing_since_ms,
		    .held_reason = ownership_hold(&w->ownership),
		};
	if (ep == NULL)
		return w != NULL;
	put_status(ep, w, out);
	return true;
}

void dispatch_figures(const struct dispatch *d, struct dispatch_figures *out)
{
	*out = d->figures;
	sched_figures(d->sched, &out->sched);
	out->in_flight = sched_in_flight(d->sched);
	out->open = sched_circuits(d->sched, CIRCUIT_OPEN);
	out->half_open = sched_circuits(d->sched, CIRCUIT_HALF_OPEN);
}

static void put_trouble(const struct dispatch *d, const struct endpoint *ep,
    struct dispatch_trouble *out)
{
	*out = (struct dispatch_trouble){.webhook = ep->webhook,
	    .last_status = ep->last_status,
	    .last_error = ep->last_error};
	put_status(ep, registry_get(d->conf.registry, ep->webhook), &out->status);
}

bool dispatch_trouble(const struct dispatch *d, uint64_t webhook, struct dispatch_trouble *out)
{
	const struct endpoint *ep = find_endpoint(d, webhook);
	if (ep == NULL)
		return false;
	put_trouble(d, ep, out);
	return true;
}

struct visit {
	const struct dispatch *dispatch;
	void (*fn)(void *arg, const struct dispatch_trouble *t);
	void *arg;
};

static void visit(void *value, void *arg)
{
	const struct visit *v = arg;
	struct dispatch_trouble t;
	put_trouble(v->dispatch, value, &t);
	v->fn(v->arg, &t);
}

void dispatch_each(const struct dispatch *d,
    void (*fn)(void *arg, const struct dispatch_trouble *t), void *arg)
{
	struct visit v = {.dispatch = d, .fn = fn, .arg = arg};
	map_each(d->endpoints, visit, &v);
}
