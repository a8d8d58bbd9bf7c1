/* The engine below a cluster; see engine.h. */
#include "server/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "domain/json_at.h"
#include "jetstream/js_streams.h"

#define MONITOR_MS 3000        /* for the head of an answer, and between its pieces */
#define MONITOR_MAX (1u << 20) /* bytes of an answer */
#define PATIENCE_MS 10000      /* for servers that start with us, or elect */

struct engine {
	struct engine_conf conf;
	void (*fn)(void *arg, enum err result, const struct problem *p);
	void *arg;
	struct client *client;
	struct js_streams *streams;
	size_t monitor; /* which one is asked */
	struct buf answer;
	struct buf url;
	struct reactor_timer *next;
	struct problem problem;
	bool over;
};

struct js_journal_conf engine_journal_conf(struct reactor *reactor, struct lookup *lookup,
    const struct config *config, const struct membership *membership)
{
	struct js_journal_conf j = {.nats = membership_nats(membership, config),
	    .shard = config->shard,
	    .member = config->member};
	j.nats.reactor = reactor;
	j.nats.lookup = lookup;
	return j;
}

static void finish(struct engine *e, enum err result)
{
	if (e->over)
		return;
	e->over = true;
	e->fn(e->arg, result, &e->problem);
}

static void on_streams(void *arg, enum err result, const char *words)
{
	struct engine *e = arg;
	struct slice left = slice_of(words);
	struct buf line = BUF_INIT(JS_STREAMS_WORDS_MAX);
	while (left.len > 0) {
		buf_puts(&line, line.len > 0 ? "; " : "");
		buf_slice(&line, slice_cut(&left, '\n'));
	}
	if (result != OK)
		(void)problem_set(&e->problem, result, "cluster", "cluster: %s%s",
		    buf_cstr(&line),
		    result == ERR_NOTFOUND ? "; waybill cluster init makes them" : "");
	buf_fini(&line);
	finish(e, result);
}

static void look_at_streams(struct engine *e)
{
	const struct config *c = e->conf.config;
	const struct js_streams_conf conf = {.journal = engine_journal_conf(e->conf.reactor,
						 client_lookup(e->client), c,
						 e->conf.membership),
	    .replicas = (unsigned)c->cluster_replicas,
	    .max_bytes = c->cluster_max_bytes,
	    .may_make = e->conf.may_make,
	    .patience_ms = PATIENCE_MS};
	e->streams = js_streams_new(&conf, on_streams, e);
}

enum err engine_read_monitor(struct slice json)
{
	struct json_at at = JSON_AT(json);
	bool is_one = json_at(&at, "jetstream/config").len > 0;
	bool syncs = slice_eq(json_at(&at, "jetstream/config/sync_always"), SLICE("true"));
	json_at_fini(&at);
	if (!is_one)
		return ERR_SYNTAX;
	return syncs ? OK : ERR_REFUSED;
}

static bool on_data(void *arg, struct slice bytes)
{
	struct engine *e = arg;
	buf_slice(&e->answer, bytes);
	return !e->answer.failed;
}

static void on_monitor(void *arg, const struct client_result *r)
{
	struct engine *e = arg;
	const char *where = e->conf.config->cluster_monitor.items[e->monitor];
	enum err err = r->status == 200 ? engine_read_monitor(buf_view(&e->answer)) : ERR_IO;
	if (err == ERR_REFUSED) {
		(void)problem_set(&e->problem, err, "cluster_monitor",
		    "cluster: the server of %s does not sync each message before it is "
		    "acknowledged: set sync_interval to always there, in jetstream",
		    where);
		finish(e, err);
		return;
	}
	if (err != OK)
		log_warn("cannot look whether a server of NATS syncs each message",
		    LOG_S("monitor", where),
		    LOG_S("error", r->status == 0 ? r->error : "no /varz with JetStream"));
	e->monitor++;
	reactor_timer_set(e->next, 0);
}

static void ask_monitor(struct engine *e)
{
	struct client_request *q = client_open(e->client);
	buf_reset(&e->answer);
	buf_reset(&e->url);
	buf_printf(&e->url, "%s/varz", e->conf.config->cluster_monitor.items[e->monitor]);
	client_fetch(q, buf_cstr(&e->url), MONITOR_MS, on_data, on_monitor, e);
}

/* The next thing to look at. */
static void on_next(void *arg)
{
	struct engine *e = arg;
	if (e->monitor < e->conf.config->cluster_monitor.count)
		ask_monitor(e);
	else
		look_at_streams(e);
}

struct engine *engine_look(const struct engine_conf *conf,
    void (*fn)(void *arg, enum err result, const struct problem *p), void *arg)
{
	struct engine *e = mem_new(sizeof(*e));
	*e = (struct engine){.conf = *conf,
	    .fn = fn,
	    .arg = arg,
	    .answer = BUF_INIT(MONITOR_MAX),
	    .url = BUF_INIT(8192)};
	if (conf->config->cluster_monitor.count == 0)
		log_warn("nobody has looked whether the servers of NATS sync each message",
		    LOG_S("setting", "cluster_monitor"));
	const struct client_conf client = {.user_agent = "waybill/" WAYBILL_VERSION,
	    .lookup = {.name_servers = conf->config->name_servers.items,
		.name_server_count = conf->config->name_servers.count},
	    .connections = 1};
	e->client = client_new(conf->reactor, &client);
	e->next = reactor_timer_new(conf->reactor, on_next, e);
	reactor_timer_set(e->next, 0);
	return e;
}

void engine_reap(struct engine *e)
{
	client_reap(e->client);
}

void engine_free(struct engine *e)
{
	if (e == NULL)
		return;
	js_streams_free(e->streams);
	client_free(e->client);
	reactor_timer_free(e->next);
	buf_fini(&e->answer);
	buf_fini(&e->url);
	free(e);
}
