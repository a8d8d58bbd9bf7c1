/*
 * What happens to a delivery, in two tables: what may start, and what becomes of it for each
 * answer and for each thing that may happen meanwhile, on disk and in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine_acts.h"

/* What becomes of a delivery. */

static const struct fate {
	const char *title;
	int answers[5]; /* one after the other, at the time when each attempt is due */
	const char *want;
	bool fifo;
	int64_t expires_ms;
	int64_t late_ms; /* how late it is when it is looked at first */
	void (*meanwhile)(struct engine *e, struct uuid id); /* during the first attempt */
} FATES[] = {
    {"taken", {200}, .want = "delivered, 1 made, 1 kept; delivered 1"},
    {"taken, the last of 2xx", {299}, .want = "delivered, 1 made, 1 kept; delivered 1"},
    {"redirected", {302}, .want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1"},
    {"refused", {500}, .want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1"},
    {"no answer", {NO_ANSWER}, .want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1"},
    {"refused at first", {500, 404, 200},
	.want = "delivered, 3 made, 3 kept; delivered 1, retried 2"},
    {"refused to the end", {500, NO_ANSWER, 404, 500},
	.want = "dead, 4 made, 4 kept; retried 3, dead 1; 1 letter"},
    {"not wanted any more", {410},
	.want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1; webhook disabled"},
    {"too old for another attempt", {500, 500},
	.want = "expired, 2 made, 2 kept; retried 1, expired 1", .expires_ms = 2},
    {"too old before the first", {0}, .want = "expired, 0 made, 0 kept; expired 1",
	.expires_ms = 5, .late_ms = 6},
    {"just young enough", {200}, .want = "delivered, 1 made, 1 kept; delivered 1",
	.expires_ms = 5, .late_ms = 5},

    {"fifo, taken", {200}, .want = "delivered, 1 made, 1 kept; delivered 1", .fifo = true},
    {"fifo, refused", {500, 500},
	.want = "waiting in its place, 2 made, 2 kept, due in 2 ms; retried 2", .fifo = true},
    {"fifo, refused to the end", {500, 500, 500, 500},
	.want = "dead, 4 made, 4 kept; retried 3, dead 1; 1 letter", .fifo = true},

    {"cancelled, and taken", {200}, .want = "cancelled, 0 made, 0 kept", .meanwhile = cancel},
    {"cancelled, and refused", {500}, .want = "cancelled, 0 made, 0 kept", .meanwhile = cancel},
    {"replayed, and taken", {200}, .want = "waiting, 0 made, 0 kept, due in 0 ms; under way",
	.meanwhile = replay},
    {"replayed, and taken twice", {200, 200}, .want = "delivered, 1 made, 1 kept; delivered 1",
	.meanwhile = replay},
    {"fifo, replayed, and taken twice", {200, 200},
	.want = "delivered, 1 made, 1 kept; delivered 1", .meanwhile = replay, .fifo = true},
    {"hurried, and taken", {200}, .want = "delivered, 1 made, 1 kept; delivered 1",
	.meanwhile = resend},
    {"hurried, and refused", {500}, .want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1",
	.meanwhile = resend},
    {"disabled, and taken", {200},
	.want = "delivered, 1 made, 1 kept; delivered 1; webhook disabled",
	.meanwhile = disable},
    {"disabled, and refused", {500},
	.want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1; webhook disabled",
	.meanwhile = disable},
    {"deleted, and taken", {200},
	.want = "delivered, 1 made, 1 kept; delivered 1; webhook gone", .meanwhile = retire},
    {"deleted, and refused", {500},
	.want = "cancelled, 1 made, 1 kept; retried 1, cancelled 1; webhook gone",
	.meanwhile = retire},
    {"deleted, and not wanted any more", {410},
	.want = "cancelled, 1 made, 1 kept; retried 1, cancelled 1; webhook gone",
	.meanwhile = retire},
    {"purged, and taken", {200}, .want = "cancelled, 0 made, 0 kept; cancelled 1; webhook gone",
	.meanwhile = purge},
    {"purged, and refused", {500},
	.want = "cancelled, 0 made, 0 kept; cancelled 1; webhook gone", .meanwhile = purge},
    {"lost, and taken", {200}, .want = "delivered, 1 made, 1 kept; delivered 1",
	.meanwhile = crash},

    {"no room, taken", {200}, .want = "delivered, 1 made, 0 kept; delivered 1",
	.meanwhile = fill_store},
    {"no room, refused to the end", {500, 500, 500, 500},
	.want = "dead, 4 made, 0 kept; retried 3, dead 1; 1 letter", .meanwhile = fill_store},
    {"store fails, taken", {200}, .want = "delivered, 1 made, 1 kept; delivered 1",
	.meanwhile = break_disk},
    {"store fails, refused", {500}, .want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1",
	.meanwhile = break_disk},
    {"store fails, not wanted any more", {410},
	.want = "waiting, 1 made, 1 kept, due in 1 ms; retried 1; webhook disabled",
	.meanwhile = break_disk},
    {"store fails, fifo, taken", {200}, .want = "delivered, 1 made, 1 kept; delivered 1",
	.meanwhile = break_disk, .fifo = true},
};

static void put_count(struct buf *out, const char *name, uint64_t n)
{
	const char *before = strchr(buf_cstr(out), ';') == NULL ? ";" : ",";
	if (n > 0)
		buf_printf(out, "%s %s %llu", before, name, (unsigned long long)n);
}

/* Says in a line how a delivery stands, on disk, in memory and in the figures. */
static void describe(struct engine *e, struct uuid id, struct buf *out)
{
	static const char *const NAMES[] = {[DELIVERY_WAITING] = "waiting",
	    [DELIVERY_DEAD] = "dead",
	    [DELIVERY_DELIVERED] = "delivered",
	    [DELIVERY_EXPIRED] = "expired",
	    [DELIVERY_CANCELLED] = "cancelled"};
	struct delivery d = delivery_of(e, id);
	const struct webhook *w = registry_get(e->registry, HOOK);
	struct dispatch_figures n = figures(e);
	bool waits = d.status == DELIVERY_WAITING;
	buf_puts(out, NAMES[d.status]);
	if (waits && d.place_ms != d.due_ms)
		buf_puts(out, " in its place");
	buf_printf(out, ", %u made, %zu kept", d.attempts, store_count(e->store, DB_ATTEMPTS));
	if (waits)
		buf_printf(out, ", due in %lld ms", (long long)(d.due_ms - clock_wall_ms()));
	put_count(out, "delivered", n.delivered);
	put_count(out, "retried", n.retried);
	put_count(out, "dead", n.dead);
	put_count(out, "expired", n.expired);
	put_count(out, "cancelled", purge_cancelled(e->purge));
	if (store_count(e->store, DB_DEAD) > 0)
		buf_printf(out, "; %zu letter", store_count(e->store, DB_DEAD));
	if (w == NULL)
		buf_puts(out, "; webhook gone");
	else if (!w->enabled)
		buf_puts(out, "; webhook disabled");
	if (dispatch_is_in_flight(e->dispatch, HOOK, &id))
		buf_puts(out, "; under way");
}

/* An answer's outcome reaches the disk, also where that fails at first. */
static void land(struct engine *e)
{
	for (int i = 0; edges.disk_fails && i < 3; i++) {
		assert_int_equal(engine_turn(e), ERR_STORE);
		assert_int_equal(turn_staged(e->turn), 1);
	}
	edges.disk_fails = false;
	settle(e);
}

static void run(const struct fate *f)
{
	struct engine *e = engine_new();
	struct webhook *w = engine_make(HOOK);
	struct buf got = BUF_INIT(1000);
	w->fifo = f->fifo;
	e->expiry.after_ms = f->expires_ms;
	engine_add(e, w);
	engine_start(e);
	struct uuid id = engine_publish(e, HOOK, 1, 100);
	engine_wait(e, f->late_ms);
	for (int i = 0; f->answers[i] != 0; i++) {
		engine_wait(e, i); /* what the schedule says */
		if (in_flight(e) != 1)
			fail_msg("%s: %zu under way", f->title, in_flight(e));
		if (i == 0 && f->meanwhile != NULL)
			f->meanwhile(e, id);
		answer(e, f->answers[i]);
		land(e);
	}
	settle(e);
	describe(e, id, &got);
	if (strcmp(buf_cstr(&got), f->want) != 0)
		fail_msg("%s: %s, not %s", f->title, buf_cstr(&got), f->want);
	assert_int_equal(dispatch_in_flight(e->dispatch), in_flight(e));
	buf_fini(&got);
	end(e);
}

static void test_fates(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(FATES); i++)
		run(&FATES[i]);
}

/* What may start. */

static const struct start {
	const char *title;
	size_t hooks, deliveries; /* so many webhooks with so many each */
	size_t at_once;           /* attempts that start in the first turn */
	size_t then; /* …and once one of them was taken, before that is on disk */
	uint32_t slots, per_host, max_in_flight;
	double rate;
	int64_t start_us; /* what each takes */
	bool apart;       /* each webhook is one of a session of its own */
	bool fifo, disabled;
} STARTS[] = {
    {"nothing", 1, 0, 0, .then = 0},
    {"one to see how it goes, then more", 1, 5, 1, .then = 4},
    {"then eight", 1, 20, 1, .then = 8},
    {"one of each", 3, 5, 3, .then = 4},
    {"no more than the webhook may have", 1, 5, 1, .then = 1, .max_in_flight = 1},
    {"no more than there are slots", 5, 1, 2, .then = 1, .slots = 2, .apart = true},
    {"no more than its session's share of the slots", 40, 1, 16, .then = 1, .slots = 18},
    {"no more than its host may have", 5, 1, 2, .then = 1, .per_host = 2, .apart = true},
    {"no more than its session's share of its host", 40, 1, 16, .then = 1, .per_host = 18},
    {"no more than its rate", 1, 5, 1, .then = 0, .rate = 1},
    {"fifo: the next when the first is on disk", 1, 5, 1, .then = 0, .fifo = true},
    {"nothing of one that is disabled", 1, 1, 0, .then = 0, .disabled = true},
    {"as many a turn as there is time for", 200, 1, 100, .then = 100, .start_us = 100},
    {"one a turn at least", 5, 1, 1, .then = 1, .start_us = 1000000},
    {"whatever their number", 600, 1, 600, .then = 0},
};

/* Webhook `number` of a row: at one host with the others, if that is what is tried. */
static struct webhook *make_hook(const struct start *s, uint64_t number)
{
	struct webhook *w = engine_make(number);
	char url[URL_SIZE];
	(void)snprintf(url, sizeof(url), "http://host/%d", (int)number);
	if (s->per_host > 0)
		webhook_set(&w->url, url);
	if (s->apart)
		webhook_set(&w->session, strrchr(url, '/') + 1);
	if (s->max_in_flight > 0)
		w->max_in_flight = s->max_in_flight;
	w->rate_limit = s->rate;
	w->fifo = s->fifo;
	return w;
}

static void try_start(const struct start *s)
{
	struct engine *e = engine_new();
	edges.start_us = s->start_us;
	e->sched.slots = s->slots > 0 ? s->slots : e->sched.slots;
	e->sched.per_host = s->per_host > 0 ? s->per_host : e->sched.per_host;
	for (uint64_t number = 1; number <= s->hooks; number++)
		engine_add(e, make_hook(s, number));
	engine_start(e);
	for (uint64_t number = 1; s->deliveries > 0 && number <= s->hooks; number++)
		(void)engine_publish(e, number, s->deliveries, 10);
	if (s->disabled)
		disable(e, (struct uuid){{0}});
	dispatch_pump(e->dispatch);
	size_t at_once = e->client->sent;
	if (at_once > 0)
		answer(e, 200);
	client_reap(e->client);
	dispatch_pump(e->dispatch);
	size_t then = e->client->sent - at_once;
	if (at_once != s->at_once || then != s->then)
		fail_msg("%s: %zu, then %zu", s->title, at_once, then);
	end(e); /* with attempts under way, and an outcome that no commit took */
}

static void test_starts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(STARTS); i++)
		try_start(&STARTS[i]);
}

/* Those that drain a queue start for as long as they may; what was published just now all. */
static void test_queues_are_bounded(void **state)
{
	enum { DRAINS = 40, START_US = 100 };
	struct engine *e = engine_new();
	(void)state;
	edges.start_us = START_US;
	for (uint64_t number = 1; number <= DRAINS + 3; number++)
		engine_add(e, engine_make(number));
	engine_start(e);
	for (uint64_t number = 1; number <= DRAINS; number++)
		(void)engine_publish(e, number, 1, 10);
	edges.passed_ms += 5000;
	for (uint64_t number = DRAINS + 1; number <= DRAINS + 3; number++)
		(void)engine_publish(e, number, 1, 10);
	static const struct {
		int64_t us;
		size_t sent;
	} PUMPS[] = {{0, 3}, {0, 3}, {1000, 13}, {DISPATCH_PUMP_US, DRAINS + 3}};
	for (size_t i = 0; i < COUNT(PUMPS); i++) {
		dispatch_bound_queues(e->dispatch, PUMPS[i].us);
		dispatch_pump(e->dispatch);
		assert_int_equal(e->client->sent, PUMPS[i].sent);
		assert_int_equal(dispatch_delay(e->dispatch) == 0, PUMPS[i].sent < DRAINS + 3);
	}
	end(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fates),
	    cmocka_unit_test(test_starts),
	    cmocka_unit_test(test_queues_are_bounded),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
