/*
 * Endpoints that have to repeat a challenge: which change of a webhook has its endpoint asked
 * again, which answers repeat one, and who is asked until when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "courier/challenge.h"
#include "dispatch_fixture.h"
#include "jobs/ownership.h"
#include "store/webhooks.h"
#include "support.h"

#define NOBODY "http://127.0.0.1:1/" /* where no port is open */
#define PASSES_MAX 20000

/* What is done to a webhook. */
enum act {
	NEW,
	NOTHING,
	URL,
	PROXY,
	AGENT, /* which is no proxy */
	VERIFY_GET,
	VERIFY_POST,
	VERIFY_NONE,
	ASK,
	DISABLE,
	ENABLE
};

static const struct {
	enum ownership_state is; /* before; of one that is asked by GET */
	enum act act;
	bool wants; /* the setting is on */
	enum ownership_state after;
	bool enabled;
} CHANGES[] = {
    {OWNERSHIP_UNASKED, NEW, false, OWNERSHIP_UNASKED, true},
    {OWNERSHIP_UNASKED, NEW, true, OWNERSHIP_PENDING, true},
    {OWNERSHIP_UNASKED, NOTHING, true, OWNERSHIP_UNASKED, true},
    {OWNERSHIP_UNASKED, URL, true, OWNERSHIP_PENDING, true},
    {OWNERSHIP_UNASKED, URL, false, OWNERSHIP_UNASKED, true},
    {OWNERSHIP_UNASKED, ASK, true, OWNERSHIP_PENDING, true},
    {OWNERSHIP_UNASKED, VERIFY_POST, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_PENDING, NOTHING, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_PENDING, VERIFY_NONE, false, OWNERSHIP_UNASKED, true},
    {OWNERSHIP_PENDING, DISABLE, false, OWNERSHIP_PENDING, false},
    {OWNERSHIP_VERIFIED, NOTHING, true, OWNERSHIP_VERIFIED, true},
    {OWNERSHIP_VERIFIED, VERIFY_POST, false, OWNERSHIP_VERIFIED, true},
    {OWNERSHIP_VERIFIED, VERIFY_NONE, false, OWNERSHIP_UNASKED, true},
    {OWNERSHIP_VERIFIED, URL, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_UNASKED, PROXY, true, OWNERSHIP_UNASKED, true},
    {OWNERSHIP_VERIFIED, PROXY, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_VERIFIED, AGENT, false, OWNERSHIP_VERIFIED, true},
    {OWNERSHIP_FAILED, PROXY, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_VERIFIED, ASK, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_VERIFIED, DISABLE, false, OWNERSHIP_VERIFIED, false},
    {OWNERSHIP_FAILED, NOTHING, false, OWNERSHIP_FAILED, false},
    {OWNERSHIP_FAILED, URL, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_FAILED, ASK, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_FAILED, ENABLE, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_FAILED, VERIFY_GET, false, OWNERSHIP_FAILED, false},
    {OWNERSHIP_FAILED, VERIFY_POST, false, OWNERSHIP_PENDING, true},
    {OWNERSHIP_FAILED, VERIFY_NONE, false, OWNERSHIP_UNASKED, true},
};

static struct webhook *webhook_in(enum ownership_state is)
{
	struct webhook *w = make_webhook(7, "s", NOBODY);
	if (is == OWNERSHIP_UNASKED)
		return w;
	w->ownership.way = OWNERSHIP_BY_GET;
	ownership_follow(w, NULL, false, false, 1000);
	if (is != OWNERSHIP_PENDING)
		ownership_conclude(w, is == OWNERSHIP_FAILED ? "why" : NULL, 1000);
	return w;
}

