/*
 * The edges of the engine, in the test's hand: time, the HTTP client and the disk's flush. A
 * program that includes this has them in place of base/clock.c and courier/client.c, which the
 * linker then leaves where they are, and of libc's fdatasync(). So what happens to a delivery
 * is told in virtual time, without a socket, and the same in each run.
 */
#ifndef TESTS_EDGES_H
#define TESTS_EDGES_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "courier/client.h"

#define EDGES_START_MS 1800000000000LL /* wall; where each test begins */
#define EDGES_MONO_MS 5000             /* monotonic, at that moment */

static struct {
	int64_t passed_ms;
	bool disk_fails; /* nothing is flushed, and so nothing committed */
} edges;

/* Time */

int64_t clock_wall_ms(void)
{
	return EDGES_START_MS + edges.passed_ms;
}

int64_t clock_system_ms(void)
{
	return clock_wall_ms();
}

int64_t clock_mono_ms(void)
{
	return EDGES_MONO_MS + edges.passed_ms;
}

int64_t clock_now_us(void)
{
	return clock_mono_ms() * 1000;
}

void clock_expire(void)
{
}

/* The disk: LMDB calls this one. */

int fdatasync(int fd)
{
	(void)fd; /* what is written need not outlive the test */
	errno = EIO;
	return edges.disk_fails ? -1 : 0;
}

/* The client: it sends nothing, and its requests end as the test says. */

struct client_request {
	TAILQ_ENTRY(client_request) link;
	struct client *client;
	struct buf text; /* what is sent: "Name: value\n" for each header, "\n", the body */
	char *url;
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
	q->text = BUF_INIT(1u << 16);
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

void client_send(struct client_request *q, const char *url, struct slice body,
    uint32_t timeout_ms, client_done_fn done, void *arg)
{
	(void)timeout_ms;
	q->url = mem_copy(url, strlen(url));
	buf_putc(&q->text, '\n');
	buf_slice(&q->text, body);
	q->done = done;
	q->arg = arg;
	TAILQ_INSERT_TAIL(&q->client->active, q, link);
	q->client->count++;
	q->client->sent++;
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
