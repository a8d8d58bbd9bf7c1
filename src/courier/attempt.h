/*
 * One attempt of a delivery as an HTTP request: the headers of docs/api.md
 * section 9, signed at the time of the attempt.
 */
#ifndef COURIER_ATTEMPT_H
#define COURIER_ATTEMPT_H

#include "courier/client.h"
#include "domain/attachment.h"
#include "domain/delivery.h"
#include "domain/sign.h"
#include "domain/webhook.h"

/* A question in place of a delivery: the same headers, with an answer that counts. Borrowed. */
struct attempt_question {
	const char *method;
	const char *url; /* the webhook's, perhaps with a query */
	client_data_fn data;
};

/*
 * All borrowed for the call of attempt_send() but what is sent, `packed` or `body`, which stays
 * until done where there is no `read`.
 */
struct attempt {
	const struct webhook *webhook;
	const char *url;                 /* the webhook's, or its fallback's */
	const struct delivery *delivery; /* attempts: those made before this one */
	struct sign_key *key;            /* NULL where the webhook has no secret */
	struct sign_key *previous_key;   /* NULL unless a secret is being rotated */
	struct sign_pair *pair;          /* the same of its key pair, here and in the next */
	struct sign_pair *previous_pair;
	const char *authorization; /* what that header says; NULL: there is none */
	struct slice session;
	struct slice event;
	struct slice body;
	struct slice packed; /* what is sent of it where that is gzip; empty: `body` is */
	const struct attachment *raw; /* `body` is its: so are the type and more; or NULL */
	struct slice trace;           /* as trace_keep() has it; empty: none */
	client_body_fn read; /* asked for the body as it is sent; NULL: it is in memory */
	int64_t now_ms;      /* wall */
	const struct attempt_question *question; /* NULL: it is a delivery */
};

/*
 * Sends it; `done` is called as client_send() says, of a question as client_call() does.
 * Returns the request, the client's; until `done` it may be given up.
 */
struct client_request *attempt_send(struct client *c, const struct attempt *a,
    client_done_fn done, void *arg);

#endif
