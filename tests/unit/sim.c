/* Receivers in virtual time; see sim.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"
#include "support.h"

/* Something that is to happen. */
struct moment {
	int64_t at_ms;
	uint64_t order; /* of those at one time the first made comes first */
	struct receiver *r;
	int64_t started_ms; /* an attempt ends that started then; -1: a delivery comes */
};

uint64_t sim_pick(struct sim *m, uint64_t n)
{
	return rnd_next(&m->rnd) % n;
}

static bool is_before(const struct moment *a, const struct moment *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void plan(struct sim *m, int64_t at_ms, struct receiver *r, int64_t started_ms)
{
	if (m->moments == m->room) {
		m->room = 2 * m->room + 64;
		m->heap = mem_resize(m->heap, m->room, sizeof(*m->heap));
	}
	struct moment new = {at_ms, m->made++, r, started_ms};
	size_t i = m->moments++;
	for (; i > 0 && is_before(&new, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = new;
}

static struct moment take_first(struct sim *m)
{
	struct moment first = m->heap[0];
	struct moment last = m->heap[--m->moments];
	size_t i = 0;
	for (size_t child = 1; child < m->moments; child = 2 * i + 1) {
		if (child + 1 < m->moments && is_before(&m->heap[child + 1], &m->heap[child]))
			child++;
		if (!is_before(&m->heap[child], &last))
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = last;
	return first;
}

struct sim *sim_new(const struct sched_conf *conf, size_t receivers, size_t hosts,
    uint64_t seed)
{
	struct sim *m = mem_new(sizeof(*m));
	m->conf = *conf;
	m->sched = sched_new(conf);
	m->hosts = mem_array(hosts, sizeof(*m->hosts));
	m->host_count = hosts;
	m->tenants = mem_array(SIM_SESSIONS * hosts, sizeof(*m->tenants));
	m->receivers = mem_array(receivers, sizeof(*m->receivers));
	m->now_ms = 1000000;
	rnd_seed(&m->rnd, test_seed(seed));
	for (size_t i = 0; i < hosts; i++)
		sched_host_init(&m->hosts[i]);
	for (size_t i = 0; i < SIM_SESSIONS; i++) {
		sched_session_init(&m->sessions[i]);
		for (size_t h = 0; h < hosts; h++)
			sched_tenant_init(&m->tenants[i * hosts + h], &m->hosts[h],
			    &m->sessions[i]);
	}
	return m;
}

void sim_free(struct sim *m)
{
	sched_free(m->sched);
	free(m->hosts);
	free(m->tenants);
	free(m->receivers);
	free(m->heap);
	free(m->log);
	free(m);
}

struct sched_tenant *sim_tenant(struct sim *m, const struct receiver *r, size_t host)
{
	return &m->tenants[(r->session - 1) % SIM_SESSIONS * m->host_count +
	    host % m->host_count];
}

void sim_add(struct sim *m, const struct receiver *kind, size_t host,
    const struct sched_limits *limits)
{
	struct receiver *r = &m->receivers[m->count++];
	*r = *kind;
	struct sched_tenant *tenant = &r->tenant;
	sched_session_init(&r->own);
	sched_tenant_init(tenant, &m->hosts[host % m->host_count], &r->own);
	if (r->session != 0)
		tenant = sim_tenant(m, r, host);
	sched_add(m->sched, &r->sched, tenant, limits, m->now_ms);
	if (r->interval_ms == 0)
		sched_set_due(m->sched, &r->sched, 0);
	else
		plan(m, m->now_ms + (int64_t)sim_pick(m, (uint64_t)r->interval_ms) + 1, r, -1);
}

static void tell_due(struct sim *m, struct receiver *r)
{
	if (r->interval_ms != 0)
		sched_set_due(m->sched, &r->sched,
		    r->count == 0 ? SCHED_NEVER : r->pending[r->first % SIM_PENDING_MAX]);
}

static void deliver(struct sim *m, struct receiver *r)
{
	assert_true(r->count < SIM_PENDING_MAX);
	r->pending[(r->first + r->count++) % SIM_PENDING_MAX] = m->now_ms;
	tell_due(m, r);
	plan(m, m->now_ms + r->interval_ms / 2 + (int64_t)sim_pick(m, (uint64_t)r->interval_ms),
	    r, -1);
}

static void end(struct sim *m, const struct moment *at)
{
	struct receiver *r = at->r;
	bool failed = sim_pick(m, 100) < r->fails_percent;
	sched_finish(m->sched, &r->sched, m->now_ms, failed ? RESULT_FAILED : RESULT_OK,
	    (m->now_ms - at->started_ms) * 1000);
}

static void start(struct sim *m, struct receiver *r)
{
	int64_t wait_ms = 0;
	if (m->on_start != NULL)
		m->on_start(m, r);
	sched_start(m->sched, &r->sched, m->now_ms);
	if (r->interval_ms != 0) {
		assert_true(r->count > 0);
		wait_ms = m->now_ms - r->pending[r->first++ % SIM_PENDING_MAX];
		r->count--;
	}
	tell_due(m, r);
	m->starts++;
	r->starts++;
	r->worst_wait_ms = wait_ms > r->worst_wait_ms ? wait_ms : r->worst_wait_ms;
	int64_t spread_ms = r->latency_ms / 2 +
	    (int64_t)sim_pick(m, (uint64_t)r->latency_ms + 1);
	plan(m, m->now_ms + spread_ms + 1, r, m->now_ms);
	assert_true(sched_in_flight(m->sched) <= m->conf.slots);
	assert_true(r->sched.in_flight <= r->sched.limits.max_in_flight);
	assert_true(r->sched.tenant->host->in_flight <= m->conf.per_host);
}

void sim_run(struct sim *m, int64_t ms)
{
	int64_t until_ms = m->now_ms + ms;
	for (;;) {
		struct sched_endpoint *e = sched_next(m->sched, m->now_ms);
		for (; e != NULL; e = sched_next(m->sched, m->now_ms))
			start(m, (struct receiver *)e);
		int64_t wake_ms = sched_wake(m->sched, m->now_ms);
		assert_true(wake_ms > m->now_ms); /* else the loop would spin */
		if (m->moments > 0 && m->heap[0].at_ms < wake_ms)
			wake_ms = m->heap[0].at_ms;
		if (wake_ms > until_ms)
			break;
		m->now_ms = wake_ms;
		while (m->moments > 0 && m->heap[0].at_ms == m->now_ms) {
			struct moment at = take_first(m);
			if (at.started_ms < 0)
				deliver(m, at.r);
			else
				end(m, &at);
		}
	}
	m->now_ms = until_ms;
}

int64_t sim_ready_ms(const struct sched_endpoint *e)
{
	int64_t at = e->due_ms;
	if (e->limits.rate > 0 && e->tokens < 1) {
		int64_t rate = e->tokens_ms +
		    (int64_t)((1 - e->tokens) * 1000 / e->limits.rate) + 1;
		at = rate > at ? rate : at;
	}
	if (e->resume_ms > at)
		at = e->resume_ms;
	if (e->circuit == CIRCUIT_OPEN && e->probe_ms > at)
		at = e->probe_ms;
	return at;
}

/*
 * A resource as it is held, counted naively: of a host, or of all, NULL; of those that failed
 * last, or of any. Its takers are sessions; *own is what that of `e` holds.
 */
static struct share share_of(const struct sim *m, uint32_t capacity,
    const struct sched_host *host, bool troubled, const struct sched_endpoint *e, uint32_t *own)
{
	struct share s = {.capacity = capacity};
	bool shared[SIM_SESSIONS] = {false};
	*own = 0;
	for (size_t i = 0; i < m->count; i++) {
		const struct receiver *r = &m->receivers[i];
		const struct sched_tenant *t = r->sched.tenant;
		if ((host != NULL && t->host != host) || (troubled && r->sched.failures == 0) ||
		    r->sched.in_flight == 0)
			continue;
		s.held += r->sched.in_flight;
		*own += t->session == e->tenant->session ? r->sched.in_flight : 0;
		bool *known = &shared[r->session == 0 ? 0 : (r->session - 1) % SIM_SESSIONS];
		s.takers += r->session == 0 || !*known ? 1 : 0;
		*known = *known || r->session != 0;
	}
	return s;
}

/* Whether the session of `e` may have one more, of all and at its host. */
static bool may_have(const struct sim *m, const struct sched_endpoint *e)
{
	uint32_t half = m->conf.slots / 2 > 0 ? m->conf.slots / 2 : 1;
	uint32_t own = 0;
	struct share s = share_of(m, m->conf.slots, NULL, false, e, &own);
	if (!share_allows(&s, own, 1))
		return false;
	s = share_of(m, m->conf.per_host, e->tenant->host, false, e, &own);
	if (!share_allows(&s, own, 1))
		return false;
	s = share_of(m, half, NULL, true, e, &own);
	return e->failures == 0 || share_allows(&s, own, 1);
}

/* Whether `e` is quick, or fewer slots are with those that are not than may be. */
static bool may_be_slow(const struct sim *m, const struct sched_endpoint *e)
{
	uint32_t held = 0;
	for (size_t i = 0; i < m->count; i++) {
		const struct sched_endpoint *other = &m->receivers[i].sched;
		held += other->quick ? 0 : other->in_flight;
	}
	return e->quick || held < m->conf.slots - m->conf.slots / SHARE_RESERVE;
}

bool sim_may_start(const struct sim *m, const struct sched_endpoint *e)
{
	uint32_t window = (uint32_t)e->window;
	uint32_t free_slots = m->conf.slots - sched_in_flight(m->sched);
	window = window < e->limits.max_in_flight ? window : e->limits.max_in_flight;
	if (!e->limits.enabled || e->due_ms == SCHED_NEVER || free_slots == 0)
		return false;
	if (e->circuit == CIRCUIT_HALF_OPEN || (e->circuit == CIRCUIT_OPEN && e->in_flight > 0))
		return false;
	return e->in_flight < window && may_have(m, e) && may_be_slow(m, e) &&
	    (e->in_flight == 0 || e->in_flight * 4 < free_slots);
}
