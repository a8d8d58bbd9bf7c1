/*
 * evhttp behind the gate; see http.h. How the gate gets its place: evhttp asks us
 * for each connection's bufferevent (bevcb), and on its input we put a callback that
 * runs inside the read, before evhttp's own. Once evhttp has the connection (its
 * handle is the argument of the bufferevent's callbacks) we ask to hear of its end.
 * While a request waits for its answer the bytes behind it stay unread by both; when
 * it is complete they are scanned before evhttp reads on. A refused connection is
 * answered past the bufferevent, shut for writing and drained for a moment, so that a
 * client still sending sees the answer. Under TLS the gate sees what is decrypted.
 */
#include "http/http.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/http_error.h"
#include "http/http_inner.h"
#include "http/listen_address.h"
#include "http/listener.h"
#include "http/tls.h"

#define LINE_MAX_BYTES 8192 /* RFC 9112 section 3 asks for at least 8000 */
#define HEAD_MAX_BYTES 16384
#define HEAD_LINES_MAX 64
#define INPUT_SLACK 65536  /* bytes read ahead of what a request needs */
#define ERROR_MAX 4096     /* bytes of an error's JSON */
#define READ_BYTES 4096    /* that libevent reads of a connection at a time */
#define APPEND_BYTES 64512 /* that are read behind that, of a body: 64 KiB with their head */
#define APPEND_PASS_BYTES (2u << 20) /* of all bodies in a pass of the loop */
#define LINGER_MS 1000               /* how long a refused connection is drained */
#define READ_MIN_BYTES 65536         /* of an answer, to be taken within each send_timeout_ms */
#define SPANS_MAX 64                 /* pieces of an input buffer looked at in one go */
#define STRANGERS_MAX 64 /* accepted in one go, before it is asked whether they may stay */

static void balance_accepting(struct http_server *s)
{
	listeners_accept(s->listeners, !s->stopped && s->strangers < STRANGERS_MAX);
}

/* What TLS has decrypted and the input had no room for makes no socket readable. */
static void read_on(struct connection *c)
{
	if (c->is_tls && tls_has_unread(c->bev))
		reactor_nudge(c->server->reactor, bufferevent_getfd(c->bev));
}

/*
 * Bytes of input that may lie unread: what the request still needs, and a little ahead. One
 * that the next reading cannot reach is not set: libevent begins to read anew, timer and all,
 * whenever an input that has a limit changes, as it does with each line of a head.
 */
static void set_input_limit(struct connection *c)
{
	size_t most = 0;
	if (evbuffer_get_length(bufferevent_get_input(c->bev)) >= INPUT_SLACK / 2)
		most = HEAD_MAX_BYTES + INPUT_SLACK;
	if (most > 0 && c->state == GATE_BODY)
		most += (size_t)(c->gate.is_chunked ? c->server->limits.body_max
						    : c->gate.length);
	if (most != c->input_most)
		bufferevent_setwatermark(c->bev, EV_READ, 0, most);
	c->input_most = most;
	read_on(c);
}

