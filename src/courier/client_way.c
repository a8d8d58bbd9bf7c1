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

struct ways {
	struct lookup *lookup;
	const struct address_policy *policy; /* NULL: a proxy decides, or nobody */
	CURLU *proxy;                        /* NULL: none */
	char *proxy_host;                    /* of it; curl_free() it */
	uint16_t proxy_port;
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

static void read_proxy(struct ways *ways, const char *url)
{
	ways->proxy = curl_url();
	panic_if(ways->proxy == NULL, "no curl handle");
	must((int)curl_url_set(ways->proxy, CURLUPART_URL, url, 0), "the proxy");
	must((int)curl_url_get(ways->proxy, CURLUPART_HOST, &ways->proxy_host, 0), "the proxy");
	ways->proxy_port = way_url_port(ways->proxy);
}

struct ways *ways_new(struct reactor *r, const struct client_conf *conf)
{
	struct ways *ways = mem_new(sizeof(*ways));
	ways->lookup = lookup_new(r, &conf->lookup);
	ways->failures = failures_new();
	rnd_seed_system(&ways->rnd);
	if (conf->proxy != NULL)
		read_proxy(ways, conf->proxy);
	else
		ways->policy = conf->policy;
	return ways;
}

void ways_free(struct ways *ways)
{
	if (ways == NULL)
		return;
	lookup_free(ways->lookup);
	failures_free(ways->failures);
	curl_url_cleanup(ways->proxy);
	curl_free(ways->proxy_host);
	free(ways);
}

void ways_lookups(const struct ways *ways, struct lookup_figures *out)
{
	lookup_figures(ways->lookup, out);
}

/* The name that is looked up. */
static struct slice target(const struct way *w)
{
	return w->ways->proxy != NULL ? slice_of(w->ways->proxy_host) : buf_view(&w->host);
}

static void set_proxy(struct way *w)
{
	char name[ROUTE_NAME_SIZE];
	char *url = NULL;
	route_name(&w->to, name);
	if (strcmp(w->proxy_name, name) == 0)
		return;
	must((int)curl_url_set(w->ways->proxy, CURLUPART_HOST, name, 0), "the proxy's address");
	must((int)curl_url_get(w->ways->proxy, CURLUPART_URL, &url, 0), "the proxy's address");
	must((int)curl_easy_setopt(w->easy, CURLOPT_PROXY, url), "the proxy's address");
	curl_free(url);
	memcpy(w->proxy_name, name, sizeof(name));
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
	if (w->ways->proxy != NULL)
		set_proxy(w);
	else
		set_connect_to(w);
}

static void take(struct way *w, const struct lookup_answer *answer)
{
	w->status = answer->status;
	if (answer->status != LOOKUP_OK)
		return;
	route_set(&w->route, answer, w->ways->policy);
	if (w->route.count > 1)
		route_order(&w->route, w->ways->failures, way_port(w), rnd_next(&w->ways->rnd));
	const union lookup_address *first = route_next(&w->route);
	if (!answer->is_direct || w->ways->proxy != NULL)
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
	buf_fini(&w->host);
	free(w);
}

void way_set_host(struct way *w, struct slice host, uint16_t port)
{
	w->port = port;
	buf_reset(&w->host);
	buf_slice(&w->host, host);
}

bool way_find(struct way *w, uint64_t taker)
{
	w->asker.taker = taker;
	w->found = false;
	w->to.any.sa_family = AF_UNSPEC;
	w->route.count = w->route.next = 0;
	w->status = LOOKUP_TIMEOUT; /* until there is an answer */
	w->asked_us = clock_now_us();
	w->found_us = w->asked_us;
	if (w->host.len == 0) { /* curl refuses the URL before it connects, and says why */
		w->found = true;
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
	return w->ways->proxy != NULL ? w->ways->proxy_port : w->port;
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
	(void)snprintf(out, size, "Could not resolve %s: %.*s%s%s%s",
	    w->ways->proxy != NULL ? "proxy" : "host", (int)host.len, host.ptr,
	    has_text ? " (" : "", text, has_text ? ")" : "");
}
