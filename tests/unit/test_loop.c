/*
 * The loop in virtual time: what it waits for, how long it leaves a store alone that fails, and
 * when a stop is over. Its parts are real but for the edges (edges.h), the reactor, which a
 * plan drives, and the HTTP side, of which a stop asks what is held.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "engine_acts.h"
#include "jobs/renewal.h"
#include "jobs/sweep.h"
#include "jobs/task_runner.h"
#include "server/loop.h"

#define DRAIN_MS 10000
#define END_MS HOUR_MS /* by then a test has hung */
#define SLACK_MS 20    /* a turn's passes take a millisecond each */

struct fixture {
	struct engine *engine;
	struct loop *loop;
	struct oldest *oldest;
	enum err ended; /* what the loop returned */
	struct api_health health;
	struct histogram turns;
	struct histogram turn_parts[TURN_PARTS];
	struct uuid delivery; /* the one there is, under way from the first turn on */
	struct op request;    /* staged by a plan */
	int64_t told_ms;      /* when it was told… */
	enum err told;        /* …what */
	uint64_t failures;    /* of commits, as a plan has noted them */
	uint64_t turned;      /* turns since the start */
};

/* What happens when; the last of a plan has no function. */
struct step {
	int64_t at_ms;
	void (*fn)(struct fixture *f);
};

/* The HTTP side */

static uint32_t held;

void http_stop(struct http_server *s)
{
	(void)s;
}

static uint64_t full_reads;
static int body_reads;      /* passes that will bring some of a body */
static uint64_t body_turns; /* that there were until it began, then until it was whole */

uint64_t http_full_reads(const struct http_server *s)
{
	(void)s;
	return full_reads;
}

uint32_t http_held(const struct http_server *s)
{
	(void)s;
	return held;
}

void api_stop(struct api *api)
{
	(void)api;
}

const char *const TURN_PART_NAMES[TURN_PARTS] = {"events", "commit", "jobs", "pump"};

struct api_longest api_take_longest(struct api *api)
{
	(void)api;
	return (struct api_longest){0};
}

void api_relieve(struct api *api, uint64_t file_bytes)
{
	(void)api;
	(void)file_bytes;
}

/* The client's sockets, on which nothing comes */

static int64_t sockets_us; /* what they may take of the turn */

void client_turn(struct client *c, int64_t most_us)
{
	(void)c;
	sockets_us = most_us;
}

int64_t client_took(const struct client *c)
{
	(void)c;
	return 0;
}

/* The journal of a cluster, whose turns are committed at once here. */

struct active {
	bool is_silent;
	bool is_fenced;
	struct active_figures figures;
};

static struct active owner;

bool active_is_fenced(const struct active *a)
{
	return a->is_fenced;
}

bool active_may_start(const struct active *a)
{
	return !a->is_silent;
}

bool active_may_take(const struct active *a)
{
	return !a->is_silent;
}

const char *active_why(const struct active *a)
{
	return a->is_silent ? "it is silent" : NULL;
}

const struct active_figures *active_figures(struct active *a)
{
	return &a->figures;
}

/* The reactor: a pass takes a millisecond, and one that waits goes on to when something is. */

struct reactor_timer {
	TAILQ_ENTRY(reactor_timer) link;
	struct reactor *reactor;
	reactor_fn fn;
	void *arg;
	int64_t at_ms; /* as edges.passed_ms counts; INT64_MAX: not set */
};

struct reactor {
	TAILQ_HEAD(, reactor_timer) timers;
	const struct step *plan; /* from the next step on */
	struct fixture *fixture;
};

struct reactor_signal {
	reactor_fn fn;
	void *arg;
};

static struct reactor_signal signals[NSIG];

struct reactor_timer *reactor_timer_new(struct reactor *r, reactor_fn fn, void *arg)
{
	struct reactor_timer *t = mem_new(sizeof(*t));
	*t = (struct reactor_timer){.reactor = r, .fn = fn, .arg = arg, .at_ms = INT64_MAX};
	TAILQ_INSERT_TAIL(&r->timers, t, link);
	return t;
}

