/*
 * evhttp behind the gate; see http.h. How the gate gets its place: evhttp asks us
 * for each connection's bufferevent (bevcb), and on its input we put a callback that
 * runs inside the read, before evhttp's own. Once evhttp has the connection (its
 * handle is the argument of the bufferevent's callbacks) we ask to hear of its end.
 * While a request waits for its answer the bytes behind it stay unread by both; when
 * it is complete they are scanned before evhttp reads on. A refused connection is
 * answered on its descriptor, shut for writing and drained for a moment, so that a
 * client still sending sees the answer.
 */
#include "api/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/gate.h"
#include "api/http_inner.h"
#include "api/listen_address.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define LINE_MAX_BYTES 8192 /* RFC 9112 section 3 asks for at least 8000 */
#define HEAD_MAX_BYTES 16384
#define HEAD_LINES_MAX 64
#define INPUT_SLACK 65536   /* bytes read ahead of what a request needs */
#define LINGER_MS 1000      /* how long a refused connection is drained */
#define ACCEPT_PAUSE_MS 100 /* after accept failed for want of descriptors */
#define BACKLOG 1024
#define SPANS_MAX 64 /* pieces of an input buffer looked at in one go */

struct connection {
	struct http_server *server;
	struct bufferevent *bev;
	bool known; /* to evhttp: its end will be told */
	struct reactor_timer *deadline;
	struct gate gate;
	enum gate_state state;
	bool refused;
	void (*gone)(void *arg); /* of the answer that is under way; NULL: nobody asks */
	void *gone_arg;
};

struct http_request {
	struct http_server *server;
	struct connection *connection;
	struct evhttp_request *ev;
	struct slice path;
	struct slice query;
};

struct listener {
	struct listener *next;
	struct evconnlistener *ev;
	struct evhttp_bound_socket *bound; /* evhttp's handle of it */
	char *unix_path;
};

struct http_server {
	struct http_server *next; /* in `servers` */
	struct reactor *reactor;
	struct http_conf conf;
	struct gate_limits limits;
	struct evhttp *ev;
	http_handler handler;
	http_error_fn error_body;
	void *arg;
	struct map *connections; /* bufferevent pointer -> connection */
	struct listener *listeners;
	struct reactor_timer *pause; /* accepting goes on when it fires */
	uint32_t held;
	bool accepting;
	bool stopped;
};

/* All servers: evhttp gives the accept-error callback its own handle, not ours. */
static struct http_server *servers;

