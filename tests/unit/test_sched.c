/*
 * The scheduler rule by rule: turns, windows, shares, hosts, circuits, wake times.
 * test_sched_sim.c drives thousands of endpoints through virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sched/sched.h"
#include "support.h"

#define ENDPOINTS 16
#define FAST_US 10000

/* A scheduler with endpoints 0, 1, … at one host, all of them due since time 0. */
struct fixture {
	struct sched *sched;
	struct sched_host host;
	struct sched_endpoint e[ENDPOINTS];
	size_t count;
	int64_t now_ms;
};

static const struct sched_conf ROOMY = {.slots = 1000,
    .per_host = 1000,
    .circuit_failures = 5,
    .circuit_open_ms = 60000};

static void add(struct fixture *f, uint32_t max_in_flight, int64_t due_ms)
{
	const struct sched_limits limits = {.max_in_flight = max_in_flight, .enabled = true};
	struct sched_endpoint *e = &f->e[f->count++];
	sched_add(f->sched, e, &f->host, &limits, f->now_ms);
	sched_set_due(f->sched, e, due_ms);
}

static struct fixture *make(const struct sched_conf *conf, size_t count, uint32_t max_in_flight)
{
	struct fixture *f = mem_new(sizeof(*f));
	f->sched = sched_new(conf);
	f->now_ms = 1000000;
	sched_host_init(&f->host);
	for (size_t i = 0; i < count; i++)
		add(f, max_in_flight, 0);
	return f;
}

static void destroy(struct fixture *f)
{
	sched_free(f->sched);
	free(f);
}

/* Who is offered; -1: nobody. */
static int offered(struct fixture *f)
{
	const struct sched_endpoint *e = sched_next(f->sched, f->now_ms);
	return e == NULL ? -1 : (int)(e - f->e);
}

/* Starts whoever is offered, until nobody is; how many that were. */
static uint32_t start_all(struct fixture *f)
{
	uint32_t started = 0;
	for (int i = offered(f); i >= 0; i = offered(f)) {
		sched_start(f->sched, &f->e[i], f->now_ms);
		started++;
	}
	return started;
}

static void finish(struct fixture *f, size_t i, enum sched_result result)
{
	sched_finish(f->sched, &f->e[i], f->now_ms, result, FAST_US);
}

/* Ends all that endpoint `i` has in flight alike. */
static void finish_all(struct fixture *f, size_t i, enum sched_result result)
{
	while (f->e[i].in_flight > 0)
		finish(f, i, result);
}

/* The order in which `n` attempts start, "0 1 2 0"; each ends well at once. */
static void assert_order(struct fixture *f, size_t n, const char *want)
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

static void test_turns(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 3, 1);
	assert_order(f, 7, "0 1 2 0 1 2 0");
	add(f, 1, 0); /* a new one takes its turn behind those in line */
	assert_order(f, 5, "1 2 0 3 1");
	sched_set_due(f->sched, &f->e[0], SCHED_NEVER);
	assert_order(f, 4, "2 3 1 2");
	for (size_t i = 0; i < f->count; i++)
		sched_set_due(f->sched, &f->e[i], SCHED_NEVER);
	assert_int_equal(offered(f), -1);
	destroy(f);
}

/* Who is offered and not started is offered again; an earlier due time does not move it. */
static void test_offer_stands(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 0, 1);
	add(f, 1, 20);
	add(f, 1, 10);
	assert_int_equal(offered(f), 1);
	assert_int_equal(offered(f), 1);
	sched_set_due(f->sched, &f->e[0], 5);
	assert_int_equal(offered(f), 1);
	sched_set_due(f->sched, &f->e[1], f->now_ms + 1); /* it had none after all */
	assert_int_equal(offered(f), 0);
	destroy(f);
}