static void act_on(struct webhook *w, enum act act)
{
	if (act == URL)
		webhook_set(&w->url, "http://b/");
	if (act == PROXY)
		webhook_options_of(&w->options)->proxy.kind = PROXY_NONE;
	if (act == AGENT)
		webhook_set(&webhook_options_of(&w->options)->user_agent, "a");
	if (act == VERIFY_GET)
		w->ownership.way = OWNERSHIP_BY_GET;
	if (act == VERIFY_POST)
		w->ownership.way = OWNERSHIP_BY_POST;
	if (act == VERIFY_NONE)
		w->ownership.way = OWNERSHIP_NOT_ASKED;
	if (act == DISABLE)
		webhook_set_enabled(w, WEBHOOK_DISABLED_BY_REQUEST);
	if (act == ENABLE)
		webhook_set_enabled(w, NULL);
}

static void test_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(CHANGES); i++) {
		bool is_new = CHANGES[i].act == NEW;
		struct webhook *old = webhook_in(CHANGES[i].is);
		struct webhook *w = webhook_in(CHANGES[i].is);
		struct ownership *o = &w->ownership;
		int64_t since_ms = o->since_ms;
		act_on(w, CHANGES[i].act);
		ownership_follow(w, is_new ? NULL : old, CHANGES[i].wants,
		    CHANGES[i].act == ASK, 500); /* by a clock that was set back */
		if (o->state != CHANGES[i].after || w->enabled != CHANGES[i].enabled)
			fail_msg("row %zu: state %d, enabled %d", i, o->state, w->enabled);
		bool begins = o->state == OWNERSHIP_PENDING && CHANGES[i].act != NOTHING &&
		    CHANGES[i].act != DISABLE;
		if (begins && o->since_ms <= since_ms)
			fail_msg("row %zu: the time of another asking", i);
		assert_int_equal(o->error != NULL, o->state == OWNERSHIP_FAILED);
		assert_int_equal(ownership_hold(o) != NULL,
		    o->state == OWNERSHIP_PENDING || o->state == OWNERSHIP_FAILED);
		webhook_free(old);
		webhook_free(w);
	}
}

/* Who was disabled for another reason stays so. */
static void test_another_reason_stays(void **state)
{
	(void)state;
	struct webhook *old = webhook_in(OWNERSHIP_PENDING);
	webhook_set_enabled(old, "mine");
	ownership_conclude(old, "why", 2000);
	assert_string_equal(old->disabled_reason, "mine");
	struct webhook *w = webhook_in(OWNERSHIP_PENDING);
	webhook_set_enabled(w, "mine");
	ownership_conclude(w, "why", 2000);
	webhook_set(&w->url, "http://b/");
	ownership_follow(w, old, false, false, 3000);
	assert_int_equal(w->ownership.state, OWNERSHIP_PENDING);
	assert_string_equal(w->disabled_reason, "mine");
	webhook_free(old);
	webhook_free(w);
}

static void test_what_repeats(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		bool repeats;
	} ROWS[] = {{"abc-1", true}, {" \r\n\tabc-1\n ", true}, {"\"abc-1\"", true},
	    {"{\"challenge\":\"abc-1\"}", true},
	    {"{\"a\":[1],\"challenge\":\"abc-1\"}\n", true}, {"", false}, {"abc", false},
	    {"abc-12", false}, {"xabc-1", false}, {"\"\"", false}, {"\"", false},
	    {"'abc-1'", false}, {"ABC-1", false}, {"[\"abc-1\"]", false},
	    {"{\"data\":{\"challenge\":\"abc-1\"}}", false},
	    {"{\"challenge\":\"abc-1\"", false}, {"{\"Challenge\":\"abc-1\"}", false},
	    {"{\"challenge\":[\"abc-1\"]}", false}, {"{\"x\":\"abc-1\"}", false},
	    {"challenge=abc-1", false}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (challenge_is_repeated(SLICE("abc-1"), slice_of(ROWS[i].body)) !=
		    ROWS[i].repeats)
			fail_msg("row %zu", i);
	}
}

struct gateway {
	struct store *store;
	struct registry *registry;
	struct turn *turn;
	struct jobs *jobs;
	struct dispatcher dispatcher;
	struct asker *asker;
};

