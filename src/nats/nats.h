/*
 * A client of NATS (docs.nats.io, "Client Protocol"; docs/nats.md): one connection to one of
 * several servers, kept up; messages published, questions asked and answered, with headers.
 * Subscribes to nothing but its own inbox, where all answers come.
 *
 * It never: waits, has a thread, sends again what was lost with a connection, goes to a server
 * that it was not told of (a cluster's other servers, in INFO, are not asked), says a secret to
 * a server that should speak TLS and does not, holds more than its limits.
 */
#ifndef NATS_NATS_H
#define NATS_NATS_H

#include <sys/queue.h>

#include "courier/wire.h"
#include "domain/nats_given.h"
#include "nats/nats_parse.h"

#define NATS_CALLS_MAX 4096 /* questions that wait for an answer */
#define NATS_ERROR_SIZE 256

/* Milliseconds. */
struct nats_times {
	int64_t connect_ms; /* from the look-up to the server's welcome */
	int64_t ping_ms;    /* between pings; after two that are not answered it is lost */
	int64_t wait_ms;    /* before all servers are tried again; doubles each time */
	int64_t wait_max_ms;
	int64_t steady_ms; /* a connection that lasted so long was a good one */
};

extern const struct nats_times NATS_TIMES; /* 10 s, 20 s, 0.25 s up to 30 s, 5 s */

/* What is pointed to is borrowed for the life of the client. NULL: none. */
struct nats_conf {
	struct reactor *reactor;
	struct lookup *lookup;
	const struct address_policy *policy; /* NULL: any address */
	uint64_t taker;                      /* whose look-ups they are */
	const struct nats_server *servers;   /* tried in this order, round and round */
	size_t server_count;
	const char *name; /* what the server's operator sees */
	const char *token;
	const char *user;
	const char *password;
	const struct nats_key *key;
	const char *jwt;    /* goes with the key of a creds file */
	const char *ca_pem; /* as wire_conf has it; not NULL: TLS is a must */
	size_t message_max; /* bytes of headers and payload that are taken, not skipped */
	size_t out_max;     /* bytes that may wait to be sent */
	const struct nats_times *times; /* NULL: NATS_TIMES */
};

/* Called from the loop; may do anything but nats_free(). */
struct nats_hooks {
	void (*changed)(void *arg); /* nats_status()->is_up has */
	void *arg;
};

struct nats;

/* Begins to connect, and does so for ever. */
struct nats *nats_new(const struct nats_conf *conf, const struct nats_hooks *hooks);

/* Its calls are over, and not told. NULL is fine. */
void nats_free(struct nats *n);

struct nats_status {
	bool is_up;
	const struct nats_server *server; /* that is connected to, or tried */
	uint64_t connections;             /* how often one came to stand */
	uint64_t max_payload;             /* bytes that the server takes at most */
	unsigned version;                 /* the server's, 2010 for 2.10; 0: not understood */
	/* why the last one ended or none came to stand, in ASCII; "": neither has happened */
	char error[NATS_ERROR_SIZE];
};

/* Borrowed; it changes as things change. */
const struct nats_status *nats_status(const struct nats *n);

/* Copies what a server has said, as far as it fits; what is not printable ASCII becomes '?'. */
void nats_put_error(char out[NATS_ERROR_SIZE], struct slice text);

/*
 * Leaves the server, as if the connection were lost, for the next one: for who finds that it
 * answers nothing of use. Takes effect from the loop. `why` is a constant. Nothing where it is
 * not up.
 */
void nats_next(struct nats *n, const char *why);

struct nats_out {
	struct slice subject;
	struct slice headers; /* made by nats_put_header(); empty: none */
	struct slice payload;
};

/* Appends a header; fails the buffer where name or value could be read as anything else. */
void nats_put_header(struct buf *headers, struct slice name, struct slice value);

/*
 * Sends a message, after which nothing more is heard of it.
 * Errors: ERR_BUSY, not connected; ERR_FULL, too much waits to be sent; ERR_TOOBIG, for the
 * server's max_payload; ERR_INVALID, the subject is none, or the server takes no headers.
 */
MUST_CHECK enum err nats_publish(struct nats *n, const struct nats_out *out);

/*
 * Told of each answer; NULL: none has come for `idle_ms`, or the connection is lost, and the
 * call is over. May close it, ask anew with it, and do all but nats_free().
 */
typedef void (*nats_call_fn)(void *arg, const struct nats_message *answer);

/* A question that is asked; the caller's memory, zeroed but for the first two. */
struct nats_call {
	nats_call_fn fn;
	void *arg;
	struct nats *nats; /* NULL: it is over; private, as all below */
	struct reactor_timer *timer;
	uint64_t token;
	int64_t idle_ms;
	bool has_many;
	TAILQ_ENTRY(nats_call) link;
};

/*
 * Sends a message and waits for answers: one, after which the call is over, or, with
 * `has_many`, all that come until nats_hang_up(). One with the status 503 says that nobody
 * listens to the subject. Errors: as nats_publish(); ERR_FULL also for NATS_CALLS_MAX; the
 * call is then over, and not told.
 */
MUST_CHECK enum err nats_ask(struct nats *n, struct nats_call *call, const struct nats_out *out,
    int64_t idle_ms, bool has_many);

/* The call is over, and not told. Nothing where it is over. */
void nats_hang_up(struct nats_call *call);

#endif
