/*
 * The engine over time, on a store that fails and with webhooks that change: the order of what
 * it sends, what it keeps in memory and for how long, and when it waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "engine_acts.h"

#define LANDED_MAX 1024 /* as in flight.c: outcomes in memory while nothing can be written */
#define BODY_KEPT_MAX (64u << 10) /* as there: a larger body is read as it is sent */

/* Turns when there is something to do, for so long; each attempt takes a millisecond. */
static void live(struct engine *e, int64_t ms, int status)
{
	int64_t until_ms = edges.passed_ms + ms;
	while (edges.passed_ms < until_ms) {
		settle(e);
		int64_t left_ms = until_ms - edges.passed_ms;
		int64_t wait_ms = in_flight(e) > 0 ? 1 : dispatch_delay(e->dispatch);
		edges.passed_ms += wait_ms < 0 || wait_ms > left_ms ? left_ms : wait_ms;
		while (in_flight(e) > 0)
			answer(e, status);
	}
	settle(e);
}

/* Order, slots and the disk. */

/* The next attempt of another kind has its slot; it itself is not sent again. */
static void test_landed(void **state)
{
	(void)state;
	struct engine *e = begin();
	struct uuid first = engine_publish(e, HOOK, 1, 10);
	struct uuid second = engine_publish(e, HOOK, 1, 10);
	engine_wait(e, 0);
	edges.disk_fails = true;
	answer(e, 200);
	assert_int_equal(engine_turn(e), ERR_STORE);
	assert_true(turn_may_wait(e->turn));
	assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &first));
	assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &second));
	assert_int_equal(dispatch_in_flight(e->dispatch), 1);
	edges.disk_fails = false;
	resend(e, first); /* claims start over from the front */
	dispatch_pump(e->dispatch);
	assert_int_equal(e->client->sent, 2);
	settle(e);
	assert_false(dispatch_is_in_flight(e->dispatch, HOOK, &first));
	assert_int_equal(status_of(e, first), DELIVERY_DELIVERED);
	assert_int_equal(status_of(e, second), DELIVERY_WAITING);
	end(e);
}

/* Not so where the next attempt depends on what is to be written. */
static void test_not_landed(void **state)
{
	static const struct {
		int status;
		int64_t failing_since_ms;
	} CASES[] = {{500, 0}, {NO_ANSWER, 0}, {410, 0}, {200, 1}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct engine *e = engine_new();
		struct webhook *w = engine_make(HOOK);
		w->failing_since_ms = CASES[i].failing_since_ms;
		engine_add(e, w);
		engine_start(e);
		(void)engine_publish(e, HOOK, 2, 10);
		engine_wait(e, 0);
		edges.disk_fails = true;
		answer(e, CASES[i].status);
		assert_int_equal(engine_turn(e), ERR_STORE);
		assert_false(turn_may_wait(e->turn));
		assert_int_equal(e->client->sent, 1);
		assert_int_equal(dispatch_in_flight(e->dispatch), 1);
		edges.disk_fails = false;
		settle(e);
		assert_int_equal(e->client->sent, CASES[i].status == 410 ? 1 : 2);
		end(e);
	}
}

/* One that was replayed while it is under way, and that claims have passed by, is sent anew. */
static void test_replayed(void **state)
{
	(void)state;
	struct engine *e = begin();
	(void)engine_publish(e, HOOK, 1, 10);
	live(e, 10, 200); /* there may be two now */
	struct uuid id = engine_publish(e, HOOK, 1, 10);
	engine_wait(e, 0);
	replay(e, id);
	dispatch_pump(e->dispatch);
	assert_int_equal(e->client->sent, 2);
	answer(e, 200);
	settle(e);
	assert_int_equal(e->client->sent, 3);
	assert_int_equal(status_of(e, id), DELIVERY_WAITING);
	answer(e, 200);
	settle(e);
	assert_int_equal(status_of(e, id), DELIVERY_DELIVERED);
	end(e);
}