void reactor_timer_set(struct reactor_timer *t, int64_t delay_ms)
{
	t->at_ms = edges.passed_ms + delay_ms;
}

void reactor_timer_fire(struct reactor_timer *t)
{
	t->at_ms = edges.passed_ms;
}

void reactor_timer_free(struct reactor_timer *t)
{
	TAILQ_REMOVE(&t->reactor->timers, t, link);
	free(t);
}

struct reactor_signal *reactor_signal_new(struct reactor *r, int number, reactor_fn fn,
    void *arg)
{
	(void)r;
	signals[number] = (struct reactor_signal){fn, arg};
	return &signals[number];
}

void reactor_signal_free(struct reactor_signal *s)
{
	*s = (struct reactor_signal){0};
}

/* When the next timer or step is. */
static int64_t next_ms(const struct reactor *r)
{
	int64_t next = r->plan->fn == NULL ? END_MS : r->plan->at_ms;
	const struct reactor_timer *t;
	TAILQ_FOREACH(t, &r->timers, link)
		next = t->at_ms < next ? t->at_ms : next;
	return next;
}

void reactor_pass(struct reactor *r, bool poll)
{
	struct reactor_timer *t;
	edges.passed_ms++;
	if (!poll && body_reads == 0 && next_ms(r) > edges.passed_ms)
		edges.passed_ms = next_ms(r);
	assert_true(edges.passed_ms < END_MS);
	if (body_reads > 0) {
		full_reads++;
		if (--body_reads == 0)
			body_turns = r->fixture->turned - body_turns;
	}
	while (r->plan->fn != NULL && r->plan->at_ms <= edges.passed_ms)
		(r->plan++)->fn(r->fixture);
	TAILQ_FOREACH(t, &r->timers, link) {
		if (t->at_ms > edges.passed_ms)
			continue;
		t->at_ms = INT64_MAX;
		t->fn(t->arg);
	}
}

/* Steps of plans */

static void terminate(struct fixture *f)
{
	(void)f;
	signals[SIGTERM].fn(signals[SIGTERM].arg);
}

static void take_delivery(struct fixture *f)
{
	answer(f->engine, 200);
}

static void spoil(struct fixture *f)
{
	(void)f;
	edges.disk_fails = true;
}

static void mend(struct fixture *f)
{
	(void)f;
	edges.disk_fails = false;
}

/* Its queue is to be purged. */
static void delete_webhook(struct fixture *f)
{
	retire(f->engine, f->delivery);
}

static void hold(struct fixture *f)
{
	(void)f;
	held = 1;
}

static void let_go(struct fixture *f)
{
	(void)f;
	held = 0;
}

static void fall_silent(struct fixture *f)
{
	(void)f;
	owner.is_silent = true;
}

static void speak(struct fixture *f)
{
	(void)f;
	owner.is_silent = false;
}

static void fence(struct fixture *f)
{
	(void)f;
	owner.is_fenced = true;
}

#define BODY_READS 60

static void send_body(struct fixture *f)
{
	body_reads = BODY_READS;
	body_turns = f->turned;
}

/* What attempts' sockets may take of a turn, at two moments. */
static int64_t noted_us[2];

static void note_bound(struct fixture *f)
{
	(void)f;
	noted_us[noted_us[0] == 0 ? 0 : 1] = sockets_us;
}

static void note_failures(struct fixture *f)
{
	f->failures = turn_figures(f->engine->turn)->failures;
}

/* Writes, and leaves the store as it was. */
static enum err apply_request(struct op *op, struct db_txn *txn)
{
	(void)op;
	enum err err = db_put(txn, DB_META, SLICE("of a test"), SLICE("x"));
	return err == OK ? db_del(txn, DB_META, SLICE("of a test")) : err;
}

static void answer_request(struct op *op, enum err result)
{
	struct fixture *f = (struct fixture *)((char *)op - offsetof(struct fixture, request));
	f->told = result;
	f->told_ms = edges.passed_ms;
}

static void stage_request(struct fixture *f)
{
	f->request = (struct op){.class = OP_INTAKE,
	    .apply = apply_request,
	    .done = answer_request};
	turn_stage(f->engine->turn, &f->request);
}

