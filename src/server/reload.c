/*
 * A new configuration for the running server; see server.h. The new values are read beside
 * the old ones, and only when all of them are good the parts are told.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/listen_settings.h"
#include "server/member.h"
#include "server/memory.h"
#include "server/secrets.h"
#include "server/server.h"
#include "server/settings.h"

/* Keeps what only a start can change; says what would have. */
static void carry_fixed(struct config *now, struct config *next)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		if (SETTINGS[i].fixed && setting_carry(&SETTINGS[i], now, next))
			log_warn("a changed setting takes effect with the next start",
			    LOG_S("setting", SETTINGS[i].name));
	}
}

/* What was there before, for as long as a request that waits for its commit points to it. */
struct retired {
	struct op op; /* first: it is told behind all that was staged before it */
	struct retired *next;
	struct retired **at; /* what points to it */
	struct auth *auth;
	struct inbound *inbound;
};

static enum err apply_retired(struct op *op, struct db_txn *txn)
{
	(void)op; /* there is nothing to write */
	(void)txn;
	return OK;
}

static void free_retired(struct retired *r)
{
	*r->at = r->next;
	if (r->next != NULL)
		r->next->at = r->at;
	auth_free(r->auth);
	inbound_free(r->inbound);
	free(r);
}

static void done_retired(struct op *op, enum err result)
{
	(void)result;
	free_retired((struct retired *)op);
}

static void retire(struct server *s, struct auth *auth, struct inbound *inbound)
{
	struct retired *r = mem_new(sizeof(*r));
	*r = (struct retired){.op = {.class = OP_PROGRESS,
				  .apply = apply_retired,
				  .done = done_retired,
				  .may_wait = true},
	    .next = s->retired,
	    .at = &s->retired,
	    .auth = auth,
	    .inbound = inbound};
	if (r->next != NULL)
		r->next->at = &r->next;
	s->retired = r;
	bool waits = s->turn != NULL &&
	    (turn_staged(s->turn) > 0 || turn_is_appending(s->turn));
	if (waits)
		turn_stage(s->turn, &r->op);
	else
		free_retired(r);
}

void server_forget_retired(struct server *s)
{
	while (s->retired != NULL)
		free_retired(s->retired);
}

static enum err read_anew(struct server *s, struct config *next, struct auth *auth,
    struct configured *sources, struct problem *p)
{
	bool usage = false;
	enum err err = config_read(next, s->argc, s->argv, environ, &usage, p);
	if (err == OK)
		err = config_check(next, p);
	if (err == OK)
		err = secrets_load_tokens(next, auth, p);
	if (err == OK)
		err = configured_load(next, sources, p);
	/* by the listeners that are open, whatever the new list */
	struct config open = *next;
	open.listen = server_listen(s);
	if (err == OK)
		err = listen_settings_check_exposure(&open, auth_count(auth), p);
	if (err == OK && auth_count(auth) == 0 && auth_count(s->auth) > 0)
		err = problem_set(p, ERR_REFUSED, "token",
		    "no token is left: that opens the API, and takes a restart");
	if (err == OK) /* last: it takes effect */
		err = server_load_tls(s, &open, p);
	return err;
}

/* Tells what a standby has: its server, and what it answers. */
static void configure_standby(struct server *s)
{
	struct http_conf http = server_http_conf(s);
	http_configure(s->http, &http);
	http.peers = NULL;
	if (s->metrics != NULL)
		http_configure(s->metrics, &http);
	member_configure(s);
}

/* Tells every part. */
static void configure(struct server *s)
{
	server_share_descriptors(s);
	server_setup_log(s);
	server_set_proxies(s);
	peers_limit(s->peers, (uint32_t)s->config.max_connections_per_address);
	if (s->api == NULL) {
		configure_standby(s);
		return;
	}
	struct api_conf api = server_api_conf(s);
	struct http_conf http = server_http_conf(s);
	struct dispatch_conf dispatch = server_dispatch_conf(s);
	struct retention keep = server_retention(s);
	struct usage_conf usage = server_usage_conf(s);
	api_configure(s->api, &api);
	http_configure(s->http, &http);
	http.peers = NULL;
	if (s->metrics != NULL)
		http_configure(s->metrics, &http);
	dispatch_configure(s->dispatch, &dispatch);
	sweep_configure(s->sweep, &keep);
	usage_configure(s->usage, &usage);
	server_free_usage_conf(&usage);
	task_runner_configure(s->task_runner, s->config.max_queue_per_session);
	loop_configure(s->loop, (int64_t)s->config.drain_timeout_ms, s->config.disk_reserve);
}

/* A standby keeps them for when it is the owner. */
static void keep_configured(struct server *s, struct configured *sources)
{
	if (s->api == NULL) {
		configured_free(&s->configured);
		s->configured = *sources;
		return;
	}
	configured_set(sources, s->sources, s->api);
	configured_free(sources);
}

void server_reload(struct server *s)
{
	struct config next;
	struct problem p;
	struct auth *auth = auth_new();
	struct configured sources = {0};
	config_init(&next);
	if (read_anew(s, &next, auth, &sources, &p) != OK) {
		log_error("the configuration was not reloaded", LOG_S("error", p.message));
		auth_free(auth);
		configured_free(&sources);
		config_free(&next);
		return;
	}
	memory_apply(&next);
	carry_fixed(&s->config, &next);
	struct config old = s->config;
	struct auth *old_auth = s->auth;
	struct inbound *old_inbound = s->inbound;
	s->config = next;
	s->auth = auth;
	s->inbound = secrets_load_inbound(&s->config);
	configure(s);
	keep_configured(s, &sources);
	config_warn(&s->config);
	retire(s, old_auth, old_inbound);
	config_free(&old);
	log_info("configuration reloaded", LOG_N("tokens", auth_count(auth)));
}
