/*
 * The scheduler in virtual time. First anything may happen to it in any order, and what it
 * offers is compared with a naive reading of sched.h; then thousands of receivers, fast,
 * slow and dead, show that each costs itself alone.
 *
 * To add a scenario: describe its receivers with add(), let time pass with simulate(), and
 * look at what they have counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rnd.h"
#include "sched/sched.h"
#include "support.h"

#define PENDING_MAX 256 /* deliveries that wait for one receiver; a power of two */

/* A receiver: how it behaves, what waits for it, what it has counted. */
struct receiver {
	struct sched_endpoint sched; /* first */
	int64_t interval_ms;         /* between deliveries; 0: there is always one due */
	int64_t latency_ms;          /* of an attempt, give or take a half */
	unsigned fails_percent;
	int64_t pending[PENDING_MAX]; /* due times, a ring */
	size_t first, count;
	uint64_t starts;
	uint32_t most_in_flight;
	int64_t worst_wait_ms; /* from due to start */
	uint64_t ready_at;     /* starts of all when it was first seen ready; see below */
	bool ready;
};

/* Something that is to happen. */
struct moment {
	int64_t at_ms;
	uint64_t order; /* of those at one time the first made comes first */
	struct receiver *r;
	int64_t started_ms; /* an attempt ends that started then; -1: a delivery comes */
};

struct sim {
	struct sched_conf conf;
	struct sched *sched;
	struct sched_host *hosts;
	struct receiver *receivers;
	size_t host_count, count;
	struct moment *heap; /* the earliest first */
	size_t moments, room;
	uint64_t made;
	uint64_t starts;
	int64_t now_ms;
	struct rnd rnd;
	void (*on_start)(struct sim *m, struct receiver *r);
	struct receiver **log; /* who started, where a scenario wants to know */
};

static uint64_t pick(struct sim *m, uint64_t n)
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

static struct sim *sim_new(const struct sched_conf *conf, size_t receivers, size_t hosts,
    uint64_t seed)
{
	struct sim *m = mem_new(sizeof(*m));
	m->conf = *conf;
	m->sched = sched_new(conf);
	m->hosts = mem_array(hosts, sizeof(*m->hosts));
	m->host_count = hosts;
	m->receivers = mem_array(receivers, sizeof(*m->receivers));
	m->now_ms = 1000000;
	rnd_seed(&m->rnd, test_seed(seed));
	for (size_t i = 0; i < hosts; i++)
		sched_host_init(&m->hosts[i]);
	return m;
}

static void sim_free(struct sim *m)
{
	sched_free(m->sched);
	free(m->hosts);
	free(m->receivers);
	free(m->heap);
	free(m->log);
	free(m);
}

/* Adds a receiver of `kind`, whose counters are zero, at host `host`. */
static struct receiver *add(struct sim *m, const struct receiver *kind, size_t host,
    const struct sched_limits *limits)
{
	struct receiver *r = &m->receivers[m->count++];
	*r = *kind;
	sched_add(m->sched, &r->sched, &m->hosts[host % m->host_count], limits, m->now_ms);
	if (r->interval_ms == 0)
		sched_set_due(m->sched, &r->sched, 0);
	else
		plan(m, m->now_ms + (int64_t)pick(m, (uint64_t)r->interval_ms) + 1, r, -1);
	return r;
}

static void tell_due(struct sim *m, struct receiver *r)
{
	if (r->interval_ms != 0)
		sched_set_due(m->sched, &r->sched,
		    r->count == 0 ? SCHED_NEVER : r->pending[r->first % PENDING_MAX]);
}

static void deliver(struct sim *m, struct receiver *r)
{
	assert_true(r->count < PENDING_MAX);
	r->pending[(r->first + r->count++) % PENDING_MAX] = m->now_ms;
	tell_due(m, r);
	plan(m, m->now_ms + r->interval_ms / 2 + (int64_t)pick(m, (uint64_t)r->interval_ms), r,
	    -1);
}

