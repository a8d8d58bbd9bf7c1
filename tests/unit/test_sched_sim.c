/*
 * The scheduler among thousands of receivers, fast, slow and dead, in virtual time: each
 * costs itself alone, turns are fair, rates and hosts' limits are kept. sim.h is the world.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"
#include "support.h"

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
			sim_add(m, &HEALTHY, i, &NORMAL);
		for (size_t i = 0; i < ROWS[row].count; i++)
			sim_add(m, &ROWS[row].bad, GOOD + i, &NORMAL);
		sim_run(m, 180000); /* who is how has to show first */
		for (size_t i = 0; i < m->count; i++)
			m->receivers[i].worst_wait_ms = 0;
		sim_run(m, 120000);
		int64_t worst_ms = worst_wait(m, GOOD);
		print_message("row %zu: %lld ms, %llu starts\n", row, (long long)worst_ms,
		    (unsigned long long)m->starts);
		if (worst_ms > ROWS[row].most_ms)
			fail_msg("row %zu: a healthy receiver waited %lld ms", row,
			    (long long)worst_ms);
		sim_free(m);
	}
}

/* Before `r` starts: nobody has had two turns since it was first seen ready. */
static void check_turn(struct sim *m, struct receiver *r)
{
	const struct receiver *seen[64] = {NULL};
	for (size_t i = 0; i < m->count; i++) {
		struct receiver *other = &m->receivers[i];
		if (other->ready || !sim_may_start(m, &other->sched) ||
		    sim_ready_ms(&other->sched) > m->now_ms)
			continue;
		other->ready = true;
		other->ready_at = m->starts;
	}
	assert_true(r->ready);
	assert_true(m->starts - r->ready_at < COUNT(seen));
	for (size_t k = 0; k < m->starts - r->ready_at; k++) {
		seen[k] = m->log[r->ready_at + k];
		for (size_t i = 0; i < k; i++)
			assert_ptr_not_equal(seen[i], seen[k]);
	}
	r->ready = false;
	m->log[m->starts] = r;
}

/* Round robin: whoever is ready waits for one turn of each of the others at most. */
static void test_turns(void **state)
{
	enum { RECEIVERS = 40, STARTS_MAX = 1u << 20 };
	static const struct sched_limits ONE = {.max_in_flight = 1, .enabled = true};
	(void)state;
	for (uint32_t slots = 1; slots <= RECEIVERS; slots *= 3) {
		const struct sched_conf conf = {.slots = slots,
		    .per_host = slots,
		    .circuit_failures = 1};
		struct sim *m = sim_new(&conf, RECEIVERS, 1, 3000 + slots);
		m->log = mem_array(STARTS_MAX, sizeof(*m->log));
		m->on_start = check_turn;
		for (size_t i = 0; i < RECEIVERS;
		     i++) { /* some always ready, some now and then */
			const struct receiver r = {.interval_ms = i % 2 ? 0 : 700,
			    .latency_ms = 1 + (int64_t)sim_pick(m, 9)};
			sim_add(m, &r, 0, &ONE);
		}
		sim_run(m, 20000);
		assert_true(m->starts > 1000);
		sim_free(m);
	}
}

/* The fewest and the most starts of receivers `from` … `to` - 1. */
static void count_starts(const struct sim *m, size_t from, size_t to, uint64_t *least,
    uint64_t *most)
{
	*least = UINT64_MAX;
	*most = 0;
	for (size_t i = from; i < to; i++) {
		uint64_t starts = m->receivers[i].starts;
		*least = starts < *least ? starts : *least;
		*most = starts > *most ? starts : *most;
	}
}

