/*
 * waybill serve: puts the parts together in order, runs the loop, and takes them
 * apart in the reverse order. Everything that a part needs is handed to it here.
 */
#include "server/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit.h"
#include "jobs/certificates.h"
#include "jobs/ownership.h"
#include "jobs/renewal.h"
#include "jobs/trend_writer.h"
#include "server/listen_settings.h"
#include "server/member.h"
#include "server/memory.h"
#include "server/secrets.h"
#include "server/server.h"
#include "store/events.h"
#include "store/schema.h"

/*
 * Keeps what lies in memory out of files: secrets are among it. The limit alone does not
 * stop a core that is piped into a program (core(5)); not being dumpable stops all, and keeps
 * other processes of the same user from reading it (ptrace(2)). The leak check of the
 * sanitizers needs just that, and so keeps it.
 */
static void forbid_core_dumps(const struct config *c)
{
#ifdef __SANITIZE_ADDRESS__
	(void)c;
#else
	const struct rlimit none = {0};
	if (c->core_dumps != 0)
		return;
	(void)setrlimit(RLIMIT_CORE, &none); /* a unit's filter of calls may refuse it */
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		log_warn("core dumps cannot be switched off", LOG_S("error", strerror(errno)));
#endif
}

/* New ids and times go on behind those on disk, though the clock may stand before them. */
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
	clock_resume(uuid_time(&newest));
	if (s->taken_over_ms != 0) /* by the clock that goes on behind the former owner's */
		s->taken_over_ms = clock_wall_ms();
	return OK;
}

static enum err load_backlog(struct server *s, struct problem *p)
{
	enum err err = backlog_new(s->db, &s->backlog);
	if (err != OK)
		return problem_set(p, err, "data", "cannot read what waits: %s", err_text(err));
	return OK;
}

static enum err load_usage(struct server *s, struct problem *p)
{
	struct usage_conf conf = server_usage_conf(s);
	enum err err = usage_new(s->db, &conf, &s->usage);
	server_free_usage_conf(&conf);
	if (err != OK)
		return problem_set(p, err, "data", "cannot read what sessions hold: %s",
		    err_text(err));
	return OK;
}

enum err server_open_db(struct server *s, struct problem *p)
{
	enum err err = s->config.make_store == 0 ? db_expect(s->config.data, p) : OK;
	return err == OK ? db_open(s->config.data, s->config.store_max_bytes, &s->db, p) : err;
}

static enum err open_store(struct server *s, struct problem *p)
{
	enum err err = s->db == NULL ? server_open_db(s, p) : OK;
	if (err == OK)
		err = schema_migrate(s->db, p);
	if (err != OK)
		return err;
	s->registry = registry_new();
	err = registry_load(s->registry, s->db, s->vault, p);
	s->sources = sources_new();
	if (err == OK)
		err = sources_load(s->sources, s->db, s->vault, p);
	configured_set(&s->configured, s->sources, NULL);
	if (err == OK)
		err = load_backlog(s, p);
	if (err == OK)
		err = load_usage(s, p);
	if (err == OK)
		s->oldest = oldest_new(s->db, s->backlog);
	s->trends = trends_new();
	s->turn = turn_new(s->db);
	return err;
}

static void make_feed(struct server *s)
{
	struct feed_conf conf = {.capacity = FEED_CAPACITY,
	    .text_bytes = FEED_TEXT_BYTES,
	    .start_ms = clock_wall_ms(),
	    .registry = s->registry};
	s->feed = feed_new(&conf);
}

static enum err make_dispatch(struct server *s, struct problem *p)
{
	struct client_conf client = server_client_conf(s);
	s->client = client_new(s->reactor, &client);
	s->tokens = tokens_new(s->reactor, s->client);
	struct dispatch_conf dispatch = server_dispatch_conf(s);
	s->dispatch = dispatch_new(&dispatch);
	enum err err = dispatch_load(s->dispatch);
	if (err != OK)
		return problem_set(p, err, "data", "cannot read the queue: %s", err_text(err));
	return OK;
}

/* In the order in which they have their slices. */
static enum err make_jobs(struct server *s, struct problem *p)
{
	struct retention keep = server_retention(s);
	struct renewal_conf renewal = {.vault = s->vault,
	    .registry = s->registry,
	    .dispatch = s->dispatch};
	struct task_runner_conf task_runner = server_task_runner_conf(s);
	s->jobs = jobs_new(s->turn);
	s->sweep = sweep_new(s->jobs, &keep);
	renewal_add(s->jobs, &renewal);
	s->task_runner = task_runner_new(s->jobs, &task_runner);
	s->purge = purge_new(s->jobs, s->registry, s->dispatch);
	s->ordering = ordering_new(s->jobs, s->registry, s->vault, s->dispatch);
	trend_writer_add(s->jobs, s->trends, s->registry);
	s->certificates = certificates_new(s->jobs,
	    &(struct certificates_conf){s->registry, s->dispatch, &s->ids});
	s->asker = asker_new(s->jobs,
	    &(struct ownership_conf){.reactor = s->reactor,
		.client = s->client,
		.tokens = s->tokens,
		.registry = s->registry,
		.vault = s->vault,
		.dispatch = s->dispatch,
		.feed = s->feed});
	s->forgetter = forgetter_new(s->jobs,
	    &(struct forgetter_conf){.db = s->db,
		.registry = s->registry,
		.usage = s->usage,
		.sources = s->sources,
		.vault = s->vault,
		.dispatch = s->dispatch,
		.asker = s->asker});
	enum err err = task_runner_load(s->task_runner);
	if (err == OK)
		err = forgetter_load(s->forgetter);
	if (err != OK)
		return problem_set(p, err, "data", "cannot read the queue: %s", err_text(err));
	return OK;
}