static void test_due_and_wake(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 0, 1);
	assert_true(sched_wake(f->sched, f->now_ms) == SCHED_NEVER);
	add(f, 1, f->now_ms + 50);
	add(f, 1, f->now_ms + 30);
	add(f, 1, SCHED_NEVER);
	int64_t start_ms = f->now_ms;
	assert_int_equal(offered(f), -1);
	assert_true(sched_wake(f->sched, f->now_ms) == start_ms + 30);
	f->now_ms = start_ms + 29;
	assert_int_equal(offered(f), -1);
	f->now_ms = start_ms + 30;
	assert_int_equal(offered(f), 1);
	assert_true(sched_wake(f->sched, f->now_ms) == f->now_ms);
	sched_start(f->sched, &f->e[1], f->now_ms);
	assert_int_equal(offered(f), -1);
	assert_true(sched_wake(f->sched, f->now_ms) == start_ms + 50);
	sched_set_due(f->sched, &f->e[0], start_ms + 40);
	assert_true(sched_wake(f->sched, f->now_ms) == start_ms + 40);
	sched_set_due(f->sched, &f->e[0], SCHED_NEVER);
	assert_true(sched_wake(f->sched, f->now_ms) == SCHED_NEVER);
	finish(f, 1, RESULT_OK);
	assert_true(sched_wake(f->sched, f->now_ms) == f->now_ms);
	destroy(f);
}

static void test_slots(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 4, .per_host = 100, .circuit_failures = 5};
	struct fixture *f = make(&conf, 6, 1);
	assert_int_equal(start_all(f), 4);
	assert_int_equal(sched_in_flight(f->sched), 4);
	assert_true(sched_wake(f->sched, f->now_ms) == SCHED_NEVER);
	finish(f, 2, RESULT_OK);
	assert_int_equal(offered(f), 4);
	assert_int_equal(start_all(f), 1);
	destroy(f);
}

static void test_disabled(void **state)
{
	(void)state;
	const struct sched_limits off = {.max_in_flight = 1};
	const struct sched_limits on = {.max_in_flight = 1, .enabled = true};
	struct fixture *f = make(&ROOMY, 2, 1);
	assert_int_equal(offered(f), 0);
	sched_limit(f->sched, &f->e[0], &off);
	assert_order(f, 3, "1 1 1");
	sched_set_due(f->sched, &f->e[0], 5);
	sched_limit(f->sched, &f->e[1], &off);
	assert_int_equal(offered(f), -1);
	assert_true(sched_wake(f->sched, f->now_ms) == SCHED_NEVER);
	sched_limit(f->sched, &f->e[0], &on);
	assert_int_equal(start_all(f), 1);
	sched_limit(f->sched, &f->e[0], &off); /* with an attempt in flight */
	finish(f, 0, RESULT_OK);
	assert_int_equal(offered(f), -1);
	destroy(f);
}

/* Lets `n` attempts of endpoint 0 end one by one, and starts what may start in between. */
static void run(struct fixture *f, size_t n, enum sched_result result, int64_t latency_us)
{
	(void)start_all(f); /* as far as the window goes */
	for (; n > 0; n--) {
		sched_finish(f->sched, &f->e[0], f->now_ms, result, latency_us);
		(void)start_all(f);
	}
}

/* How many attempts endpoint 0 may have in flight now. Ends those that are; learns nothing. */
static uint32_t window(struct fixture *f)
{
	finish_all(f, 0, RESULT_NONE);
	return start_all(f);
}

/* From one, by one with each success; at most max_in_flight. */
static void test_window_grows(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 10);
	for (uint32_t n = 1; n <= 15; n++) {
		uint32_t want = n < 10 ? n : 10;
		assert_int_equal(window(f), want);
		run(f, 1, RESULT_OK, FAST_US);
		assert_int_equal(f->e[0].in_flight, want < 10 ? want + 1 : 10);
	}
	destroy(f);
}

/* A window that is not used does not grow. */
static void test_window_unused(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 10);
	run(f, 3, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 4);
	for (int i = 0; i < 20; i++) {
		finish_all(f, 0, RESULT_NONE);
		int next = offered(f);
		assert_int_equal(next, 0);
		sched_start(f->sched, &f->e[0], f->now_ms);
		finish(f, 0, RESULT_OK);
	}
	assert_int_equal(window(f), 4);
	destroy(f);
}

/* A failure halves it, once a window; above where that was it grows by one a window. */
static void test_window_is_cut(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 30, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 16);
	finish(f, 0, RESULT_FAILED);
	assert_int_equal(f->e[0].window, 8);
	finish(f, 0, RESULT_FAILED); /* of the same window: it tells nothing new */
	assert_int_equal(f->e[0].window, 8);
	assert_int_equal(window(f), 8);
	run(f, 7, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 8);
	run(f, 3, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 9);
	finish(f, 0, RESULT_FAILED); /* of a later one */
	assert_int_equal(window(f), 4);
	destroy(f);
}

