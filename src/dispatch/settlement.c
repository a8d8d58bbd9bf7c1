/* Writes outcomes; see settlement.h. */
#include "dispatch/settlement.h"

#include <stdlib.h>
#include <string.h>

#include "base/record.h"
#include "domain/webhook_mask.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/queue.h"
#include "store/retention.h"
#include "store/usage.h"
#include "store/webhooks.h"

size_t settlement_put_redirect(const struct settlement *s, const struct webhook *w,
    const struct client_result *r, char *out, size_t size)
{
	static const struct slice WORDS = SLICE_INIT("redirect not followed, to ");
	if (r->location.len == 0 || size < WORDS.len)
		return 0;
	memcpy(out, WORDS.ptr, WORDS.len);
	return WORDS.len +
	    webhook_mask(w, buf_view(&s->sent_secrets), r->location, out + WORDS.len,
		size - WORDS.len);
}

/*
 * Masks secrets in the headers of an answer, in `masked`. A secret has no line break: lines
 * stay lines.
 */
static struct slice mask_headers(const struct settlement *s, const struct webhook *w,
    const struct client_seen *seen, char masked[ATTEMPT_HEADERS_MAX])
{
	const struct slice text = {seen->answered, seen->answered_len};
	return (struct slice){masked,
	    webhook_mask(w, buf_view(&s->sent_secrets), text, masked, ATTEMPT_HEADERS_MAX)};
}

/* Appends the record of `a` with what was said on the wire. */
static void encode_whole(struct settlement *s, const struct webhook *w,
    const struct client_result *r, struct attempt_record *a)
{
	char masked[ATTEMPT_HEADERS_MAX];
	struct client_seen seen;
	client_describe(r, &seen);
	a->has_exchange = true;
	a->exchange = (struct attempt_exchange){.http_version = (uint16_t)seen.http_version,
	    .tls = slice_of(seen.tls),
	    .subject = slice_of(seen.subject),
	    .expires_ms = seen.expires_ms,
	    .sent = {seen.sent, seen.sent_len},
	    .answered = mask_headers(s, w, &seen, masked)};
	attempt_record_encode(a, &s->attempt);
}

void settlement_keep_attempt(struct settlement *s, const struct webhook *w,
    const struct client_result *r, bool whole)
{
	char answer[ATTEMPT_ANSWER_MAX];
	char redirect[ATTEMPT_ERROR_MAX];
	size_t redirect_len = settlement_put_redirect(s, w, r, redirect, sizeof(redirect));
	struct slice error = slice_of(r->error);
	size_t answer_len = webhook_mask(w, buf_view(&s->sent_secrets), r->answer, answer,
	    sizeof(answer));
	if (s->why != NULL)
		error = slice_of(s->why);
	else if (redirect_len > 0)
		error = (struct slice){redirect, redirect_len};
	struct attempt_record a = {
	    .at_ms = s->now_ms - r->duration_us / 1000,
	    .duration_us = r->duration_us,
	    .dns_us = r->dns_us,
	    .connect_us = r->connect_us,
	    .tls_us = r->tls_us,
	    .first_byte_us = r->first_byte_us,
	    .status = r->status,
	    .webhook_id = w->id,
	    .url = slice_of(r->url),
	    .address = slice_of(r->address),
	    .error = error,
	    .answer = {answer, answer_len},
	};
	s->attempt = BUF_INIT(ATTEMPT_RECORD_MAX);
	if (whole)
		encode_whole(s, w, r, &a);
	else
		attempt_record_encode(&a, &s->attempt);
	record_seal(&s->attempt, attempts_at(&s->delivery.id, s->delivery.attempts));
}

/* Writes the row of the attempt, unless its owner holds all of the store that it may. */
static enum err write_attempt(const struct settlement *s, struct db_txn *txn)
{
	struct event e = {0};
	struct slice record = buf_view(&s->attempt);
	struct slice owner = webhook_owner(s->delivery.webhook, s->session);
	if (record.len == 0 || !usage_admits(txn, owner, attempts_row_cost(record)))
		return OK;
	enum err err = events_get(txn, &s->delivery.event_id, &e, NULL);
	if (err == OK)
		err = attempts_put(txn, &e, &s->delivery, record);
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err; /* nobody could pay */
}

/*
 * Finds the delivery where it waits now: a retry by hand may have moved it. ERR_NOTFOUND where
 * this attempt counts no more: it was cancelled, with its webhook or alone, and perhaps sent
 * again since.
 */
