/*
 * waybill serve: puts the parts together in order, runs the loop, and takes them
 * apart in the reverse order. Everything that a part needs is handed to it here.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "api/listen_address.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/loop.h"
#include "cli/tokens.h"
#include "store/events.h"
#include "store/schema.h"

#define DESCRIPTOR_RESERVE 64            /* for the store, the log, the listeners and lookups */
#define BODY_BYTES_IN_FLIGHT (64u << 20) /* bytes of bodies in memory for attempts */

struct server {
	struct config config;
	struct auth *auth;
	struct inbound *inbound;
	struct db *db;
	struct registry *registry;
	struct turn *turn;
	struct reactor *reactor;
	struct client *client;
	struct dispatch *dispatch;
	struct api *api;
	struct http_server *http;
	struct loop *loop;
	struct sweep *sweep;
	struct api_health health;
	struct rnd rnd;
	struct idgen ids;
};

static void on_queued(void *arg, uint64_t webhook, const struct queue_place *place)
{
	dispatch_queued(((struct server *)arg)->dispatch, webhook, place);
}

static void on_changed(void *arg, uint64_t webhook, bool enabled_now)
{
	dispatch_changed(((struct server *)arg)->dispatch, webhook, enabled_now);
}

static bool on_status(void *arg, uint64_t webhook, struct webhook_status *out)
{
	return dispatch_status(((struct server *)arg)->dispatch, webhook, out);
}

/* Without a token only this machine may reach the server. */
static enum err check_exposure(const struct server *s, struct problem *p)
{
	for (size_t i = 0; i < s->config.listen.count; i++) {
		bool local = false;
		enum err err = listen_is_local(s->config.listen.items[i], &local, p);
		if (err != OK)
			return err;
		if (!local && auth_count(s->auth) == 0)
			return problem_set(p, ERR_REFUSED, "listen",
			    "listen: %s is not loopback: that needs a token or a tokens_file",
			    s->config.listen.items[i]);
	}
	return OK;
}

/* Raises the limit of descriptors to what connections and attempts may need. */
static void raise_descriptors(const struct config *c)
{
	struct rlimit limit;
	rlim_t wanted = c->max_connections + 2 * c->max_in_flight + DESCRIPTOR_RESERVE;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		log_warn("fewer descriptors than max_connections and max_in_flight may need",
		    LOG_N("limit", limit.rlim_cur), LOG_N("wanted", wanted));
}

/* New ids go on behind those on disk, though the clock may stand before them. */
static enum err resume_ids(struct server *s, struct problem *p)
{
	struct db_txn *txn = NULL;
	struct uuid newest = {0};
	idgen_init(&s->ids, &s->rnd);
	enum err err = db_read(s->db, &txn);
	if (err == OK) {
		err = events_newest_id(txn, &newest);
		db_read_end(txn);
	}
	if (err != OK)
		return problem_set(p, err, "data", "cannot read the events: %s", err_text(err));
	idgen_resume(&s->ids, &newest);
	return OK;
}

static enum err open_store(struct server *s, struct problem *p)
{
	enum err err = db_open(s->config.data, s->config.store_max_bytes, &s->db, p);
	if (err == OK)
		err = schema_migrate(s->db, p);
	if (err != OK)
		return err;
	s->registry = registry_new();
	err = registry_load(s->registry, s->db, p);
	s->turn = turn_new(s->db);
	struct retention keep = {.settled_ms = s->config.retention,
	    .settled_bytes = s->config.retention_bytes,
	    .dead_letters_ms = s->config.dead_letter_retention};
	s->sweep = sweep_new(s->turn, &keep);
	return err;
}

static enum err make_dispatch(struct server *s, struct problem *p)
{
	struct client_conf client = {.policy = &s->config.addresses,
	    .ca_file = s->config.ca_file,
	    .proxy = s->config.proxy,
	    .user_agent = "waybill/" WAYBILL_VERSION,
	    .connections = 2 * (uint32_t)s->config.max_in_flight};
	s->client = client_new(s->reactor, &client);
	struct dispatch_conf dispatch = {.db = s->db,
	    .turn = s->turn,
	    .registry = s->registry,
	    .client = s->client,
	    .judge = {.retry = &s->config.retry,
		.expiries = s->config.expiries.items,
		.expiry_count = s->config.expiries.count,
		.circuit_failures = (uint32_t)s->config.circuit_failures,
		.disable_after_ms = s->config.disable_after,
		.registry = s->registry,
		.rnd = &s->rnd,
		.ids = &s->ids},
	    .sched = {.slots = (uint32_t)s->config.max_in_flight,
		.per_host = (uint32_t)s->config.max_per_host,
		.circuit_failures = (uint32_t)s->config.circuit_failures,
		.circuit_open_ms = s->config.circuit_open},
	    .body_bytes_max = BODY_BYTES_IN_FLIGHT};
	s->dispatch = dispatch_new(&dispatch);
	enum err err = dispatch_load(s->dispatch);
	if (err != OK)
		return problem_set(p, err, "data", "cannot read the queue: %s", err_text(err));
	return OK;
}