/* An answer that asks to slow down counts at once, each; one attempt always may go. */
static void test_window_and_overload(void **state)
{
	(void)state;
	static const uint32_t WANT[] = {8, 4, 2, 1, 1};
	const struct sched_conf conf = {.slots = 1000,
	    .per_host = 1000,
	    .circuit_failures = 1000,
	    .circuit_open_ms = 1};
	struct fixture *f = make(&conf, 1, 16);
	run(f, 30, RESULT_OK, FAST_US);
	for (size_t i = 0; i < COUNT(WANT); i++) {
		finish(f, 0, RESULT_OVERLOADED);
		assert_int_equal(window(f), WANT[i]);
	}
	destroy(f);
}

/* Latency that rises narrows it; latency that falls again lets it grow again. */
static void test_window_and_latency(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 100, RESULT_OK, FAST_US);
	assert_int_equal(window(f), 16);
	run(f, 100, RESULT_OK, 50 * FAST_US);
	uint32_t narrowed = window(f);
	assert_in_range(narrowed, 1, 12);
	run(f, 500, RESULT_OK, FAST_US);
	assert_in_range(window(f), narrowed + 1, 16);
	destroy(f);
}

/* Who has a quarter of what is free waits; all together leave room for one who has none. */
static void test_share(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 100, .per_host = 100, .circuit_failures = 5};
	struct fixture *f = make(&conf, 5, 90);
	for (size_t i = 0; i < f->count; i++)
		f->e[i].window = 90; /* as if all had gone well for long */
	for (int i = offered(f); i >= 0; i = offered(f)) {
		uint32_t free_slots = conf.slots - sched_in_flight(f->sched);
		if (f->e[i].in_flight > 0)
			assert_true(f->e[i].in_flight * 4 < free_slots);
		sched_start(f->sched, &f->e[i], f->now_ms);
	}
	uint32_t share = f->e[0].in_flight;
	for (size_t i = 1; i < f->count; i++)
		assert_in_range(f->e[i].in_flight, share - 1, share);
	assert_in_range(sched_in_flight(f->sched), 30, 60);
	add(f, 1, 0);
	assert_int_equal(offered(f), 5); /* one with nothing in flight always may */
	assert_int_equal(start_all(f), 1);
	finish_all(f, 0, RESULT_OK); /* what is free again goes to those that waited */
	assert_true(start_all(f) > 5);
	assert_true(f->e[1].in_flight > share);
	destroy(f);
}

/* Those that failed last have half of the slots together, and turns of their own. */
static void test_troubled(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 8, .per_host = 100, .circuit_failures = 100};
	struct fixture *f = make(&conf, 8, 1);
	assert_int_equal(start_all(f), 8);
	for (size_t i = 0; i < 8; i++)
		finish(f, i, RESULT_FAILED);
	assert_int_equal(start_all(f), 4);
	add(f, 1, 0);
	add(f, 1, 0);
	assert_int_equal(start_all(f), 2);
	for (size_t i = 0; i < 10; i++)
		finish_all(f, i, RESULT_OK); /* four are sound again */
	assert_int_equal(start_all(f), 8);
	destroy(f);
}

/* The sound and the troubled take turns too: neither line holds up the other. */
static void test_troubled_take_turns(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 1, .per_host = 100, .circuit_failures = 100};
	struct fixture *f = make(&conf, 6, 1);
	assert_int_equal(start_all(f), 1);
	finish(f, 0, RESULT_FAILED);
	unsigned failing = 0;
	for (int k = 0; k < 20; k++) {
		int i = offered(f);
		sched_start(f->sched, &f->e[i], f->now_ms);
		finish(f, (size_t)i, i == 0 ? RESULT_FAILED : RESULT_OK);
		failing += i == 0 ? 1 : 0;
	}
	assert_int_equal(failing, 10);
	destroy(f);
}

