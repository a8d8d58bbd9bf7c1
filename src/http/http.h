/*
 * The HTTP server: the one user of evhttp. Listens, puts the strict gate in front
 * of evhttp's parser, hands each complete request to one handler, and sends the
 * answers. It knows nothing of what the requests are about.
 *
 *   socket ─▶ gate (every byte) ─▶ evhttp ─▶ handler ─▶ … turn … ─▶ http_reply()
 *               └─ refused: error, closed
 *
 * It never: reads more of a connection than one request and a little, waits for a slow
 * head, body or reader beyond its deadline, has more than max_connections open, lets one
 * client have more of them than `peers` says.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/reactor.h"
#include "domain/forwarded.h"
#include "domain/problem.h"
#include "http/peers.h"
#include "http/unix_access.h"

struct http_conf {
	uint64_t body_max;        /* bytes of a request's body */
	uint32_t max_connections; /* over all listeners */
	int64_t head_timeout_ms;  /* from a request's first byte to the end of its head, and
	                             for a TLS handshake */
	int64_t body_timeout_ms;  /* from there to the end of its body */
	int64_t idle_timeout_ms;  /* a connection without a request */
	struct unix_access unix_access;
	int64_t send_timeout_ms; /* in each a client must take 64 KiB of its answer, or all */
	uint64_t input_max;      /* bytes of requests over all connections; small ones pass */
	struct peers *peers;     /* borrowed; limits each client's connections; NULL: not */
};

struct http_server;
struct http_request;
struct tls_conf;

/* Gets each complete request, to be answered once by http_reply(), now or later. */
typedef void (*http_handler)(void *arg, struct http_request *q);

/* Writes the body of an error that the server itself answers with. */
typedef void (*http_error_fn)(int status, const char *message, struct buf *out);

struct http_server *http_new(struct reactor *r, const struct http_conf *conf,
    http_handler handler, http_error_fn error_body, void *arg);

/* Changes limits and times, for the requests and the connections that begin from now on. */
void http_configure(struct http_server *s, const struct http_conf *conf);

/* Closes the listeners and all connections; no request may be held. NULL is fine. */
void http_free(struct http_server *s);

/*
 * Reads certificate and key for TLS, before the first http_listen() that asks for it or later
 * in place of the former: connections that come from then on get the new ones, those that are
 * open keep theirs. Errors: those of tls_load(), and what was loaded stays in use.
 */
MUST_CHECK enum err http_load_tls(struct http_server *s, const struct tls_conf *conf,
    struct problem *p);

/*
 * Listens at `where`: "HOST:PORT", "[V6]:PORT" (an address, no name; port 0: any), the same
 * behind "tls:", or "unix:PATH". *shown is how clients write it, "http://127.0.0.1:8080", the
 * caller's to free.
 */
MUST_CHECK enum err http_listen(struct http_server *s, const char *where, char **shown,
    struct problem *p);

/* The same on `fd`, which listens already; see listeners_adopt(). */
MUST_CHECK enum err http_adopt(struct http_server *s, int fd, const char *where, char **shown,
    struct problem *p);

/* Accepts nothing new and closes each connection after its answer; streams are cut. */
void http_stop(struct http_server *s);

#define HTTP_CLASSES 6 /* of answers: the first digit of their status */

struct http_figures {
	uint32_t connections; /* open */
	uint64_t accepted;    /* since the start */
	uint64_t answers[HTTP_CLASSES];
};

void http_figures(const struct http_server *s, struct http_figures *out);

/* Requests that have not been answered. */
uint32_t http_held(const struct http_server *s);

/* Everything below is borrowed until the reply. */
const char *http_method(const struct http_request *q);
struct slice http_path(const struct http_request *q);  /* raw, without the query */
struct slice http_query(const struct http_request *q); /* raw, without the '?' */
struct slice http_header(const struct http_request *q, const char *name); /* empty: not there */
struct slice http_body(struct http_request *q);

/* Appends the values of all header lines of that name, separated by commas. */
void http_header_list(const struct http_request *q, const char *name, struct buf *out);

/* The address of the other end: a client's or a proxy's; family 0: a unix socket. */
const struct cidr *http_peer(const struct http_request *q);

/* Adds a header to the answer; both are copied. */
void http_add_header(struct http_request *q, const char *name, const char *value);

/* Sends the answer, which takes the request. `content_type` NULL: none. */
void http_reply(struct http_request *q, int status, const char *content_type,
    struct slice body);

#endif
