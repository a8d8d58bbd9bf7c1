/*
 * The HTTP client: the one user of libcurl. Sends POST requests from the loop (and GET
 * requests of our own commands)
 * and reports each one's outcome once, from client_reap(), never from inside a
 * curl callback.
 *
 * It never: follows a redirect, uses a proxy of the environment, waits for a
 * lookup, connects to an address that the policy forbids, queues (who calls it
 * decides what may start), reads more than CLIENT_BODY_MAX of an answer.
 */
#ifndef COURIER_CLIENT_H
#define COURIER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reactor.h"
#include "base/slice.h"
#include "domain/address.h"

#define CLIENT_ANSWER_KEPT 1024 /* bytes of an answer's body that are kept */
#define CLIENT_BODY_MAX 65536   /* bytes of it that are read at most (docs/api.md) */
#define CLIENT_BODY_MS 1000     /* and for how long, once the status is known */
#define CLIENT_HEAD_MAX 65536   /* bytes of status lines and headers */
#define CLIENT_HEADERS_MAX 64   /* lines of a request */

struct client_conf {
	const struct address_policy *policy; /* borrowed; NULL allows every address */
	const char *ca_file;                 /* PEM bundle; NULL: the system's */
	const char *proxy; /* URL of an HTTP proxy; NULL: none. It, not the policy,
	                                        then decides where connections may go */
	const char *user_agent;
	/*
	 * Above so many, busy ones included, one that has become idle makes the oldest idle
	 * one close: attempts that take long must not cost the others their connections.
	 */
	uint32_t connections;
};

struct client_result {
	int status;             /* the final status line's; 0: none came */
	const char *error;      /* why none came, in words; "" where one did */
	struct slice answer;    /* the first CLIENT_ANSWER_KEPT bytes of the body */
	int64_t retry_after_ms; /* what a failure asks for, to RETRY_AFTER_MAX_MS; 0: nothing */
	int64_t duration_us;
	/* own durations of its parts; 0: did not happen, as on a connection used again */
	int64_t dns_us;
	int64_t connect_us;
	int64_t tls_us;
	int64_t first_byte_us; /* from the request's start on a connection that stands */
	const char *address;   /* connected to, or tried last: "127.0.0.1:9000"; "": none */
	const char *url;       /* as it was asked for */
};

typedef void (*client_done_fn)(void *arg, const struct client_result *result);

struct client;
struct client_request;

struct client *client_new(struct reactor *r, const struct client_conf *conf);

/* Drops what is in flight without a word, then frees. NULL is fine. */
void client_free(struct client *c);

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
 * Checks the receiver's certificate against `ca_pem` (copied; NULL: the configured
 * authorities), or not at all. Without this call it is checked against the configured ones.
 */
void client_tls(struct client_request *q, const char *ca_pem, bool insecure);

/*
 * Starts the POST. `body` is borrowed until `done`, which is called from a later
 * client_reap(), with `result` borrowed for the call. `timeout_ms`: from now until
 * the final status and headers are there.
 */
void client_send(struct client_request *q, const char *url, struct slice body,
    uint32_t timeout_ms, client_done_fn done, void *arg);

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

/* Reports the requests that have ended since the last call. */
void client_reap(struct client *c);

/* Whether client_reap() has something to report. */
bool client_has_ended(const struct client *c);

#endif
