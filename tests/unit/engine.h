/*
 * An engine in the test's hand: the dispatcher and the purge over a real store, their edges as
 * edges.h and edge_client.h have them. What the loop would do once a turn is engine_turn().
 */
#ifndef TESTS_ENGINE_H
#define TESTS_ENGINE_H

#include <stdio.h>
#include <string.h>

#include "dispatch/dispatch.h"
#include "edge_client.h"
#include "edge_identity.h"
#include "edges.h"
#include "jobs/purge.h"
#include "store/events.h"
#include "store/publication.h"
#include "store/schema.h"
#include "store/webhooks.h"
#include "support.h"
#include "world.h"

#define URL_SIZE 64

struct engine {
	struct store *store;
	struct turn *turn;
	struct registry *registry;
	struct client *client;
	struct dispatch *dispatch;
	struct jobs *jobs; /* the purge, and what a test adds */
	struct purge *purge;
	struct rnd rnd;
	struct idgen ids;
	/* how it is told to be, for engine_start() and engine_configure() */
	struct retry_schedule retry;
	struct expiry expiry; /* of all events that a test publishes; none: 0 */
	struct sched_conf sched;
};

/* The one place that knows how a dispatcher is put together. */
static inline struct dispatch_conf engine_conf(struct engine *e)
{
	return (struct dispatch_conf){.db = e->store->db,
	    .turn = e->turn,
	    .registry = e->registry,
	    .client = e->client,
	    .judge = {.retry = &e->retry,
		.expiries = &e->expiry,
		.expiry_count = e->expiry.after_ms > 0 ? 1 : 0,
		.circuit_failures = e->sched.circuit_failures,
		.disable_after_ms = 5LL * 24 * 3600 * 1000,
		.registry = e->registry,
		.rnd = &e->rnd,
		.ids = &e->ids},
	    .sched = e->sched};
}

/* Makes an engine that is not started, with a store of its own where nothing is full. */
static inline struct engine *engine_new(void)
{
	struct problem p;
	struct engine *e = mem_new(sizeof(*e));
	memset(&edges, 0, sizeof(edges));
	e->store = store_new(STORE_MAP_BYTES);
	assert_int_equal(schema_migrate(e->store->db, &p), OK);
	rnd_seed(&e->rnd, 1);
	idgen_init(&e->ids, &e->rnd);
	e->registry = registry_new();
	e->retry = (struct retry_schedule){3, {1, 2, 3}}; /* so short that none has jitter */
	e->expiry = (struct expiry){.name = "message"};
	e->sched = (struct sched_conf){.slots = 1000,
	    .per_host = 1000,
	    .circuit_failures = 100,
	    .circuit_open_ms = 60000};
	return e;
}

/* Starts it on what its store has. */
static inline void engine_start(struct engine *e)
{
	struct problem p;
	registry_free(e->registry);
	e->registry = registry_new();
	assert_int_equal(registry_load(e->registry, e->store->db, NULL, &p), OK);
	e->turn = turn_new(e->store->db);
	e->client = client_new(NULL, NULL);
	const struct dispatch_conf conf = engine_conf(e);
	e->dispatch = dispatch_new(&conf);
	assert_int_equal(dispatch_load(e->dispatch), OK);
	e->jobs = jobs_new(e->turn);
	e->purge = purge_new(e->jobs, e->registry, e->dispatch);
}

/* Ends it where it stands, as a crash would: what no commit took is gone. */
static inline void engine_end(struct engine *e)
{
	client_free(e->client);
	dispatch_free(e->dispatch);
	jobs_free(e->jobs);
	turn_free(e->turn);
}

static inline void engine_free(struct engine *e)
{
	engine_end(e);
	registry_free(e->registry);
	store_free(e->store);
	free(e);
}

/* What the loop does once a turn; the commit's result. */
static inline enum err engine_turn(struct engine *e)
{
	client_reap(e->client);
	enum err err = turn_commit(e->turn);
	jobs_step(e->jobs);
	dispatch_pump(e->dispatch);
	return err;
}

/* Lets `ms` pass, and takes a turn then. */
static inline void engine_wait(struct engine *e, int64_t ms)
{
	edges.passed_ms += ms;
	assert_int_equal(engine_turn(e), OK);
}

/* Where webhook `number` is: at a host of its own. */
static inline void engine_url(uint64_t number, char out[URL_SIZE])
{
	(void)snprintf(out, URL_SIZE, "http://host%d/", (int)number);
}

/* Webhook `number`, of session "s"; to be changed, then added. */
static inline struct webhook *engine_make(uint64_t number)
{
	char url[URL_SIZE];
	engine_url(number, url);
	return make_webhook(number, "s", url);
}

/* Adds it, before the start or behind. Owns `w`. */
static inline void engine_add(struct engine *e, struct webhook *w)
{
	struct db_txn *txn = store_begin(e->store);
	assert_int_equal(webhooks_add(txn, NULL, w), OK);
	store_commit(txn);
	registry_set(e->registry, w);
}

/*
 * Publishes `count` events "message" of `bytes` each, in one commit, to webhook `number` alone;
 * 0: to all of session "s". The id of the first delivery.
 */
static inline struct uuid engine_publish(struct engine *e, uint64_t number, size_t count,
    size_t bytes)
{
	char *body = mem_array(bytes, 1);
	for (size_t i = 0; i < bytes; i++)
		body[i] = body_at(i);
	struct publication *all = mem_array(count, sizeof(*all));
	struct db_txn *txn = store_begin(e->store);
	for (struct publication *p = all; p < all + count; p++) {
		*p = (struct publication){.body = {body, bytes}};
		(void)snprintf(p->event.session, sizeof(p->event.session), "%s",
		    number == 0 ? "s" : registry_get(e->registry, number)->session);
		(void)snprintf(p->event.name, sizeof(p->event.name), "message");
		if (number == 0)
			publication_match(p, e->registry);
		else
			publication_address(p, registry_get(e->registry, number));
		publication_stamp(p, &e->ids, clock_wall_ms());
		assert_int_equal(publication_write(txn, p), OK);
	}
	store_commit(txn);
	struct uuid first = publication_place(all, 0).id;
	for (struct publication *p = all; p < all + count; p++) {
		for (uint32_t n = 0; n < p->event.deliveries; n++) {
			struct queue_place place = publication_place(p, n);
			dispatch_queued(e->dispatch, p->targets[n].webhook, &place);
		}
		publication_fini(p);
	}
	free(all);
	free(body);
	return first;
}

/* The oldest request that is under way to webhook `number`, NULL: none is. */
static inline struct client_request *engine_request(struct engine *e, uint64_t number)
{
	char url[URL_SIZE];
	engine_url(number, url);
	return client_find(e->client, url);
}

#endif
