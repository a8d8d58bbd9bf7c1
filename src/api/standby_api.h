/*
 * What a member of a cluster answers that is not the active (docs/cluster.md): whether it
 * lives, how it stands, where the active is, and to all else that it is not the one. It reads
 * nothing of a store.
 */
#ifndef API_STANDBY_API_H
#define API_STANDBY_API_H

#include "api/auth.h"
#include "api/cluster_view.h"
#include "api/origin.h"
#include "base/reactor.h"
#include "http/http.h"

struct standby_api_conf {
	struct reactor *reactor; /* all borrowed */
	const struct auth *auth;
	struct peers *peers;
	const struct proxies *proxies;
	struct origin_conf origins;
	bool metrics_apart; /* /metrics is served by standby_api_metrics() alone */
	void (*view)(void *arg, struct cluster_view *out); /* how the member stands now */
	void *arg;
};

struct standby_api;

struct standby_api *standby_api_new(const struct standby_api_conf *conf);

/* No answer may be held: standby_api_stop() before. NULL is fine. */
void standby_api_free(struct standby_api *s);

/* Answers the requests that are held back, and holds none from now on. NULL is fine. */
void standby_api_stop(struct standby_api *s);

/* Changes what is served with, between passes. */
void standby_api_configure(struct standby_api *s, const struct standby_api_conf *conf);

/* For struct http_hooks, whose `arg` is the struct standby_api. Nothing waits for a body. */
void standby_api_handle(void *arg, struct http_request *q);
bool standby_api_head(void *arg, struct http_request *q);

/* In place of standby_api_handle(), where /metrics is served and nothing else. */
void standby_api_metrics(void *arg, struct http_request *q);

#endif
