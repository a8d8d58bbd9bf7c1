/*
 * Whose request is handled next. As long as a pass of the loop has used little time on
 * handlers, requests are handled as they come. After that they wait: each taker has a line of
 * its own, and in the passes that follow the takers have their turns, one request each, until
 * the time of the pass is used up. So a line of many long requests holds up nobody but its own
 * taker, and what is not of the handlers goes on in between.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http_inner.h"

#define WORK_US 10000 /* of a pass; some hundreds of requests that publish an event */

/* A taker with requests that wait. */
struct worker {
	TAILQ_ENTRY(worker) link;
	STAILQ_HEAD(, http_request) waiting;
	char name[HTTP_TAKER_SIZE];
};

static void begin_pass(struct http_server *s)
{
	if (s->work_pass == reactor_passes(s->reactor))
		return;
	s->work_pass = reactor_passes(s->reactor);
	s->work_us = 0;
}

void http_handle(struct http_request *q)
{
	struct http_server *s = q->server;
	int64_t began_us = clock_now_us();
	begin_pass(s);
	s->hooks.handle(s->hooks.arg, q);
	s->work_us += clock_now_us() - began_us;
}

static struct worker *find_worker(struct http_server *s, struct slice name)
{
	struct worker *w = map_get(s->workers_by_name, name.ptr, name.len);
	if (w != NULL)
		return w;
	w = mem_new(sizeof(*w));
	STAILQ_INIT(&w->waiting);
	memcpy(w->name, name.ptr, name.len); /* zeroed, and a taker's name is shorter */
	map_put(s->workers_by_name, name.ptr, name.len, w);
	TAILQ_INSERT_TAIL(&s->workers, w, link);
	return w;
}

bool http_waits(struct http_request *q)
{
	struct http_server *s = q->server;
	bool is_idle = TAILQ_EMPTY(&s->workers) && s->work_us < WORK_US;
	if (is_idle || s->works_off || s->stopped)
		return false;
	STAILQ_INSERT_TAIL(&find_worker(s, http_taker(q))->waiting, q, link);
	reactor_timer_set(s->work, 0);
	return true;
}

/* Handles the first request of the taker whose turn it is. */
static void take_turn(struct http_server *s)
{
	struct worker *w = TAILQ_FIRST(&s->workers);
	struct http_request *q = STAILQ_FIRST(&w->waiting);
	STAILQ_REMOVE_HEAD(&w->waiting, link);
	TAILQ_REMOVE(&s->workers, w, link);
	if (STAILQ_EMPTY(&w->waiting))
		free(map_del(s->workers_by_name, w->name, strlen(w->name)));
	else
		TAILQ_INSERT_TAIL(&s->workers, w, link);
	s->works_off = true;
	http_handle(q);
	s->works_off = false;
}

static void on_work(void *arg)
{
	struct http_server *s = arg;
	begin_pass(s);
	while (!TAILQ_EMPTY(&s->workers) && s->work_us < WORK_US)
		take_turn(s);
	if (!TAILQ_EMPTY(&s->workers))
		reactor_timer_set(s->work, 0);
}

void http_finish_work(struct http_server *s)
{
	while (!TAILQ_EMPTY(&s->workers))
		take_turn(s);
}

void http_open_work(struct http_server *s)
{
	TAILQ_INIT(&s->workers);
	s->workers_by_name = map_new();
	s->work = reactor_timer_new(s->reactor, on_work, s);
}

void http_close_work(struct http_server *s)
{
	panic_if(!TAILQ_EMPTY(&s->workers), "the HTTP server was freed with requests waiting");
	map_free(s->workers_by_name);
	reactor_timer_free(s->work);
}