static void end(struct sim *m, const struct moment *at)
{
	struct receiver *r = at->r;
	bool failed = pick(m, 100) < r->fails_percent;
	sched_finish(m->sched, &r->sched, m->now_ms, failed ? RESULT_FAILED : RESULT_OK,
	    (m->now_ms - at->started_ms) * 1000);
}

static void check_limits(const struct sim *m, const struct receiver *r)
{
	assert_true(sched_in_flight(m->sched) <= m->conf.slots);
	assert_true(r->sched.in_flight <= r->sched.limits.max_in_flight);
	assert_true(r->sched.host->in_flight <= m->conf.per_host);
	assert_true(r->sched.limits.enabled);
}

static void start(struct sim *m, struct receiver *r)
{
	int64_t wait_ms = 0;
	if (m->on_start != NULL)
		m->on_start(m, r);
	sched_start(m->sched, &r->sched, m->now_ms);
	if (r->interval_ms != 0) {
		assert_true(r->count > 0);
		wait_ms = m->now_ms - r->pending[r->first++ % PENDING_MAX];
		r->count--;
	}
	tell_due(m, r);
	m->starts++;
	r->starts++;
	r->worst_wait_ms = wait_ms > r->worst_wait_ms ? wait_ms : r->worst_wait_ms;
	if (r->sched.in_flight > r->most_in_flight)
		r->most_in_flight = r->sched.in_flight;
	int64_t spread_ms = r->latency_ms / 2 + (int64_t)pick(m, (uint64_t)r->latency_ms + 1);
	plan(m, m->now_ms + spread_ms + 1, r, m->now_ms);
	check_limits(m, r);
}

/* Lets `ms` milliseconds pass. */
static void simulate(struct sim *m, int64_t ms)
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

/* When `e` may start something as far as time has a say: its delivery, its rate, its probe. */
static int64_t ready_ms(const struct sched_endpoint *e)
{
	int64_t at = e->due_ms;
	if (e->limits.rate > 0 && e->tokens < 1) {
		int64_t rate = e->tokens_ms +
		    (int64_t)((1 - e->tokens) * 1000 / e->limits.rate) + 1;
		at = rate > at ? rate : at;
	}
	if (e->circuit == CIRCUIT_OPEN && e->probe_ms > at)
		at = e->probe_ms;
	return at;
}

/* How many attempts are in flight of those that failed last. */
static uint32_t troubled(const struct sim *m)
{
	uint32_t n = 0;
	for (size_t i = 0; i < m->count; i++)
		n += m->receivers[i].sched.failures > 0 ? m->receivers[i].sched.in_flight : 0;
	return n;
}

/* Whether `e` may start something once it is ready, as the words of sched.h say. */
static bool may_start(const struct sim *m, const struct sched_endpoint *e)
{
	uint32_t window = (uint32_t)e->window;
	uint32_t free_slots = m->conf.slots - sched_in_flight(m->sched);
	uint32_t half = m->conf.slots / 2 > 0 ? m->conf.slots / 2 : 1;
	window = window < e->limits.max_in_flight ? window : e->limits.max_in_flight;
	if (!e->limits.enabled || e->due_ms == SCHED_NEVER || free_slots == 0)
		return false;
	if (e->circuit == CIRCUIT_HALF_OPEN || (e->circuit == CIRCUIT_OPEN && e->in_flight > 0))
		return false;
	return e->in_flight < window && e->host->in_flight < m->conf.per_host &&
	    (e->in_flight == 0 || e->in_flight * 4 < free_slots) &&
	    (e->failures == 0 || troubled(m) < half);
}

/*
 * Nothing is offered: nobody with nothing in flight may be held back by mistake (others may
 * wait for their share a little longer), and the time to wake is not too late for any.
 */
static void check_idle(struct sim *m, int step)
{
	int64_t first_ms = SCHED_NEVER;
	for (size_t i = 0; i < m->count; i++) {
		const struct sched_endpoint *e = &m->receivers[i].sched;
		if (e->in_flight == 0 && may_start(m, e) && ready_ms(e) < first_ms)
			first_ms = ready_ms(e);
	}
	if (first_ms <= m->now_ms)
		fail_msg("step %d: somebody could have started", step);
	int64_t wake_ms = sched_wake(m->sched, m->now_ms);
	if (wake_ms <= m->now_ms || wake_ms > first_ms)
		fail_msg("step %d: wakes at %lld, not by %lld", step, (long long)wake_ms,
		    (long long)first_ms);
}