const char *http_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} PHRASES[] = {{200, "OK"}, {202, "Accepted"}, {400, "Bad Request"},
	    {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
	    {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
	    {411, "Length Required"}, {413, "Content Too Large"}, {414, "URI Too Long"},
	    {415, "Unsupported Media Type"}, {417, "Expectation Failed"},
	    {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"}, {501, "Not Implemented"},
	    {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"},
	    {507, "Insufficient Storage"}};
	for (size_t i = 0; i < sizeof(PHRASES) / sizeof(PHRASES[0]); i++) {
		if (PHRASES[i].status == status)
			return PHRASES[i].phrase;
	}
	return "";
}

static void accept_more(struct http_server *s, bool on)
{
	if (s->accepting == on)
		return;
	s->accepting = on;
	for (struct listener *l = s->listeners; l != NULL; l = l->next)
		(void)(on ? evconnlistener_enable(l->ev) : evconnlistener_disable(l->ev));
}

static void balance_accepting(struct http_server *s)
{
	accept_more(s, !s->stopped && map_count(s->connections) < s->conf.max_connections);
}

static void on_pause_over(void *arg)
{
	balance_accepting(arg);
}

/* Out of descriptors: the listener would spin, so it rests. */
static void on_accept_error(struct evconnlistener *ev, void *arg)
{
	struct http_server *s = servers;
	(void)ev;
	while (s != NULL && s->ev != arg)
		s = s->next;
	panic_if(s == NULL, "an unknown listener failed");
	log_warn("cannot accept connections", LOG_S("error", strerror(errno)));
	accept_more(s, false);
	reactor_timer_set(s->pause, ACCEPT_PAUSE_MS);
}

/* Bytes of input that may lie unread: what the request still needs, and a little ahead. */
static void set_input_limit(struct connection *c)
{
	size_t most = HEAD_MAX_BYTES + INPUT_SLACK;
	if (c->state == GATE_BODY)
		most += (size_t)(c->gate.is_chunked ? c->server->limits.body_max
						    : c->gate.length);
	bufferevent_setwatermark(c->bev, EV_READ, 0, most);
}

/* Answers on the descriptor itself, as evhttp must not see the request. */
static void send_error(struct connection *c, int status, const char *message)
{
	struct buf body = BUF_INIT(4096);
	struct buf head = BUF_INIT(8192);
	c->server->error_body(status, message, &body);
	buf_printf(&head,
	    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\n\r\n",
	    status, http_phrase(status), body.len);
	buf_slice(&head, buf_view(&body));
	/* it fits an empty socket buffer; a client that left none has no claim to it */
	(void)send(bufferevent_getfd(c->bev), head.data, head.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	buf_fini(&body);
	buf_fini(&head);
}

static void drain_input(struct connection *c)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	(void)evbuffer_drain(input, evbuffer_get_length(input)); /* fails only when frozen */
}

static void refuse(struct connection *c, int status, const char *message)
{
	c->refused = true;
	send_error(c, status, message);
	(void)shutdown(bufferevent_getfd(c->bev), SHUT_WR); /* a gone peer is fine too */
	drain_input(c);
	reactor_timer_set(c->deadline, LINGER_MS);
}

/* Sets what the scan's new state asks for: a deadline, a limit, or the end. */
static void enter(struct connection *c, enum gate_state state, bool was_idle)
{
	enum gate_state before = c->state;
	c->state = state;
	if (state == GATE_REFUSED) {
		refuse(c, c->gate.status, c->gate.reason);
		return;
	}
	if (state == GATE_DONE) {
		reactor_timer_clear(c->deadline);
	} else if (state == GATE_HEAD && was_idle && !gate_is_idle(&c->gate)) {
		reactor_timer_set(c->deadline, c->server->conf.head_timeout_ms);
	} else if (state == GATE_BODY && before == GATE_HEAD) {
		reactor_timer_set(c->deadline, c->server->conf.body_timeout_ms);
	}
	if (state != before)
		set_input_limit(c);
}

/* Shows the gate the input from byte `from` on, until it has seen all or the request ends. */
static void scan(struct connection *c, size_t from)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	bool was_idle = gate_is_idle(&c->gate);
	enum gate_state state = c->state;
	while (from < evbuffer_get_length(input) && state < GATE_DONE) {
		struct evbuffer_iovec spans[SPANS_MAX];
		struct evbuffer_ptr at;
		if (evbuffer_ptr_set(input, &at, from, EVBUFFER_PTR_SET) != 0)
			break;
		int n = evbuffer_peek(input, -1, &at, spans, SPANS_MAX);
		for (int i = 0; i < n && i < SPANS_MAX && state < GATE_DONE; i++) {
			size_t used = 0;
			state = gate_feed(&c->gate, spans[i].iov_base, spans[i].iov_len, &used);
			from += used;
		}
	}
	if (c->gate.leading > 0 && state != GATE_REFUSED) {
		(void)evbuffer_drain(input, c->gate.leading); /* evhttp refuses an empty line */
		c->gate.leading = 0;
	}
	enter(c, state, was_idle);
}

/* Runs inside every change of the input, before evhttp reads it. */
static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *c = arg;
	(void)input;
	if (info->n_added == 0)
		return;
	if (c->refused)
		drain_input(c);
	else if (c->state < GATE_DONE)
		scan(c, info->orig_size);
}

static void on_close(struct evhttp_connection *ev, void *arg)
{
	struct connection *c = arg;
	struct http_server *s = c->server;
	(void)ev;
	(void)evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c); /* was added */
	reactor_timer_free(c->deadline);
	(void)map_del(s->connections, &c->bev, sizeof(c->bev)); /* is `c` */
	if (c->gone != NULL)
		c->gone(c->gone_arg);
	free(c);
	balance_accepting(s);
}

