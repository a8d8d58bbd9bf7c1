/* Requests as their handlers see them, and the answers to them; see http.h. */
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/log.h"
#include "http/http_error.h"
#include "http/http_inner.h"

bool http_may_go_on(const struct http_request *q)
{
	const struct connection *c = http_connection_of(q->server, q->ev);
	return c != NULL && c->gate.version == 1 && !q->server->stopped;
}

void http_watch(struct http_request *q, void (*gone)(void *arg), void *arg)
{
	struct connection *c = http_connection_of(q->server, q->ev);
	if (c == NULL)
		return; /* it has ended: nothing is left to be told */
	c->gone = gone;
	c->gone_arg = arg;
}

void http_release(struct http_request *q)
{
	q->server->held--;
	free(q);
}

const char *http_method(const struct http_request *q)
{
	switch (evhttp_request_get_command(q->ev)) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	case EVHTTP_REQ_TRACE:
	case EVHTTP_REQ_CONNECT:
		break; /* the gate lets neither through */
	}
	return "";
}

struct slice http_path(const struct http_request *q)
{
	return q->path;
}

struct slice http_query(const struct http_request *q)
{
	return q->query;
}

struct slice http_header(const struct http_request *q, const char *name)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(q->ev);
	return slice_trim(slice_of(evhttp_find_header(headers, name))); /* evhttp leaves tabs */
}

void http_header_list(const struct http_request *q, const char *name, struct buf *out)
{
	const struct evkeyval *h = NULL;
	TAILQ_FOREACH(h, evhttp_request_get_input_headers(q->ev), next) {
		if (strcasecmp(h->key, name) == 0)
			buf_printf(out, "%s%s", out->len > 0 ? "," : "", h->value);
	}
}

const struct cidr *http_peer(const struct http_request *q)
{
	return &q->peer;
}

struct slice http_body(struct http_request *q)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(q->ev);
	size_t len = evbuffer_get_length(input);
	return (struct slice){.ptr = (const char *)evbuffer_pullup(input, -1), .len = len};
}

void http_add_header(struct http_request *q, const char *name, const char *value)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(q->ev);
	panic_if(evhttp_add_header(out, name, value) != 0, "a header of ours is malformed");
}

void http_reply(struct http_request *q, int status, const char *content_type, struct slice body)
{
	struct http_server *s = q->server;
	struct evbuffer *out = evhttp_request_get_output_buffer(q->ev);
	s->figures.answers[status / 100]++;
	if (content_type != NULL)
		http_add_header(q, "Content-Type", content_type);
	if (s->stopped)
		http_add_header(q, "Connection", "close");
	/* evhttp would send a body to HEAD, and the client would take it for the next answer */
	bool bodiless = evhttp_request_get_command(q->ev) == EVHTTP_REQ_HEAD;
	panic_if(!bodiless && evbuffer_add(out, body.ptr, body.len) != 0, "out of memory");
	struct connection *c = http_connection_of(s, q->ev);
	if (c != NULL)
		http_expect_reading(c);
	evhttp_send_reply(q->ev, status, http_phrase(status), NULL);
	http_release(q);
}