static struct sched_limits random_limits(struct sim *m)
{
	static const double RATES[] = {0, 0, 0, 0.5, 3, 50};
	return (struct sched_limits){.max_in_flight = 1 + (uint32_t)pick(m, 12),
	    .rate = RATES[pick(m, COUNT(RATES))],
	    .enabled = pick(m, 8) != 0};
}

/* Starts who is offered, or says that it has nothing due after all, a few times. */
static void pump(struct sim *m, int step)
{
	for (uint64_t n = 1 + pick(m, 2 * m->conf.slots); n > 0; n--) {
		struct sched_endpoint *e = sched_next(m->sched, m->now_ms);
		if (e == NULL) {
			check_idle(m, step);
			return;
		}
		if (!may_start(m, e) || ready_ms(e) > m->now_ms)
			fail_msg("step %d: offers one that may not start", step);
		if (pick(m, 8) == 0) {
			sched_set_due(m->sched, e, m->now_ms + 1 + (int64_t)pick(m, 3000));
			continue;
		}
		sched_start(m->sched, e, m->now_ms);
		if (pick(m, 3) == 0)
			sched_set_due(m->sched, e,
			    pick(m, 2) ? SCHED_NEVER : m->now_ms + (int64_t)pick(m, 500));
	}
}

static void change_one(struct sim *m)
{
	struct sched_endpoint *e = &m->receivers[pick(m, m->count)].sched;
	struct sched_limits limits = random_limits(m);
	struct sched_host *host = &m->hosts[pick(m, m->host_count)];
	switch (pick(m, 40)) {
	case 0:
		sched_limit(m->sched, e, &limits);
		break;
	case 1:
		if (host->in_flight + e->in_flight <=
		    m->conf.per_host) /* else over its limit */
			sched_set_host(m->sched, e, host);
		break;
	case 2:
		sched_reset(m->sched, e);
		break;
	case 3:
		if (e->in_flight == 0) { /* forgotten, and made known again */
			sched_remove(m->sched, e);
			memset(e, 0, sizeof(*e));
			sched_add(m->sched, e, host, &limits, m->now_ms);
		}
		break;
	case 4:
		if (e->circuit == CIRCUIT_CLOSED && e->in_flight == 0)
			sched_resume_failing(m->sched, e, m->now_ms - 1000);
		break;
	case 5:
		sched_set_due(m->sched, e, SCHED_NEVER);
		break;
	default:
		sched_set_due(m->sched, e, m->now_ms - 100 + (int64_t)pick(m, 400));
		break;
	}
}

static void end_one(struct sim *m)
{
	static const enum sched_result RESULTS[] = {RESULT_OK, RESULT_OK, RESULT_OK, RESULT_OK,
	    RESULT_FAILED, RESULT_FAILED, RESULT_OVERLOADED, RESULT_NONE};
	size_t from = pick(m, m->count);
	for (size_t i = 0; i < m->count; i++) {
		struct sched_endpoint *e = &m->receivers[(from + i) % m->count].sched;
		if (e->in_flight == 0)
			continue;
		sched_finish(m->sched, e, m->now_ms, RESULTS[pick(m, COUNT(RESULTS))],
		    (int64_t)pick(m, 200000));
		return;
	}
}

/* Configurations that make each limit the tight one in turn. */
static const struct sched_conf TIGHT[] = {
    {.slots = 1, .per_host = 1, .circuit_failures = 1, .circuit_open_ms = 10},
    {.slots = 7, .per_host = 2, .circuit_failures = 3, .circuit_open_ms = 700},
    {.slots = 40, .per_host = 3, .circuit_failures = 2, .circuit_open_ms = 300},
    {.slots = 40, .per_host = 40, .circuit_failures = 25, .circuit_open_ms = 5000},
    {.slots = 500, .per_host = 6, .circuit_failures = 5, .circuit_open_ms = 1000},
};

