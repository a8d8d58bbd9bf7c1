/*
 * What tests do to an engine with webhook HOOK, from outside: they answer its attempts, and let
 * happen what may happen to a delivery meanwhile.
 */
#ifndef TESTS_ENGINE_ACTS_H
#define TESTS_ENGINE_ACTS_H

#include "engine.h"
#include "store/resend.h"

#define HOOK 1
#define HOUR_MS 3600000

static inline void assert_sound(struct engine *e)
{
	struct findings f;
	world_check(e->store, &f);
	if (f.result.findings > 0)
		fail_msg("%s", buf_cstr(&f.text));
	buf_fini(&f.text);
}

/* An engine, started, with webhook HOOK. */
static inline struct engine *begin(void)
{
	struct engine *e = engine_new();
	engine_add(e, engine_make(HOOK));
	engine_start(e);
	return e;
}

static inline void end(struct engine *e)
{
	assert_sound(e);
	engine_free(e);
}

static inline struct delivery delivery_of(struct engine *e, struct uuid id)
{
	struct delivery d;
	struct db_txn *txn = store_read(e->store);
	assert_int_equal(queue_get(txn, &id, &d), OK);
	db_read_end(txn);
	return d;
}

static inline enum delivery_status status_of(struct engine *e, struct uuid id)
{
	return delivery_of(e, id).status;
}

static inline size_t in_flight(const struct engine *e)
{
	return e->client->count;
}

/* Turns until nothing is left to be written. */
static inline void settle(struct engine *e)
{
	for (int n = 0; n == 0 || turn_staged(e->turn) > 0; n++) {
		assert_int_equal(engine_turn(e), OK);
		assert_true(n < 100);
	}
}

/* Answers the attempt that has been under way longest. */
static inline void answer(struct engine *e, int status)
{
	assert_true(in_flight(e) > 0);
	client_answer(TAILQ_FIRST(&e->client->active), status);
}

/* What is being sent to `url`, as text; "": nothing. */
static inline const char *sent_to(struct engine *e, const char *url)
{
	struct client_request *q = client_find(e->client, url);
	return q == NULL ? "" : buf_cstr(&q->text);
}

static inline struct dispatch_figures figures(const struct engine *e)
{
	struct dispatch_figures f;
	dispatch_figures(e->dispatch, &f);
	return f;
}

/* A copy of what is stored of webhook HOOK; to be changed, then handed to change(). */
static inline struct webhook *stored_webhook(struct engine *e)
{
	struct webhook *w = NULL;
	struct db_txn *txn = store_read(e->store);
	assert_int_equal(webhooks_get(txn, NULL, HOOK, &w), OK);
	db_read_end(txn);
	return w;
}

static inline void change(struct engine *e, struct webhook *w, bool enabled_now)
{
	struct db_txn *txn = store_begin(e->store);
	enum err err = w->deleted
	    ? webhooks_retire(txn, NULL, w)
	    : webhooks_change(txn, NULL, registry_get(e->registry, HOOK), w);
	assert_int_equal(err, OK);
	store_commit(txn);
	registry_set(e->registry, w);
	dispatch_changed(e->dispatch, HOOK, enabled_now);
}

/* What may happen to a delivery that is under way. */

static inline void cancel(struct engine *e, struct uuid id)
{
	struct delivery d = delivery_of(e, id);
	struct db_txn *txn = store_begin(e->store);
	assert_int_equal(resend_cancel(txn, SLICE("s"), &d, clock_wall_ms()), OK);
	store_commit(txn);
}

/* By hand, a little later: one that waits is due at once, one that is over waits anew. */
static inline void resend(struct engine *e, struct uuid id)
{
	edges.passed_ms++;
	struct delivery d = delivery_of(e, id);
	const struct webhook *w = registry_get(e->registry, HOOK);
	struct db_txn *txn = store_begin(e->store);
	assert_int_equal(resend_delivery(txn, SLICE("s"), &d, w, clock_wall_ms()), OK);
	store_commit(txn);
	struct queue_place place = queue_place_of(&d);
	dispatch_queued(e->dispatch, HOOK, &place);
}

static inline void replay(struct engine *e, struct uuid id)
{
	cancel(e, id);
	resend(e, id);
}

static inline void disable(struct engine *e, struct uuid id)
{
	struct webhook *w = stored_webhook(e);
	(void)id;
	webhook_set_enabled(w, "by hand");
	change(e, w, false);
}

/* Deletes its webhook, which is purged after the next commit. */
static inline void retire(struct engine *e, struct uuid id)
{
	struct webhook *w = stored_webhook(e);
	(void)id;
	w->deleted = true;
	change(e, w, false);
}

static inline void purge(struct engine *e, struct uuid id)
{
	retire(e, id);
	settle(e);
}

static inline void crash(struct engine *e, struct uuid id)
{
	(void)id;
	engine_end(e);
	engine_start(e);
	engine_wait(e, 0);
}

static inline void fill_store(struct engine *e, struct uuid id)
{
	(void)id;
	dispatch_keep_attempts(e->dispatch, false);
}

/* Until run() mends it. */
static inline void break_disk(struct engine *e, struct uuid id)
{
	(void)e;
	(void)id;
	edges.disk_fails = true;
}

#endif
