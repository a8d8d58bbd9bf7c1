/* Held answers, in the order in which they are due, and one timer; see guard.h. */
#include "api/guard.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "api/call.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define HEADER_MAX 32768 /* bytes; over what a request's head may have */

struct held {
	STAILQ_ENTRY(held) link;
	struct call *call;
	const char *message;
	struct cidr client;
	int64_t due_ms; /* monotonic */
};

struct guard {
	struct peers *peers;
	const struct proxies *proxies;
	struct reactor_timer *timer;
	STAILQ_HEAD(, held) held;
	bool stopped;
};

struct cidr guard_client(const struct guard *g, const struct http_request *q)
{
	struct cidr client = *http_peer(q);
	if (proxies_trust(g->proxies, &client)) {
		struct buf forwarded = BUF_INIT(HEADER_MAX);
		struct buf list = BUF_INIT(HEADER_MAX);
		http_header_list(q, "Forwarded", &forwarded);
		http_header_list(q, "X-Forwarded-For", &list);
		client = forwarded_client(g->proxies, &client, buf_view(&forwarded),
		    buf_view(&list));
		buf_fini(&forwarded);
		buf_fini(&list);
	}
	return address_client(&client);
}

/* Answers the first of the held ones. */
static void release_first(struct guard *g)
{
	struct held *h = STAILQ_FIRST(&g->held);
	STAILQ_REMOVE_HEAD(&g->held, link);
	peers_release(g->peers, &h->client, clock_mono_ms());
	call_fail(h->call, 401, "", h->message);
	free(h);
}

static void on_due(void *arg)
{
	struct guard *g = arg;
	int64_t now_ms = clock_mono_ms();
	while (!STAILQ_EMPTY(&g->held) && STAILQ_FIRST(&g->held)->due_ms <= now_ms)
		release_first(g);
	if (!STAILQ_EMPTY(&g->held))
		reactor_timer_set(g->timer, STAILQ_FIRST(&g->held)->due_ms - now_ms);
}

struct guard *guard_new(struct reactor *r, struct peers *peers, const struct proxies *proxies)
{
	struct guard *g = mem_new(sizeof(*g));
	g->peers = peers;
	g->proxies = proxies;
	g->timer = reactor_timer_new(r, on_due, g);
	STAILQ_INIT(&g->held);
	return g;
}

void guard_free(struct guard *g)
{
	if (g == NULL)
		return;
	panic_if(!STAILQ_EMPTY(&g->held), "the guard was freed with answers held");
	reactor_timer_free(g->timer);
	free(g);
}

bool guard_admits(struct guard *g, struct call *c)
{
	struct cidr client = guard_client(g, c->http);
	if (!peers_is_blocked(g->peers, &client))
		return true;
	http_add_header(c->http, "Retry-After", "1");
	call_fail(c, 429, "", "too many wrong tokens or signatures come from this address");
	return false;
}

void guard_refuse(struct guard *g, struct call *c, bool is_guess, const char *message)
{
	struct cidr client = guard_client(g, c->http);
	int64_t now_ms = clock_mono_ms();
	if (!is_guess || g->stopped || !peers_wrong_token(g->peers, &client, now_ms)) {
		call_fail(c, 401, "", message);
		return;
	}
	struct held *h = mem_new(sizeof(*h));
	*h = (struct held){.call = c, .message = message, .client = client};
	h->due_ms = now_ms + GUARD_HOLD_MS;
	if (STAILQ_EMPTY(&g->held))
		reactor_timer_set(g->timer, GUARD_HOLD_MS);
	STAILQ_INSERT_TAIL(&g->held, h, link);
}

void guard_stop(struct guard *g)
{
	g->stopped = true;
	while (!STAILQ_EMPTY(&g->held))
		release_first(g);
}
