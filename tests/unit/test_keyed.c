/*
 * A webhook whose ordering has a key, from publishing to the wire: in order within each lane
 * whatever happens, and as many lanes at once as the webhook may have attempts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "domain/lane.h"
#include "engine_acts.h"
#include "jobs/ordering.h"

#define CHATS_MAX 8
#define PER_CHAT_MAX 200

/* Publishes an event of `chat`, in a commit of its own; 0: of none. The delivery's id. */
static struct uuid publish(struct engine *e, int chat)
{
	char body[64];
	int len = snprintf(body, sizeof(body), "{\"data\":{\"chat\":%d}}", chat);
	if (chat == 0)
		len = snprintf(body, sizeof(body), "{\"data\":{}}");
	struct publication p = {.body = {body, (size_t)len}};
	(void)snprintf(p.event.session, sizeof(p.event.session), "s");
	(void)snprintf(p.event.name, sizeof(p.event.name), "message");
	publication_match(&p, e->registry);
	assert_int_equal(p.event.deliveries, 1);
	publication_stamp(&p, &e->ids, clock_wall_ms());
	struct db_txn *txn = store_begin(e->store);
	assert_int_equal(publication_write(txn, &p), OK);
	store_commit(txn);
	struct queue_place place = publication_place(&p, 0);
	dispatch_queued(e->dispatch, HOOK, &place);
	publication_fini(&p);
	return place.id;
}

static void set_key(struct webhook *w, const char *pointer)
{
	lane_key_free(w->key);
	w->key = pointer == NULL ? NULL : make_key(pointer);
}

/* An engine with webhook HOOK, ordered by chat; it may have `max_in_flight` attempts. */
static struct engine *start(uint32_t max_in_flight)
{
	struct engine *e = engine_new();
	struct webhook *w = engine_make(HOOK);
	set_key(w, "/data/chat");
	w->max_in_flight = max_in_flight;
	engine_add(e, w);
	engine_start(e);
	return e;
}

static int chat_of(struct client_request *q)
{
	const char *chat = strstr(buf_cstr(&q->text), "chat\":");
	return chat == NULL ? 0 : (int)strtol(chat + 6, NULL, 10);
}

/* The chats of what is on its way, the lowest first: "1 1 4". */
static void assert_sent(struct engine *e, const char *want)
{
	struct client_request *q;
	struct buf got = BUF_INIT(1000);
	for (int chat = 0; chat < 200; chat++) {
		TAILQ_FOREACH(q, &e->client->active, link) {
			if (chat_of(q) == chat)
				buf_printf(&got, "%s%d", got.len == 0 ? "" : " ", chat);
		}
	}
	if (strcmp(buf_cstr(&got), want) != 0)
		fail_msg("%s, not %s", buf_cstr(&got), want);
	buf_fini(&got);
}

/* Answers the attempt of `chat` that is under way. */
static void answer_chat(struct engine *e, int chat, int status)
{
	struct client_request *q;
	TAILQ_FOREACH(q, &e->client->active, link) {
		if (chat_of(q) != chat)
			continue;
		client_answer(q, status);
		return;
	}
	fail_msg("nothing of chat %d is under way", chat);
}

/* Opens the window as far as it goes. */
static void warm_up(struct engine *e, int rounds)
{
	for (int n = 0; n < rounds; n++) {
		for (int chat = 100; chat < 108; chat++)
			(void)publish(e, chat);
		engine_wait(e, 0);
		while (in_flight(e) > 0) {
			answer(e, 200);
			settle(e);
		}
	}
}

/* Lanes that are to be looked at drain a queue if the last delivery had waited, else not. */
static void test_lanes_of_a_queue(void **state)
{
	(void)state;
	static const struct {
		int64_t waited_ms;
		int64_t bound_us;
		size_t sent;
	} ROWS[] = {{0, 0, 8}, {5000, 0, 0}, {5000, 250, 3}};
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct engine *e = start(16);
		warm_up(e, 2);
		for (int chat = 1; chat <= 8; chat++)
			(void)publish(e, chat);
		edges.passed_ms += ROWS[i].waited_ms;
		edges.start_us = 100;
		dispatch_bound_queues(e->dispatch, ROWS[i].bound_us);
		dispatch_pump(e->dispatch);
		assert_int_equal(in_flight(e), ROWS[i].sent);
		edges.start_us = 0;
		end(e);
	}
}

