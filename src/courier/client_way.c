/* Addresses in place of names, for curl; see client_way.h. */
#include "courier/client_way.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rnd.h"
#include "base/str.h"

#define HOST_TEXT_MAX 8192 /* bytes; what is longer than a name in the DNS is not found */
#define CONNECT_TO_SIZE (ROUTE_NAME_SIZE + 4)

/* A proxy that requests go through. */
struct proxy {
	CURLU *url; /* NULL: none */
	char *host; /* of it; curl_free() it */
	uint16_t port;
};

struct ways {
	struct lookup *lookup;
	const struct address_policy *policy; /* NULL: any address */
	struct proxy set;                    /* the configured one */
	bool own_proxies;
	struct failures *failures;
	struct rnd rnd; /* spreads requests over addresses */
};

struct way {
	struct ways *ways;
	CURL *easy;
	way_fn fn;
	void *arg;
	struct buf host;
	uint16_t port;
	struct lookup_asker asker;
	enum lookup_status status;
	bool found;
	bool is_forbidden;                 /* its choice is not for it to make */
	const struct proxy_choice *choice; /* of a request that is not sent yet; or NULL */
	struct proxy own;                  /* which that names */
	const struct proxy *proxy;         /* that the request goes through; NULL: directly */
	const struct proxy *told;          /* and that curl was told of last */
	struct route route;
	union lookup_address
	    to; /* the present address; of no family: curl knows, or there is none */
	int64_t asked_us;
	int64_t found_us;                 /* 0: it still waits */
	char proxy_name[ROUTE_NAME_SIZE]; /* where the proxy is, as curl was told */
	char connect_to[CONNECT_TO_SIZE];
	struct curl_slist node;
};

static void must(int code, const char *what)
{
	panic_if(code != 0, "curl cannot be told %s: %d", what, code);
}

uint16_t way_url_port(void *url)
{
	char *text = NULL;
	uint64_t port = 0;
	must((int)curl_url_get(url, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT), "a port");
	enum err err = str_u64(slice_of(text), &port);
	panic_if(err != OK, "curl has a port that is no number");
	curl_free(text);
	return (uint16_t)port;
}

static void read_proxy(struct proxy *proxy, const char *url)
{
	proxy->url = curl_url();
	panic_if(proxy->url == NULL, "no curl handle");
	must((int)curl_url_set(proxy->url, CURLUPART_URL, url, 0), "the proxy");
	must((int)curl_url_get(proxy->url, CURLUPART_HOST, &proxy->host, 0), "the proxy");
	proxy->port = way_url_port(proxy->url);
}

static void drop_proxy(struct proxy *proxy)
{
	curl_url_cleanup(proxy->url);
	curl_free(proxy->host);
	*proxy = (struct proxy){0};
}

struct ways *ways_new(struct reactor *r, const struct client_conf *conf)
{
	struct ways *ways = mem_new(sizeof(*ways));
	ways->lookup = lookup_new(r, &conf->lookup);
	ways->failures = failures_new();
	rnd_seed_system(&ways->rnd);
	ways->policy = conf->policy;
	ways->own_proxies = conf->own_proxies;
	if (conf->proxy != NULL)
		read_proxy(&ways->set, conf->proxy);
	return ways;
}

void ways_free(struct ways *ways)
{
	if (ways == NULL)
		return;
	lookup_free(ways->lookup);
	failures_free(ways->failures);
	drop_proxy(&ways->set);
	free(ways);
}

struct lookup *ways_lookup(const struct ways *ways)
{
	return ways->lookup;
}

void ways_lookups(const struct ways *ways, struct lookup_figures *out)
{
	lookup_figures(ways->lookup, out);
}

/* The name that is looked up. */
static struct slice target(const struct way *w)
{
	return w->proxy != NULL ? slice_of(w->proxy->host) : buf_view(&w->host);
}

static void set_proxy(struct way *w)
{
	char name[ROUTE_NAME_SIZE];
	char *url = NULL;
	route_name(&w->to, name);
	if (w->told == w->proxy && strcmp(w->proxy_name, name) == 0)
		return;
	must((int)curl_url_set(w->proxy->url, CURLUPART_HOST, name, 0), "the proxy's address");
	must((int)curl_url_get(w->proxy->url, CURLUPART_URL, &url, 0), "the proxy's address");
	must((int)curl_easy_setopt(w->easy, CURLOPT_PROXY, url), "the proxy's address");
	must((int)curl_easy_setopt(w->easy, CURLOPT_CONNECT_TO, NULL), "of no address");
	mem_wipe(url, strlen(url));
	curl_free(url);
	memcpy(w->proxy_name, name, sizeof(name));
	w->told = w->proxy;
}

static void set_no_proxy(struct way *w)
{
	if (w->told != NULL)
		must((int)curl_easy_setopt(w->easy, CURLOPT_PROXY, ""), "of no proxy");
	w->told = NULL;
}

static void set_connect_to(struct way *w)
{
	char name[ROUTE_NAME_SIZE];
	struct curl_slist *list = NULL; /* the URL's host is an address */
	if (w->to.any.sa_family != AF_UNSPEC) {
		route_name(&w->to, name);
		(void)snprintf(w->connect_to, sizeof(w->connect_to),
		    "::%s:", name); /* whatever the host and the port, the port as it is */
		w->node.data = w->connect_to;
		list = &w->node;
	}
	must((int)curl_easy_setopt(w->easy, CURLOPT_CONNECT_TO, list), "an address");
}