/* It need not fit: one that left no room for it has no claim to it. */
static void send_answer(struct connection *c, struct slice answer)
{
	if (c->is_tls) {
		tls_send(c->bev, answer);
		tls_close(c->bev);
	} else {
		(void)send(bufferevent_getfd(c->bev), answer.ptr, answer.len,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void put_error(struct connection *c, int status, const char *message, struct buf *out)
{
	struct buf body = BUF_INIT(ERROR_MAX);
	c->server->hooks.error_body(status, message, &body);
	http_error_put(out, status, "application/json", http_error_lines(status),
	    buf_view(&body));
	buf_fini(&body);
}

void http_send_error(struct connection *c, int status, const char *message)
{
	struct buf answer = BUF_INIT(2 * ERROR_MAX);
	put_error(c, status, message, &answer);
	send_answer(c, buf_view(&answer));
	buf_fini(&answer);
}

static void drain_input(struct connection *c)
{
	(void)evbuffer_drain(bufferevent_get_input(c->bev), SIZE_MAX); /* it is not frozen */
}

void http_refuse_with(struct connection *c, int status, struct slice answer)
{
	c->refused = true;
	c->server->figures.answers[status / 100]++;
	send_answer(c, answer);
	(void)shutdown(bufferevent_getfd(c->bev), SHUT_WR); /* a gone peer is fine too */
	drain_input(c);
	http_forget_input(c);
	http_stand(c, STANDING_LINGER);
	reactor_timer_set(c->deadline, LINGER_MS);
}

void http_refuse(struct connection *c, int status, const char *message)
{
	struct buf answer = BUF_INIT(2 * ERROR_MAX);
	put_error(c, status, message, &answer);
	http_refuse_with(c, status, buf_view(&answer));
	buf_fini(&answer);
}

/* Refuses what the gate did, with the limit that was passed where it was one. */
static void refuse_as_gate(struct connection *c)
{
	struct buf message = BUF_INIT(256);
	unsigned long long allowed = c->gate.allowed;
	buf_puts(&message, c->gate.reason);
	if (allowed > 0)
		buf_printf(&message, " At most %llu are allowed.", allowed);
	http_refuse(c, c->gate.status, buf_cstr(&message));
	buf_fini(&message);
}

/* The head is good and a body is to come: whether that is wanted, and may come now. */
static void begin_body(struct connection *c)
{
	if (!http_ask_head(c)) {
		drain_input(c); /* evhttp would answer "100 Continue", or wait for the body */
		return;
	}
	if (!http_charge_body(c))
		return;
	http_stand(c, STANDING_BODY);
	reactor_timer_set(c->deadline, c->server->conf.body_timeout_ms);
}

/* Sets what the scan's new state asks for: a deadline, a limit, or the end. */
static void enter(struct connection *c, enum gate_state state, bool was_idle)
{
	enum gate_state before = c->state;
	c->state = state;
	if (state == GATE_REFUSED) {
		refuse_as_gate(c);
	} else if (state == GATE_DONE) {
		reactor_timer_clear(c->deadline);
		http_end_body(c);
		http_stand(c, STANDING_BUSY);
	} else if (state == GATE_HEAD && was_idle && !gate_is_idle(&c->gate)) {
		reactor_timer_set(c->deadline, c->server->conf.head_timeout_ms);
		http_stand(c, STANDING_HEAD);
	} else if (state == GATE_BODY && before == GATE_HEAD) {
		begin_body(c);
	}
	if (state == GATE_BODY && !c->refused)
		(void)http_charge_input(c); /* refused, if it may not have it */
}

/*
 * Keeps `n` bytes of the head that evhttp may take before the rest comes, or that are looked
 * at before it sees them; most heads come whole, with their bodies, and are never kept.
 */
static void keep_head(struct connection *c, const char *bytes, size_t n, enum gate_state state)
{
	if (n > 0 && (state == GATE_HEAD || state == GATE_BODY))
		buf_append(&c->head, bytes, n);
}

/* Shows the gate some bytes of the input; *used of them belong to the request. */
static enum gate_state show(struct connection *c, const char *bytes, size_t n, size_t *used)
{
	size_t head = c->gate.head;
	size_t leading = c->gate.leading;
	enum gate_state state = gate_feed(&c->gate, bytes, n, used);
	keep_head(c, bytes + (c->gate.leading - leading), c->gate.head - head, state);
	c->input += *used;
	return state;
}

/*
 * Passes the data of a body, which need not be looked at: finding a place in the input takes a
 * walk over all that lies there, for each piece that comes.
 */
static enum gate_state pass_data(struct connection *c, size_t *from, size_t length)
{
	uint64_t data = gate_data(&c->gate);
	size_t n = length - *from < data ? length - *from : (size_t)data;
	if (n == 0)
		return c->state;
	*from += n;
	c->input += n;
	if (n >= READ_BYTES)
		c->server->full_reads++;
	return gate_skip(&c->gate, n);
}

/* How many bytes of bodies may be appended in this pass: what is beyond waits for the next. */
static size_t append_room(struct http_server *s)
{
	uint64_t pass = reactor_passes(s->reactor);
	if (s->append_pass != pass)
		s->appended = 0;
	s->append_pass = pass;
	return s->appended < APPEND_PASS_BYTES ? APPEND_PASS_BYTES - s->appended : 0;
}

/* How many bytes of a body lie there to be read, up to `most`. */
static size_t count_ready(struct connection *c, size_t most)
{
	int ready = 0;
	if (ioctl(bufferevent_getfd(c->bev), FIONREAD, &ready) != 0 || ready <= 0)
		return 0;
	return (size_t)ready < most ? (size_t)ready : most;
}

/*
 * Reads what lies behind a full read of libevent's: of a large body most, in a tenth of the
 * system calls. No more room is made than for what is there.
 */
static void append_body(struct connection *c, struct evbuffer *input, size_t added)
{
	struct evbuffer_iovec room;
	uint64_t data = gate_data(&c->gate);
	if (c->is_tls || c->state != GATE_BODY || added < READ_BYTES || data <= added)
		return;
	size_t lacks = data - added < APPEND_BYTES ? (size_t)(data - added) : APPEND_BYTES;
	size_t room_left = append_room(c->server);
	size_t most = count_ready(c, lacks < room_left ? lacks : room_left);
	if (most == 0 || evbuffer_reserve_space(input, (ev_ssize_t)most, &room, 1) != 1)
		return;
	ssize_t n = recv(bufferevent_getfd(c->bev), room.iov_base, most, MSG_DONTWAIT);
	room.iov_len = n > 0 ? (size_t)n : 0; /* an end or an error libevent finds itself */
	c->server->appended += room.iov_len;
	c->appends = true;
	(void)evbuffer_commit_space(input, &room, 1); /* is the space that was reserved */
	c->appends = false;
}

/*
 * Shows the gate the input from byte `from` on, until it has seen all or the request ends.
 * `added`: so many of it have just been read.
 */
static void scan(struct connection *c, size_t from, size_t added)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	append_body(c, input, added);
	size_t length = evbuffer_get_length(input);
	bool was_idle = gate_is_idle(&c->gate);
	enum gate_state state = pass_data(c, &from, length);
	while (from < length && state < GATE_DONE) {
		struct evbuffer_iovec spans[SPANS_MAX];
		struct evbuffer_ptr at;
		if (evbuffer_ptr_set(input, &at, from, EVBUFFER_PTR_SET) != 0)
			break;
		int n = evbuffer_peek(input, -1, &at, spans, SPANS_MAX);
		for (int i = 0; i < n && i < SPANS_MAX && state < GATE_DONE; i++) {
			size_t used = 0;
			state = show(c, spans[i].iov_base, spans[i].iov_len, &used);
			from += used;
		}
	}
	if (c->gate.leading > 0 && state != GATE_REFUSED) {
		(void)evbuffer_drain(input, c->gate.leading); /* evhttp refuses an empty line */
		c->gate.leading = 0;
	}
	enter(c, state, was_idle);
	if (!c->refused)
		set_input_limit(c);
}

/* Runs inside every change of the input, before evhttp reads it. */
static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *c = arg;
	(void)input;
	if (c->appends)
		return; /* whoever added that will look at it */
	if (info->n_added == 0)
		read_on(c); /* the watermark's callback, the newer one, has run before */
	else if (c->refused)
		drain_input(c);
	else if (c->state < GATE_DONE)
		scan(c, info->orig_size, info->n_added);
	else
		set_input_limit(c);
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *c = arg;
	c->taken += info->n_deleted;
	http_charge_output(c, evbuffer_get_length(output));
}

static void on_close(struct evhttp_connection *ev, void *arg)
{
	struct connection *c = arg;
	struct http_server *s = c->server;
	(void)ev;
	if (c->is_tls)
		tls_close(c->bev);
	(void)evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);   /* was added */
	(void)evbuffer_remove_cb(bufferevent_get_output(c->bev), on_output, c); /* too */
	http_forget_input(c);
	http_charge_output(c, 0);
	http_leave(c);
	if (c->request != NULL)
		c->request->connection = NULL;
	reactor_timer_free(c->deadline);
	(void)map_del(s->connections, &c->bev, sizeof(c->bev)); /* is `c` */
	if (c->gone != NULL)
		c->gone(c->gone_arg);
	free(c);
}

