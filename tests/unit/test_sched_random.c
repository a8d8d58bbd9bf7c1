/*
 * The scheduler, to which anything happens in any order: what it offers, what it holds back
 * and when it wants to be asked again are compared with a naive reading of sched.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sim.h"
#include "support.h"

/*
 * Nothing is offered: nobody with nothing in flight may be held back by mistake (others may
 * wait for their share a little longer), and the time to wake is not too late for any.
 */
static void check_idle(struct sim *m, int step)
{
	int64_t first_ms = SCHED_NEVER;
	for (size_t i = 0; i < m->count; i++) {
		const struct sched_endpoint *e = &m->receivers[i].sched;
		/* a session that has something in flight may be looked at when that ends */
		if (e->tenant->session->in_flight == 0 && sim_may_start(m, e) &&
		    sim_ready_ms(e) < first_ms)
			first_ms = sim_ready_ms(e);
	}
	bool passed_by = first_ms <= m->now_ms; /* for another: looked at again soon */
	if (passed_by)
		first_ms = m->now_ms + 100;
	int64_t wake_ms = sched_wake(m->sched, m->now_ms);
	if (wake_ms <= m->now_ms || wake_ms > first_ms)
		fail_msg("step %d: wakes at %lld, not by %lld", step, (long long)wake_ms,
		    (long long)first_ms);
	if (!passed_by)
		return;
	m->now_ms = first_ms;
	if (sched_next(m->sched, first_ms) == NULL)
		fail_msg("step %d: somebody could have started", step);
}

static struct sched_limits random_limits(struct sim *m)
{
	static const double RATES[] = {0, 0, 0, 0.5, 3, 50};
	return (struct sched_limits){.max_in_flight = 1 + (uint32_t)sim_pick(m, 12),
	    .rate = RATES[sim_pick(m, COUNT(RATES))],
	    .enabled = sim_pick(m, 8) != 0};
}

/* Starts who is offered, or says that it has nothing due after all, a few times. */
static void pump(struct sim *m, int step)
{
	for (uint64_t n = 1 + sim_pick(m, 2 * m->conf.slots); n > 0; n--) {
		struct sched_endpoint *e = sched_next(m->sched, m->now_ms);
		if (e == NULL) {
			check_idle(m, step);
			return;
		}
		if (!sim_may_start(m, e) || sim_ready_ms(e) > m->now_ms)
			fail_msg("step %d: offers one that may not start", step);
		if (sim_pick(m, 8) == 0) {
			sched_set_due(m->sched, e, m->now_ms + 1 + (int64_t)sim_pick(m, 3000));
			continue;
		}
		sched_start(m->sched, e, m->now_ms);
		if (sim_pick(m, 3) == 0)
			sched_set_due(m->sched, e,
			    sim_pick(m, 2) ? SCHED_NEVER
					   : m->now_ms + (int64_t)sim_pick(m, 500));
	}
}

static void change_one(struct sim *m)
{
	struct receiver *r = &m->receivers[sim_pick(m, m->count)];
	struct sched_endpoint *e = &r->sched;
	struct sched_limits limits = random_limits(m);
	struct sched_tenant *tenant = sim_tenant(m, r, sim_pick(m, m->host_count));
	switch (sim_pick(m, 40)) {
	case 0:
		sched_limit(m->sched, e, &limits);
		break;
	case 1:
		if (tenant->host->in_flight + e->in_flight <=
		    m->conf.per_host) /* else over its limit */
			sched_move(m->sched, e, tenant);
		break;
	case 2:
		sched_reset(m->sched, e);
		break;
	case 3:
		if (e->in_flight == 0) { /* forgotten, and made known again */
			sched_remove(m->sched, e);
			memset(e, 0, sizeof(*e));
			sched_add(m->sched, e, tenant, &limits, m->now_ms);
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
		sched_set_due(m->sched, e, m->now_ms - 100 + (int64_t)sim_pick(m, 400));
		break;
	}
}

static void end_one(struct sim *m)
{
	static const enum sched_result RESULTS[] = {RESULT_OK, RESULT_OK, RESULT_OK, RESULT_OK,
	    RESULT_FAILED, RESULT_FAILED, RESULT_OVERLOADED, RESULT_NONE};
	size_t from = sim_pick(m, m->count);
	for (size_t i = 0; i < m->count; i++) {
		struct sched_endpoint *e = &m->receivers[(from + i) % m->count].sched;
		if (e->in_flight == 0)
			continue;
		sched_finish(m->sched, e, m->now_ms, RESULTS[sim_pick(m, COUNT(RESULTS))],
		    (int64_t)sim_pick(m, 200000));
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
	enum { RECEIVERS = 60, SESSIONS = 25, HOSTS = 12, STEPS = 30000 };
	(void)state;
	for (size_t row = 0; row < COUNT(TIGHT); row++) {
		struct sim *m = sim_new(&TIGHT[row], RECEIVERS, HOSTS, 1000 + row);
		for (size_t i = 0; i < RECEIVERS; i++) {
			struct sched_limits limits = random_limits(m);
			const struct receiver none = {.session = 1 + i % SESSIONS};
			sim_add(m, &none, i, &limits);
		}
		for (int step = 0; step < STEPS; step++) {
			for (uint64_t n = sim_pick(m, 4); n > 0; n--)
				change_one(m);
			for (uint64_t n = sim_pick(m, 4); n > 0; n--)
				end_one(m);
			if (sim_pick(m, 3) == 0)
				m->now_ms += (int64_t)sim_pick(m, 100);
			pump(m, step);
		}
		for (size_t i = 0; i < RECEIVERS; i++)
			assert_true(m->receivers[i].sched.tenant->host->in_flight <=
			    TIGHT[row].per_host);
		sim_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_anything_in_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