/* One of each chat at once; the next of a chat when the one before is on disk. */
static void test_lanes_at_once(void **state)
{
	(void)state;
	struct engine *e = start(3);
	for (int n = 0; n < 2; n++)
		for (int chat = 1; chat <= 3; chat++)
			(void)publish(e, chat);
	engine_wait(e, 0);
	assert_int_equal(in_flight(e), 1); /* the window */
	int sent = 1;
	while (in_flight(e) > 0) {
		answer(e, 200);
		assert_int_equal(engine_turn(e), OK);
		settle(e);
		assert_in_range(in_flight(e), 0, 3);
		sent += (int)in_flight(e) > 1;
	}
	assert_true(sent > 1);
	assert_int_equal(figures(e).delivered, 6);
	end(e);
}

/* The slot of a success is not given back before it is on disk, nor is its lane. */
static void test_lane_is_busy_until_the_commit(void **state)
{
	(void)state;
	struct engine *e = start(16);
	warm_up(e, 20);
	struct uuid first = publish(e, 1);
	struct uuid second = publish(e, 1);
	(void)publish(e, 2);
	engine_wait(e, 0);
	assert_sent(e, "1 2");
	edges.disk_fails = true;
	answer_chat(e, 1, 200);
	for (int n = 0; n < 3; n++) {
		assert_int_equal(engine_turn(e), ERR_STORE);
		assert_sent(e, "2");
		assert_int_equal(dispatch_in_flight(e->dispatch), 2); /* with its slot */
	}
	edges.disk_fails = false;
	settle(e);
	assert_sent(e, "1 2");
	assert_int_equal(status_of(e, first), DELIVERY_DELIVERED);
	assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &second));
	end(e);
}

/* A retry holds back its lane alone; a dead letter lets it go on. Events of no chat too. */
static void test_retry_holds_its_lane(void **state)
{
	(void)state;
	for (int failing = 0; failing < 2; failing++) {
		int other = 1 - failing;
		struct engine *e = start(16);
		warm_up(e, 20);
		struct uuid first = publish(e, failing);
		struct uuid second = publish(e, failing);
		engine_wait(e, 0);
		for (int attempt = 1; attempt <= 4; attempt++) { /* the schedule has three */
			answer_chat(e, failing, 500);
			settle(e);
			if (attempt == 4)
				break;
			assert_int_equal(in_flight(e), 0);
			for (int n = 0; n < 3; n++) {
				(void)publish(e, other);
				engine_wait(e, 0);
				assert_int_equal(in_flight(e), 1);
				answer_chat(e, other, 200);
				settle(e);
				(void)publish(e, failing);
				assert_int_equal(engine_turn(e), OK);
				assert_int_equal(in_flight(e), 0);
			}
			engine_wait(e, attempt);
			assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &first));
			assert_int_equal(in_flight(e), 1);
		}
		assert_int_equal(status_of(e, first), DELIVERY_DEAD);
		engine_wait(e, 0);
		assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &second));
		end(e);
	}
}

/* The deliveries of the chats, in the order of publishing. */
struct chats {
	struct uuid published[CHATS_MAX][PER_CHAT_MAX];
	size_t count[CHATS_MAX];
	size_t over[CHATS_MAX]; /* so many, from the first on */
};

/* Behind the first of a chat that waits nothing was tried. */
static void check_chats(struct engine *e, struct chats *c)
{
	for (int chat = 0; chat < CHATS_MAX; chat++) {
		size_t n = c->over[chat];
		while (n < c->count[chat] &&
		    status_of(e, c->published[chat][n]) != DELIVERY_WAITING)
			n++;
		c->over[chat] = n;
		for (n++; n < c->count[chat]; n++) {
			struct delivery d = delivery_of(e, c->published[chat][n]);
			assert_int_equal(d.status, DELIVERY_WAITING);
			assert_int_equal(d.attempts, 0);
			assert_false(dispatch_is_in_flight(e->dispatch, HOOK, &d.id));
		}
	}
}