static void test_anything_in_any_order(void **state)
{
	enum { RECEIVERS = 60, HOSTS = 12, STEPS = 30000 };
	(void)state;
	for (size_t row = 0; row < COUNT(TIGHT); row++) {
		static const struct receiver NONE;
		struct sim *m = sim_new(&TIGHT[row], RECEIVERS, HOSTS, 1000 + row);
		for (size_t i = 0; i < RECEIVERS; i++) {
			struct sched_limits limits = random_limits(m);
			(void)add(m, &NONE, i, &limits); /* is in m->receivers */
		}
		for (int step = 0; step < STEPS; step++) {
			for (uint64_t n = pick(m, 4); n > 0; n--)
				change_one(m);
			for (uint64_t n = pick(m, 4); n > 0; n--)
				end_one(m);
			if (pick(m, 3) == 0)
				m->now_ms += (int64_t)pick(m, 100);
			pump(m, step);
		}
		for (size_t i = 0; i < RECEIVERS; i++)
			assert_true(
			    m->receivers[i].sched.host->in_flight <= TIGHT[row].per_host);
		sim_free(m);
	}
}

static const struct sched_conf CONF = {.slots = 256,
    .per_host = 64,
    .circuit_failures = 25,
    .circuit_open_ms = 300000};
static const struct sched_limits NORMAL = {.max_in_flight = 16, .enabled = true};
static const struct receiver HEALTHY = {.interval_ms = 1000, .latency_ms = 40};

/* The longest that a delivery has waited for one of the first `n` receivers. */
static int64_t worst_wait(const struct sim *m, size_t n)
{
	int64_t worst_ms = 0;
	for (size_t i = 0; i < n; i++) {
		const struct receiver *r = &m->receivers[i];
		assert_true(r->starts > 0);
		worst_ms = r->worst_wait_ms > worst_ms ? r->worst_wait_ms : worst_ms;
	}
	return worst_ms;
}

/*
 * A thousand and a half healthy receivers beside others of all bad kinds, each at a host of
 * its own: they wait for nobody but, after a burst, for themselves.
 */
static void test_isolation(void **state)
{
	enum { GOOD = 1500, BAD = 1500 };
	static const struct {
		struct receiver bad;
		size_t count;
		int64_t most_ms; /* that a healthy one's delivery may wait */
	} ROWS[] = {
	    {{.latency_ms = 0}, 0, 100},
	    {{.latency_ms = 5000, .fails_percent = 100}, BAD, 100},
	    {{.latency_ms = 10, .fails_percent = 100}, BAD, 100},
	    {{.latency_ms = 5000, .fails_percent = 50}, 60, 100},
	    {{.latency_ms = 20000}, 60, 1000},
	    {{.latency_ms = 30}, 60, 100},
	};
	(void)state;
	for (size_t row = 0; row < COUNT(ROWS); row++) {
		struct sim *m = sim_new(&CONF, GOOD + BAD, GOOD + BAD, 2000 + row);
		for (size_t i = 0; i < GOOD; i++)
			(void)add(m, &HEALTHY, i, &NORMAL); /* is in m->receivers */
		for (size_t i = 0; i < ROWS[row].count; i++)
			(void)add(m, &ROWS[row].bad, GOOD + i, &NORMAL); /* behind them */
		simulate(m, 180000); /* who is how has to show first */
		for (size_t i = 0; i < m->count; i++)
			m->receivers[i].worst_wait_ms = 0;
		simulate(m, 120000);
		int64_t worst_ms = worst_wait(m, GOOD);
		print_message("row %zu: %lld ms, %llu starts\n", row, (long long)worst_ms,
		    (unsigned long long)m->starts);
		if (worst_ms > ROWS[row].most_ms)
			fail_msg("row %zu: a healthy receiver waited %lld ms", row,
			    (long long)worst_ms);
		sim_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_anything_in_any_order),
	    cmocka_unit_test(test_isolation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