static void test_host(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 100, .per_host = 2, .circuit_failures = 5};
	struct fixture *f = make(&conf, 4, 1);
	struct sched_host other;
	sched_host_init(&other);
	sched_set_host(f->sched, &f->e[3], &other);
	assert_int_equal(start_all(f), 3); /* 0, 1 and 3 */
	assert_int_equal(f->e[2].in_flight, 0);
	assert_int_equal(f->host.in_flight, 2);
	assert_int_equal(other.in_flight, 1);
	finish(f, 3, RESULT_OK);
	assert_int_equal(offered(f), 3); /* the other host's slot is no use to 2 */
	finish(f, 0, RESULT_OK);
	assert_int_equal(start_all(f), 2);
	assert_int_equal(f->e[2].in_flight, 1); /* before 0, who had its turn */
	assert_int_equal(f->e[0].in_flight, 0);

	sched_set_host(f->sched, &f->e[1], &other); /* takes its attempt along */
	assert_int_equal(f->host.in_flight, 1);
	assert_int_equal(other.in_flight, 2);
	assert_int_equal(start_all(f), 1);
	assert_int_equal(f->e[0].in_flight, 1);
	destroy(f);
}

/* A slot of a host that its next endpoint does not take after all goes to the one behind it. */
static void test_host_slot_is_not_lost(void **state)
{
	(void)state;
	const struct sched_limits off = {.max_in_flight = 1};
	const struct sched_conf conf = {.slots = 100, .per_host = 1, .circuit_failures = 5};
	for (int how = 0; how < 5; how++) {
		struct fixture *f = make(&conf, 3, 1);
		struct sched_host other;
		sched_host_init(&other);
		assert_int_equal(start_all(f), 1);
		sched_set_due(f->sched, &f->e[0], SCHED_NEVER);
		finish(f, 0, RESULT_OK);
		assert_int_equal(offered(f), 1);
		if (how == 0)
			sched_set_due(f->sched, &f->e[1], SCHED_NEVER);
		else if (how == 1)
			sched_set_due(f->sched, &f->e[1], f->now_ms + 1000);
		else if (how == 2)
			sched_limit(f->sched, &f->e[1], &off);
		else if (how == 3)
			sched_remove(f->sched, &f->e[1]);
		else
			sched_set_host(f->sched, &f->e[1], &other);
		if (how == 4)
			assert_int_equal(start_all(f), 2);
		else if (offered(f) != 2)
			fail_msg("way %d: %d is offered", how, offered(f));
		destroy(f);
	}
}

/* All the slots that an endpoint takes along to another host are free for those behind it. */
static void test_host_slots_move(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 100, .per_host = 3, .circuit_failures = 5};
	struct fixture *f = make(&conf, 1, 3);
	struct sched_host other;
	sched_host_init(&other);
	f->e[0].window = 3;
	assert_int_equal(start_all(f), 3);
	for (int i = 0; i < 4; i++)
		add(f, 1, 0);
	assert_int_equal(start_all(f), 0);
	sched_set_host(f->sched, &f->e[0], &other);
	assert_int_equal(start_all(f), 3);
	assert_int_equal(f->host.in_flight, 3);
	destroy(f);
}

/* What is saved up while nothing is due is a second's worth, or one attempt. */
static void test_rate_burst(void **state)
{
	(void)state;
	static const struct {
		double rate;
		uint32_t starts;
	} ROWS[] = {{5, 5}, {1, 1}, {0.1, 1}, {0, 16}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct sched_limits limits = {16, ROWS[i].rate, true};
		struct fixture *f = make(&ROOMY, 1, 16);
		f->e[0].window = 16;
		f->now_ms += 1000000;
		sched_limit(f->sched, &f->e[0], &limits);
		assert_int_equal(start_all(f), ROWS[i].starts);
		destroy(f);
	}
}

static void test_circuit(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 8);
	sched_resume_failing(f->sched, &f->e[0], 777);
	for (int round = 0; round < 3; round++) { /* opens, and after each failed probe again */
		assert_int_equal(start_all(f), 1);
		finish(f, 0, RESULT_FAILED);
		assert_int_equal(f->e[0].circuit, CIRCUIT_OPEN);
		assert_true(f->e[0].opened_ms == f->now_ms);
		assert_true(f->e[0].failing_since_ms == 777);
		assert_int_equal(offered(f), -1);
		assert_true(
		    sched_wake(f->sched, f->now_ms) == f->now_ms + ROOMY.circuit_open_ms);
		f->now_ms += ROOMY.circuit_open_ms - 1;
		assert_int_equal(offered(f), -1);
		f->now_ms += 1;
	}
	assert_int_equal(start_all(f), 1); /* a probe that says nothing: another may go */
	assert_int_equal(f->e[0].circuit, CIRCUIT_HALF_OPEN);
	finish(f, 0, RESULT_NONE);
	assert_int_equal(start_all(f), 1);
	finish(f, 0, RESULT_OK);
	assert_int_equal(f->e[0].circuit, CIRCUIT_CLOSED);
	assert_true(f->e[0].failing_since_ms == 0);
	assert_int_equal(f->e[0].failures, 0);
	assert_int_equal(window(f), 1); /* it may not bear more yet */
	destroy(f);
}

