/*
 * The turn of the program: what happens in which order, over and over, until it is told to
 * stop.
 */
#ifndef SERVER_LOOP_H
#define SERVER_LOOP_H

#include "api/api.h"
#include "base/histogram.h"
#include "base/reactor.h"
#include "cluster/active.h"
#include "courier/client.h"
#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "store/oldest.h"
#include "store/usage.h"

struct loop_conf {
	struct reactor *reactor; /* all borrowed */
	struct db *db;
	struct turn *turn;
	struct jobs *jobs;
	struct client *client;
	struct dispatch *dispatch;
	struct oldest *oldest;
	struct usage *usage;
	struct api *api;
	struct http_server *http;
	struct active *active; /* NULL: no cluster; each turn goes through the journal else */
	struct api_health *health;    /* kept up to date here; so are the next two */
	struct histogram *turns;      /* how long they took, without the wait before them */
	struct histogram *turn_parts; /* TURN_PARTS: how long each part of them took */
	int64_t drain_timeout_ms;
	uint64_t disk_reserve; /* bytes of the disk that stay free, or 5 % where that is less */
	void (*reload)(void *arg);   /* SIGHUP; called between turns */
	void (*stopping)(void *arg); /* the first SIGTERM or SIGINT */
	void (*turned)(void *arg);   /* the end of a turn, at least one a second */
	void *arg;
};

struct loop;

/* Makes the loop; from here on SIGTERM, SIGINT and SIGHUP are its own. */
struct loop *loop_new(const struct loop_conf *conf);

/* Frees it; NULL is fine. */
void loop_free(struct loop *l);

/* Changes how long a drain may take, and how much of the disk stays free. */
void loop_configure(struct loop *l, int64_t drain_timeout_ms, uint64_t disk_reserve);

/* As SIGTERM does: begins to stop, once. */
void loop_stop(struct loop *l);

/*
 * Turns until SIGTERM or SIGINT, then drains: accepts nothing new, starts nothing,
 * and waits for what is in flight, at most drain_timeout_ms, with `active` at most a second; a
 * second signal ends the wait. OK, ERR_CONFLICT when another member owns the shard, or
 * ERR_BROKEN when the store's state is unknown and the process must end.
 */
MUST_CHECK enum err loop_run(struct loop *l);

#endif