/* Runs in the pass that accepted the connection, before anything can have come of it. */
static void meet(struct connection *c)
{
	struct evhttp_connection *ev = NULL;
	bufferevent_getcb(c->bev, NULL, NULL, NULL, (void **)&ev);
	panic_if(ev == NULL || evhttp_connection_get_bufferevent(ev) != c->bev,
	    "evhttp keeps its connection elsewhere");
	evhttp_connection_set_closecb(ev, on_close, c);
	c->known = true;
	int one = 1;
	(void)setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NODELAY, &one,
	    sizeof(one)); /* fails on a unix socket, which has no delay */
}

static void on_deadline(void *arg)
{
	struct connection *c = arg;
	if (!c->known) {
		meet(c);
		return;
	}
	if (c->refused) {
		(void)shutdown(bufferevent_getfd(c->bev),
		    SHUT_RDWR); /* evhttp now sees the end */
		return;
	}
	refuse(c, 408,
	    c->state == GATE_BODY ? "the request's body took too long"
				  : "the request's head took too long");
}

static void begin_message(struct connection *c)
{
	gate_init(&c->gate, &c->server->limits);
	c->state = GATE_HEAD;
	set_input_limit(c);
}

/* evhttp has accepted a connection and asks for its bufferevent. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct http_server *s = arg;
	struct connection *c = mem_new(sizeof(*c));
	c->server = s;
	c->bev = bufferevent_socket_new(base, -1, 0);
	c->deadline = reactor_timer_new(s->reactor, on_deadline, c);
	panic_if(c->bev == NULL ||
		evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c) == NULL,
	    "cannot watch a connection's input");
	begin_message(c);
	reactor_timer_fire(c->deadline);
	map_put(s->connections, &c->bev, sizeof(c->bev), c);
	balance_accepting(s);
	return c->bev;
}

/*
 * The answer is on its way and evhttp is about to read on: what is there already is scanned
 * first.
 */
static void on_complete(struct evhttp_request *ev, void *arg)
{
	struct connection *c = arg;
	(void)ev;
	begin_message(c);
	scan(c, 0);
}

static void on_request(struct evhttp_request *ev, void *arg)
{
	struct http_server *s = arg;
	struct bufferevent *bev = evhttp_connection_get_bufferevent(
	    evhttp_request_get_connection(ev));
	struct connection *c = map_get(s->connections, &bev, sizeof(bev));
	panic_if(c == NULL, "a request came from an unknown connection");
	evhttp_request_set_on_complete_cb(ev, on_complete, c);
	struct http_request *q = mem_new(sizeof(*q));
	struct slice target = slice_of(evhttp_request_get_uri(ev));
	const char *mark = memchr(target.ptr, '?', target.len);
	q->server = s;
	q->connection = c;
	q->ev = ev;
	q->path = target;
	if (mark != NULL) {
		q->path.len = (size_t)(mark - target.ptr);
		q->query = (struct slice){mark + 1, target.len - q->path.len - 1};
	}
	s->held++;
	s->handler(s->arg, q);
}

struct http_server *http_new(struct reactor *r, const struct http_conf *conf,
    http_handler handler, http_error_fn error_body, void *arg)
{
	struct http_server *s = mem_new(sizeof(*s));
	s->reactor = r;
	s->conf = *conf;
	s->limits = (struct gate_limits){.line_max = LINE_MAX_BYTES,
	    .head_max = HEAD_MAX_BYTES,
	    .headers_max = HEAD_LINES_MAX,
	    .body_max = conf->body_max};
	s->handler = handler;
	s->error_body = error_body;
	s->arg = arg;
	s->accepting = true;
	s->connections = map_new();
	s->pause = reactor_timer_new(r, on_pause_over, s);
	s->ev = evhttp_new(reactor_base(r));
	panic_if(s->ev == NULL, "no HTTP server");
	evhttp_set_bevcb(s->ev, on_accept, s);
	evhttp_set_gencb(s->ev, on_request, s);
	evhttp_set_allowed_methods(s->ev,
	    EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
		EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
	/* above the gate's own limits, so that evhttp never answers in its HTML */
	evhttp_set_max_headers_size(s->ev, 2 * HEAD_MAX_BYTES);
	evhttp_set_max_body_size(s->ev, (ev_ssize_t)(conf->body_max + INPUT_SLACK));
	const struct timeval idle = {.tv_sec = conf->idle_timeout_ms / 1000,
	    .tv_usec = (conf->idle_timeout_ms % 1000) * 1000};
	evhttp_set_timeout_tv(s->ev, &idle);
	s->next = servers;
	servers = s;
	return s;
}

/* Closed, not only disabled: who connects now is told at once and goes elsewhere. */
static void close_listeners(struct http_server *s)
{
	while (s->listeners != NULL) {
		struct listener *l = s->listeners;
		s->listeners = l->next;
		evhttp_del_accept_socket(s->ev, l->bound);
		if (l->unix_path != NULL)
			(void)unlink(l->unix_path); /* gone already is fine */
		free(l->unix_path);
		free(l);
	}
}

void http_free(struct http_server *s)
{
	if (s == NULL)
		return;
	panic_if(s->held > 0, "the HTTP server was freed with requests held");
	s->stopped = true;
	struct http_server **at = &servers;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	close_listeners(s);
	evhttp_free(s->ev); /* closes the connections, which calls on_close */
	map_free(s->connections);
	reactor_timer_free(s->pause);
	free(s);
}

/* Removes the socket file that an earlier process left, and nothing but a socket. */
static void clear_stale_socket(const char *path)
{
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path); /* bind() then says what is wrong */
}

