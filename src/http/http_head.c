/*
 * Requests of which only the head has come: whether their bodies are wanted is asked before
 * evhttp sees the end of the head, as it would say "100 Continue" at once and then wait for the
 * body. So what is asked with is our own copy of the head, in which names and values are found
 * by line: the gate has let through nothing that could be read otherwise. Who does not want
 * the body answers; that goes past evhttp, as what the gate refuses does.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/http_error.h"
#include "http/http_inner.h"

#define LINES_MAX 8192 /* bytes of headers that an answer adds */
#define ANSWER_MAX 32768

/* Takes the next line off the front, without its CR LF. */
static struct slice take_line(struct slice *text)
{
	struct slice line = slice_cut(text, '\n');
	line.len -= line.len > 0 ? 1 : 0;
	return line;
}

/* Whether a line is the header `name`; if so, *value is its value. */
static bool is_header(struct slice line, const char *name, struct slice *value)
{
	size_t len = strlen(name);
	if (line.len <= len || line.ptr[len] != ':' || strncasecmp(line.ptr, name, len) != 0)
		return false;
	*value = slice_trim((struct slice){line.ptr + len + 1, line.len - len - 1});
	return true;
}

struct slice http_head_value(struct slice lines, const char *name)
{
	struct slice value = SLICE("");
	while (lines.len > 0 && !is_header(take_line(&lines), name, &value))
		;
	return value;
}

size_t http_head_lines(struct slice lines, const char *name)
{
	size_t count = 0;
	while (lines.len > 0) {
		struct slice value;
		count += is_header(take_line(&lines), name, &value) ? 1 : 0;
	}
	return count;
}

void http_head_values(struct slice lines, const char *name, struct buf *out)
{
	while (lines.len > 0) {
		struct slice value;
		if (!is_header(take_line(&lines), name, &value))
			continue;
		buf_puts(out, out->len > 0 ? "," : "");
		buf_slice(out, value);
	}
}

static struct http_request *new_early(struct connection *c)
{
	struct http_request *q = mem_new(sizeof(*q));
	q->server = c->server;
	q->connection = c;
	q->peer = c->visitor.peer;
	q->answer = BUF_INIT(LINES_MAX);
	q->head = c->head;
	c->head = BUF_INIT(c->head.max);
	q->lines = buf_view(&q->head);
	struct slice line = take_line(&q->lines);
	struct slice method = slice_cut(&line, ' ');
	q->head.data[method.len] = '\0';
	q->query = slice_cut(&line, ' ');
	q->path = slice_cut(&q->query, '?');
	return q;
}

bool http_ask_head(struct connection *c)
{
	const struct http_hooks *hooks = &c->server->hooks;
	if (hooks->head == NULL)
		return true;
	c->request = new_early(c);
	c->server->held++;
	if (hooks->head(hooks->arg, c->request)) {
		http_release(c->request);
		return true;
	}
	if (c->request == NULL)
		return false; /* it has been answered */
	c->refused = true;
	reactor_timer_clear(c->deadline);
	http_stand(c, STANDING_BUSY);
	return false;
}

void http_reply_early(struct http_request *q, int status, const char *content_type,
    struct slice body)
{
	struct connection *c = q->connection;
	struct buf out = BUF_INIT(ANSWER_MAX);
	http_error_put(&out, status, content_type, buf_view(&q->answer), body);
	if (c != NULL)
		http_refuse_with(c, status, buf_view(&out));
	buf_fini(&out);
	http_release(q);
}