static struct evhttp_connection *link_of(struct connection *c)
{
	struct evhttp_connection *ev = NULL;
	bufferevent_getcb(c->bev, NULL, NULL, NULL, (void **)&ev);
	return ev;
}

void http_end(struct connection *c)
{
	evhttp_connection_free(link_of(c)); /* calls on_close */
}

/* evhttp then sees the end, and closes; `reset`: and the kernel drops what was not taken. */
static void cut_off(struct connection *c, bool reset)
{
	const struct linger linger = {.l_onoff = reset};
	c->refused = true;
	(void)setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &linger,
	    sizeof(linger));                                  /* can't fail */
	(void)shutdown(bufferevent_getfd(c->bev), SHUT_RDWR); /* a gone peer is fine too */
}

void http_expect_reading(struct connection *c)
{
	c->taken = 0;
	http_stand(c, STANDING_ANSWER);
	reactor_timer_set(c->deadline, c->server->conf.send_timeout_ms);
}

/* Runs in the pass that accepted the connection, before anything can have come of it. */
static void meet(struct connection *c)
{
	struct http_server *s = c->server;
	struct evhttp_connection *ev = link_of(c);
	panic_if(ev == NULL || evhttp_connection_get_bufferevent(ev) != c->bev,
	    "evhttp keeps its connection elsewhere");
	evhttp_connection_set_closecb(ev, on_close, c);
	c->known = true;
	int one = 1;
	(void)setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NODELAY, &one,
	    sizeof(one)); /* fails on a unix socket, which has no delay */
	s->strangers--;
	balance_accepting(s);
	if (!http_admit(c))
		cut_off(c, false); /* to linger would take a slot of the others */
	else if (c->is_tls)
		reactor_timer_set(c->deadline, s->conf.head_timeout_ms);
}