/* One after the other, each when the one before is over on disk, whatever became of it. */
static void test_fifo(void **state)
{
	static const int ANSWERS[] = {500, 200, 500, 500, 500, 500, 200};
	static const enum delivery_status WANT[] = {DELIVERY_DELIVERED, DELIVERY_DEAD,
	    DELIVERY_DELIVERED};
	(void)state;
	struct engine *e = engine_new();
	struct webhook *w = engine_make(HOOK);
	struct uuid ids[COUNT(WANT)];
	w->fifo = true;
	engine_add(e, w);
	engine_start(e);
	for (size_t n = 0; n < COUNT(WANT); n++)
		ids[n] = engine_publish(e, HOOK, 1, 10);
	size_t turn = 0;
	for (size_t i = 0; i < COUNT(ANSWERS); i++) {
		engine_wait(e, 3); /* the longest of the schedule */
		assert_int_equal(e->client->sent, i + 1);
		assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &ids[turn]));
		edges.disk_fails = true;
		answer(e, ANSWERS[i]);
		for (int failures = 0; failures < 3; failures++) {
			assert_int_equal(engine_turn(e), ERR_STORE);
			assert_false(turn_may_wait(e->turn));
			assert_int_equal(in_flight(e), 0);
			assert_int_equal(dispatch_in_flight(e->dispatch), 1);
		}
		edges.disk_fails = false;
		settle(e);
		turn += status_of(e, ids[turn]) != DELIVERY_WAITING;
	}
	for (size_t n = 0; n < COUNT(WANT); n++)
		assert_int_equal(status_of(e, ids[n]), WANT[n]);
	end(e);
}

/* While nothing can be written, outcomes are kept in memory, up to a number. */
static void test_store_fails_for_long(void **state)
{
	(void)state;
	struct engine *e = engine_new();
	struct webhook *w = engine_make(HOOK);
	w->max_in_flight = 1;
	engine_add(e, w);
	engine_start(e);
	(void)engine_publish(e, HOOK, LANDED_MAX + 50, 10);
	engine_wait(e, 0);
	edges.disk_fails = true;
	for (size_t n = 1; n <= LANDED_MAX + 1; n++) {
		assert_int_equal(e->client->sent, n);
		answer(e, 200);
		client_reap(e->client);
		assert_int_equal(turn_staged(e->turn), n);
		dispatch_pump(e->dispatch);
	}
	assert_int_equal(in_flight(e), 0);
	assert_int_equal(engine_turn(e), ERR_STORE);
	assert_int_equal(in_flight(e), 0);
	assert_int_equal(figures(e).delivered, 0);
	edges.disk_fails = false;
	settle(e);
	assert_int_equal(in_flight(e), 1);
	assert_int_equal(figures(e).delivered, LANDED_MAX + 1);
	assert_int_equal(e->client->sent, LANDED_MAX + 2);
	end(e);
}

/* What has expired is dropped so many a turn, and takes nobody's turn or slot. */
static void test_expired(void **state)
{
	(void)state;
	struct engine *e = engine_new();
	e->expiry.after_ms = HOUR_MS;
	engine_add(e, engine_make(HOOK));
	engine_add(e, engine_make(2));
	engine_start(e);
	(void)engine_publish(e, HOOK, 300, 10);
	edges.passed_ms = HOUR_MS + 1;
	(void)engine_publish(e, 2, 1, 10);
	dispatch_pump(e->dispatch);
	assert_int_equal(turn_staged(e->turn), 128);
	assert_non_null(engine_request(e, 2));
	dispatch_pump(e->dispatch);
	assert_int_equal(turn_staged(e->turn), 128);
	settle(e);
	assert_int_equal(figures(e).expired, 300);
	assert_int_equal(e->client->sent, 1);
	assert_int_equal(store_count(e->store, DB_ATTEMPTS), 0);
	end(e);
}

static void test_rate(void **state)
{
	(void)state;
	struct engine *e = engine_new();
	struct webhook *w = engine_make(HOOK);
	w->rate_limit = 2;
	engine_add(e, w);
	engine_start(e);
	(void)engine_publish(e, HOOK, 100, 10);
	for (size_t s = 1; s <= 10; s++) {
		live(e, 1000, 200);
		assert_in_range(e->client->sent, 2 * s - 1, 2 * s + 1);
	}
	end(e);
}

static const char *circuit(const struct engine *e)
{
	struct dispatch_status status;
	assert_true(dispatch_status(e->dispatch, HOOK, &status));
	return status.circuit;
}

