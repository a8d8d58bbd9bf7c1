/* A scheduler with a handful of endpoints, for tests of one rule at a time. */
#ifndef TESTS_SCHED_FIXTURE_H
#define TESTS_SCHED_FIXTURE_H

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sched/sched.h"

#define ENDPOINTS 16
#define FAST_US 10000

/*
 * A scheduler with endpoints 0, 1, … at one host, each of a session of its own, all of them due
 * just now.
 */
struct fixture {
	struct sched *sched;
	struct sched_host host;
	struct sched_session session[ENDPOINTS];
	struct sched_tenant tenant[ENDPOINTS];
	struct sched_endpoint e[ENDPOINTS];
	size_t count;
	int64_t now_ms;
};

/* Nothing but the endpoint itself holds it back. */
static const struct sched_conf ROOMY = {.slots = 1000,
    .per_host = 1000,
    .circuit_failures = 5,
    .circuit_open_ms = 60000};

static inline void add(struct fixture *f, uint32_t max_in_flight, int64_t due_ms)
{
	const struct sched_limits limits = {.max_in_flight = max_in_flight, .enabled = true};
	struct sched_tenant *tenant = &f->tenant[f->count];
	struct sched_endpoint *e = &f->e[f->count];
	sched_session_init(&f->session[f->count]);
	sched_tenant_init(tenant, &f->host, &f->session[f->count++]);
	sched_add(f->sched, e, tenant, &limits, f->now_ms);
	sched_set_due(f->sched, e, due_ms);
}

static inline struct fixture *make(const struct sched_conf *conf, size_t count,
    uint32_t max_in_flight)
{
	struct fixture *f = mem_new(sizeof(*f));
	f->sched = sched_new(conf);
	f->now_ms = 1000000;
	sched_host_init(&f->host);
	for (size_t i = 0; i < count; i++)
		add(f, max_in_flight, f->now_ms);
	return f;
}

/* Moves endpoint `i` to another host; `tenant` is its session's there from then on. */
static inline void move(struct fixture *f, size_t i, struct sched_host *host,
    struct sched_tenant *tenant)
{
	sched_tenant_init(tenant, host, &f->session[i]);
	sched_move(f->sched, &f->e[i], tenant);
}

/* The scheduler's counts of circuits are those of its endpoints. */
static inline void assert_circuits(const struct fixture *f)
{
	uint32_t counts[SCHED_CIRCUITS] = {0};
	for (size_t i = 0; i < f->count; i++)
		counts[f->e[i].circuit]++;
	for (int c = 0; c < SCHED_CIRCUITS; c++)
		assert_int_equal(sched_circuits(f->sched, (enum sched_circuit)c), counts[c]);
}

static inline void destroy(struct fixture *f)
{
	sched_free(f->sched);
	free(f);
}

/* Who is offered; -1: nobody. */
static inline int offered(struct fixture *f)
{
	const struct sched_endpoint *e = sched_next(f->sched, f->now_ms);
	return e == NULL ? -1 : (int)(e - f->e);
}

/* Starts whoever is offered, until nobody is; how many that were. */
static inline uint32_t start_all(struct fixture *f)
{
	uint32_t started = 0;
	for (int i = offered(f); i >= 0; i = offered(f)) {
		sched_start(f->sched, &f->e[i], f->now_ms);
		started++;
	}
	return started;
}

static inline void finish(struct fixture *f, size_t i, enum sched_result result)
{
	sched_finish(f->sched, &f->e[i], f->now_ms, result, FAST_US);
	assert_circuits(f);
}

/* Ends all that endpoint `i` has in flight alike. */
static inline void finish_all(struct fixture *f, size_t i, enum sched_result result)
{
	while (f->e[i].in_flight > 0)
		finish(f, i, result);
}

/* The order in which `n` attempts start, "0 1 2 0"; each ends well at once. */
static inline void assert_order(struct fixture *f, size_t n, const char *want)
{
	struct buf got = BUF_INIT(1000);
	for (size_t k = 0; k < n; k++) {
		int i = offered(f);
		buf_printf(&got, "%s%d", k == 0 ? "" : " ", i);
		if (i < 0)
			break;
		sched_start(f->sched, &f->e[i], f->now_ms);
		finish(f, (size_t)i, RESULT_OK);
	}
	assert_string_equal(buf_cstr(&got), want);
	buf_fini(&got);
}

/* Lets `n` attempts of endpoint 0 end one by one, and starts what may start in between. */
static inline void run(struct fixture *f, size_t n, enum sched_result result,
    int64_t latency_us)
{
	(void)start_all(f); /* as far as the window goes */
	for (; n > 0; n--) {
		sched_finish(f->sched, &f->e[0], f->now_ms, result, latency_us);
		(void)start_all(f);
	}
}

/* How many attempts endpoint 0 may have in flight now. Ends those that are; learns nothing. */
static inline uint32_t window(struct fixture *f)
{
	finish_all(f, 0, RESULT_NONE);
	return start_all(f);
}

#endif
