/*
 * The running gateway: all of its parts. serve.c makes and ends it, reload.c changes its
 * configuration while it runs; nobody else sees it.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "api/api.h"
#include "jobs/sweep.h"
#include "server/config.h"
#include "server/configured.h"
#include "server/descriptors.h"
#include "server/loop.h"
#include "server/supervisor.h"
#include "store/oldest.h"
#include "store/trends.h"
#include "store/usage.h"

struct server {
	int argc; /* the command line, for reading it again */
	char **argv;
	struct config config;
	uint64_t descriptor_limit;
	struct descriptor_shares descriptors;
	struct supervisor supervisor;
	struct auth *auth;
	struct retired *retired; /* reload.c's */
	struct inbound *inbound;
	struct proxies proxies;
	struct peers *peers;
	struct vault *vault;
	struct unix_access unix_access;
	struct db *db;
	struct registry *registry;
	struct sources *sources;
	struct configured configured; /* until they are among the sources */
	struct backlog *backlog;
	struct usage *usage;
	struct oldest *oldest;
	struct trends *trends;
	struct turn *turn;
	struct reactor *reactor;
	struct client *client;
	struct dispatch *dispatch;
	struct feed *feed;
	struct api *api;
	struct http_server *http;
	struct http_server *metrics; /* NULL: /metrics is served by `http` */
	struct http_hooks metrics_hooks;
	bool listens;
	struct member *member; /* NULL: there is no cluster */
	int64_t taken_over_ms; /* wall; when another process owned the store; 0: none did */
	struct loop *loop;
	struct jobs *jobs; /* owns those down to the forgetter, tokens apart */
	struct sweep *sweep;
	struct task_runner *task_runner;
	struct ordering *ordering;
	struct certificates *certificates;
	struct asker *asker;
	struct tokens *tokens;
	struct purge *purge;
	struct forgetter *forgetter;
	struct api_health health;
	struct histogram turns;
	struct histogram turn_parts[TURN_PARTS];
	int64_t started_ms; /* the system's clock when the process began */
	int64_t started_mono_ms;
	struct rnd rnd;
	struct idgen ids;
};

/* What each part is told of the configuration; what it borrows lives as long as `s` does. */
struct api_conf server_api_conf(struct server *s);
struct origin_conf server_origins(const struct server *s);
struct http_conf server_http_conf(const struct server *s);
struct client_conf server_client_conf(const struct server *s);
struct dispatch_conf server_dispatch_conf(struct server *s);
struct task_runner_conf server_task_runner_conf(struct server *s);
struct retention server_retention(const struct server *s);
struct usage_conf server_usage_conf(struct server *s); /* server_free_usage_conf() it */
void server_free_usage_conf(struct usage_conf *conf);
void server_setup_log(const struct server *s);

/*
 * Shares the descriptors as the configuration asks; after the first time only the connections
 * of clients change. Logs where there are too few.
 */
void server_share_descriptors(struct server *s);

/* Takes over which proxies are trusted. */
void server_set_proxies(struct server *s);

/* Hands all requests, and those at `metrics_listen`, to these from now on. */
void server_set_hooks(struct server *s, const struct http_hooks *hooks,
    const struct http_hooks *metrics);

/* Opens the store, and makes it where it may. As db_open(), in words. */
MUST_CHECK enum err server_open_db(struct server *s, struct problem *p);

/* Listens, unless it does so already, and says where on standard output. In words. */
MUST_CHECK enum err server_listen_now(struct server *s, struct problem *p);

/* What is served: the sockets that were passed to us, else those of `listen`. */
struct config_list server_listen(const struct server *s);

/* Serves the certificates that `c` names; with an error those from before, if any. */
MUST_CHECK enum err server_load_tls(struct server *s, const struct config *c,
    struct problem *p);

/*
 * Reads the configuration, the tokens and the certificates again and changes what can change
 * in a running server. All or nothing: with any error it goes on as it was. Logs what came of
 * it. Between turns only.
 */
void server_reload(struct server *s);

/* Frees what reloads have left to requests. Behind these, and the turn. */
void server_forget_retired(struct server *s);

#endif
