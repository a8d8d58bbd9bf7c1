/* Requests as their handlers see them, and the answers to them; see http.h. */
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/http_error.h"
#include "http/http_inner.h"

#define ERROR_MAX 4096         /* bytes of an error's JSON */
#define LARGE_BODY (64u << 10) /* bytes; of an answer: from here on no room is left unused */

bool http_may_go_on(const struct http_request *q)
{
	const struct connection *c = q->connection;
	return c != NULL && c->gate.version == 1 && !q->server->stopped;
}

void http_watch(struct http_request *q, void (*gone)(void *arg), void *arg)
{
	struct connection *c = q->connection;
	if (c == NULL)
		return; /* it has ended: nothing is left to be told */
	c->gone = gone;
	c->gone_arg = arg;
}

void http_release(struct http_request *q)
{
	q->server->held--;
	if (q->connection != NULL)
		q->connection->request = NULL;
	buf_fini(&q->head);
	buf_fini(&q->answer);
	buf_fini(&q->body);
	free(q);
}

const char *http_method(const struct http_request *q)
{
	if (q->ev == NULL)
		return q->head.data;
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

static const struct evkeyval *first_line(const struct http_request *q)
{
	return TAILQ_FIRST(evhttp_request_get_input_headers(q->ev));
}

/* The first line of a name from `h` on; NULL: there is none. */
static const struct evkeyval *find_line(const struct evkeyval *h, const char *name)
{
	for (; h != NULL; h = TAILQ_NEXT(h, next)) {
		bool differs = ((h->key[0] ^ name[0]) & ~0x20) != 0; /* mostly, in any case */
		if (!differs && strcasecmp(h->key, name) == 0)
			break;
	}
	return h;
}

struct slice http_header(const struct http_request *q, const char *name)
{
	if (q->ev == NULL)
		return http_head_value(q->lines, name);
	const struct evkeyval *h = find_line(first_line(q), name);
	return h == NULL ? slice_of(NULL) : slice_trim(slice_of(h->value)); /* it leaves tabs */
}

size_t http_header_lines(const struct http_request *q, const char *name)
{
	size_t count = 0;
	if (q->ev == NULL)
		return http_head_lines(q->lines, name);
	const struct evkeyval *h = find_line(first_line(q), name);
	for (; h != NULL; h = find_line(TAILQ_NEXT(h, next), name))
		count++;
	return count;
}

void http_header_list(const struct http_request *q, const char *name, struct buf *out)
{
	if (q->ev == NULL) {
		http_head_values(q->lines, name, out);
		return;
	}
	const struct evkeyval *h = find_line(first_line(q), name);
	for (; h != NULL; h = find_line(TAILQ_NEXT(h, next), name))
		buf_printf(out, "%s%s", out->len > 0 ? "," : "", h->value);
}

const struct cidr *http_peer(const struct http_request *q)
{
	return &q->peer;
}

bool http_is_tls(const struct http_request *q)
{
	return q->connection != NULL && q->connection->is_tls;
}

struct slice http_body(struct http_request *q)
{
	if (q->ev == NULL)
		return SLICE("");
	struct evbuffer *input = evhttp_request_get_input_buffer(q->ev);
	size_t len = evbuffer_get_length(input);
	if (len < LARGE_BODY && q->body.len == 0)
		return (struct slice){(const char *)evbuffer_pullup(input, -1), len};
	if (len > 0) { /* its pieces are freed as they are copied */
		q->body = BUF_INIT(len);
		(void)buf_reserve(&q->body, len); /* is the limit */
		q->body.len = (size_t)evbuffer_remove(input, q->body.data, len);
	}
	return buf_view(&q->body);
}

void http_drop_body(struct http_request *q)
{
	buf_fini(&q->body);
}

void http_set_taker(struct http_request *q, struct slice taker)
{
	struct connection *c = q->connection;
	if (c != NULL)
		http_charge_to(c, taker);
}

void http_set_guest_of(struct http_request *q, struct slice taker)
{
	struct connection *c = q->connection;
	if (c != NULL)
		http_charge_guest(c, taker);
}

struct slice http_taker(const struct http_request *q)
{
	const struct connection *c = q->connection;
	return c == NULL ? SLICE("") : slice_of(c->taker);
}

void http_add_header(struct http_request *q, const char *name, const char *value)
{
	if (q->ev == NULL) {
		buf_printf(&q->answer, "%s: %s\r\n", name, value);
		return;
	}
	struct evkeyvalq *out = evhttp_request_get_output_headers(q->ev);
	panic_if(evhttp_add_header(out, name, value) != 0, "a header of ours is malformed");
}

void http_set_header(struct http_request *q, const char *name, const char *value)
{
	if (q->ev != NULL) /* else it is asked about once */
		(void)evhttp_remove_header(evhttp_request_get_output_headers(q->ev), name);
	http_add_header(q, name, value);
}

/* In place of an answer for which there is no room; what its headers say is not true of it. */
static void answer_no_room(struct http_request *q)
{
	struct buf body = BUF_INIT(ERROR_MAX);
	evhttp_clear_headers(evhttp_request_get_output_headers(q->ev));
	http_add_header(q, "Retry-After", HTTP_RETRY_AFTER_S);
	q->server->hooks.error_body(503,
	    "Too many bytes of answers to this client or token are not taken yet.", &body);
	http_reply(q, 503, "application/json", buf_view(&body));
	buf_fini(&body);
}

static void free_copy(const void *bytes, size_t len, void *copy)
{
	(void)bytes;
	(void)len;
	free(copy);
}

/* Adds a body; a large one as a piece of just its size: libevent would take up to twice it. */
static void add_body(struct evbuffer *out, struct slice body)
{
	int rc = 0;
	if (body.len < LARGE_BODY) {
		rc = evbuffer_add(out, body.ptr, body.len);
	} else {
		char *copy = mem_copy(body.ptr, body.len);
		rc = evbuffer_add_reference(out, copy, body.len, free_copy, copy);
	}
	panic_if(rc != 0, "out of memory");
}

/* evhttp would put it into words for each answer: it is the same for a second. */
static void add_date(struct http_request *q)
{
	struct http_server *s = q->server;
	int64_t now_s = clock_system_ms() / 1000;
	if (s->date[0] == '\0' || now_s != s->date_s)
		str_http_date(now_s * 1000, s->date);
	s->date_s = now_s;
	http_add_header(q, "Date", s->date);
}

void http_reply(struct http_request *q, int status, const char *content_type, struct slice body)
{
	struct http_server *s = q->server;
	if (q->ev == NULL) {
		http_reply_early(q, status, content_type, body);
		return;
	}
	struct connection *c = q->connection;
	/* evhttp would send a body to HEAD, and the client would take it for the next answer */
	if (evhttp_request_get_command(q->ev) == EVHTTP_REQ_HEAD)
		body.len = 0;
	if (c != NULL && !http_may_answer(c, body.len)) {
		answer_no_room(q);
		return;
	}
	s->figures.answers[status / 100]++;
	if (content_type != NULL)
		http_add_header(q, "Content-Type", content_type);
	if (s->stopped)
		http_add_header(q, "Connection", "close");
	add_date(q);
	if (c != NULL)
		http_expect_reading(c);
	add_body(evhttp_request_get_output_buffer(q->ev), body);
	evhttp_send_reply(q->ev, status, http_phrase(status), NULL);
	http_release(q);
}