/* Those that always have work, and are alike, get alike, be there slots for all or not. */
static void test_equal_shares(void **state)
{
	enum { RECEIVERS = 300 };
	static const struct receiver BUSY = {.latency_ms = 100};
	(void)state;
	for (uint32_t slots = 64; slots <= 1024; slots *= 4) {
		const struct sched_conf conf = {.slots = slots,
		    .per_host = slots,
		    .circuit_failures = 25};
		struct sim *m = sim_new(&conf, RECEIVERS, RECEIVERS, 4000 + slots);
		uint64_t least = 0;
		uint64_t most = 0;
		for (size_t i = 0; i < RECEIVERS; i++)
			sim_add(m, &BUSY, i, &NORMAL);
		sim_run(m, 120000);
		count_starts(m, 0, RECEIVERS, &least, &most);
		if (least == 0 || most * 10 > least * 15)
			fail_msg("%u slots: from %llu to %llu starts", slots,
			    (unsigned long long)least, (unsigned long long)most);
		sim_free(m);
	}
}

/* A rate is kept in the long run, and in no stretch passed by more than its burst. */
static void test_rates(void **state)
{
	static const double RATES[] = {0.2, 2, 30, 100};
	enum { EACH = 20, SECONDS = 60 };
	static const struct receiver BUSY = {.latency_ms = 5};
	(void)state;
	struct sim *m = sim_new(&CONF, COUNT(RATES) * EACH, COUNT(RATES) * EACH, 5000);
	for (size_t i = 0; i < COUNT(RATES) * EACH; i++) {
		struct sched_limits limits = NORMAL;
		limits.rate = RATES[i / EACH];
		sim_add(m, &BUSY, i, &limits);
	}
	for (int minute = 0; minute < 3; minute++) {
		sim_run(m, SECONDS * 1000);
		for (size_t i = 0; i < m->count; i++) {
			struct receiver *r = &m->receivers[i];
			double want = RATES[i / EACH] * SECONDS;
			double burst = RATES[i / EACH] > 1 ? RATES[i / EACH] : 1;
			if ((double)r->starts > want + burst ||
			    (double)r->starts < want * 0.9 - 1)
				fail_msg("%g a second: %llu starts in minute %d",
				    RATES[i / EACH], (unsigned long long)r->starts, minute);
			r->starts = 0;
		}
	}
	sim_free(m);
}

/*
 * A thousand webhooks of one slow host have what the host may have, in turn, and the others'
 * deliveries do not wait for them.
 */
static void test_one_slow_host(void **state)
{
	enum { GOOD = 1000, SLOW = 1000 };
	static const struct receiver SLUGGISH = {.latency_ms = 10000};
	(void)state;
	struct sim *m = sim_new(&CONF, GOOD + SLOW, GOOD + 1, 6000);
	for (size_t i = 0; i < GOOD; i++)
		sim_add(m, &HEALTHY, i, &NORMAL);
	for (size_t i = 0; i < SLOW; i++)
		sim_add(m, &SLUGGISH, GOOD, &NORMAL);
	sim_run(m, 600000);
	assert_in_range(worst_wait(m, GOOD), 0, 100);
	assert_int_equal(m->hosts[GOOD].in_flight, CONF.per_host);
	uint64_t least = 0;
	uint64_t most = 0;
	count_starts(m, GOOD, GOOD + SLOW, &least, &most);
	assert_true(least > 0);
	assert_true(most <= 2 * least + 1);
	sim_free(m);
}

/*
 * Sessions that hang with many webhooks each beside healthy ones: whatever the number of their
 * webhooks, they have their sessions' shares of the slots, and the healthy ones wait for
 * nobody.
 */