static void on_source_gone(void *api, const struct uuid *id)
{
	api_source_changed(api, id);
}

static void make_api(struct server *s)
{
	struct api_conf api = server_api_conf(s);
	s->api = api_new(&api);
	forgetter_tell_sources(s->forgetter, on_source_gone, s->api);
	const struct http_hooks hooks = {.handle = api_handle,
	    .head = api_handle_head,
	    .error_body = api_error_body,
	    .arg = s->api};
	const struct http_hooks metrics = {.handle = api_handle_metrics,
	    .error_body = api_error_body,
	    .arg = s->api};
	server_set_hooks(s, &hooks, &metrics);
	api_set_server(s->api, s->http);
}

void server_set_hooks(struct server *s, const struct http_hooks *hooks,
    const struct http_hooks *metrics)
{
	struct http_conf http = server_http_conf(s);
	s->metrics_hooks = *metrics;
	if (s->metrics != NULL)
		http_set_hooks(s->metrics, metrics);
	if (s->http != NULL)
		http_set_hooks(s->http, hooks);
	else
		s->http = http_new(s->reactor, &http, hooks);
}

/* A server of its own for /metrics: whoever reaches its address reaches nothing else. */
static enum err listen_for_metrics(struct server *s, struct problem *p)
{
	char *shown = NULL;
	struct http_conf http = server_http_conf(s);
	http.peers = NULL; /* it has slots of its own, and takes none of the clients' */
	s->metrics = http_new(s->reactor, &http, &s->metrics_hooks);
	enum err err = http_listen(s->metrics, s->config.metrics_listen, &shown, p);
	if (err != OK)
		return err;
	(void)printf("waybill metrics on %s/metrics\n", shown);
	free(shown);
	return OK;
}

/* The configuration with what is really served in place of `listen`. */
static struct config as_served(const struct server *s)
{
	struct config c = s->config;
	c.listen = server_listen(s);
	return c;
}

enum err server_listen_now(struct server *s, struct problem *p)
{
	if (s->listens)
		return OK;
	s->listens = true;
	struct config c = as_served(s);
	bool passed = s->supervisor.sockets.count > 0;
	enum err err = server_load_tls(s, &c, p);
	if (err != OK)
		return err;
	for (size_t i = 0; i < c.listen.count; i++) {
		const char *where = c.listen.items[i];
		char *shown = NULL;
		err = passed
		    ? http_adopt(s->http, s->supervisor.first + (int)i, where, &shown, p)
		    : http_listen(s->http, where, &shown, p);
		if (err != OK)
			return err;
		(void)printf("waybill ready on %s\n", shown);
		free(shown);
	}
	if (s->config.metrics_listen != NULL)
		err = listen_for_metrics(s, p);
	(void)fflush(stdout); /* who waits for the line is gone if this fails */
	return err;
}

static void on_reload(void *arg)
{
	supervisor_reloading();
	server_reload(arg);
	supervisor_ready();
}

static void on_stopping(void *arg)
{
	(void)arg;
	supervisor_stopping();
}

static void on_turned(void *arg)
{
	supervisor_alive(&((struct server *)arg)->supervisor);
}

static void make_loop(struct server *s)
{
	struct loop_conf loop = {.reactor = s->reactor,
	    .db = s->db,
	    .turn = s->turn,
	    .jobs = s->jobs,
	    .client = s->client,
	    .dispatch = s->dispatch,
	    .oldest = s->oldest,
	    .usage = s->usage,
	    .api = s->api,
	    .active = member_active(s),
	    .http = s->http,
	    .health = &s->health,
	    .turns = &s->turns,
	    .turn_parts = s->turn_parts,
	    .drain_timeout_ms = (int64_t)s->config.drain_timeout_ms,
	    .disk_reserve = s->config.disk_reserve,
	    .reload = on_reload,
	    .stopping = on_stopping,
	    .turned = on_turned,
	    .arg = s};
	s->loop = loop_new(&loop);
}

static enum err check_exposure(struct server *s, struct problem *p)
{
	struct config c = as_served(s);
	return listen_settings_check_exposure(&c, auth_count(s->auth), p);
}

