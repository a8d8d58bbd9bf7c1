/*
 * The HTTP client: the one user of libcurl. Sends POST requests from the loop (and GET
 * requests of our own commands) and reports each one's outcome once, from client_reap(), never
 * from inside a curl callback. A host's addresses are tried within the one timeout, the next
 * 250 ms after the one before (race.h). While descriptors are short it gives up idle
 * connections first.
 *
 * It never: follows a redirect, uses a proxy of the environment, gives curl a name to look up
 * (lookup.h does that), connects to an address that the policy forbids, queues (its caller
 * decides what may start), reads more than CLIENT_BODY_MAX of an answer.
 */
#ifndef COURIER_CLIENT_H
#define COURIER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reactor.h"
#include "base/slice.h"
#include "courier/client_result.h"
#include "courier/lookup.h"
#include "domain/address.h"
#include "domain/proxy.h"

#define CLIENT_BODY_MAX 65536         /* bytes of it that are read at most (docs/api.md) */
#define CLIENT_BODY_MS 1000           /* and for how long, once the status is known */
#define CLIENT_HEAD_MAX 65536         /* bytes of status lines and headers */
#define CLIENT_HEADERS_MAX 64         /* lines of a request */
#define CLIENT_LINES_MAX (256u << 10) /* bytes of them all */

struct client_conf {
	const struct address_policy *policy; /* borrowed; NULL allows every address */
	const char *ca_file;                 /* PEM bundle; NULL: the system's */
	const char *proxy; /* URL of an HTTP proxy; NULL: none. It, not the policy,
	                                        then decides where connections may go */
	bool own_proxies;  /* what client_proxy() is told holds; else such requests fail */
	const char *user_agent;
	struct lookup_conf lookup;
	/*
	 * There are so many at most, busy ones included: a new one takes the place of the
	 * oldest idle one. At least as many as there will be requests; 0: any number.
	 */
	uint32_t connections;
	/* In whole seconds; after that a connection takes no further request. 0: for ever. */
	int64_t connection_max_age_ms;
};

typedef void (*client_done_fn)(void *arg, const struct client_result *result);

struct client;
struct client_request;

struct client *client_new(struct reactor *r, const struct client_conf *conf);

/* Drops what is in flight without a word, then frees. NULL is fine. */
void client_free(struct client *c);

/* Its look-ups, for others that connect. Borrowed. */
struct lookup *client_lookup(const struct client *c);

/* The figures of its look-ups. */
void client_lookups(const struct client *c, struct lookup_figures *out);

/*
 * Whether a request that is sent now finds a connection. False while descriptors are short and
 * there are as many requests as there can be connections.
 */
bool client_has_room(struct client *c);

/* Takes an empty request; client_send() it. */
struct client_request *client_open(struct client *c);

/* Adds one header line; both are copied and hold no line break. */
void client_header(struct client_request *q, struct slice name, struct slice value);

/*
 * The same for a name that HTTP knows nothing of (X-…), with a value: on the wire there is no
 * difference, but curl need not compare it with each of those that it knows.
 */
void client_own_header(struct client_request *q, struct slice name, struct slice value);

/*
 * client_header() for a value that says who sends: CLIENT_HIDDEN stands for it where the
 * request is described.
 */
void client_secret_header(struct client_request *q, struct slice name, struct slice value);

/*
 * Checks the receiver's certificate against `ca_pem` (copied; NULL: the configured
 * authorities), or not at all. Without this call it is checked against the configured ones.
 */
void client_tls(struct client_request *q, const char *ca_pem, bool insecure);

/*
 * Shows the receiver a certificate in TLS, with its key, both in PEM and copied; NULL: none. A
 * connection is used for one certificate alone, and its TLS session is not resumed.
 */
void client_identity(struct client_request *q, const char *cert_pem, const char *key_pem);

/*
 * Through which proxy it goes, borrowed until it is sent. One of its own is asked for as a
 * receiver is: the policy holds for it, and connections through it are for the same alone.
 */
void client_proxy(struct client_request *q, const struct proxy_choice *choice);

/*
 * Sends it in HTTP/2, where the receiver agrees in TLS, as one of the streams of a connection;
 * where libcurl lacks it, in 1.1, and the log says so once.
 */
void client_http2(struct client_request *q);

/* Whether a libcurl of that version (0x070000 is 7.0.0) is trusted with it, if it has it. */
bool client_trusts_http2(unsigned version, bool has_it);

/* The version of the libcurl that runs, where it is not trusted or has no HTTP/2; or NULL. */
const char *client_lacks_http2(void);

/*
 * Its answer may be a failure whatever the status: `retry_after_ms` is looked for, and with
 * `whole` all of the body is kept, up to CLIENT_BODY_MAX.
 */
void client_look(struct client_request *q, bool whole);

/*
 * For whom the request is made, a session: where look-ups wait, they do so for others of the
 * same one first.
 */
void client_taker(struct client_request *q, struct slice taker);

/*
 * Copies bytes of a body from `offset` on into `out`, at most `max`; returns how many. 0: they
 * cannot be had any more, and the request fails.
 */
typedef size_t (*client_body_fn)(void *arg, size_t offset, char *out, size_t max);

struct client_body {
	struct slice text; /* borrowed until `done`; with `read` its length alone counts */
	client_body_fn
	    read; /* a large one is asked for as it is sent; NULL: all of it is there */
};

/*
 * Starts the POST. `done` is called from a later client_reap(), with `result` borrowed for the
 * call; `arg` is its argument and the body's. `timeout_ms`: from now until the final status and
 * headers are there.
 */
void client_send(struct client_request *q, const char *url, const struct client_body *body,
    uint32_t timeout_ms, client_done_fn done, void *arg);

/*
 * Says what was said on the wire, within `done` alone. In the place of a secret header's value,
 * and of those in an answer that set cookies or say who someone is, stands CLIENT_HIDDEN; a
 * receiver may say a secret again in any other. *out is empty where `r` is of no request.
 */
void client_describe(const struct client_result *r, struct client_seen *out);

/* Takes the next bytes of an answer, as they come; false ends the request. */
typedef bool (*client_data_fn)(void *arg, struct slice bytes);

/*
 * Starts a GET whose answer, if it is a 2xx, goes to `data` whatever its length; other answers
 * are kept as those of client_send(). `done` comes as there, also where the answer was broken
 * off or refused: what came tells whether it is complete. `timeout_ms`: until the head is
 * there, and from then on between any two pieces.
 */
void client_fetch(struct client_request *q, const char *url, uint32_t timeout_ms,
    client_data_fn data, client_done_fn done, void *arg);

/*
 * The same by any method, with a body where `text` is not empty; it is borrowed until `done`.
 */
void client_call(struct client_request *q, const char *method, const char *url,
    struct slice text, uint32_t timeout_ms, client_data_fn data, client_done_fn done,
    void *arg);

/*
 * Breaks off a request whose `done` is still to come: it comes as ever, and says so, unless the
 * request had ended before.
 */
void client_give_up(struct client_request *q);

/*
 * Begins a turn of the loop, in which what comes on sockets may take `most_us` or a little more
 * (microseconds); the rest waits for the next. All of it may be looked at until this is called.
 */
void client_turn(struct client *c, int64_t most_us);

/* What that, and to report it, has taken of the turn, in microseconds. */
int64_t client_took(const struct client *c);

/* Reports the requests that have ended since the last call. */
void client_reap(struct client *c);

/* Whether client_reap() has something to report. */
bool client_has_ended(const struct client *c);

#endif
