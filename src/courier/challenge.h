/*
 * A challenge: a question to a webhook's endpoint, whether it wants what it would be sent. It
 * answers 2xx with the challenge as its body, as a JSON string, or as the member "challenge" of
 * an object. Sent as an attempt of the webhook is, with its headers, signatures, authorization
 * and certificates, under the same rules; the answer is read up to 4096 bytes and for a minute.
 *
 *   by GET    ?hub.mode=subscribe&hub.challenge=… as WebSub and Meta have it
 *   by POST   the envelope of an event `webhook.challenge`, data {"challenge", "webhook_id"}
 *
 * It never: follows a redirect, tries again, shows the challenge in words.
 */
#ifndef COURIER_CHALLENGE_H
#define COURIER_CHALLENGE_H

#include "courier/client.h"
#include "domain/webhook.h"

enum challenge_verdict {
	CHALLENGE_REPEATED,
	CHALLENGE_REFUSED,      /* there is an answer, and it is another one */
	CHALLENGE_UNAUTHORIZED, /* so, by a 401: our token may have expired */
	CHALLENGE_UNANSWERED,   /* by nobody who decides: no answer, 5xx, 408, 425, 429 */
	CHALLENGE_SHORT,        /* was not made, or broken off, for want of something of ours */
};

struct challenge;

/* Hears what came of it, from client_reap(); `why` in words, NULL where it was repeated. */
typedef void (*challenge_done_fn)(void *arg, enum challenge_verdict verdict, const char *why);

/*
 * Asks the endpoint of `w`, borrowed for the call, whose way is not NOT_ASKED. `tries`: how
 * often it was asked before. `authorization`: what that header says; NULL: there is none. Free
 * it when it is done, which may be in `done`, or after the client.
 */
struct challenge *challenge_send(struct client *c, const struct webhook *w, uint32_t tries,
    const char *authorization, challenge_done_fn done, void *arg);

/* Breaks it off before it is done; it is done then, CHALLENGE_SHORT. */
void challenge_give_up(struct challenge *ch);

/* NULL is fine. */
void challenge_free(struct challenge *ch);

/* Whether an answer's body repeats it. */
bool challenge_is_repeated(struct slice challenge, struct slice body);

#endif