/* Two publishers, each of which asks again when it was answered: the second later. */

#define SLOW_MS 80 /* of a write of theirs */

static struct op crowd[2];
static int64_t crowd_told_ms[2];
static struct turn *crowd_turn;
static bool asks_again; /* the first one, once */

static enum err apply_slowly(struct op *op, struct db_txn *txn)
{
	edges.passed_ms += SLOW_MS;
	return apply_request(op, txn);
}

static void answer_crowd(struct op *op, enum err result)
{
	size_t who = (size_t)(op - crowd);
	assert_int_equal(result, OK);
	crowd_told_ms[who] = edges.passed_ms;
	if (asks_again && who == 0) {
		asks_again = false;
		turn_stage(crowd_turn, op);
	}
}

static void stage_crowd(struct fixture *f)
{
	crowd_turn = f->engine->turn;
	asks_again = true;
	for (size_t i = 0; i < 2; i++) {
		crowd[i] = (struct op){.class = OP_INTAKE,
		    .apply = apply_slowly,
		    .done = answer_crowd};
		turn_stage(f->engine->turn, &crowd[i]);
	}
}

static void stage_second(struct fixture *f)
{
	turn_stage(f->engine->turn, &crowd[1]);
}

/* The fixture */

static void nothing(void *arg)
{
	(void)arg;
}

static void count_turn(void *arg)
{
	((struct fixture *)arg)->turned++;
}

/* The one place that knows how a loop is put together. */
static void put_together(struct fixture *f, struct reactor *r, struct active *a)
{
	struct engine *e = f->engine;
	const struct retention keep = {.settled_ms = HOUR_MS,
	    .settled_bytes = STORE_MAP_BYTES,
	    .dead_letters_ms = HOUR_MS};
	f->oldest = oldest_new(e->store->db, e->store->backlog);
	(void)sweep_new(e->jobs, &keep);
	renewal_add(e->jobs,
	    &(struct renewal_conf){.registry = e->registry, .dispatch = e->dispatch});
	struct task_runner *task_runner = task_runner_new(e->jobs,
	    &(struct task_runner_conf){.db = e->store->db,
		.registry = e->registry,
		.backlog = e->store->backlog,
		.dispatch = e->dispatch,
		.has_room = &f->health.has_room});
	assert_int_equal(task_runner_load(task_runner), OK);
	f->loop = loop_new(&(struct loop_conf){.reactor = r,
	    .db = e->store->db,
	    .turn = e->turn,
	    .jobs = e->jobs,
	    .client = e->client,
	    .dispatch = e->dispatch,
	    .active = a,
	    .usage = e->store->usage,
	    .oldest = f->oldest,
	    .health = &f->health,
	    .turns = &f->turns,
	    .turn_parts = f->turn_parts,
	    .drain_timeout_ms = DRAIN_MS,
	    .reload = nothing,
	    .stopping = nothing,
	    .turned = count_turn,
	    .arg = f});
}

static void take_apart(struct fixture *f)
{
	loop_free(f->loop);
	oldest_free(f->oldest);
}

/* The same as follow(), as the owner of a shard, or (NULL) without a cluster. */
static enum delivery_status follow_as(struct fixture *f, const struct step *plan,
    struct active *a)
{
	struct reactor r = {.plan = plan, .fixture = f};
	TAILQ_INIT(&r.timers);
	held = 0;
	*f = (struct fixture){.engine = begin()};
	f->delivery = engine_publish(f->engine, HOOK, 1, 10);
	put_together(f, &r, a);
	f->ended = loop_run(f->loop);
	enum delivery_status status = status_of(f->engine, f->delivery);
	assert_null(r.plan->fn); /* the plan was followed to its end */
	take_apart(f);
	edges.disk_fails = false;
	end(f->engine);
	return status;
}

/* Runs the loop, with one delivery to be sent, as `plan` says; how the delivery stands then. */
static enum delivery_status follow(struct fixture *f, const struct step *plan)
{
	enum delivery_status status = follow_as(f, plan, NULL);
	assert_int_equal(f->ended, OK);
	return status;
}