static void on_deadline(void *arg)
{
	struct connection *c = arg;
	bool is_open = !c->is_tls || tls_is_open(c->bev);
	if (!c->known) {
		meet(c);
	} else if (c->state == GATE_DONE && c->taken >= READ_MIN_BYTES) {
		http_expect_reading(c);
	} else if (c->refused || c->state == GATE_DONE || !is_open) {
		cut_off(c, !c->refused);
	} else if (!gate_is_idle(&c->gate)) { /* else it was the handshake's, which is over */
		bool in_body = c->state == GATE_BODY;
		http_refuse(c, 408,
		    in_body ? "The body took too long." : "The head took too long.");
	}
}

static void begin_message(struct connection *c, enum standing standing)
{
	http_forget_input(c);
	http_charge_to(c, slice_of(c->client));
	gate_init(&c->gate, &c->server->limits);
	c->state = GATE_HEAD;
	http_stand(c, standing);
	set_input_limit(c);
}

/* evhttp has accepted a connection and asks for its bufferevent. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	const struct front *front = arg;
	struct http_server *s = front->server;
	struct connection *c = mem_new(sizeof(*c));
	c->server = s;
	c->is_tls = front->is_tls;
	c->head = BUF_INIT(HEAD_MAX_BYTES);
	c->bev = c->is_tls ? tls_accept(s->tls, base) : bufferevent_socket_new(base, -1, 0);
	c->deadline = reactor_timer_new(s->reactor, on_deadline, c);
	panic_if(c->bev == NULL ||
		evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c) == NULL ||
		evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, c) == NULL,
	    "cannot watch a connection");
	begin_message(c, STANDING_HEAD);
	reactor_timer_fire(c->deadline);
	map_put(s->connections, &c->bev, sizeof(c->bev), c);
	s->figures.accepted++;
	s->strangers++;
	balance_accepting(s);
	return c->bev;
}

/* The answer is sent and evhttp is about to read on: what is there already is scanned first. */
static void on_complete(struct evhttp_request *ev, void *arg)
{
	struct connection *c = arg;
	(void)ev;
	reactor_timer_clear(c->deadline);
	begin_message(c, STANDING_IDLE);
	scan(c, 0, 0);
}