/* After so many failures nothing is tried but a probe now and then. */
static void test_circuit(void **state)
{
	(void)state;
	struct engine *e = engine_new();
	e->sched.circuit_failures = 3;
	e->retry.count = RETRY_STEPS_MAX; /* all but the first at once */
	engine_add(e, engine_make(HOOK));
	engine_start(e);
	(void)engine_publish(e, HOOK, 10, 10);
	live(e, 1000, 500);
	assert_int_equal(e->client->sent, 3);
	assert_string_equal(circuit(e), "open");
	assert_int_equal(figures(e).open, 1);
	live(e, HOUR_MS, 500);
	size_t probes = e->client->sent - 3;
	assert_in_range(probes, 2, 60);
	assert_int_equal(in_flight(e), 0);
	engine_wait(e, dispatch_delay(e->dispatch));
	assert_string_equal(circuit(e), "half_open");
	engine_wait(e, 1000);
	assert_int_equal(in_flight(e), 1);
	live(e, 1000, 200);
	assert_string_equal(circuit(e), "closed");
	assert_int_equal(store_count(e->store, DB_QUEUE), 0);
	end(e);
}

/* One that failed before a restart fails on: one failure more, and its circuit is open. */
static void test_circuit_behind_a_restart(void **state)
{
	(void)state;
	struct engine *e = engine_new();
	e->sched.circuit_failures = 3;
	engine_add(e, engine_make(HOOK));
	engine_start(e);
	(void)engine_publish(e, HOOK, 5, 10);
	live(e, 1000, 500);
	assert_string_equal(circuit(e), "open");
	engine_end(e);
	engine_start(e);
	assert_string_equal(circuit(e), "closed");
	live(e, 1000, 500);
	assert_string_equal(circuit(e), "open");
	assert_int_equal(e->client->sent, 1);
	end(e);
}

/* By hand it is mended: what waits for its time is due, once. */
static void test_enabled_by_hand(void **state)
{
	(void)state;
	struct engine *e = engine_new();
	e->retry = (struct retry_schedule){2, {HOUR_MS, HOUR_MS}};
	engine_add(e, engine_make(HOOK));
	engine_start(e);
	(void)engine_publish(e, HOOK, 5, 10);
	live(e, 1000, 500);
	assert_int_equal(e->client->sent, 5);
	disable(e, (struct uuid){{0}});
	live(e, HOUR_MS / 2, 500);
	assert_int_equal(e->client->sent, 5);
	struct webhook *w = stored_webhook(e);
	webhook_set_enabled(w, NULL);
	change(e, w, true);
	live(e, 1000, 500);
	assert_int_equal(e->client->sent, 10);
	live(e, HOUR_MS / 2, 500);
	assert_int_equal(e->client->sent, 10);
	end(e);
}

/* Rows of webhook `number` that are due in an hour, and were put off only a moment from now. */
static void add_deferred(struct engine *e, uint64_t number, uint64_t count)
{
	struct db_txn *txn = store_begin(e->store);
	for (uint64_t n = 1; n <= count; n++) {
		struct delivery d = make_delivery(number, n, clock_wall_ms() + HOUR_MS);
		d.queued_ms = clock_wall_ms() + 1000;
		assert_int_equal(queue_add(txn, &d), OK);
	}
	store_commit(txn);
}

/* Who looks at very many rows and finds none due lets the others start in between. */
static void test_claims_that_pass_many(void **state)
{
	enum { ROWS = 3000 };
	(void)state;
	struct engine *e = engine_new();
	engine_add(e, engine_make(HOOK));
	engine_add(e, engine_make(HOOK + 1));
	add_deferred(e, HOOK, ROWS);
	engine_start(e);
	change(e, stored_webhook(e), true); /* is enabled */
	(void)engine_publish(e, HOOK + 1, 3, 10);
	assert_int_equal(engine_turn(e), OK);
	assert_non_null(engine_request(e, HOOK + 1)); /* in the turn in which it is due */
	assert_null(engine_request(e, HOOK));
	live(e, 1000, 200);
	assert_int_equal(e->client->sent, 3);
	engine_free(e); /* not end(), which wants an event of each row */
}