/* Tests */

/* Outcomes alone are tried once a second, and written once they can be. */
static void test_store_fails(void **state)
{
	static const struct step PLAN[] = {{100, spoil}, {100, take_delivery},
	    {5000, note_failures}, {5000, mend}, {7000, terminate}, {0}};
	struct fixture f;
	(void)state;
	assert_int_equal(follow(&f, PLAN), DELIVERY_DELIVERED);
	assert_in_range(f.failures, 4, 5);
}

/* A request is tried at once meanwhile, whatever comes of it. */
static void test_requests_are_tried_at_once(void **state)
{
	static const struct step FAILS[] = {{100, spoil}, {100, take_delivery},
	    {1050, stage_request}, {3000, mend}, {5000, terminate}, {0}};
	static const struct step MENDED[] = {{100, spoil}, {100, take_delivery}, {1040, mend},
	    {1050, stage_request}, {5000, terminate}, {0}};
	struct fixture f;
	(void)state;
	assert_int_equal(follow(&f, FAILS), DELIVERY_DELIVERED);
	assert_int_equal(f.told, ERR_STORE);
	assert_in_range(f.told_ms, 1050, 1050 + SLACK_MS);
	assert_int_equal(follow(&f, MENDED), DELIVERY_DELIVERED);
	assert_int_equal(f.told, OK);
	assert_in_range(f.told_ms, 1050, 1050 + SLACK_MS);
}

/* A turn takes several reads of a body that comes, and yet ends. */
static void test_body_in_few_turns(void **state)
{
	static const struct step PLAN[] = {{100, send_body}, {100, take_delivery},
	    {3000, terminate}, {0}};
	struct fixture f;
	(void)state;
	assert_int_equal(follow(&f, PLAN), DELIVERY_DELIVERED);
	assert_int_equal(body_reads, 0);
	assert_in_range(body_turns, BODY_READS / 10, BODY_READS / 3);
}

/* What attempts may take of a turn is bounded while somebody asks, and then not so much. */
static void test_turns_are_shared(void **state)
{
	static const struct step PLAN[] = {{100, stage_request}, {150, note_bound},
	    {900, take_delivery}, {1900, note_bound}, {3000, terminate}, {0}};
	struct fixture f;
	(void)state;
	assert_int_equal(follow(&f, PLAN), DELIVERY_DELIVERED);
	assert_in_range(noted_us[0], 1, DISPATCH_PUMP_US / 2);
	assert_in_range(noted_us[1], DISPATCH_PUMP_US, 10 * DISPATCH_PUMP_US);
	assert_true(sockets_us == INT64_MAX); /* of the passes behind the last one */
}

/* When a stop at 1000 is over, and whether the delivery's outcome is on disk then. */
static const struct stop {
	const char *title;
	struct step plan[6];
	int64_t over_ms; /* from then on, and SLACK_MS */
	int64_t late_ms; /* more than that */
	enum delivery_status want;
} STOPS[] = {
    {"with nothing to wait for", {{100, take_delivery}, {1000, terminate}}, 1000, 0,
	DELIVERY_DELIVERED},
    {"an outcome that waits for company", {{999, take_delivery}, {1000, terminate}}, 1000, 0,
	DELIVERY_DELIVERED},
    {"an attempt under way", {{1000, terminate}, {3500, take_delivery}}, 3500, 0,
	DELIVERY_DELIVERED},
    {"an outcome that cannot be written yet",
	{{100, spoil}, {100, take_delivery}, {1000, terminate}, {3500, mend}}, 3500, 1000,
	DELIVERY_DELIVERED},
    {"a request that is held",
	{{100, take_delivery}, {900, hold}, {1000, terminate}, {3500, let_go}}, 3500, 1000,
	DELIVERY_DELIVERED},
    {"an attempt under way, and a second signal", {{1000, terminate}, {3500, terminate}}, 3500,
	0, DELIVERY_WAITING},
    {"a purge, which the next start takes up",
	{{1000, terminate}, {2000, delete_webhook}, {3500, terminate}}, 3500, 0,
	DELIVERY_WAITING},
    {"an attempt that takes longer than a drain", {{1000, terminate}}, 1000 + DRAIN_MS, 0,
	DELIVERY_WAITING},
    {"an outcome that cannot be written for longer than a drain",
	{{100, spoil}, {100, take_delivery}, {1000, terminate}}, 1000 + DRAIN_MS, 0,
	DELIVERY_WAITING},
    {"an outcome that can be written at last",
	{{100, spoil}, {100, take_delivery}, {1000, terminate}, {999 + DRAIN_MS, mend}},
	1000 + DRAIN_MS, 0, DELIVERY_DELIVERED},
};