/* At random: answers, restarts and clocks; each chat's come in the order of publishing. */
static void test_order_in_each_chat(void **state)
{
	(void)state;
	struct rnd rnd;
	struct engine *e = start(4);
	e->retry = (struct retry_schedule){1, {1}};
	struct chats *c = mem_new(sizeof(*c));
	rnd_seed(&rnd, test_seed(31));
	for (int step = 0; step < 1000; step++) {
		int chat = (int)(rnd_next(&rnd) % CHATS_MAX);
		uint64_t what = rnd_next(&rnd) % 100;
		if (what < 30 && c->count[chat] < PER_CHAT_MAX)
			c->published[chat][c->count[chat]++] = publish(e, chat);
		else if (what < 70 && in_flight(e) > 0)
			answer(e, rnd_next(&rnd) % 3 == 0 ? 500 : 200);
		else if (what == 70)
			crash(e, (struct uuid){{0}});
		engine_wait(e, (int64_t)(rnd_next(&rnd) % 2));
		if (step % 16 == 0)
			check_chats(e, c);
	}
	size_t all = 0;
	for (int chat = 0; chat < CHATS_MAX; chat++)
		all += c->over[chat];
	assert_in_range(all, 100, 1000);
	assert_true(figures(e).retried > 0);
	free(c);
	end(e);
}

/* Makes all that is queued due at once, whatever its lane waits for. */
static void test_enabled_by_hand(void **state)
{
	(void)state;
	struct engine *e = start(16);
	e->retry = (struct retry_schedule){1, {HOUR_MS}};
	const struct dispatch_conf conf = engine_conf(e);
	dispatch_configure(e->dispatch, &conf);
	warm_up(e, 20);
	for (int chat = 1; chat <= 3; chat++) {
		(void)publish(e, chat);
		engine_wait(e, 0);
		answer_chat(e, chat, 500);
		settle(e);
		(void)publish(e, chat);
	}
	engine_wait(e, 1);
	assert_sent(e, "");
	change(e, stored_webhook(e), true);
	for (int n = 0; n < 6; n++) {
		engine_wait(e, 0);
		assert_true(in_flight(e) > 0);
		answer(e, 200);
		settle(e);
	}
	assert_int_equal(store_count(e->store, DB_QUEUE), 0);
	end(e);
}

/* What is too old in one lane goes many a turn, and holds up no other. */
static void test_expired(void **state)
{
	(void)state;
	struct engine *e = engine_new();
	struct webhook *w = engine_make(HOOK);
	set_key(w, "/data/chat");
	e->expiry.after_ms = 5;
	engine_add(e, w);
	engine_start(e);
	for (int n = 0; n < 100; n++)
		(void)publish(e, 1);
	edges.passed_ms += 6;
	struct uuid young = publish(e, 1);
	(void)publish(e, 2);
	int turns = 0;
	for (; !dispatch_is_in_flight(e->dispatch, HOOK, &young); turns++) {
		assert_in_range(turns, 0, 10);
		assert_int_equal(engine_turn(e), OK);
		if (in_flight(e) > 0 && !dispatch_is_in_flight(e->dispatch, HOOK, &young))
			answer(e, 200);
	}
	settle(e);
	assert_in_range(turns, 1, 3);
	assert_int_equal(figures(e).expired, 100);
	end(e);
}

/* By hand: one is cancelled, one hurried, and one that is over is sent again, at the end. */
static void test_by_hand(void **state)
{
	(void)state;
	struct engine *e = start(16);
	e->retry = (struct retry_schedule){1, {HOUR_MS}};
	const struct dispatch_conf conf = engine_conf(e);
	dispatch_configure(e->dispatch, &conf);
	warm_up(e, 20);
	struct uuid first = publish(e, 1);
	struct uuid second = publish(e, 1);
	struct uuid third = publish(e, 1);
	engine_wait(e, 0);
	answer_chat(e, 1, 500);
	settle(e);
	assert_sent(e, "");
	resend(e, first); /* it keeps its place */
	engine_wait(e, 0);
	assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &first));
	cancel(e, second);
	answer_chat(e, 1, 200);
	settle(e);
	assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &third));
	resend(e, first); /* it is over: behind the third */
	resend(e, second);
	assert_int_equal(engine_turn(e), OK);
	assert_sent(e, "1");
	cancel(e, third); /* under way: its lane is free when it has ended */
	assert_int_equal(engine_turn(e), OK);
	assert_sent(e, "1");
	answer_chat(e, 1, 200);
	settle(e);
	assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &first));
	answer_chat(e, 1, 200);
	settle(e);
	assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &second));
	end(e);
}