static void test_circuit_counts(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 1);
	for (int round = 0; round < 2;
	     round++) { /* a success between them starts the count anew */
		for (uint32_t n = 1; n < ROOMY.circuit_failures; n++) {
			assert_int_equal(start_all(f), 1);
			finish(f, 0, n % 2 ? RESULT_FAILED : RESULT_OVERLOADED);
			assert_int_equal(f->e[0].failures, n);
		}
		assert_int_equal(start_all(f), 1);
		finish(f, 0, round == 0 ? RESULT_OK : RESULT_FAILED);
	}
	assert_int_equal(f->e[0].circuit, CIRCUIT_OPEN);
	assert_int_equal(offered(f), -1);
	sched_reset(f->sched, &f->e[0]); /* the operator says that it is mended */
	assert_int_equal(f->e[0].failures, 0);
	assert_int_equal(start_all(f), 1);
	finish(f, 0, RESULT_FAILED);
	assert_int_equal(f->e[0].circuit, CIRCUIT_CLOSED);
	destroy(f);
}

/* Attempts that were under way when it opened end first; they open nothing anew. */
static void test_circuit_with_others_in_flight(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 10, RESULT_OK, FAST_US);
	assert_int_equal(f->e[0].in_flight, 11);
	for (int i = 0; i < 5; i++)
		finish(f, 0, RESULT_FAILED);
	int64_t probe_ms = f->now_ms + ROOMY.circuit_open_ms;
	assert_int_equal(f->e[0].circuit, CIRCUIT_OPEN);
	f->now_ms += 5000;
	while (f->e[0].in_flight > 1)
		finish(f, 0, RESULT_FAILED);
	f->now_ms = probe_ms;
	assert_int_equal(offered(f), -1); /* the probe goes alone */
	finish(f, 0, RESULT_FAILED);
	assert_int_equal(start_all(f), 1);
	destroy(f);
}

static void start_out_of_turn(void *arg)
{
	struct fixture *f = arg;
	sched_start(f->sched, &f->e[1], f->now_ms);
}

static void finish_twice(void *arg)
{
	finish(arg, 0, RESULT_OK);
	finish(arg, 0, RESULT_OK);
}

static void remove_in_flight(void *arg)
{
	struct fixture *f = arg;
	sched_remove(f->sched, &f->e[0]);
}

static void test_misuse(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 1);
	add(f, 1, SCHED_NEVER);
	assert_int_equal(start_all(f), 1);
	assert_true(panics(start_out_of_turn, f));
	assert_true(panics(finish_twice, f));
	assert_true(panics(remove_in_flight, f));
	finish(f, 0, RESULT_OK);
	sched_remove(f->sched, &f->e[0]);
	sched_remove(f->sched, &f->e[1]);
	assert_int_equal(offered(f), -1);
	destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_turns),
	    cmocka_unit_test(test_offer_stands),
	    cmocka_unit_test(test_due_and_wake),
	    cmocka_unit_test(test_slots),
	    cmocka_unit_test(test_disabled),
	    cmocka_unit_test(test_window_grows),
	    cmocka_unit_test(test_window_unused),
	    cmocka_unit_test(test_window_is_cut),
	    cmocka_unit_test(test_window_and_overload),
	    cmocka_unit_test(test_window_and_latency),
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_troubled),
	    cmocka_unit_test(test_troubled_take_turns),
	    cmocka_unit_test(test_host),
	    cmocka_unit_test(test_host_slot_is_not_lost),
	    cmocka_unit_test(test_host_slots_move),
	    cmocka_unit_test(test_rate_burst),
	    cmocka_unit_test(test_circuit),
	    cmocka_unit_test(test_circuit_counts),
	    cmocka_unit_test(test_circuit_with_others_in_flight),
	    cmocka_unit_test(test_misuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
