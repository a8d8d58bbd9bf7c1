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
#include "courier/route.h"

#define HOST_TEXT_MAX 8192 /* bytes; what is longer than a name in the DNS is not found */
#define CONNECT_TO_SIZE (ROUTE_NAME_SIZE + 4)

struct ways {
	struct lookup *lookup;
	const struct address_policy *policy; /* NULL: a proxy decides, or nobody */
	CURLU *proxy;                        /* NULL: none */
	char *proxy_host;                    /* of it; curl_free() it */
};

struct way {
	struct ways *ways;
	CURL *easy;
	way_fn fn;
	void *arg;
	struct buf host;
	struct lookup_asker asker;
	enum lookup_status status;
	bool found;
	struct route route;
	const union lookup_address *to; /* of `route`: the address of now; NULL: curl knows */
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

static void read_proxy(struct ways *ways, const char *url)
{
	ways->proxy = curl_url();
	panic_if(ways->proxy == NULL, "no curl handle");
	must((int)curl_url_set(ways->proxy, CURLUPART_URL, url, 0), "the proxy");
	must((int)curl_url_get(ways->proxy, CURLUPART_HOST, &ways->proxy_host, 0), "the proxy");
}

struct ways *ways_new(struct reactor *r, const struct client_conf *conf)
{
	struct ways *ways = mem_new(sizeof(*ways));
	ways->lookup = lookup_new(r, &conf->lookup);
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
	route_name(w->to, name);
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
	if (w->to != NULL) {
		route_name(w->to, name);
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
	w->to = route_next(&w->route);
	if (answer->is_direct && w->ways->proxy == NULL)
		w->to = NULL;
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

void way_set_host(struct way *w, struct slice host)
{
	buf_reset(&w->host);
	buf_slice(&w->host, host);
}

bool way_find(struct way *w, uint64_t taker)
{
	w->asker.taker = taker;
	w->found = false;
	w->to = NULL;
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
	if (w->to != NULL)
		lookup_demote(w->ways->lookup, target(w), w->to);
}

bool way_next(struct way *w)
{
	const union lookup_address *next = route_next(&w->route);
	way_demote(w);
	if (w->to == NULL || next == NULL)
		return false;
	w->to = next;
	tell_curl(w);
	return true;
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