/* A deleted webhook's queue goes in slices, and the others' attempts in between. */
static void test_purge(void **state)
{
	(void)state;
	struct engine *e = begin();
	engine_add(e, engine_make(2));
	(void)engine_publish(e, HOOK, 2500, 10);
	engine_wait(e, 0);
	assert_int_equal(in_flight(e), 1);
	retire(e, (struct uuid){{0}});
	engine_wait(e, 0); /* stages the first */
	for (size_t left = 2500; left > 0; left -= left < 1000 ? left : 1000) {
		assert_int_equal(backlog_of(e->store->backlog, HOOK), left);
		(void)engine_publish(e, 2, 1, 10);
		engine_wait(e, 0);
		assert_non_null(engine_request(e, 2));
		client_answer(engine_request(e, 2), 200);
		client_reap(e->client);
	}
	settle(e);
	assert_int_equal(purge_cancelled(e->purge), 2500);
	assert_null(registry_get(e->registry, HOOK));
	assert_int_equal(store_count(e->store, DB_WEBHOOKS), 1);
	assert_int_equal(store_count(e->store, DB_QUEUE), 0);
	end(e); /* its attempt is under way still */
}

/* Nothing starts any more, what is under way ends as ever. */
static void test_stop(void **state)
{
	(void)state;
	struct engine *e = begin();
	engine_add(e, engine_make(2));
	struct uuid first = engine_publish(e, HOOK, 1, 10);
	struct uuid second = engine_publish(e, HOOK, 1, 10);
	engine_wait(e, 0);
	dispatch_stop(e->dispatch);
	(void)engine_publish(e, 2, 1, 10);
	engine_wait(e, HOUR_MS);
	assert_int_equal(e->client->sent, 1);
	assert_int_equal(dispatch_delay(e->dispatch), -1);
	assert_int_equal(dispatch_in_flight(e->dispatch), 1);
	answer(e, 200);
	settle(e);
	assert_int_equal(dispatch_in_flight(e->dispatch), 0);
	assert_int_equal(e->client->sent, 1);
	assert_int_equal(status_of(e, first), DELIVERY_DELIVERED);
	assert_int_equal(status_of(e, second), DELIVERY_WAITING);
	end(e);
}

/* The session's other webhooks hear that one was disabled; it itself does not. */
static void test_notice(void **state)
{
	(void)state;
	struct engine *e = begin();
	engine_add(e, engine_make(2));
	(void)engine_publish(e, HOOK, 1, 10);
	engine_wait(e, 0);
	edges.disk_fails = true;
	answer(e, 410);
	assert_int_equal(engine_turn(e), ERR_STORE);
	assert_true(registry_get(e->registry, HOOK)->enabled);
	edges.disk_fails = false;
	engine_wait(e, HOUR_MS);
	assert_false(registry_get(e->registry, HOOK)->enabled);
	assert_int_equal(in_flight(e), 1);
	assert_non_null(
	    strstr(sent_to(e, "http://host2/"), "X-Webhook-Event: webhook.disabled\n"));
	assert_non_null(strstr(sent_to(e, "http://host2/"), "410 Gone"));
	end(e);
}

/* Takes a piece out of an event: its head and the rest are there still. */
static void lose_piece(struct engine *e, struct uuid event, uint8_t piece)
{
	char key[UUID_SIZE + 2] = {0};
	struct db_txn *txn = store_begin(e->store);
	memcpy(key, event.bytes, UUID_SIZE);
	key[UUID_SIZE + 1] = (char)piece;
	assert_int_equal(db_del(txn, DB_EVENTS, (struct slice){key, sizeof(key)}), OK);
	store_commit(txn);
}

/* An event that cannot be read: its delivery is dead, and no attempt of it counts. */
static void test_unreadable_event(void **state)
{
	(void)state;
	for (uint8_t piece = 0; piece <= 2; piece++) {
		struct engine *e = begin();
		struct dispatch_status status;
		struct uuid lost = engine_publish(e, HOOK, 1, 10000);
		struct uuid next = engine_publish(e, HOOK, 1, 10000);
		lose_piece(e, delivery_of(e, lost).event_id, piece);
		settle(e);
		assert_int_equal(e->client->sent, 1);
		assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &next));
		assert_int_equal(delivery_of(e, lost).attempts, 0);
		assert_int_equal(delivery_of(e, lost).status, DELIVERY_DEAD);
		assert_int_equal(store_count(e->store, DB_DEAD), 1);
		assert_int_equal(store_count(e->store, DB_ATTEMPTS), 0);
		assert_true(dispatch_status(e->dispatch, HOOK, &status));
		assert_int_equal(status.failures, 0);
		engine_free(e);
	}
}