static void make_api(struct server *s)
{
	struct api_conf api = {.db = s->db,
	    .turn = s->turn,
	    .registry = s->registry,
	    .ids = &s->ids,
	    .auth = s->auth,
	    .health = &s->health,
	    .rules = {.extra_events = s->config.extra_events.items,
		.extra_event_count = s->config.extra_events.count,
		.timeout_ms = (uint32_t)s->config.timeout_ms},
	    .inbound = s->inbound,
	    .body_max = s->config.max_body_bytes,
	    .batch_max = s->config.max_batch_bytes,
	    .webhooks_per_session = (uint32_t)s->config.max_webhooks_per_session,
	    .hooks = {.queued = on_queued,
		.changed = on_changed,
		.status = on_status,
		.arg = s}};
	s->api = api_new(&api);
	bool batches_larger = s->config.max_batch_bytes > s->config.max_body_bytes;
	struct http_conf http = {.body_max = batches_larger ? s->config.max_batch_bytes
							    : s->config.max_body_bytes,
	    .max_connections = (uint32_t)s->config.max_connections,
	    .head_timeout_ms = (int64_t)s->config.head_timeout_ms,
	    .body_timeout_ms = (int64_t)s->config.body_timeout_ms,
	    .idle_timeout_ms = (int64_t)s->config.idle_timeout_ms};
	s->http = http_new(s->reactor, &http, api_handle, api_error_body, s->api);
}

static enum err start_listening(struct server *s, struct problem *p)
{
	for (size_t i = 0; i < s->config.listen.count; i++) {
		char *shown = NULL;
		enum err err = http_listen(s->http, s->config.listen.items[i], &shown, p);
		if (err != OK)
			return err;
		(void)printf("waybill ready on %s\n", shown);
		free(shown);
	}
	(void)fflush(stdout); /* who waits for the line is gone if this fails */
	return OK;
}

static void make_loop(struct server *s)
{
	struct loop_conf loop = {.reactor = s->reactor,
	    .db = s->db,
	    .turn = s->turn,
	    .sweep = s->sweep,
	    .client = s->client,
	    .dispatch = s->dispatch,
	    .http = s->http,
	    .health = &s->health,
	    .drain_timeout_ms = (int64_t)s->config.drain_timeout_ms};
	s->loop = loop_new(&loop);
}

static enum err start(struct server *s, struct problem *p)
{
	s->auth = auth_new();
	enum err err = config_check(&s->config, p);
	if (err == OK)
		err = tokens_load(&s->config, s->auth, p);
	if (err == OK)
		err = check_exposure(s, p);
	if (err != OK)
		return err;
	if (auth_count(s->auth) == 0)
		log_warn("no token is configured: everybody on this machine may call the API",
		    LOG_N("listeners", s->config.listen.count));
	raise_descriptors(&s->config);
	s->inbound = tokens_load_inbound(&s->config);
	rnd_seed_system(&s->rnd);
	err = open_store(s, p);
	if (err == OK)
		err = resume_ids(s, p);
	if (err != OK)
		return err;
	s->reactor = reactor_new();
	err = make_dispatch(s, p);
	if (err != OK)
		return err;
	make_api(s);
	make_loop(s);
	return start_listening(s, p);
}

static enum err run(struct server *s)
{
	enum err err = loop_run(s->loop);
	if (err != OK)
		log_error("the store is broken; a restart opens its last good state",
		    LOG_S("error", err_text(err)));
	else
		log_info("stopped", LOG_N("commits", turn_commits(s->turn)));
	return err;
}

static void stop(struct server *s)
{
	http_free(s->http);
	api_free(s->api);
	client_free(s->client);
	dispatch_free(s->dispatch);
	loop_free(s->loop);
	reactor_free(s->reactor);
	sweep_free(s->sweep);
	turn_free(s->turn);
	registry_free(s->registry);
	db_close(s->db);
	auth_free(s->auth);
	inbound_free(s->inbound);
	config_free(&s->config);
}

int command_serve(int argc, char **argv)
{
	struct server s = {0};
	struct problem p;
	bool usage = false;
	config_init(&s.config);
	enum err err = config_read(&s.config, argc, argv, environ, &usage, &p);
	if (err != OK) {
		(void)fprintf(stderr, "waybill serve: %s\n", p.message);
		config_free(&s.config);
		return usage ? EXIT_USAGE : EXIT_FAILED;
	}
	log_setup((enum log_level)s.config.log_level, (enum log_format)s.config.log_format);
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	if (sigaction(SIGPIPE, &ignore, NULL) != 0)
		log_warn("SIGPIPE cannot be ignored", LOG_S("error", strerror(errno)));
	err = start(&s, &p);
	if (err != OK)
		(void)fprintf(stderr, "waybill serve: %s\n", p.message);
	else
		err = run(&s);
	stop(&s);
	return err == OK ? EXIT_OK : EXIT_FAILED;
}
