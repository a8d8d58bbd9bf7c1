/*
 * Chunked answers of evhttp; see http_stream.h. evhttp's part in it (2.1.12):
 *  - evhttp_send_reply_chunk_with_cb() calls back when the connection's output is empty;
 *    it keeps one callback, so the last send's counts.
 *  - it does not read while an answer is under way: that a client has left shows in the
 *    next write, or in our deadline.
 *  - a connection that fails lets go of a request whose answer was not ended: the request
 *    has no connection then, and is ours to free. One that is freed by
 *    evhttp_connection_free() frees the request too. The close callback comes in both cases,
 *    and tells them apart by evhttp_request_get_connection().
 */
#include "http/http_stream.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/http_error.h"
#include "http/http_inner.h"

struct http_stream {
	struct http_request *request;
	struct http_stream_conf conf;
	struct evbuffer *piece; /* on its way to evhttp; empty between */
	struct reactor_timer *stall;
};

bool http_can_stream(const struct http_request *q)
{
	return http_may_go_on(q) && strcmp(http_method(q), "HEAD") != 0;
}

static void free_stream(struct http_stream *s)
{
	http_release(s->request);
	reactor_timer_free(s->stall);
	evbuffer_free(s->piece);
	free(s);
}

/* The connection ends, with the answer or without. */
static void on_gone(void *arg)
{
	struct http_stream *s = arg;
	struct evhttp_request *ev = s->request->ev;
	void (*gone)(void *arg) = s->conf.gone;
	void *gone_arg = s->conf.arg;
	if (evhttp_request_get_connection(ev) == NULL)
		evhttp_request_free(ev);
	free_stream(s);
	gone(gone_arg);
}

static void on_stall(void *arg)
{
	http_stream_abort(arg);
}

static void on_drained(struct evhttp_connection *ev, void *arg)
{
	struct http_stream *s = arg;
	(void)ev;
	reactor_timer_clear(s->stall);
	s->conf.drained(s->conf.arg);
}

struct http_stream *http_stream_begin(struct http_request *q, int status,
    const char *content_type, const struct http_stream_conf *conf)
{
	struct http_stream *s = mem_new(sizeof(*s));
	panic_if(!http_can_stream(q), "a request that cannot be streamed to");
	q->server->figures.answers[status / 100]++;
	s->request = q;
	s->conf = *conf;
	s->piece = evbuffer_new();
	panic_if(s->piece == NULL, "out of memory");
	s->stall = reactor_timer_new(q->server->reactor, on_stall, s);
	http_watch(q, on_gone, s);
	http_add_header(q, "Content-Type", content_type);
	http_add_header(q, "Connection", "close");
	evhttp_send_reply_start(q->ev, status, http_phrase(status));
	return s;
}

void http_stream_send(struct http_stream *s, struct slice bytes)
{
	panic_if(bytes.len == 0, "an empty piece would end the answer");
	panic_if(evbuffer_add(s->piece, bytes.ptr, bytes.len) != 0, "out of memory");
	if (s->conf.stall_ms > 0)
		reactor_timer_set(s->stall, s->conf.stall_ms);
	evhttp_send_reply_chunk_with_cb(s->request->ev, s->piece, on_drained, s);
}

void http_stream_end(struct http_stream *s)
{
	struct evhttp_request *ev = s->request->ev;
	http_watch(s->request, NULL, NULL);
	free_stream(s);
	evhttp_send_reply_end(ev);
}

void http_stream_abort(struct http_stream *s)
{
	/* its close callback leads to on_gone() */
	evhttp_connection_free(evhttp_request_get_connection(s->request->ev));
}