static void tell_curl(struct way *w)
{
	w->found = true;
	if (w->proxy != NULL) {
		set_proxy(w);
		return;
	}
	set_no_proxy(w);
	set_connect_to(w);
}

static void take(struct way *w, const struct lookup_answer *answer)
{
	w->status = answer->status;
	if (answer->status != LOOKUP_OK)
		return;
	route_set(&w->route, answer, way_policy(w));
	if (w->route.count > 1)
		route_order(&w->route, w->ways->failures, way_port(w), rnd_next(&w->ways->rnd));
	const union lookup_address *first = route_next(&w->route);
	if (!answer->is_direct || w->proxy != NULL)
		w->to = *first;
	tell_curl(w);
}

static void on_answer(void *arg, const struct lookup_answer *answer)
{
	struct way *w = arg;
	w->found_us = clock_now_us();
	take(w, answer);
	w->fn(w->arg);
}

struct way *way_new(struct ways *ways, void *easy, way_fn fn, void *arg)
{
	struct way *w = mem_new(sizeof(*w));
	*w = (struct way){.ways = ways, .easy = easy, .fn = fn, .arg = arg};
	w->host = BUF_INIT(HOST_TEXT_MAX);
	w->asker = (struct lookup_asker){.fn = on_answer, .arg = w};
	must((int)curl_easy_setopt(easy, CURLOPT_PROXY, ""), "of no proxy");
	must((int)curl_easy_setopt(easy, CURLOPT_NOPROXY, ""), "of no exception");
	return w;
}

void way_free(struct way *w)
{
	drop_proxy(&w->own);
	buf_fini(&w->host);
	free(w);
}

void way_set_host(struct way *w, struct slice host, uint16_t port)
{
	w->port = port;
	buf_reset(&w->host);
	buf_slice(&w->host, host);
}

void way_choose(struct way *w, const struct proxy_choice *choice)
{
	w->choice = choice;
	if (choice != NULL)
		return;
	if (w->told == &w->own)
		set_no_proxy(w);
	drop_proxy(&w->own);
}

/* Finds which proxy the request goes through; false: it must not choose that. */
static bool find_proxy(struct way *w)
{
	const struct proxy *set = w->ways->set.url != NULL ? &w->ways->set : NULL;
	const struct proxy_choice *c = w->choice;
	w->proxy = set;
	w->choice = NULL;
	if (c == NULL)
		return true;
	if (c->kind == PROXY_NONE || proxy_excepts(c, buf_view(&w->host))) {
		w->proxy = NULL;
	} else if (c->kind == PROXY_OWN && w->ways->own_proxies) {
		read_proxy(&w->own, c->url);
		w->proxy = &w->own;
	}
	return w->ways->own_proxies || (c->kind != PROXY_OWN && w->proxy == set);
}

const struct address_policy *way_policy(const struct way *w)
{
	return way_is_set(w) ? NULL : w->ways->policy;
}

bool way_is_set(const struct way *w)
{
	return w->proxy != NULL && w->proxy == &w->ways->set;
}

bool way_find(struct way *w, uint64_t taker)
{
	w->asker.taker = taker;
	w->found = false;
	w->is_forbidden = false;
	w->proxy = NULL;
	w->to.any.sa_family = AF_UNSPEC;
	w->route.count = w->route.next = 0;
	w->status = LOOKUP_TIMEOUT; /* until there is an answer */
	w->asked_us = clock_now_us();
	w->found_us = w->asked_us;
	if (w->host.len == 0) { /* curl refuses the URL before it connects, and says why */
		w->found = true;
		return true;
	}
	w->is_forbidden = !find_proxy(w);
	if (w->is_forbidden) {
		w->status = LOOKUP_OK;
		return true;
	}
	const struct lookup_answer *answer = lookup_ask(w->ways->lookup, target(w), &w->asker);
	if (answer == NULL) {
		w->found_us = 0;
		return false;
	}
	take(w, answer);
	return true;
}

void way_stop(struct way *w)
{
	lookup_cancel(w->ways->lookup, &w->asker);
	if (w->found_us == 0)
		w->found_us = clock_now_us();
}

bool way_is_found(const struct way *w)
{
	return w->found;
}

void way_demote(struct way *w)
{
	if (w->to.any.sa_family != AF_UNSPEC && w->route.count > 1)
		failures_note(w->ways->failures, &w->to, way_port(w));
}

void way_promote(struct way *w)
{
	if (w->to.any.sa_family != AF_UNSPEC)
		failures_forget(w->ways->failures, &w->to, way_port(w));
}

struct route *way_route(struct way *w)
{
	return &w->route;
}

uint16_t way_port(const struct way *w)
{
	return w->proxy != NULL ? w->proxy->port : w->port;
}

void way_take(struct way *w, const union lookup_address *to)
{
	w->to = *to;
	tell_curl(w);
}

struct failures *ways_failures(struct ways *ways)
{
	return ways->failures;
}

enum lookup_status way_status(const struct way *w)
{
	return w->status;
}

int64_t way_lookup_us(const struct way *w)
{
	return w->found_us - w->asked_us;
}

void way_explain(const struct way *w, char *out, size_t size)
{
	struct slice host = target(w);
	const char *text = lookup_text(w->status);
	bool has_text = *text != '\0';
	if (w->is_forbidden) {
		(void)snprintf(out, size,
		    "the webhook's choice of a proxy is refused (webhook_proxies)");
		return;
	}
	(void)snprintf(out, size, "Could not resolve %s: %.*s%s%s%s",
	    w->proxy != NULL ? "proxy" : "host", (int)host.len, host.ptr, has_text ? " (" : "",
	    text, has_text ? ")" : "");
}
