/*
 * Access tokens of webhooks whose auth is of type oauth2: asked for by client credentials
 * (RFC 6749 section 4.4), once for all webhooks of a session with the same credentials, kept in
 * memory until they expire. One that cannot be had is asked for again after 1 s, then twice as
 * long, up to 5 minutes; meanwhile its webhooks wait.
 *
 *   NONE ──wanted──▶ QUEUED ──a slot──▶ ASKED ──▶ HAD ──expired, refused──▶ NONE
 *                      ▲                   │
 *                      └── after a while ──┴─▶ FAILED
 *
 * Bounded: questions at a time, shared by sessions; an answer, 64 KiB and 20 s. A token is
 * there as long as somebody has taken it. It never follows a redirect, and shows no secret in
 * words.
 */
#ifndef COURIER_TOKENS_H
#define COURIER_TOKENS_H

#include <sys/queue.h>

#include "courier/client.h"
#include "courier/questions.h"
#include "domain/webhook.h"

struct tokens;
struct token;

struct tokens *tokens_new(struct reactor *r, struct client *client);

/* After those who have taken some, and the client. NULL is fine. */
void tokens_free(struct tokens *t);

/* Takes the token of the webhook's credentials, which are of type oauth2; give it back. */
struct token *tokens_take(struct tokens *t, const struct webhook *w);
void token_give_back(struct token *k);

/* Who waits for a token; zeroed before the first use. */
struct token_waiter {
	TAILQ_ENTRY(token_waiter) link;
	struct token *token; /* NULL: does not wait */
	void (*fn)(void *arg);
	void *arg;
};

/*
 * Whether the token is there. If not it is asked for, and `fn` of the waiter called, once, when
 * it is.
 */
bool token_want(struct token *k, struct token_waiter *w);

/* Does not wait any more. */
void token_leave(struct token_waiter *w);

/* The value of Authorization, borrowed until the next call of any; NULL: there is none. */
const char *token_header(const struct token *k);

/* Tells this token from those before and behind it; 0: there is none. */
uint64_t token_number(const struct token *k);

/*
 * A receiver did not take it: it is forgotten, and true; or false, since that was done less
 * than 10 s ago.
 */
bool token_refuse(struct token *k);

/* Why there is none, in words; NULL: there is one, or nobody knows yet. */
const char *token_why(const struct token *k);

struct tokens_figures {
	uint64_t had; /* questions that brought a token, since the start */
	uint64_t failed;
	const struct shares_figures *questions; /* under way, by session */
};

void tokens_figures(const struct tokens *t, struct tokens_figures *out);

#endif