/* A gateway that starts, and waits a millisecond where it should wait longer. */
static void start(struct gateway *g)
{
	struct problem p;
	g->registry = registry_new();
	g->turn = turn_new(g->store->db);
	g->jobs = jobs_new(g->turn);
	assert_int_equal(registry_load(g->registry, g->store->db, NULL, &p), OK);
	dispatcher_open(&g->dispatcher, g->store, g->turn, g->registry);
	g->asker = asker_new(g->jobs,
	    &(struct ownership_conf){.reactor = g->dispatcher.reactor,
		.client = g->dispatcher.client,
		.registry = g->registry,
		.dispatch = g->dispatcher.dispatch,
		.wait_ms = {1, 1, 1}});
}

static void stop(struct gateway *g)
{
	struct reactor *reactor = g->dispatcher.reactor;
	client_free(g->dispatcher.client);
	jobs_free(g->jobs);
	dispatch_free(g->dispatcher.dispatch);
	turn_free(g->turn);
	reactor_free(reactor);
	registry_free(g->registry);
}

static void add_pending(struct store *s, uint64_t number)
{
	char url[64];
	struct webhook *w = webhook_in(OWNERSHIP_PENDING);
	struct db_txn *txn = store_begin(s);
	w->number = number;
	(void)snprintf(url, sizeof(url), NOBODY "%llu", (unsigned long long)number);
	webhook_set(&w->url, url);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	store_commit(txn);
	webhook_free(w);
}

static bool one_turn(struct gateway *g)
{
	clock_expire();
	reactor_pass(g->dispatcher.reactor, false);
	client_reap(g->dispatcher.client);
	jobs_step(g->jobs);
	return turn_commit(g->turn) == OK;
}

static struct asker_figures figures(const struct gateway *g)
{
	struct asker_figures f;
	asker_figures(g->asker, &f);
	return f;
}

/* Nobody listens: four questions, then it has failed, on disk too, and is asked no more. */
static void test_silence_ends(void **state)
{
	struct gateway g = {.store = *state};
	add_pending(g.store, 7);
	start(&g);
	assert_int_equal(figures(&g).pending, 1);
	for (int i = 0; i < PASSES_MAX && figures(&g).pending > 0; i++)
		assert_true(one_turn(&g));
	assert_int_equal(figures(&g).pending, 0);
	assert_int_equal(figures(&g).silent, 1);
	assert_int_equal(figures(&g).questions->share.held, 0);
	const struct webhook *w = registry_get(g.registry, 7);
	assert_int_equal(w->ownership.state, OWNERSHIP_FAILED);
	assert_non_null(strstr(w->ownership.error, "Failed to connect"));
	assert_false(w->enabled);
	stop(&g);
	start(&g);
	assert_int_equal(figures(&g).pending, 0);
	assert_int_equal(registry_get(g.registry, 7)->ownership.state, OWNERSHIP_FAILED);
	stop(&g);
}

/* Fewer than sixty questions a minute are the session's: the rest waits, and nobody spins. */
static void test_minute_bounds_a_session(void **state)
{
	struct gateway g = {.store = *state};
	for (uint64_t n = 1; n <= 20; n++) /* four questions each, of which sixty are asked */
		add_pending(g.store, n);
	start(&g);
	for (int i = 0; i < 2000; i++) {
		clock_expire();
		reactor_pass(g.dispatcher.reactor, true);
		client_reap(g.dispatcher.client);
		jobs_step(g.jobs);
		assert_int_equal(turn_commit(g.turn), OK);
		struct timespec nap = {.tv_nsec = 100000};
		(void)nanosleep(&nap, NULL);
	}
	assert_true(figures(&g).pending > 0);
	assert_true(figures(&g).silent < 20);
	assert_int_equal(figures(&g).questions->share.held, 0);
	registry_drop(g.registry, 20); /* one that is gone while it stands in line */
	asker_add(g.asker, 20);
	stop(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_changes),
	    cmocka_unit_test(test_another_reason_stays),
	    cmocka_unit_test(test_what_repeats),
	    STORE_TEST(test_silence_ends),
	    STORE_TEST(test_minute_bounds_a_session),
	};
	log_setup(LOG_ERROR, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
