/* An HTTP client in the test's hand, see edges.h: the engine's, which fetches nothing. */
#ifndef TESTS_EDGE_CLIENT_H
#define TESTS_EDGE_CLIENT_H

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "courier/client.h"

#include "edges.h"

#define NO_ANSWER (-1) /* in place of a status: the connection broke */
struct client_request {
	TAILQ_ENTRY(client_request) link;
	struct client *client;
	/* what is sent: "Name: value\n" for each header, "\n", a body that is not asked for */
	struct buf text;
	struct client_body body; /* its text is the test's to look at where it has no `read` */
	char *url;
	char *taker;
	client_done_fn done;
	void *arg;
	struct client_result result;
};

TAILQ_HEAD(client_requests, client_request);

struct client {
	struct client_requests active; /* in the order in which they were sent */
	struct client_requests ended;
	size_t count; /* active ones */
	size_t sent;  /* ever */
};

struct client *client_new(struct reactor *r, const struct client_conf *conf)
{
	struct client *c = mem_new(sizeof(*c));
	(void)r;
	(void)conf;
	TAILQ_INIT(&c->active);
	TAILQ_INIT(&c->ended);
	return c;
}

static inline void forget_requests(struct client_requests *list)
{
	while (!TAILQ_EMPTY(list)) {
		struct client_request *q = TAILQ_FIRST(list);
		TAILQ_REMOVE(list, q, link);
		buf_fini(&q->text);
		free(q->url);
		free(q->taker);
		free(q);
	}
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	forget_requests(&c->active);
	forget_requests(&c->ended);
	free(c);
}

struct client_request *client_open(struct client *c)
{
	struct client_request *q = mem_new(sizeof(*q));
	q->client = c;
	q->text = BUF_INIT(1u << 18);
	return q;
}

void client_header(struct client_request *q, struct slice name, struct slice value)
{
	buf_slice(&q->text, name);
	buf_puts(&q->text, ": ");
	buf_slice(&q->text, value);
	buf_putc(&q->text, '\n');
}

void client_own_header(struct client_request *q, struct slice name, struct slice value)
{
	client_header(q, name, value);
}

void client_tls(struct client_request *q, const char *ca_pem, bool insecure)
{
	(void)q;
	(void)ca_pem;
	(void)insecure;
}

void client_look(struct client_request *q, bool whole)
{
	(void)q;
	(void)whole;
}

void client_taker(struct client_request *q, struct slice taker)
{
	q->taker = mem_copy(taker.ptr, taker.len);
}

void client_send(struct client_request *q, const char *url, const struct client_body *body,
    uint32_t timeout_ms, client_done_fn done, void *arg)
{
	(void)timeout_ms;
	q->url = mem_copy(url, strlen(url));
	buf_putc(&q->text, '\n');
	if (body->read == NULL)
		buf_slice(&q->text, body->text);
	q->body = *body;
	q->done = done;
	q->arg = arg;
	TAILQ_INSERT_TAIL(&q->client->active, q, link);
	q->client->count++;
	q->client->sent++;
	edges.spent_us += edges.start_us;
}

/* Puts all of a large body into `out`, piece by piece; false where it ends too early. */
static inline bool client_ask(const struct client_request *q, struct buf *out)
{
	enum { PIECE = 5000 }; /* neither LMDB's pages nor the store's pieces */
	char piece[PIECE];
	size_t n = 1;
	for (size_t at = 0; n > 0 && at < q->body.text.len; at += n) {
		n = q->body.read(q->arg, at, piece, sizeof(piece));
		buf_append(out, piece, n);
	}
	return n > 0;
}

/* The oldest request that is under way to `url`; NULL: none is. */
static inline struct client_request *client_find(const struct client *c, const char *url)
{
	struct client_request *q;
	TAILQ_FOREACH(q, &c->active, link) {
		if (strcmp(q->url, url) == 0)
			return q;
	}
	return NULL;
}

/* Ends a request so; client_reap() will say it. What `r` borrows must stay. */
static inline void client_end(struct client_request *q, const struct client_result *r)
{
	panic_if(q == NULL, "no request is under way");
	q->result = *r;
	q->result.url = q->url;
	TAILQ_REMOVE(&q->client->active, q, link);
	TAILQ_INSERT_TAIL(&q->client->ended, q, link);
	q->client->count--;
}

/* Ends a request with `status`, or without any. */
static inline void client_answer(struct client_request *q, int status)
{
	bool is_answered = status != NO_ANSWER;
	const struct client_result r = {.status = is_answered ? status : 0,
	    .error = is_answered ? "" : "the connection broke",
	    .duration_us = 1000,
	    .address = ""};
	client_end(q, &r);
}

void client_give_up(struct client_request *q)
{
	const struct client_result r = {.error = "given up", .address = "", .given_up = true};
	client_end(q, &r);
}

bool client_has_room(struct client *c)
{
	(void)c;
	return true;
}

bool client_has_ended(const struct client *c)
{
	return !TAILQ_EMPTY(&c->ended);
}

void client_reap(struct client *c)
{
	struct client_requests ended = TAILQ_HEAD_INITIALIZER(ended);
	TAILQ_CONCAT(&ended, &c->ended, link);
	struct client_request *q;
	TAILQ_FOREACH(q, &ended, link)
		q->done(q->arg, &q->result);
	forget_requests(&ended);
}

#endif