/* The ordering changes with some under way: nothing starts until what waits is in order. */
static void test_change_with_some_under_way(void **state)
{
	static const struct {
		const char *from, *to; /* pointers; NULL: none */
		bool fifo;             /* then */
		const char *sent;      /* when it is in order */
	} ROWS[] = {
	    {NULL, "/data/chat", false, "1 1 2"}, /* the lane waits for what is under way */
	    {"/data/chat", "/data", false, "1 2"},
	    {"/data/chat", "/event", false, "1 2"}, /* one lane for all, and two are there */
	    {"/data/chat", NULL, false, "1 1 1 2 2 2"},
	    {"/data/chat", NULL, true, "1 2"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct engine *e = start(16);
		struct ordering *o = ordering_new(e->jobs, e->registry, NULL, e->dispatch);
		warm_up(e, 20);
		if (ROWS[i].from == NULL) {
			struct webhook *w = stored_webhook(e);
			set_key(w, NULL);
			change(e, w, false);
			(void)publish(e, 1);
			(void)publish(e, 1);
			engine_wait(e, 0);
			assert_sent(e, "1 1");
			(void)publish(e, 1);
			(void)publish(e, 2);
		} else {
			for (int n = 0; n < 6; n++)
				(void)publish(e, 1 + n % 2);
			engine_wait(e, 0);
			assert_sent(e, "1 2");
		}
		struct webhook *w = stored_webhook(e);
		set_key(w, ROWS[i].to);
		w->fifo = ROWS[i].fifo;
		webhook_note_order(w, registry_get(e->registry, HOOK));
		assert_true(w->unordered != 0);
		change(e, w, false);
		ordering_add(o, HOOK);
		dispatch_pump(e->dispatch);
		assert_int_equal(in_flight(e), 2);
		settle(e);
		assert_sound(e);
		assert_int_equal(registry_get(e->registry, HOOK)->unordered, 0);
		assert_sent(e, ROWS[i].sent);
		while (in_flight(e) > 0) {
			answer(e, 200);
			settle(e);
		}
		assert_int_equal(store_count(e->store, DB_QUEUE), 0);
		end(e);
	}
}

/* The change is on disk and the server ends: the next start goes on with it. */
static void test_change_goes_on_behind_a_restart(void **state)
{
	(void)state;
	struct engine *e = start(16);
	for (int n = 0; n < 6; n++)
		(void)publish(e, 1 + n % 2);
	struct webhook *w = stored_webhook(e);
	set_key(w, NULL);
	webhook_note_order(w, registry_get(e->registry, HOOK));
	change(e, w, false);
	crash(e, (struct uuid){{0}});
	assert_sent(e, ""); /* not even without the job */
	(void)ordering_new(e->jobs, e->registry, NULL, e->dispatch);
	settle(e);
	engine_wait(e, 0);
	assert_true(in_flight(e) > 0);
	w = stored_webhook(e);
	assert_int_equal(w->unordered, 0);
	webhook_free(w);
	while (in_flight(e) > 0) {
		answer(e, 200);
		settle(e);
	}
	assert_int_equal(figures(e).delivered, 6);
	end(e);
}

/* A record that cannot be read is a dead letter at once, and its lane goes on. */
static void test_damaged(void **state)
{
	(void)state;
	struct engine *e = start(16);
	struct uuid first = publish(e, 1);
	(void)publish(e, 1);
	struct db_txn *txn = store_begin(e->store);
	assert_int_equal(db_put(txn, DB_DELIVERIES, uuid_slice(&first), SLICE("x")), OK);
	store_commit(txn);
	engine_wait(e, 0);
	settle(e);
	assert_int_equal(status_of(e, first), DELIVERY_DEAD);
	assert_sent(e, "1");
	answer(e, 200);
	settle(e);
	end(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lanes_at_once),
	    cmocka_unit_test(test_lanes_of_a_queue),
	    cmocka_unit_test(test_lane_is_busy_until_the_commit),
	    cmocka_unit_test(test_retry_holds_its_lane),
	    cmocka_unit_test(test_order_in_each_chat),
	    cmocka_unit_test(test_enabled_by_hand),
	    cmocka_unit_test(test_expired),
	    cmocka_unit_test(test_by_hand),
	    cmocka_unit_test(test_change_with_some_under_way),
	    cmocka_unit_test(test_change_goes_on_behind_a_restart),
	    cmocka_unit_test(test_damaged),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