/* A record that is damaged or gone: the same, and its event is found by the id. */
static void test_unreadable_delivery(void **state)
{
	(void)state;
	for (int gone = 0; gone <= 1; gone++) {
		struct engine *e = begin();
		struct uuid lost = engine_publish(e, HOOK, 1, 10);
		struct uuid event = delivery_of(e, lost).event_id;
		struct db_txn *txn = store_begin(e->store);
		struct slice key = uuid_slice(&lost);
		enum err err = gone != 0
		    ? db_del(txn, DB_DELIVERIES, key)
		    : db_put(txn, DB_DELIVERIES, key, SLICE("no delivery"));
		assert_int_equal(err, OK);
		store_commit(txn);
		struct uuid next = engine_publish(e, HOOK, 1, 10);
		settle(e);
		assert_int_equal(e->client->sent, 1);
		assert_true(dispatch_is_in_flight(e->dispatch, HOOK, &next));
		assert_int_equal(delivery_of(e, lost).status, DELIVERY_DEAD);
		const struct uuid found = delivery_of(e, lost).event_id;
		assert_true(uuid_eq(&found, &event));
		assert_int_equal(store_count(e->store, DB_DEAD), 1);
		assert_int_equal(store_count(e->store, DB_ATTEMPTS), 0);
		engine_free(e);
	}
}

/* Bodies. */

#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

/* What is taken of the heap. */
static size_t heap_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __sanitizer_get_current_allocated_bytes();
#else
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
#endif
}

static void assert_body(const char *bytes, size_t count)
{
	for (size_t at = 0; at < count; at++)
		assert_int_equal(bytes[at], body_at(at));
}

/* Up to a size it is there when it is sent; a larger one is asked for, and is the event's. */
static void test_body(void **state)
{
	static const size_t BYTES[] = {1, BODY_KEPT_MAX, BODY_KEPT_MAX + 1, 1000000};
	(void)state;
	for (size_t i = 0; i < COUNT(BYTES); i++) {
		struct engine *e = begin();
		struct buf body = BUF_INIT(BYTES[i]);
		struct uuid id = engine_publish(e, HOOK, 1, BYTES[i]);
		engine_wait(e, 0);
		struct client_request *q = TAILQ_FIRST(&e->client->active);
		assert_int_equal(q->body.text.len, BYTES[i]);
		assert_int_equal(q->body.read != NULL, BYTES[i] > BODY_KEPT_MAX);
		if (q->body.read != NULL)
			assert_true(client_ask(q, &body));
		else
			buf_slice(&body, q->body.text);
		assert_int_equal(body.len, BYTES[i]);
		assert_body(body.data, body.len);
		buf_fini(&body);
		answer(e, 200);
		settle(e);
		assert_int_equal(status_of(e, id), DELIVERY_DELIVERED);
		end(e);
	}
}

/* Of large bodies few start in a turn, as each is signed; the next turn goes on at once. */
static void test_large_bodies_start_by_turns(void **state)
{
	enum { HOOKS = 8, BYTES = 1 << 20 };
	(void)state;
	struct engine *e = engine_new();
	for (uint64_t number = 1; number <= HOOKS; number++)
		engine_add(e, engine_make(number));
	engine_start(e);
	for (uint64_t number = 1; number <= HOOKS; number++)
		(void)engine_publish(e, number, 1, BYTES);
	dispatch_pump(e->dispatch);
	assert_int_equal(dispatch_in_flight(e->dispatch), 2);
	assert_int_equal(dispatch_delay(e->dispatch), 0);
	dispatch_pump(e->dispatch);
	assert_int_equal(dispatch_in_flight(e->dispatch), 4);
	end(e);
}

/* However many large bodies are being sent, memory has none of them. */
static void test_large_bodies_are_not_kept(void **state)
{
	enum { HOOKS = 50, BYTES = 200000 };
	(void)state;
	struct engine *e = engine_new();
	for (uint64_t number = 1; number <= HOOKS; number++)
		engine_add(e, engine_make(number));
	engine_start(e);
	(void)engine_publish(e, 0, 1, BYTES);
	size_t before = heap_bytes();
	for (int turn = 0; turn < HOOKS && in_flight(e) < HOOKS; turn++)
		engine_wait(e, 0); /* a few a turn */
	assert_int_equal(in_flight(e), HOOKS);
	assert_true(heap_bytes() < before + 5 * (size_t)BYTES);
	client_answer(engine_request(e, HOOK), 500); /* and so the second time */
	settle(e);
	engine_wait(e, 1);
	assert_int_equal(e->client->sent, HOOKS + 1);
	assert_true(heap_bytes() < before + 5 * (size_t)BYTES);
	end(e);
}

