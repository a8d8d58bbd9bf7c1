/*
 * The HTTP server: the one user of evhttp. Listens, puts the strict gate in front
 * of evhttp's parser, hands each complete request to one handler, and sends the
 * answers. It knows nothing of what the requests are about.
 *
 *   socket ─▶ gate (every byte) ─▶ evhttp ─▶ handler ─▶ … turn … ─▶ http_reply()
 *               └─ refused: error, closed
 *
 * It never: reads more of a connection than one request and a little, waits for a
 * slow head or body beyond its deadline, has more than max_connections open.
 */
#ifndef API_HTTP_H
#define API_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/reactor.h"
#include "domain/problem.h"

struct http_conf {
	uint64_t body_max;        /* bytes of a request's body */
	uint32_t max_connections; /* over all listeners */
	int64_t head_timeout_ms;  /* from a request's first byte to the end of its head */
	int64_t body_timeout_ms;  /* from there to the end of its body */
	int64_t idle_timeout_ms;  /* a connection without a request */
};

struct http_server;
struct http_request;

/* Gets each complete request, to be answered once by http_reply(), now or later. */
typedef void (*http_handler)(void *arg, struct http_request *q);

/* Writes the body of an error that the server itself answers with. */
typedef void (*http_error_fn)(int status, const char *message, struct buf *out);

struct http_server *http_new(struct reactor *r, const struct http_conf *conf,
    http_handler handler, http_error_fn error_body, void *arg);

/* Closes the listeners and all connections; no request may be held. NULL is fine. */
void http_free(struct http_server *s);

/*
 * Listens at `where`: "HOST:PORT", "[V6]:PORT" (an address, no name; port 0: any) or
 * "unix:PATH". *shown is how clients write it, "http://127.0.0.1:8080", the caller's to
 * free; *loopback whether only this machine can reach it.
 */
MUST_CHECK enum err http_listen(struct http_server *s, const char *where, char **shown,
    struct problem *p);

/* Accepts nothing new and closes each connection after its answer; streams are cut. */
void http_stop(struct http_server *s);

/* Requests that have not been answered. */
uint32_t http_held(const struct http_server *s);

/* Everything below is borrowed until the reply. */
const char *http_method(const struct http_request *q);
struct slice http_path(const struct http_request *q);  /* raw, without the query */
struct slice http_query(const struct http_request *q); /* raw, without the '?' */
struct slice http_header(const struct http_request *q, const char *name); /* empty: not there */
struct slice http_body(struct http_request *q);

/* Adds a header to the answer; both are copied. */
void http_add_header(struct http_request *q, const char *name, const char *value);

/* Sends the answer, which takes the request. `content_type` NULL: none. */
void http_reply(struct http_request *q, int status, const char *content_type,
    struct slice body);

/* The standard phrase of a status (RFC 9110 section 15); "" for one that is not known. */
const char *http_phrase(int status);

#endif
