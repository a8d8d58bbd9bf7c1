/*
 * How an attempt is settled on disk, in a transaction of the turn: what becomes of the
 * delivery, its event and its webhook (docs/api.md).
 */
#ifndef DISPATCH_SETTLEMENT_H
#define DISPATCH_SETTLEMENT_H

#include "courier/client.h"
#include "domain/delivery.h"
#include "domain/webhook.h"
#include "store/dead_letters.h"
#include "store/publication.h"
#include "store/turn.h"

enum verdict {
	VERDICT_DELIVERED, /* leaves the queue */
	VERDICT_EXPIRED,   /* leaves the queue: too old to be of use */
	VERDICT_RETRY,     /* stays, due later */
	VERDICT_DEAD,      /* leaves the queue, becomes a dead letter */
};

struct settlement {
	enum verdict verdict;
	struct delivery delivery; /* attempts counted; out: its place as it lay in the queue */
	int64_t now_ms;           /* wall */
	int64_t retry_ms;         /* VERDICT_RETRY: the new due time, wall */
	bool at_fallback;         /* in: the attempt went to fallback_url */
	int64_t other_failing_ms; /* in: since when the other of both URLs fails, wall; 0: no */
	const char *why;          /* why it is a failure, lasting; NULL: the status says it */
	bool is_damaged;          /* VERDICT_DEAD: it cannot be read, and is written anew */
	bool keeps_place;         /* VERDICT_RETRY: in the queue */
	struct slice session;     /* the event's; borrowed until applied */
	struct dead_letter *dead; /* VERDICT_DEAD: owned */
	struct buf sent_secrets;  /* words of a sender's, spaces between; masked. Owned */
	struct buf attempt;       /* its record, sealed; empty: none is kept. Owned */
	bool changes_webhook;     /* the next two say how */
	int64_t failing_since_ms; /* wall; 0: it does not fail any more */
	char disable_reason[96];  /* empty: it stays as it is */
	struct publication notice; /* goes out with the disabling; owned */
	struct buf notice_body;    /* its bytes; owned */
	struct webhook *changed;   /* out: the webhook as it was stored; owned until taken */
	bool noticed;              /* out: the notice was written */
};

/*
 * Says where an answer redirects to, "redirect not followed, to URL", with the secrets of `w`
 * and those in s->sent_secrets masked; returns the length, at most `size`, 0 where it does not.
 */
size_t settlement_put_redirect(const struct settlement *s, const struct webhook *w,
    const struct client_result *r, char *out, size_t size);

/*
 * Makes the record of the attempt, counted in `s`, that was made for `w` and ended with `r`:
 * now, as neither will be there when `s` is written. `whole`: with headers and TLS.
 */
void settlement_keep_attempt(struct settlement *s, const struct webhook *w,
    const struct client_result *r, bool whole);

/*
 * Writes `s`. ERR_NOTFOUND, with nothing written, where the delivery has left the
 * queue meanwhile (it was cancelled, or its webhook deleted), also if it has been put there
 * anew. The transaction's error.
 */
MUST_CHECK enum err settlement_write(struct settlement *s, const struct vault *vault,
    struct db_txn *txn);

/* Frees what it owns. */
void settlement_fini(struct settlement *s);

#endif