/* One that cannot be read any more while it is sent ends there, and its attempt may. */
static void test_large_body_is_lost(void **state)
{
	(void)state;
	struct engine *e = begin();
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	struct uuid id = engine_publish(e, HOOK, 1, 2 * BODY_KEPT_MAX);
	engine_wait(e, 0);
	lose_piece(e, delivery_of(e, id).event_id, 10);
	assert_false(client_ask(engine_request(e, HOOK), &body));
	assert_true(body.len < 2 * BODY_KEPT_MAX);
	assert_body(body.data, body.len);
	buf_fini(&body);
	answer(e, NO_ANSWER);
	settle(e);
	assert_int_equal(status_of(e, id), DELIVERY_WAITING);
	assert_int_equal(delivery_of(e, id).attempts, 1);
	engine_free(e);
}

/* Webhooks that change. */

/* Keys that were freed; OpenSSL wipes them. */
static unsigned keys_freed;

void EVP_MAC_CTX_free(EVP_MAC_CTX *ctx)
{
	void (*libcrypto)(EVP_MAC_CTX *);
	*(void **)&libcrypto = dlsym(RTLD_NEXT, "EVP_MAC_CTX_free");
	keys_freed += ctx != NULL;
	libcrypto(ctx);
}

/* The signature of what is being sent to `url`. */
static void get_signature(struct engine *e, const char *url, char out[100])
{
	static const char NAME[] = "X-Webhook-Signature: ";
	const char *found = strstr(sent_to(e, url), NAME);
	assert_non_null(found);
	(void)snprintf(out, 100, "%.*s", (int)strcspn(found, "\n"), found);
}

/* The next attempt goes to its new URL, signed with its new secret, when that host has room. */
static void test_changed(void **state)
{
	(void)state;
	char before[100];
	char behind[100];
	struct engine *e = engine_new();
	e->sched.per_host = 1;
	struct webhook *w = engine_make(HOOK);
	webhook_set(&w->secret, "first");
	engine_add(e, w);
	engine_add(e, engine_make(2));
	engine_start(e);
	(void)engine_publish(e, 0, 1, 10);
	engine_wait(e, 0);
	get_signature(e, "http://host1/", before);
	w = stored_webhook(e);
	webhook_set(&w->secret, "second");
	webhook_set(&w->url, "http://host2/elsewhere");
	change(e, w, false);
	client_answer(engine_request(e, HOOK), 500);
	settle(e);
	engine_wait(e, 1);
	assert_int_equal(e->client->sent, 2);
	client_answer(engine_request(e, 2), 200);
	settle(e);
	get_signature(e, "http://host2/elsewhere", behind);
	assert_string_not_equal(before, behind);
	end(e);
}

/* What was to be purged when the process ended is purged by the next. */
static void test_purged_behind_a_restart(void **state)
{
	(void)state;
	struct engine *e = begin();
	struct uuid id = engine_publish(e, HOOK, 1, 10);
	retire(e, id);
	engine_end(e);
	engine_start(e);
	settle(e);
	assert_null(registry_get(e->registry, HOOK));
	assert_int_equal(status_of(e, id), DELIVERY_CANCELLED);
	assert_int_equal(e->client->sent, 0);
	end(e);
}

/* A deleted webhook's keys are forgotten at once, though its endpoint may stay for long. */
static void test_deleted_keys_are_forgotten(void **state)
{
	(void)state;
	struct engine *e = begin();
	struct webhook *w = stored_webhook(e);
	webhook_set(&w->secret, "first");
	webhook_rotate_secret(w, "second", clock_wall_ms() + HOUR_MS);
	change(e, w, false);
	(void)engine_publish(e, HOOK, 1, 10);
	engine_wait(e, 0);
	keys_freed = 0;
	retire(e, (struct uuid){{0}});
	assert_int_equal(keys_freed, 4); /* of two secrets, two each */
	assert_null(registry_get(e->registry, HOOK)->secret);
	assert_null(registry_get(e->registry, HOOK)->previous_secret);
	answer(e, 500); /* and are not made again */
	engine_wait(e, HOUR_MS);
	assert_int_equal(e->client->sent, 1);
	end(e);
}