static void test_sessions_share_the_slots(void **state)
{
	enum { GOOD = 100, EACH = 1000 };
	static const struct {
		size_t sessions;
		struct receiver bad;
	} ROWS[] = {
	    {1, {.latency_ms = 28000}},
	    {2, {.latency_ms = 28000}},
	    {2, {.latency_ms = 28000, .fails_percent = 100}},
	    {2, {.latency_ms = 28000, .fails_percent = 50}},
	    {5, {.latency_ms = 5000}},
	};
	(void)state;
	for (size_t row = 0; row < COUNT(ROWS); row++) {
		size_t bad = ROWS[row].sessions * EACH;
		struct sim *m = sim_new(&CONF, GOOD + bad, GOOD + bad, 7000 + row);
		for (size_t i = 0; i < bad; i++) {
			struct receiver r = ROWS[row].bad;
			r.session = 1 + i % ROWS[row].sessions;
			sim_add(m, &r, GOOD + i, &NORMAL);
		}
		sim_run(m, 60000); /* they have all that they get */
		size_t first = m->count;
		for (size_t i = 0; i < GOOD; i++)
			sim_add(m, &HEALTHY, i, &NORMAL);
		sim_run(m, 120000);
		for (size_t i = first; i < m->count; i++)
			if (m->receivers[i].worst_wait_ms > 1000 || m->receivers[i].starts == 0)
				fail_msg("row %zu: a healthy receiver waited %lld ms", row,
				    (long long)m->receivers[i].worst_wait_ms);
		sim_free(m);
	}
}

/*
 * As many sessions as one likes whose receivers hang, or answer late, or fail late: those that
 * are quick do not wait for one of them to end.
 */
static void test_slow_sessions_leave_slots(void **state)
{
	enum { GOOD = 10, BAD = 2000 };
	static const struct receiver ROWS[] = {
	    {.latency_ms = 28000},
	    {.latency_ms = 28000, .interval_ms = 60000},
	    {.latency_ms = 28000, .fails_percent = 100},
	    {.latency_ms = 28000, .fails_percent = 50},
	    {.latency_ms = 4000},
	};
	(void)state;
	for (size_t row = 0; row < COUNT(ROWS); row++) {
		struct sim *m = sim_new(&CONF, GOOD + BAD, GOOD + BAD, 9000 + row);
		for (size_t i = 0; i < GOOD; i++)
			sim_add(m, &HEALTHY, i, &NORMAL);
		sim_run(m, 5000); /* they show what they are */
		for (size_t i = 0; i < BAD; i++)
			sim_add(m, &ROWS[row], GOOD + i, &NORMAL);
		sim_run(m, 120000);
		if (worst_wait(m, GOOD) > 1000)
			fail_msg("row %zu: a healthy receiver waited %lld ms", row,
			    (long long)worst_wait(m, GOOD));
		sim_free(m);
	}
}

/*
 * A host that many send to: the session with very many slow webhooks there has its share of it,
 * and the others', quick ones, go on.
 */
static void test_sessions_share_a_host(void **state)
{
	enum { GOOD = 20, SLOW = 1000 };
	static const struct receiver SLUGGISH = {.latency_ms = 4000};
	static const size_t SESSIONS[] = {1, 3, 30};
	(void)state;
	for (size_t row = 0; row < COUNT(SESSIONS); row++) {
		struct sim *m = sim_new(&CONF, GOOD + SLOW, 1, 8000 + row);
		for (size_t i = 0; i < SLOW; i++) {
			struct receiver r = SLUGGISH;
			r.session = 1 + i % SESSIONS[row];
			sim_add(m, &r, 0, &NORMAL);
		}
		sim_run(m, 60000);
		for (size_t i = 0; i < GOOD; i++)
			sim_add(m, &HEALTHY, 0, &NORMAL);
		sim_run(m, 120000);
		for (size_t i = SLOW; i < m->count; i++)
			if (m->receivers[i].worst_wait_ms > 1000 || m->receivers[i].starts == 0)
				fail_msg("row %zu: a healthy receiver waited %lld ms", row,
				    (long long)m->receivers[i].worst_wait_ms);
		sim_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_isolation),
	    cmocka_unit_test(test_turns),
	    cmocka_unit_test(test_equal_shares),
	    cmocka_unit_test(test_rates),
	    cmocka_unit_test(test_one_slow_host),
	    cmocka_unit_test(test_sessions_share_the_slots),
	    cmocka_unit_test(test_slow_sessions_leave_slots),
	    cmocka_unit_test(test_sessions_share_a_host),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