/* The part of the start that only who owns the store may do. */
static enum err start_owner(struct server *s, struct problem *p)
{
	enum err err = open_store(s, p);
	if (err == OK)
		err = resume_ids(s, p);
	if (err != OK)
		return err;
	make_feed(s);
	err = make_dispatch(s, p);
	if (err == OK)
		err = make_jobs(s, p);
	if (err != OK)
		return err;
	make_api(s);
	make_loop(s);
	member_serve(s);
	return server_listen_now(s, p);
}

static enum err start(struct server *s, bool *owns, struct problem *p)
{
	*owns = true;
	s->auth = auth_new();
	s->vault = vault_new();
	enum err err = supervisor_init(&s->supervisor, p);
	if (err == OK)
		err = config_check(&s->config, p);
	if (err == OK)
		err = secrets_load_tokens(&s->config, s->auth, p);
	if (err == OK)
		err = check_exposure(s, p);
	if (err == OK)
		err = configured_load(&s->config, &s->configured, p);
	if (err == OK)
		err = secrets_load_keys(&s->config, s->vault, p);
	if (err == OK)
		err = listen_settings_unix_access(&s->config, &s->unix_access, p);
	if (err != OK)
		return err;
	if (auth_count(s->auth) == 0)
		log_warn("no token is configured: everybody on this machine may call the API",
		    LOG_N("listeners", server_listen(s).count));
	s->descriptor_limit = descriptors_raise();
	server_share_descriptors(s);
	s->inbound = secrets_load_inbound(&s->config);
	rnd_seed_system(&s->rnd);
	s->reactor = reactor_new();
	s->peers = peers_new((uint32_t)s->config.max_connections_per_address, &s->proxies);
	server_set_proxies(s);
	if (s->config.cluster.count > 0) {
		err = member_follow(s, owns, p);
		if (err != OK || !*owns)
			return err;
	}
	return start_owner(s, p);
}

static enum err run(struct server *s)
{
	supervisor_ready();
	enum err err = loop_run(s->loop);
	if (member_is_fenced(s))
		log_warn("another member owns the shard: this one begins anew, as a standby",
		    LOG_S("member", s->config.member));
	else if (err != OK)
		log_error("the store is broken; a restart opens its last good state",
		    LOG_S("error", err_text(err)));
	else
		log_info("stopped", LOG_N("commits", turn_commits(s->turn)));
	if (err == OK)
		member_leave(s);
	return err;
}

static void stop(struct server *s)
{
	api_stop(s->api);
	member_stop(s);
	http_free(s->http);
	http_free(s->metrics);
	api_free(s->api);
	feed_free(s->feed);
	peers_free(s->peers);
	free(s->proxies.networks);
	client_free(s->client);
	dispatch_free(s->dispatch);
	loop_free(s->loop);
	jobs_free(s->jobs);
	tokens_free(s->tokens);
	turn_free(s->turn);
	member_free(s->member);
	reactor_free(s->reactor);
	registry_free(s->registry);
	sources_free(s->sources);
	configured_free(&s->configured);
	oldest_free(s->oldest);
	trends_free(s->trends);
	usage_free(s->usage);
	backlog_free(s->backlog);
	db_close(s->db);
	server_forget_retired(s);
	auth_free(s->auth);
	inbound_free(s->inbound);
	vault_free(s->vault);
	supervisor_fini(&s->supervisor);
	config_free(&s->config);
}

void serve_explain(const char *command, const char *data, enum err err, const struct problem *p)
{
	bool is_damage = err == ERR_CORRUPT || err == ERR_BROKEN;
	bool names = is_damage && strstr(p->message, "waybill fsck") == NULL;
	(void)fprintf(stderr, "%s%s%s%s%s%s\n", command, command[0] == '\0' ? "" : ": ",
	    p->message, names ? "; waybill fsck " : "", names ? data : "",
	    names ? " says more" : "");
}

int command_serve(int argc, char **argv)
{
	struct server s = {.argc = argc, .argv = argv};
	struct problem p;
	bool usage = false;
	s.started_ms = clock_system_ms();
	s.started_mono_ms = clock_mono_ms();
	config_init(&s.config);
	enum err err = config_read(&s.config, argc, argv, environ, &usage, &p);
	if (err != OK) {
		(void)fprintf(stderr, "waybill serve: %s\n", p.message);
		config_free(&s.config);
		return usage ? EXIT_USAGE : EXIT_FAILED;
	}
	server_setup_log(&s);
	memory_apply(&s.config);
	config_warn(&s.config);
	forbid_core_dumps(&s.config);
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	if (sigaction(SIGPIPE, &ignore, NULL) != 0)
		log_warn("SIGPIPE cannot be ignored", LOG_S("error", strerror(errno)));
	bool owns = false;
	err = start(&s, &owns, &p);
	if (err != OK)
		serve_explain("waybill serve", s.config.data, err, &p);
	else if (owns)
		err = run(&s);
	bool begins_anew = member_is_fenced(&s) || (err == OK && member_stays(&s));
	stop(&s);
	if (begins_anew)
		return EXIT_FENCED;
	return err == OK ? EXIT_OK : EXIT_FAILED;
}
