/*
 * The bare loop: evhttp, LMDB and curl in one libevent loop, one commit a pass; see parts.h.
 * An item is an event from its POST until its deletion is on disk.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "domain/sign.h"
#include "net.h"
#include "parts.h"
#include "shelf.h"

struct item {
	STAILQ_ENTRY(item) next;
	uint64_t id;
	struct evhttp_request *request; /* to be answered */
	size_t len;
	char body[];
};
STAILQ_HEAD(items, item);

struct loop {
	struct event_base *base;
	struct shelf *shelf;
	struct poster *poster;
	struct items posted;    /* in this pass */
	struct items delivered; /* in this pass */
	struct items waiting;   /* on disk, not yet sent */
	uint64_t ids;
	bool is_stopping;
};

static void on_request(struct evhttp_request *request, void *arg)
{
	struct loop *l = arg;
	struct evbuffer *in = evhttp_request_get_input_buffer(request);
	size_t len = evbuffer_get_length(in);
	struct item *item = malloc(sizeof(*item) + len);
	if (item == NULL)
		net_die("item");
	*item = (struct item){.id = l->ids++, .request = request, .len = len};
	(void)evbuffer_remove(in, item->body, len);
	STAILQ_INSERT_TAIL(&l->posted, item, next);
}

static void on_delivered(void *arg, void *tag)
{
	struct loop *l = arg;
	struct item *item = tag;
	STAILQ_INSERT_TAIL(&l->delivered, item, next);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct loop *l = arg;
	l->is_stopping = true;
}

static struct slice body_of(const struct item *item)
{
	return (struct slice){item->body, item->len};
}

static void store(struct loop *l)
{
	const struct item *item;
	if (STAILQ_EMPTY(&l->posted) && STAILQ_EMPTY(&l->delivered))
		return;
	shelf_begin(l->shelf);
	STAILQ_FOREACH(item, &l->posted, next)
		shelf_put(l->shelf, item->id, body_of(item));
	STAILQ_FOREACH(item, &l->delivered, next)
		shelf_drop(l->shelf, item->id);
	shelf_commit(l->shelf);
}

static void answer(struct item *item)
{
	(void)evbuffer_add_printf(evhttp_request_get_output_buffer(item->request),
	    "{\"id\":\"%016llx\",\"deliveries\":1}", (unsigned long long)item->id);
	evhttp_send_reply(item->request, 202, "Accepted", NULL);
	item->request = NULL;
}

static void free_items(struct items *items)
{
	while (!STAILQ_EMPTY(items)) {
		struct item *item = STAILQ_FIRST(items);
		STAILQ_REMOVE_HEAD(items, next);
		free(item);
	}
}

/* What follows from the pass: one commit, the answers, new deliveries. */
static void end_pass(struct loop *l)
{
	struct item *item;
	store(l);
	STAILQ_FOREACH(item, &l->posted, next)
		answer(item);
	STAILQ_CONCAT(&l->waiting, &l->posted);
	free_items(&l->delivered);
	while (!STAILQ_EMPTY(&l->waiting) && poster_has_room(l->poster)) {
		item = STAILQ_FIRST(&l->waiting);
		STAILQ_REMOVE_HEAD(&l->waiting, next);
		poster_send(l->poster, item->id, body_of(item), item);
	}
}

void part_loop(const struct part *p)
{
	struct loop l = {.base = event_base_new()};
	STAILQ_INIT(&l.posted);
	STAILQ_INIT(&l.delivered);
	STAILQ_INIT(&l.waiting);
	uint16_t port = 0;
	int listener = net_listen(&port);
	struct evhttp *http = l.base == NULL ? NULL : evhttp_new(l.base);
	struct event *term = l.base == NULL ? NULL
					    : evsignal_new(l.base, SIGTERM, on_signal, &l);
	if (http == NULL || term == NULL || event_add(term, NULL) != 0 ||
	    evhttp_accept_socket(http, listener) != 0)
		net_die("evhttp");
	evhttp_set_gencb(http, on_request, &l);
	struct sign_key *key = sign_key_new(slice_of(p->secret));
	struct poster_conf conf = {.base = l.base,
	    .url = p->url,
	    .mode = p->mode,
	    .in_flight = p->in_flight,
	    .secret = key,
	    .done = on_delivered,
	    .arg = &l};
	l.shelf = shelf_open(p->dir);
	l.poster = poster_new(&conf);
	(void)printf("loop ready on http://127.0.0.1:%u\n", (unsigned)port);
	(void)fflush(stdout);
	while (!l.is_stopping) {
		(void)event_base_loop(l.base, EVLOOP_ONCE);
		end_pass(&l);
	}
	poster_free(l.poster);
	shelf_close(l.shelf);
	sign_key_free(key);
	event_free(term);
	evhttp_free(http);
	event_base_free(l.base);
	free_items(&l.waiting);
}