static void test_stop(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(STOPS); i++) {
		const struct stop *s = &STOPS[i];
		struct fixture f;
		enum delivery_status status = follow(&f, s->plan);
		if (status != s->want || edges.passed_ms < s->over_ms ||
		    edges.passed_ms > s->over_ms + s->late_ms + SLACK_MS)
			fail_msg("%s: over at %lld, and the delivery is %d", s->title,
			    (long long)edges.passed_ms, status);
	}
}

/* While the journal is silent no request is taken; outcomes are, when it speaks again. */
static void test_silent_journal(void **state)
{
	static const struct step SILENT[] = {{100, fall_silent}, {200, take_delivery},
	    {1050, stage_request}, {3000, speak}, {5000, terminate}, {0}};
	static const struct step HEARD[] = {{100, fall_silent}, {200, take_delivery},
	    {1000, speak}, {1050, stage_request}, {5000, terminate}, {0}};
	struct fixture f;
	(void)state;
	owner = (struct active){0};
	assert_int_equal(follow_as(&f, SILENT, &owner), DELIVERY_DELIVERED);
	assert_int_equal(f.ended, OK);
	assert_int_equal(f.told, ERR_STORE);
	assert_in_range(f.told_ms, 1050, 1050 + SLACK_MS);
	assert_int_equal(follow_as(&f, HEARD, &owner), DELIVERY_DELIVERED);
	assert_int_equal(f.told, OK);
}

/* Another owns the shard: the loop ends with the next turn. */
static void test_fenced(void **state)
{
	static const struct step PLAN[] = {{100, take_delivery}, {1000, fence}, {0}};
	struct fixture f;
	(void)state;
	owner = (struct active){0};
	assert_int_equal(follow_as(&f, PLAN, &owner), DELIVERY_DELIVERED);
	assert_int_equal(f.ended, ERR_CONFLICT);
	assert_in_range(edges.passed_ms, 1000, 1000 + SLACK_MS);
}

/*
 * Who waits behind an owner's turn goes on with those whom that answers, where these ask again
 * at once.
 */
static void test_two_crowds_become_one(void **state)
{
	static const struct step PLAN[] = {{100, take_delivery}, {1000, stage_crowd},
	    {1000 + 2 * SLOW_MS + 6, stage_second}, {5000, terminate}, {0}};
	static const struct step LATE[] = {{100, take_delivery}, {1000, stage_crowd},
	    {1000 + 2 * SLOW_MS + 12, stage_second}, {5000, terminate}, {0}};
	struct fixture f;
	(void)state;
	owner = (struct active){0};
	assert_int_equal(follow_as(&f, PLAN, &owner), DELIVERY_DELIVERED);
	assert_int_equal(crowd_told_ms[0], crowd_told_ms[1]);
	assert_int_equal(follow_as(&f, LATE, &owner), DELIVERY_DELIVERED);
	assert_in_range(crowd_told_ms[0], 1, crowd_told_ms[1] - 1);
	assert_in_range(crowd_told_ms[0], 1000 + 3 * SLOW_MS, 1000 + 3 * SLOW_MS + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_store_fails),
	    cmocka_unit_test(test_requests_are_tried_at_once),
	    cmocka_unit_test(test_body_in_few_turns),
	    cmocka_unit_test(test_turns_are_shared),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_silent_journal),
	    cmocka_unit_test(test_fenced),
	    cmocka_unit_test(test_two_crowds_become_one),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
