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
#include "courier/lookup.h"
#include "courier/shortage.h"
#include "domain/address.h"

#define CLIENT_ANSWER_KEPT 1024 /* bytes of an answer's body that are kept */
#define CLIENT_BODY_MAX 65536   /* bytes of it that are read at most (docs/api.md) */
#define CLIENT_BODY_MS 1000     /* and for how long, once the status is known */
#define CLIENT_HEAD_MAX 65536   /* bytes of status lines and headers */
#define CLIENT_HEADERS_MAX 64   /* lines of a request */
#define CLIENT_LOCATION_MAX 300 /* bytes of a Location that are kept */

struct client_conf {
	const struct address_policy *policy; /* borrowed; NULL allows every address */
	const char *ca_file;                 /* PEM bundle; NULL: the system's */
	const char *proxy; /* URL of an HTTP proxy; NULL: none. It, not the policy,
	                                        then decides where connections may go */
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

struct client_result {
	int status;        /* the final status line's; 0: none came */
	const char *error; /* why none came, in words; "" where one did */
	struct slice
	    location; /* where a 3xx says that it is: printable, maybe cut; empty: none */
	enum shortage shortage; /* of what, where none came for want of something of ours */
	struct slice answer;    /* the first CLIENT_ANSWER_KEPT bytes of the body */
	int64_t retry_after_ms; /* what a failure asks for, to RETRY_AFTER_MAX_MS; 0: nothing */
	int64_t duration_us;
	/* what came of looking its host up, or the proxy */
	enum lookup_status lookup;
	/* own durations of its parts; 0: did not happen, as on a connection used again */
	int64_t dns_us; /* 0 also where the address was known */
	int64_t connect_us;
	int64_t tls_us;
	int64_t first_byte_us; /* from the request's start on a connection that stands */
	const char *address;   /* connected to, or tried last: "127.0.0.1:9000"; "": none */
	const char *url;       /* as it was asked for */
	const struct client_request *request; /* for client_describe() */
};

#define CLIENT_SEEN_MAX 2048   /* bytes of headers that are described of either side */
#define CLIENT_SUBJECT_MAX 256 /* bytes of a certificate's subject */

/* What stands for what is not shown. */
#define CLIENT_HIDDEN "********"

/* What was said on the wire, as far as it may be shown. */
struct client_seen {
	int http_version;                 /* of the answer: 10, 11, 20; 0: there was none */
	const char *tls;                  /* "TLSv1.3"; "": none, or it did not come to stand */
	int64_t expires_ms;               /* of the receiver's certificate; client_describe() */
	size_t sent_len;                  /* bytes of `sent` */
	size_t answered_len;              /* of `answered` */
	char subject[CLIENT_SUBJECT_MAX]; /* of that certificate; "": none was shown */
	/*
	 * Lines "Name: value\n", as many whole ones as there is room for: the headers that were
	 * given to the request, and those of the answer.
	 */
	char sent[CLIENT_SEEN_MAX];
	char answered[CLIENT_SEEN_MAX];
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

/* Reports the requests that have ended since the last call. */
void client_reap(struct client *c);

/* Whether client_reap() has something to report. */
bool client_has_ended(const struct client *c);

#endif