enum err http_listen(struct http_server *s, const char *where, char **shown, struct problem *p)
{
	union listen_address addr;
	socklen_t len = 0;
	enum err err = listen_parse(where, &addr, &len, p);
	if (err != OK)
		return err;
	bool is_unix = addr.sa.sa_family == AF_UNIX;
	if (is_unix)
		clear_stale_socket(addr.un.sun_path);
	struct evconnlistener *ev = evconnlistener_new_bind(reactor_base(s->reactor), NULL,
	    NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
	    &addr.sa, (int)len);
	if (ev == NULL)
		return problem_set(p, ERR_IO, "listen", "listen: cannot listen on %s: %s",
		    where, strerror(errno));
	evconnlistener_set_error_cb(ev, on_accept_error);
	struct listener *l = mem_new(sizeof(*l));
	l->bound = evhttp_bind_listener(s->ev, ev);
	panic_if(l->bound == NULL, "cannot serve a listener");
	l->ev = ev;
	l->unix_path = is_unix ? mem_copy(addr.un.sun_path, strlen(addr.un.sun_path)) : NULL;
	l->next = s->listeners;
	s->listeners = l;
	*shown = listen_show(evconnlistener_get_fd(ev), where);
	return OK;
}

/* An answer that goes on and on does not hold up the stop. */
static void cut_stream(void *value, void *arg)
{
	struct connection *c = value;
	struct evhttp_connection *ev = NULL;
	(void)arg;
	if (c->gone == NULL)
		return;
	bufferevent_getcb(c->bev, NULL, NULL, NULL, (void **)&ev);
	evhttp_connection_free(ev); /* calls on_close */
}

void http_stop(struct http_server *s)
{
	s->stopped = true;
	close_listeners(s);
	map_each(s->connections, cut_stream, NULL);
}

uint32_t http_held(const struct http_server *s)
{
	return s->held;
}

struct evhttp_request *http_handle(const struct http_request *q)
{
	return q->ev;
}

struct reactor *http_reactor(const struct http_request *q)
{
	return q->server->reactor;
}

bool http_may_go_on(const struct http_request *q)
{
	return q->connection->gate.version == 1 && !q->server->stopped;
}

void http_watch(struct http_request *q, void (*gone)(void *arg), void *arg)
{
	q->connection->gone = gone;
	q->connection->gone_arg = arg;
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
	return slice_of(evhttp_find_header(evhttp_request_get_input_headers(q->ev), name));
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
	if (content_type != NULL)
		http_add_header(q, "Content-Type", content_type);
	if (s->stopped)
		http_add_header(q, "Connection", "close");
	/* evhttp would send a body to HEAD, and the client would take it for the next answer */
	bool bodiless = evhttp_request_get_command(q->ev) == EVHTTP_REQ_HEAD;
	panic_if(!bodiless && evbuffer_add(out, body.ptr, body.len) != 0, "out of memory");
	evhttp_send_reply(q->ev, status, http_phrase(status), NULL);
	http_release(q);
}
