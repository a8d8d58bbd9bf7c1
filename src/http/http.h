/*
 * The HTTP server: the one user of evhttp. Listens, puts the strict gate in front
 * of evhttp's parser, hands each complete request to one handler, and sends the
 * answers. It knows nothing of what the requests are about.
 *
 *   socket ─▶ gate (every byte) ─▶ evhttp ─▶ handler ─▶ … turn … ─▶ http_reply()
 *               │    └─ a head whose body is to come: is it wanted?
 *               └─ refused: error, closed
 *
 * What it has to give is shared (shares.h): connections by clients, which are addresses;
 * bodies that are awaited, bytes of requests and bytes of answers by takers, which are who
 * the handler says: clients or tokens. Where all connections are taken, a client within its
 * guarantee gets the slot of the connection that has been idle for longest.
 *
 * It never: reads more of a connection than one request and a little, waits for a slow
 * head, body or reader beyond its deadline, has more open than max_connections and
 * HTTP_SLOTS_KEPT, lets one client have more of them than `peers` says.
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
#include "shares/shares.h"

/* Connections beyond max_connections that only this machine's own clients get. */
#define HTTP_SLOTS_KEPT 32

/* What is shared. */
enum http_resource {
	HTTP_CONNECTIONS,
	HTTP_BODIES, /* requests whose body has begun to come */
	HTTP_INPUT,  /* bytes of such requests, until their answer */
	HTTP_OUTPUT, /* bytes of answers that their clients have not taken */
	HTTP_RESOURCES,
};

extern const char *const HTTP_RESOURCE_NAMES[HTTP_RESOURCES];

#define HTTP_TAKER_SIZE 64 /* bytes of a taker's name with its NUL */

struct http_conf {
	uint64_t body_max;        /* bytes of a request's body */
	uint32_t max_connections; /* over all listeners; half of them may wait for bodies */
	int64_t head_timeout_ms;  /* from a request's first byte to the end of its head, and
	                             for a TLS handshake */
	int64_t body_timeout_ms;  /* from there to the end of its body */
	int64_t idle_timeout_ms;  /* a connection without a request */
	struct unix_access unix_access;
	int64_t send_timeout_ms; /* in each a client must take 64 KiB of its answer, or all */
	uint64_t input_max;      /* of HTTP_INPUT; small requests pass all the same */
	uint64_t output_max;     /* of HTTP_OUTPUT; small answers pass all the same */
	struct peers *peers;     /* borrowed; limits each client's connections; NULL: not */
};

struct http_server;
struct http_request;
struct tls_conf;

struct http_hooks {
	/*
	 * Gets each complete request, to be answered once by http_reply(), now or later;
	 * perhaps again, where http_waits() said so.
	 */
	void (*handle)(void *arg, struct http_request *q);
	/*
	 * Gets a request of which the head has come and the body has not. True: it is to be
	 * read on, and handle() gets it anew; its taker has been named (http_set_taker()).
	 * False: it is answered by http_reply(), now or later, and the connection ends behind
	 * that; nothing of the body is read. NULL: all are read.
	 */
	bool (*head)(void *arg, struct http_request *q);
	/* Writes the body of an error that the server itself answers with. */
	void (*error_body)(int status, const char *message, struct buf *out);
	void *arg;
};

struct http_server *http_new(struct reactor *r, const struct http_conf *conf,
    const struct http_hooks *hooks);

/* Requests go to others from now on, awaited bodies too; between passes. */
void http_set_hooks(struct http_server *s, const struct http_hooks *hooks);

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
	uint64_t displaced;   /* closed for another one */
	uint64_t answers[HTTP_CLASSES];
	const struct shares_figures *shares[HTTP_RESOURCES]; /* borrowed, until the next pass */
};

void http_figures(const struct http_server *s, struct http_figures *out);

/* Requests that have not been answered. */
uint32_t http_held(const struct http_server *s);

/*
 * How many reads bodies have filled so far: where there are more, more lies there to be read.
 */
uint64_t http_full_reads(const struct http_server *s);

/* Everything below is borrowed until the reply. */
const char *http_method(const struct http_request *q);
struct slice http_path(const struct http_request *q);  /* raw, without the query */
struct slice http_query(const struct http_request *q); /* raw, without the '?' */
struct slice http_header(const struct http_request *q, const char *name); /* empty: not there */
struct slice http_body(struct http_request *q); /* empty, where only the head has come */
void http_drop_body(struct http_request *q);    /* frees a large one before the reply */

/* Up to how many bytes more http_take_input() gives it. */
size_t http_input_room(const struct http_request *q);

/*
 * Charges the request's taker for so many bytes that were made of its body, until the answer.
 * False: it has no share of HTTP_INPUT left for them.
 */
bool http_take_input(struct http_request *q, size_t bytes);

/* How many header lines have that name. */
size_t http_header_lines(const struct http_request *q, const char *name);
/* Appends the values of all of them, separated by commas. */
void http_header_list(const struct http_request *q, const char *name, struct buf *out);

/* The address of the other end: a client's or a proxy's; family 0: a unix socket. */
const struct cidr *http_peer(const struct http_request *q);
bool http_is_tls(const struct http_request *q); /* whether that end spoke TLS to us */

/*
 * Names who has what the request takes: "token 2", an address; copied, cut to
 * HTTP_TAKER_SIZE. Without it that is the connection's client.
 */
void http_set_taker(struct http_request *q, struct slice taker);

/*
 * The same of a request that is not proven to be the taker's: until http_set_taker() it is one
 * of its guests, by whoever was named before, and they share what the taker may have.
 */
void http_set_guest_of(struct http_request *q, struct slice taker);
struct slice http_taker(const struct http_request *q); /* borrowed; empty: it is gone */

/*
 * Whether the request has to wait for its taker's turn: then handle() gets it once more, in a
 * later pass of the loop, and does nothing with it now. To be asked there, once the taker is
 * known and nothing is done yet. So who sends many requests that take time has them done in
 * turns with the others'.
 */
bool http_waits(struct http_request *q);

/* Adds a header to the answer; both are copied. */
void http_add_header(struct http_request *q, const char *name, const char *value);

/* The same in place of what it has of that name, so that a request that waited has it once. */
void http_set_header(struct http_request *q, const char *name, const char *value);

/*
 * Sends the answer, which takes the request. `content_type` NULL: none. One for which its taker
 * has no share of HTTP_OUTPUT left becomes a 503.
 */
void http_reply(struct http_request *q, int status, const char *content_type,
    struct slice body);

#endif