static enum err find_waiting(struct settlement *s, struct db_txn *txn)
{
	struct delivery now;
	enum err err = queue_get(txn, &s->delivery.id, &now);
	if (err == ERR_CORRUPT || (err == ERR_NOTFOUND && s->is_damaged))
		return queue_find_place(txn, &s->delivery); /* it is written anew there */
	if (err != OK)
		return err;
	if (now.status != DELIVERY_WAITING || now.replays != s->delivery.replays)
		return ERR_NOTFOUND;
	s->delivery.place_ms = now.place_ms;
	s->delivery.lane = now.lane;
	return OK;
}

static enum err write_settled(const struct settlement *s, struct db_txn *txn,
    enum delivery_status status)
{
	struct delivery d = s->delivery;
	d.status = status;
	enum err err = queue_remove(txn, &d);
	if (err == OK)
		err = write_attempt(s, txn); /* first: it counts for what the event takes */
	return err == OK ? retention_settle(txn, &d, s->now_ms) : err;
}

static enum err write_retry(const struct settlement *s, struct db_txn *txn)
{
	struct delivery d = s->delivery;
	d.due_ms = s->retry_ms;
	d.queued_ms = s->now_ms;
	if (!s->keeps_place)
		d.place_ms = s->retry_ms;
	enum err err = queue_move(txn, &d, s->delivery.place_ms);
	return err == OK ? write_attempt(s, txn) : err;
}

static enum err write_dead(const struct settlement *s, struct db_txn *txn)
{
	struct delivery d = s->delivery;
	d.status = DELIVERY_DEAD;
	d.letter = s->dead->id;
	enum err err = queue_remove(txn, &d);
	if (err == OK)
		err = queue_put(txn, &d);
	if (err == OK)
		err = write_attempt(s, txn);
	if (err != OK)
		return err;
	struct slice owner = webhook_owner(d.webhook, s->session);
	if (!dead_letters_has_room(txn, owner, s->dead))
		dead_letter_shorten(s->dead);
	return dead_letters_put(txn, owner, s->dead);
}

/* Disables the webhook, unless it is so already, and says so to the session's others. */
static enum err disable(struct settlement *s, struct db_txn *txn, struct webhook *w)
{
	if (s->disable_reason[0] == '\0' || !w->enabled)
		return OK;
	webhook_set_enabled(w, s->disable_reason);
	w->updated_ms = s->now_ms;
	s->noticed = true;
	return publication_write(txn, &s->notice);
}

static enum err write_webhook(struct settlement *s, const struct vault *vault,
    struct db_txn *txn)
{
	struct webhook *w = NULL;
	webhook_free(s->changed); /* of a transaction that was voided */
	s->changed = NULL;
	s->noticed = false;
	enum err err = webhooks_get(txn, vault, s->delivery.webhook, &w);
	if (err != OK || w->deleted) {
		webhook_free(w);
		/* gone or damaged: the delivery is settled all the same */
		return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
	}
	w->failing_since_ms = s->failing_since_ms;
	(void)webhook_drop_expired(w, s->now_ms); /* written anyway */
	err = disable(s, txn, w);
	if (err == OK)
		err = webhooks_change(txn, vault, w, w);
	s->changed = w;
	return err;
}

enum err settlement_write(struct settlement *s, const struct vault *vault, struct db_txn *txn)
{
	enum err err = find_waiting(s, txn);
	if (err != OK)
		return err;
	switch (s->verdict) {
	case VERDICT_DELIVERED:
		err = write_settled(s, txn, DELIVERY_DELIVERED);
		break;
	case VERDICT_EXPIRED:
		err = write_settled(s, txn, DELIVERY_EXPIRED);
		break;
	case VERDICT_RETRY:
		err = write_retry(s, txn);
		break;
	case VERDICT_DEAD:
		err = write_dead(s, txn);
		break;
	}
	if (err == OK && s->changes_webhook)
		err = write_webhook(s, vault, txn);
	return err;
}

void settlement_fini(struct settlement *s)
{
	publication_fini(&s->notice);
	buf_fini(&s->notice_body);
	buf_fini(&s->sent_secrets);
	buf_fini(&s->attempt);
	webhook_free(s->changed);
	s->changed = NULL;
	free(s->dead);
	s->dead = NULL;
}