static void count_endpoint(void *arg, const struct dispatch_trouble *t)
{
	(void)t;
	++*(size_t *)arg;
}

/* Of webhooks without work a number is remembered; one that was not comes back with work. */
static void test_endpoints_without_work(void **state)
{
	enum { HOOKS = 1030, IDLE_MAX = 1024 };
	(void)state;
	struct engine *e = engine_new();
	struct db_txn *txn = store_begin(e->store);
	size_t count = 0;
	for (uint64_t number = 1; number <= HOOKS; number++) {
		struct webhook *w = engine_make(number);
		assert_int_equal(webhooks_add(txn, NULL, w), OK);
		registry_set(e->registry, w);
	}
	store_commit(txn);
	engine_start(e);
	(void)engine_publish(e, 0, 1, 10);
	dispatch_each(e->dispatch, count_endpoint, &count);
	assert_int_equal(count, HOOKS);
	live(e, 1000, 200);
	assert_int_equal(e->client->sent, HOOKS);
	count = 0;
	dispatch_each(e->dispatch, count_endpoint, &count);
	assert_int_equal(count, IDLE_MAX);
	(void)engine_publish(e, 0, 1, 10);
	live(e, 1000, 200);
	assert_int_equal(e->client->sent, 2 * HOOKS);
	end(e);
}

static bool can_read_event(struct engine *e, struct uuid id)
{
	struct event event;
	struct db_txn *txn = store_read(e->store);
	enum err err = events_get(txn, &id, &event, NULL);
	db_read_end(txn);
	return err == OK;
}

static bool can_read_queue(struct engine *e, struct uuid id)
{
	struct delivery d;
	struct db_txn *txn = store_read(e->store);
	enum err err = queue_get(txn, &id, &d);
	db_read_end(txn);
	return err == OK || err == ERR_CORRUPT; /* a record that was spoilt */
}

/* Overwrites the page with the delivery's event; returns where, and what it had. */
static off_t damage_event(struct engine *e, struct uuid id, struct uuid event_id,
    char page[STORE_PAGE_BYTES])
{
	static const char NOTHING[STORE_PAGE_BYTES];
	int fd = store_file(e->store);
	off_t size = lseek(fd, 0, SEEK_END);
	off_t at = STORE_META_PAGES * (off_t)STORE_PAGE_BYTES;
	for (; at < size; at += STORE_PAGE_BYTES) {
		assert_int_equal(pread(fd, page, STORE_PAGE_BYTES, at), STORE_PAGE_BYTES);
		store_put_page(fd, at, NOTHING);
		if (can_read_queue(e, id) && !can_read_event(e, event_id))
			break;
		store_put_page(fd, at, page);
	}
	assert_true(at < size);
	assert_int_equal(close(fd), 0);
	return at;
}

/* An event that cannot be read now waits, as due as it was, until it can be. */
static void test_event_cannot_be_read_now(void **state)
{
	(void)state;
	for (int damaged = 0; damaged <= 1; damaged++) {
		char page[STORE_PAGE_BYTES];
		struct engine *e = begin();
		struct uuid id = engine_publish(e, HOOK, 1, 10);
		struct uuid event_id = delivery_of(e, id).event_id;
		if (damaged) {
			struct db_txn *txn = store_begin(e->store);
			assert_int_equal(db_put(txn, DB_DELIVERIES, uuid_slice(&id),
					     SLICE("no delivery")),
			    OK);
			store_commit(txn);
		}
		off_t at = damage_event(e, id, event_id, page);
		for (int n = 0; n < 3; n++) {
			engine_wait(e, n == 0 ? 0 : 1000);
			assert_int_equal(dispatch_in_flight(e->dispatch), 0);
			assert_int_equal(dispatch_delay(e->dispatch), 1000);
			assert_int_equal(turn_staged(e->turn), 0);
		}
		int fd = store_file(e->store);
		store_put_page(fd, at, page);
		assert_int_equal(close(fd), 0);
		engine_end(e); /* a store that was damaged is written by a new process alone */
		store_reopen(e->store);
		engine_start(e);
		live(e, 2000, 200);
		assert_int_equal(e->client->sent, damaged ? 0 : 1);
		assert_int_equal(status_of(e, id),
		    damaged ? DELIVERY_DEAD : DELIVERY_DELIVERED);
		end(e);
	}
}

