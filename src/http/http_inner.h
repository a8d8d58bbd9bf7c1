/*
 * What the parts of the HTTP server share: http.c has listeners and connections,
 * http_request.c requests and answers, http_stream.c answers without a known length. For
 * them alone.
 */
#ifndef HTTP_HTTP_INNER_H
#define HTTP_HTTP_INNER_H

#include "base/map.h"
#include "http/gate.h"
#include "http/http.h"
#include "http/listener.h"
#include "http/tls.h"

struct bufferevent;
struct evhttp;
struct evhttp_request;

struct connection {
	struct http_server *server;
	struct bufferevent *bev;
	bool is_tls;
	bool known; /* to evhttp: its end will be told */
	struct reactor_timer *deadline;
	struct gate gate;
	enum gate_state state;
	bool refused;
	struct visitor visitor;
	size_t input;            /* bytes of the request so far */
	size_t taken;            /* bytes of the answer that the client took of late */
	void (*gone)(void *arg); /* of the answer that is under way; NULL: nobody asks */
	void *gone_arg;
};

struct http_request {
	struct http_server *server;
	struct evhttp_request *ev;
	struct cidr peer;
	struct slice path;
	struct slice query;
};

/* An evhttp for each kind of listener, as it does not say which one a connection is from. */
struct front {
	struct http_server *server;
	struct evhttp *ev;
	bool is_tls;
};

enum { FRONT_PLAIN, FRONT_TLS, FRONTS };

struct http_server {
	struct reactor *reactor;
	struct http_conf conf;
	struct gate_limits limits;
	struct front fronts[FRONTS];
	struct tls *tls;
	http_handler handler;
	http_error_fn error_body;
	void *arg;
	struct map *connections; /* bufferevent pointer -> connection */
	struct listeners *listeners;
	uint64_t input; /* bytes, over all connections */
	uint32_t held;
	struct http_figures figures; /* but the open connections */
	bool stopped;
};

/* Finds the connection of a request; NULL: its client is gone. */
struct connection *http_connection_of(struct http_server *s, struct evhttp_request *ev);

/* An answer is on its way: the client has to take some of it in each send_timeout_ms. */
void http_expect_reading(struct connection *c);

/* Whether its answer may go on for long: it is of HTTP/1.1, and the server does not stop. */
bool http_may_go_on(const struct http_request *q);

/*
 * Has gone(arg) called when the connection ends before the answer does. The server's stop
 * ends it.
 */
void http_watch(struct http_request *q, void (*gone)(void *arg), void *arg);

/* Lets go of a request whose answer is with evhttp, or needs none. */
void http_release(struct http_request *q);

#endif