static struct connection *connection_of(struct http_server *s, struct evhttp_request *ev)
{
	struct evhttp_connection *link = evhttp_request_get_connection(ev);
	struct bufferevent *bev = link == NULL ? NULL : evhttp_connection_get_bufferevent(link);
	return map_get(s->connections, &bev, sizeof(bev));
}

static void on_request(struct evhttp_request *ev, void *arg)
{
	struct http_server *s = arg;
	struct connection *c = connection_of(s, ev);
	panic_if(c == NULL || c->state != GATE_DONE, "a request came past the gate");
	evhttp_request_set_on_complete_cb(ev, on_complete, c);
	struct http_request *q = mem_new(sizeof(*q));
	struct slice target = slice_of(evhttp_request_get_uri(ev));
	const char *mark = memchr(target.ptr, '?', target.len);
	q->server = s;
	q->connection = c;
	c->request = q;
	q->ev = ev;
	q->peer = c->visitor.peer;
	q->path = target;
	if (mark != NULL) {
		q->path.len = (size_t)(mark - target.ptr);
		q->query = (struct slice){mark + 1, target.len - q->path.len - 1};
	}
	s->held++;
	http_handle(q);
}

static void open_front(struct front *front, struct http_server *s, bool is_tls)
{
	struct evhttp *ev = evhttp_new(reactor_base(s->reactor));
	panic_if(ev == NULL, "no HTTP server");
	evhttp_set_bevcb(ev, on_accept, front);
	evhttp_set_gencb(ev, on_request, s);
	evhttp_set_allowed_methods(ev,
	    EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
		EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
	/* above the gate's own limit, so that evhttp never answers in its HTML */
	evhttp_set_max_headers_size(ev, 2 * HEAD_MAX_BYTES);
	*front = (struct front){.server = s, .ev = ev, .is_tls = is_tls};
}

void http_configure(struct http_server *s, const struct http_conf *conf)
{
	const struct timeval idle = {.tv_sec = conf->idle_timeout_ms / 1000,
	    .tv_usec = (conf->idle_timeout_ms % 1000) * 1000};
	s->conf = *conf;
	s->limits = (struct gate_limits){.line_max = LINE_MAX_BYTES,
	    .head_max = HEAD_MAX_BYTES,
	    .headers_max = HEAD_LINES_MAX,
	    .body_max = conf->body_max};
	for (size_t i = 0; i < FRONTS; i++) {
		evhttp_set_timeout_tv(s->fronts[i].ev, &idle);
		/* above the gate's own limit as well */
		evhttp_set_max_body_size(s->fronts[i].ev,
		    (ev_ssize_t)(conf->body_max + INPUT_SLACK));
	}
	http_size_shares(s);
}

struct http_server *http_new(struct reactor *r, const struct http_conf *conf,
    const struct http_hooks *hooks)
{
	struct http_server *s = mem_new(sizeof(*s));
	s->reactor = r;
	s->hooks = *hooks;
	for (size_t i = 0; i < STANDINGS; i++)
		TAILQ_INIT(&s->standing[i]);
	http_open_shares(s);
	http_open_work(s);
	s->connections = map_new();
	s->listeners = listeners_new(r, &conf->unix_access);
	s->tls = tls_new(r);
	for (size_t i = 0; i < FRONTS; i++)
		open_front(&s->fronts[i], s, i == FRONT_TLS);
	http_configure(s, conf);
	return s;
}

void http_set_hooks(struct http_server *s, const struct http_hooks *hooks)
{
	s->hooks = *hooks;
}

static void on_bound_socket(struct evhttp_bound_socket *bound, void *arg)
{
	*(struct evhttp_bound_socket **)arg = bound;
}

static void close_front(const struct front *front)
{
	struct evhttp_bound_socket *last = NULL;
	evhttp_foreach_bound_socket(front->ev, on_bound_socket, &last);
	while (last != NULL) {
		evhttp_del_accept_socket(front->ev, last);
		last = NULL;
		evhttp_foreach_bound_socket(front->ev, on_bound_socket, &last);
	}
}

/* Closed, not only disabled: who connects now is told at once and goes elsewhere. */
static void close_listeners(struct http_server *s)
{
	listeners_close(s->listeners);
	for (size_t i = 0; i < FRONTS; i++)
		close_front(&s->fronts[i]);
}

void http_free(struct http_server *s)
{
	if (s == NULL)
		return;
	panic_if(s->held > 0, "the HTTP server was freed with requests held");
	s->stopped = true;
	close_listeners(s);
	for (size_t i = 0; i < FRONTS; i++)
		evhttp_free(s->fronts[i].ev); /* closes the connections: on_close */
	http_close_shares(s);
	http_close_work(s);
	tls_free(s->tls);
	map_free(s->connections);
	listeners_free(s->listeners);
	free(s);
}

enum err http_load_tls(struct http_server *s, const struct tls_conf *conf, struct problem *p)
{
	return tls_load(s->tls, conf, p);
}

static void serve_listener(struct http_server *s, const char *where, struct evconnlistener *ev)
{
	const struct front
	    *front = &s->fronts[listen_address_is_tls(where) ? FRONT_TLS : FRONT_PLAIN];
	panic_if(front->is_tls && !tls_is_loaded(s->tls), "TLS without a certificate");
	panic_if(evhttp_bind_listener(front->ev, ev) == NULL, "cannot serve a listener");
}

enum err http_listen(struct http_server *s, const char *where, char **shown, struct problem *p)
{
	struct evconnlistener *ev = NULL;
	enum err err = listeners_open(s->listeners, where, &ev, shown, p);
	if (err == OK)
		serve_listener(s, where, ev);
	return err;
}

enum err http_adopt(struct http_server *s, int fd, const char *where, char **shown,
    struct problem *p)
{
	struct evconnlistener *ev = NULL;
	enum err err = listeners_adopt(s->listeners, fd, where, &ev, shown, p);
	if (err == OK)
		serve_listener(s, where, ev);
	return err;
}

/* An answer that goes on and on does not hold up the stop. */
static void cut_stream(void *value, void *arg)
{
	struct connection *c = value;
	(void)arg;
	if (c->gone != NULL)
		http_end(c);
}

void http_stop(struct http_server *s)
{
	s->stopped = true;
	close_listeners(s);
	http_finish_work(s);
	map_each(s->connections, cut_stream, NULL);
}

void http_figures(const struct http_server *s, struct http_figures *out)
{
	*out = s->figures;
	out->connections = (uint32_t)map_count(s->connections);
	for (size_t i = 0; i < HTTP_RESOURCES; i++)
		out->shares[i] = shares_figures(s->resources[i].shares);
}

uint32_t http_held(const struct http_server *s)
{
	return s->held;
}

uint64_t http_full_reads(const struct http_server *s)
{
	return s->full_reads;
}
