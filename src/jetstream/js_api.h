/*
 * JetStream's API as all its users need it: questions, what their answers refuse, what is said
 * of a stream, what the reply subject of a message says.
 */
#ifndef JETSTREAM_JS_API_H
#define JETSTREAM_JS_API_H

#include "nats/nats.h"

#define JS_REPLY_MAX 512 /* bytes of the subject that acknowledges a message */

/* The API's own numbers for what it refuses. Source: nats-server, server/errors.json. */
#define JS_UNAVAILABLE 10008       /* no leader of the cluster */
#define JS_NOT_LEADER 10009        /* who was asked cannot say */
#define JS_NO_MESSAGE 10037        /* none at that sequence */
#define JS_NOT_FOR_ACCOUNT 10039   /* no JetStream for this user */
#define JS_NO_STREAM 10059         /* of that name */
#define JS_WRONG_LAST 10071        /* Nats-Expected-Last-Sequence, with what it is */
#define JS_DISABLED 10076          /* no JetStream at all */
#define JS_WRONG_LAST_UNTOLD 10164 /* Nats-Expected-Last-Sequence, without */

#define JS_UNANSWERED UINT64_MAX /* none of the above: nobody has answered, or no one listens */
#define JS_UNNUMBERED (UINT64_MAX - 1) /* refused without a number */

/*
 * Asks `what` ("STREAM.INFO") about `name` ("WA"; NULL: the subject ends there), as nats_ask()
 * does. `api`: NULL is "$JS.API". ERR_TOOBIG also for a subject that is too long.
 */
MUST_CHECK enum err js_ask(struct nats *n, struct nats_call *call, const char *api,
    const char *what, const char *name, struct slice body, int64_t idle_ms, bool has_many);

/*
 * What an answer refuses: 0 for one that does not, else a number of the above or another of the
 * API's, and in `why` its words. `m` may be NULL.
 */
uint64_t js_refusal(const struct nats_message *m, char why[NATS_ERROR_SIZE]);

/* Whether a refusal says that the server cannot serve now, be it for lack of others. */
bool js_is_unserved(uint64_t refusal);

struct js_info {
	uint64_t id;    /* its creation, wall ms: one made anew is another */
	uint64_t first; /* seq of the first message; last + 1: none is there */
	uint64_t last;  /* of the last there ever was */
	uint64_t bytes;
	uint64_t max_bytes; /* 0: no limit */
	uint64_t copies;    /* servers that have all of it: its leader, and who is current */
};

#define JS_ODD_INFO "the server's answer about the stream is not understood"

/* Reads the answer to STREAM.INFO. False: it is not understood. */
bool js_info_read(struct slice json, struct js_info *out);

/* What the reply subject of a message says (ADR-15, "JetStream Subjects"). */
struct js_ack {
	uint64_t seq;          /* in the stream */
	uint64_t consumer_seq; /* counts deliveries */
	uint64_t time_ns;
	uint64_t pending;
};

/* Reads it; false: it is none. */
bool js_ack_read(struct slice reply, struct js_ack *out);

/* Whether the words of a status have `words` in them. */
bool js_says(const struct nats_message *m, const char *words);

#endif
