/*
 * A dispatcher on a test's store, for what tells it of webhooks and deliveries. Without
 * dispatch_pump() it sends nothing; dispatch_delay() shows what it has learned.
 */
#ifndef TESTS_UNIT_DISPATCH_FIXTURE_H
#define TESTS_UNIT_DISPATCH_FIXTURE_H

#include "base/reactor.h"
#include "dispatch/dispatch.h"
#include "support.h"

struct dispatcher {
	struct reactor *reactor;
	struct client *client;
	struct dispatch *dispatch;
};

static inline void dispatcher_open(struct dispatcher *d, struct store *s, struct turn *turn,
    struct registry *registry)
{
	d->reactor = reactor_new();
	d->client = client_new(d->reactor, &(struct client_conf){.user_agent = "test"});
	const struct dispatch_conf conf = {.db = s->db,
	    .turn = turn,
	    .registry = registry,
	    .client = d->client,
	    .sched = {.slots = 1, .per_host = 1, .circuit_failures = 1, .circuit_open_ms = 1}};
	d->dispatch = dispatch_new(&conf);
	assert_int_equal(dispatch_load(d->dispatch), OK);
}

static inline void dispatcher_close(struct dispatcher *d)
{
	client_free(d->client);
	dispatch_free(d->dispatch);
	reactor_free(d->reactor);
}

#endif