/* Others, whose events can be read, have their turn meanwhile. */
static void test_unreadable_event_holds_up_no_other(void **state)
{
	(void)state;
	char page[STORE_PAGE_BYTES];
	struct engine *e = begin();
	engine_add(e, engine_make(2));
	engine_add(e, engine_make(3));
	struct uuid id = engine_publish(e, HOOK, 1, 10);
	struct uuid event_id = delivery_of(e, id).event_id;
	(void)engine_publish(e, 2, 100, 10); /* more than a page has room for */
	struct uuid other = engine_publish(e, 3, 1, 10);
	struct uuid other_event = delivery_of(e, other).event_id;
	(void)damage_event(e, id, event_id, page);
	assert_true(can_read_event(e, other_event));
	for (int n = 0; n < 4; n++)
		engine_wait(e, 1000);
	assert_non_null(engine_request(e, 3));
	assert_null(engine_request(e, HOOK));
	engine_free(e);
}

/* What others lack too stops all for a moment; what one alone lacks puts that one off. */
static void test_shortages(void **state)
{
	static const struct {
		enum shortage of;
		bool all_wait;
	} ROWS[] = {{SHORT_OF_DESCRIPTORS, true}, {SHORT_OF_MEMORY, true},
	    {SHORT_OF_RESOLVER, false}, {SHORT_OF_PORTS, false}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct client_result lacks = {.error = "", .shortage = ROWS[i].of};
		struct engine *e = begin();
		engine_add(e, engine_make(2));
		struct uuid id = engine_publish(e, HOOK, 1, 10);
		engine_wait(e, 0);
		client_end(engine_request(e, HOOK), &lacks);
		(void)engine_publish(e, 2, 1, 10);
		engine_wait(e, 0);
		assert_null(engine_request(e, HOOK));
		assert_int_equal(engine_request(e, 2) == NULL, ROWS[i].all_wait);
		assert_int_equal(figures(e).shortages[ROWS[i].of], 1);
		assert_in_range(dispatch_delay(e->dispatch), 1, 1000);
		engine_wait(e, dispatch_delay(e->dispatch));
		assert_non_null(engine_request(e, HOOK));
		assert_int_equal(delivery_of(e, id).attempts, 0);
		live(e, 10, 200);
		assert_int_equal(status_of(e, id), DELIVERY_DELIVERED);
		end(e);
	}
}

/* On a store that cannot be read it waits, it does not spin. */
static void test_unreadable_queue(void **state)
{
	(void)state;
	struct engine *e = begin();
	(void)engine_publish(e, HOOK, 1, 10);
	assert_int_equal(dispatch_delay(e->dispatch), 0);
	store_damage(e->store);
	dispatch_pump(e->dispatch);
	assert_int_equal(dispatch_in_flight(e->dispatch), 0);
	assert_int_equal(dispatch_delay(e->dispatch), 1000);
	edges.passed_ms += 999;
	assert_int_equal(dispatch_delay(e->dispatch), 1);
	engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_landed),
	    cmocka_unit_test(test_not_landed),
	    cmocka_unit_test(test_replayed),
	    cmocka_unit_test(test_fifo),
	    cmocka_unit_test(test_store_fails_for_long),
	    cmocka_unit_test(test_expired),
	    cmocka_unit_test(test_rate),
	    cmocka_unit_test(test_circuit),
	    cmocka_unit_test(test_circuit_behind_a_restart),
	    cmocka_unit_test(test_enabled_by_hand),
	    cmocka_unit_test(test_claims_that_pass_many),
	    cmocka_unit_test(test_purge),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_notice),
	    cmocka_unit_test(test_unreadable_event),
	    cmocka_unit_test(test_unreadable_delivery),
	    cmocka_unit_test(test_body),
	    cmocka_unit_test(test_large_bodies_start_by_turns),
	    cmocka_unit_test(test_large_bodies_are_not_kept),
	    cmocka_unit_test(test_large_body_is_lost),
	    cmocka_unit_test(test_changed),
	    cmocka_unit_test(test_purged_behind_a_restart),
	    cmocka_unit_test(test_deleted_keys_are_forgotten),
	    cmocka_unit_test(test_endpoints_without_work),
	    cmocka_unit_test(test_event_cannot_be_read_now),
	    cmocka_unit_test(test_unreadable_event_holds_up_no_other),
	    cmocka_unit_test(test_shortages),
	    cmocka_unit_test(test_unreadable_queue),
	};
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* the failures are ours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
