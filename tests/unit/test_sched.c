/*
 * The scheduler rule by rule: turns, shares, hosts, circuits, wake times. Windows are in
 * test_sched_window.c; test_sched_sim.c drives thousands of endpoints through virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched_fixture.h"
#include "support.h"
static void test_turns(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 3, 1);
	assert_order(f, 7, "0 1 2 0 1 2 0");
	add(f, 1, f->now_ms); /* a new one takes its turn behind those in line */
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

/* Starts and ends `n` attempts; how many of them were of endpoint 0. */
static unsigned starts_of_first(struct fixture *f, int n, enum sched_result others)
{
	unsigned of_first = 0;
	for (int k = 0; k < n; k++) {
		int i = offered(f);
		assert_true(i >= 0);
		sched_start(f->sched, &f->e[i], f->now_ms);
		finish(f, (size_t)i, i == 0 ? RESULT_OK : others);
		of_first += i == 0 ? 1 : 0;
	}
	return of_first;
}

/* Those that drain a queue, or failed, however many, leave every other turn to the prompt. */
static void test_prompt_have_every_other_turn(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 2, .per_host = 100, .circuit_failures = 100};
	struct fixture *f = make(&conf, 12, 1);
	for (size_t i = 1; i < 12; i++)
		sched_set_due(f->sched, &f->e[i], 0);
	assert_int_equal(starts_of_first(f, 24, RESULT_OK), 12);
	assert_int_equal(starts_of_first(f, 24, RESULT_FAILED), 12);
	sched_set_due(f->sched, &f->e[0], SCHED_NEVER);
	assert_int_equal(starts_of_first(f, 20, RESULT_OK), 0); /* nobody waits for nobody */
	destroy(f);
}

/* Who drains a queue starts eight in a turn, as far as it may; each of them has its turn. */
static void test_queues_take_long_turns(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 0, 0);
	static const uint32_t MAY[] = {16, 3, 16};
	for (size_t i = 0; i < COUNT(MAY); i++) {
		add(f, MAY[i], 0);
		f->e[i].window = 16;
	}
	assert_order(f, 17, "0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 2");
	struct buf got = BUF_INIT(1000);
	for (int i = offered(f); i >= 0; i = offered(f)) {
		sched_start(f->sched, &f->e[i], f->now_ms);
		buf_printf(&got, "%d", i);
	}
	assert_string_equal(buf_cstr(&got), "22222220000000011122222222000000002");
	buf_fini(&got);
	destroy(f);
}

/* A delivery that has been due for a second makes its endpoint one that drains a queue. */
static void test_who_is_prompt(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 0, 0);
	static const int64_t DUE_MS[] = {-1001, -1000, 0};
	for (size_t i = 0; i < COUNT(DUE_MS); i++)
		add(f, 1, f->now_ms + DUE_MS[i]);
	sched_hold_others(f->sched, true);
	assert_int_equal(start_all(f), 2);
	assert_int_equal(f->e[0].in_flight, 0);
	assert_int_equal(offered(f), -1);
	sched_hold_others(f->sched, false);
	assert_int_equal(start_all(f), 1);
	destroy(f);
}

static void test_host(void **state)
{
	(void)state;
	const struct sched_conf conf = {.slots = 100, .per_host = 2, .circuit_failures = 5};
	struct fixture *f = make(&conf, 4, 1);
	struct sched_host other;
	struct sched_tenant there[ENDPOINTS];
	sched_host_init(&other);
	move(f, 3, &other, &there[3]);
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

	move(f, 1, &other, &there[1]); /* takes its attempt along */
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
		struct sched_tenant there[ENDPOINTS];
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
			move(f, 1, &other, &there[1]);
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
	const struct sched_conf conf = {.slots = 100, .per_host = 4, .circuit_failures = 5};
	struct fixture *f = make(&conf, 1, 3);
	struct sched_host other;
	struct sched_tenant there[ENDPOINTS];
	sched_host_init(&other);
	f->e[0].window = 3;
	assert_int_equal(start_all(f), 3);
	for (int i = 0; i < 4; i++)
		add(f, 1, 0);
	assert_int_equal(start_all(f), 1); /* one alone never has all of a host */
	move(f, 0, &other, &there[0]);
	assert_int_equal(start_all(f), 3);
	assert_int_equal(f->host.in_flight, 4);
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
			f->now_ms += 5000; /* longer than any pause after an overload */
			assert_int_equal(f->e[0].failures, n);
		}
		assert_int_equal(start_all(f), 1);
		finish(f, 0, round == 0 ? RESULT_OK : RESULT_FAILED);
		f->now_ms += 5000;
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

/* The operator asks for the probe: it goes beside what hangs, which decides nothing. */
static void test_circuit_is_tried(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 3, RESULT_OK, FAST_US);
	uint32_t hang = f->e[0].in_flight - 1;
	assert_true(hang > 0);
	sched_resume_failing(f->sched, &f->e[0], 777);
	finish(f, 0, RESULT_FAILED);
	assert_int_equal(f->e[0].circuit, CIRCUIT_OPEN);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(offered(f), -1);
		sched_try(f->sched, &f->e[0], f->now_ms);
		assert_circuits(f);
		assert_int_equal(start_all(f), 1); /* and no more than that */
		assert_int_equal(f->e[0].circuit, CIRCUIT_HALF_OPEN);
		finish(f, 0, RESULT_STALE);
		assert_int_equal(f->e[0].circuit, CIRCUIT_HALF_OPEN);
		assert_int_equal(offered(f), -1);
		finish(f, 0, round == 0 ? RESULT_FAILED : RESULT_OK);
		assert_int_equal(f->e[0].in_flight, hang - 1 - (uint32_t)round);
	}
	assert_int_equal(f->e[0].circuit, CIRCUIT_CLOSED);
	assert_int_equal(f->e[0].failures, 0);
	destroy(f);
}

/* A try ends a pause too, and leaves a circuit that is closed as it is. */
static void test_try_of_one_that_is_paused(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	assert_int_equal(start_all(f), 1);
	finish(f, 0, RESULT_OVERLOADED);
	assert_int_equal(offered(f), -1);
	sched_try(f->sched, &f->e[0], f->now_ms);
	assert_int_equal(f->e[0].circuit, CIRCUIT_CLOSED);
	assert_int_equal(f->e[0].failures, 1);
	assert_int_equal(start_all(f), 1);
	finish(f, 0, RESULT_OK);
	destroy(f);
}

/* Attempts that were under way when it opened end first; they open nothing anew. */
static void test_circuit_with_others_in_flight(void **state)
{
	(void)state;
	struct fixture *f = make(&ROOMY, 1, 16);
	run(f, 4, RESULT_OK, FAST_US);
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
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_troubled),
	    cmocka_unit_test(test_troubled_take_turns),
	    cmocka_unit_test(test_prompt_have_every_other_turn),
	    cmocka_unit_test(test_queues_take_long_turns),
	    cmocka_unit_test(test_who_is_prompt),
	    cmocka_unit_test(test_host),
	    cmocka_unit_test(test_host_slot_is_not_lost),
	    cmocka_unit_test(test_host_slots_move),
	    cmocka_unit_test(test_rate_burst),
	    cmocka_unit_test(test_circuit),
	    cmocka_unit_test(test_circuit_counts),
	    cmocka_unit_test(test_circuit_is_tried),
	    cmocka_unit_test(test_try_of_one_that_is_paused),
	    cmocka_unit_test(test_circuit_with_others_in_flight),
	    cmocka_unit_test(test_misuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
