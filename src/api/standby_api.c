/* The API of a member that is not the active; see standby_api.h. */
#include "api/standby_api.h"

#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/exposition.h"
#include "api/handlers.h"
#include "base/mem.h"

#define METRICS_MAX (64u << 10)
#define AWAY_MAX 16384       /* bytes of the body that says where the active is */
#define AWAY_RETRY_AFTER "1" /* a takeover takes some seconds, a better address none */

struct standby_api {
	struct standby_api_conf conf;
	struct guard *guard;
};

static void answer_livez(struct standby_api *s, struct call *c);
static void answer_cluster(struct standby_api *s, struct call *c);
static void answer_metrics(struct standby_api *s, struct call *c);
static void answer_away(struct standby_api *s, struct call *c);

static const struct standby_route {
	struct route route; /* first: the call's pointer is ours */
	void (*answer)(struct standby_api *s, struct call *c);
} ROUTES[] = {
    {{"GET", "/livez", NULL, NULL, NULL, true, NULL}, answer_livez},
    {{"GET", "/health", NULL, NULL, NULL, true, NULL}, answer_livez},
    {{"GET", "/metrics", NULL, NULL, NULL, true, NULL}, answer_metrics},
    {{"GET", "/api/v1/cluster", NULL, NULL, NULL, false, NULL}, answer_cluster},
    {{"", "", NULL, NULL, NULL, true, NULL}, answer_away}, /* last: all else */
};
#define ROUTE_COUNT (sizeof(ROUTES) / sizeof(ROUTES[0]))

struct standby_api *standby_api_new(const struct standby_api_conf *conf)
{
	struct standby_api *s = mem_new(sizeof(*s));
	s->conf = *conf;
	s->guard = guard_new(conf->reactor, conf->peers, conf->proxies);
	return s;
}

void standby_api_free(struct standby_api *s)
{
	if (s == NULL)
		return;
	guard_free(s->guard);
	free(s);
}

void standby_api_stop(struct standby_api *s)
{
	if (s != NULL)
		guard_stop(s->guard);
}

void standby_api_configure(struct standby_api *s, const struct standby_api_conf *conf)
{
	s->conf = *conf;
}

static struct cluster_view view_of(const struct standby_api *s)
{
	struct cluster_view v = {.role = "standby"};
	s->conf.view(s->conf.arg, &v);
	return v;
}

static void answer_livez(struct standby_api *s, struct call *c)
{
	(void)s;
	handle_livez(c);
}

static void answer_cluster(struct standby_api *s, struct call *c)
{
	struct cluster_view v = view_of(s);
	if (c->token != NULL) {
		call_fail(c, 403, "", CLUSTER_NEEDS_ALL);
		return;
	}
	struct buf text = BUF_INIT(CLUSTER_VIEW_MAX);
	struct json_writer json = JSON_WRITER(&text);
	cluster_view_write(&v, &json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

static void answer_metrics(struct standby_api *s, struct call *c)
{
	struct cluster_view v = view_of(s);
	struct buf text = BUF_INIT(METRICS_MAX);
	cluster_view_metrics(&v, &text);
	http_reply(c->http, 200, EXPOSITION_TYPE, buf_view(&text));
	call_end(c);
	buf_fini(&text);
}

static void answer_away(struct standby_api *s, struct call *c)
{
	struct cluster_view v = view_of(s);
	struct buf text = BUF_INIT(AWAY_MAX);
	struct json_writer json = JSON_WRITER(&text);
	cluster_view_write_away(&v, &json);
	http_add_header(c->http, "Retry-After", AWAY_RETRY_AFTER);
	call_reply(c, 503, &json);
	buf_fini(&text);
}

static bool is_get(const struct http_request *q)
{
	return strcmp(http_method(q), "GET") == 0 || strcmp(http_method(q), "HEAD") == 0;
}

static const struct standby_route *find_route(const struct standby_api *s,
    const struct http_request *q)
{
	for (size_t i = 0; i + 1 < ROUTE_COUNT; i++) {
		const struct standby_route *r = &ROUTES[i];
		bool is_apart = r->answer == answer_metrics && s->conf.metrics_apart;
		if (!is_apart && is_get(q) &&
		    slice_eq(http_path(q), slice_of(r->route.pattern)))
			return r;
	}
	return &ROUTES[ROUTE_COUNT - 1];
}

/* Whether the call may be answered; else it has been, or will be. */
static bool admit(struct standby_api *s, struct call *c)
{
	const char *field = "";
	struct slice token = http_header(c->http, "Authorization");
	if (c->route->open)
		return true;
	const char *why = auth_count(s->conf.auth) > 0
	    ? NULL
	    : origin_refuse(&s->conf.origins, c->http, &field);
	if (why != NULL) {
		call_fail(c, 403, field, why);
		return false;
	}
	if (!guard_admits(s->guard, c))
		return false;
	if (auth_check(s->conf.auth, token, &c->token, &c->token_name))
		return true;
	guard_refuse(s->guard, c, token.len > 0,
	    "a valid token is needed: Authorization: Bearer TOKEN");
	return false;
}

static struct call *make_call(struct http_request *q, const struct standby_route *r)
{
	struct call *c = mem_new(sizeof(*c));
	c->http = q;
	c->route = &r->route;
	return c;
}

void standby_api_handle(void *arg, struct http_request *q)
{
	struct standby_api *s = arg;
	const struct standby_route *r = find_route(s, q);
	struct call *c = make_call(q, r);
	if (admit(s, c))
		r->answer(s, c);
}

bool standby_api_head(void *arg, struct http_request *q)
{
	standby_api_handle(arg, q);
	return false;
}

void standby_api_metrics(void *arg, struct http_request *q)
{
	struct standby_api *s = arg;
	bool is_it = is_get(q) && slice_eq(http_path(q), SLICE("/metrics"));
	struct call *c = make_call(q, &ROUTES[ROUTE_COUNT - 1]);
	if (is_it)
		answer_metrics(s, c);
	else
		call_fail(c, 404, "", "there is no such call");
}
