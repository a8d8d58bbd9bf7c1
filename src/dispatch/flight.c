/*
 * From a claim to its outcome on disk; see dispatch.h for the flow. A flight is a delivery that
 * was claimed: it stays in the queue until what became of it is committed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/gunzip.h"
#include "base/log.h"
#include "base/mem.h"
#include "courier/attempt.h"
#include "dispatch/dispatch_inner.h"
#include "store/events.h"
#include "store/publication.h"

#define BODIES_PER_TURN (2u << 20) /* bytes of theirs, which are still to be sent then */
#define BODY_KEPT_MAX (64u << 10)  /* bytes; a larger body is read as it is sent */
#define DROPS_MAX 128              /* expired deliveries between their claim and the commit */
#define READ_RETRY_MS 1000         /* after the queue could not be read */
#define SHORT_REST_MS 200          /* after a start came to nothing for want of ours */
#define LOG_EVERY_MS 10000         /* between lines that say so, or who has its share */
#define STATUS_UNAUTHORIZED 401
#define SEEN_EVERY_MS 10000 /* a webhook's first attempts that succeed are kept whole */
#define LANDED_MAX 1024     /* outcomes in memory while the store cannot be written */

static void drop_raw(struct flight *f)
{
	if (f->raw != NULL)
		buf_fini(&f->raw->bytes);
	free(f->raw);
	f->raw = NULL;
}

void flight_free(struct flight *f)
{
	TAILQ_REMOVE(&f->endpoint->flights, f, link);
	drop_raw(f);
	free(f->trace);
	buf_fini(&f->body);
	payload_fini(&f->payload);
	settlement_fini(&f->settlement);
	free(f);
}

static struct flight *flight_of(struct op *op)
{
	return (struct flight *)((char *)op - offsetof(struct flight, op));
}

static enum err apply_flight(struct op *op, struct db_txn *txn)
{
	struct flight *f = flight_of(op);
	return settlement_write(&f->settlement, f->dispatch->conf.vault, txn);
}

static enum happening_type happening_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_DELIVERED:
		return HAPPENING_DELIVERED;
	case VERDICT_EXPIRED:
		return HAPPENING_EXPIRED;
	case VERDICT_RETRY:
		return HAPPENING_RETRYING;
	case VERDICT_DEAD:
		return HAPPENING_DEAD;
	}
	log_panic("a verdict that there is not");
}

/* Tells the feed what became of the delivery. */
static void tell_settled(const struct dispatch *d, const struct flight *f)
{
	const struct settlement *s = &f->settlement;
	const struct webhook *w = registry_get(d->conf.registry, f->endpoint->webhook);
	if (d->conf.feed == NULL || w == NULL)
		return;
	struct happening h = {.type = happening_of(s->verdict),
	    .at_ms = s->now_ms,
	    .webhook = w->number,
	    .duration_us = f->duration_us,
	    .next_ms = s->verdict == VERDICT_RETRY ? s->retry_ms : 0,
	    .attempt = s->delivery.attempts,
	    .status = f->status,
	    .has_event = true,
	    .has_delivery = true,
	    .has_webhook = true,
	    .event_id = s->delivery.event_id,
	    .delivery_id = s->delivery.id,
	    .webhook_id = w->id};
	memcpy(h.session, f->event.session, sizeof(h.session));
	memcpy(h.event, f->event.name, sizeof(h.event));
	memcpy(h.error, f->error, sizeof(h.error));
	feed_tell(d->conf.feed, &h);
}

/* Tells the feed that the webhook was disabled by what its receiver did. */
static void tell_disabled(const struct dispatch *d, uint64_t webhook)
{
	if (d->conf.feed != NULL)
		feed_tell_disabled(d->conf.feed, registry_get(d->conf.registry, webhook),
		    clock_wall_ms());
}

/* The webhook and its notice are on disk as the settlement says: memory follows. */
static void follow_settlement(struct dispatch *d, struct endpoint *ep, struct settlement *s)
{
	if (s->changed != NULL) {
		bool disabled = !s->changed->enabled;
		registry_set(d->conf.registry, s->changed);
		s->changed = NULL;
		if (disabled) {
			dispatch_changed(d, ep->webhook, false);
			tell_disabled(d, ep->webhook);
		}
	}
	for (uint32_t n = 0; s->noticed && n < s->notice.event.deliveries; n++) {
		struct queue_place place = publication_place(&s->notice, n);
		dispatch_queued(d, s->notice.targets[n].webhook, &place);
	}
	if (s->verdict == VERDICT_RETRY) {
		s->delivery.place_ms = s->keeps_place ? s->delivery.place_ms : s->retry_ms;
		struct queue_place place = queue_place_of(&s->delivery);
		dispatch_queued(d, ep->webhook, &place);
	}
}

/* The outcome is on disk, and counts. */
static void count_outcome(struct dispatch_figures *n, const struct flight *f)
{
	switch (f->settlement.verdict) {
	case VERDICT_DELIVERED:
		n->delivered++;
		histogram_record(&n->receipt,
		    (f->settlement.now_ms - f->event.created_ms) * 1000);
		break;
	case VERDICT_EXPIRED:
		n->expired++;
		break;
	case VERDICT_RETRY:
		n->retried++;
		break;
	case VERDICT_DEAD:
		n->dead++;
		break;
	}
}

/*
 * The delivery is in flight no more, and has no outcome. It may wait where claims have passed
 * it by as one in flight: it was cancelled during its attempt and sent again, or there was no
 * attempt.
 */
static void look_again(struct dispatch *d, struct endpoint *ep, const struct delivery *delivery)
{
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	struct queue_place place = queue_place_of(delivery);
	if (w == NULL || w->deleted)
		return;
	endpoint_rewind(ep);
	dispatch_queued(d, ep->webhook, &place);
}

/* The outcome is on disk: what is in memory follows. */
static void finish_flight(struct flight *f, enum err result)
{
	struct dispatch *d = f->dispatch;
	struct endpoint *ep = f->endpoint;
	if (result != OK && result != ERR_NOTFOUND)
		log_error("outcome was not stored", LOG_S("error", err_text(result)));
	if (result == OK) {
		tell_settled(d, f);
		count_outcome(&d->figures, f);
		follow_settlement(d, ep, &f->settlement);
	}
	if (result == ERR_NOTFOUND)
		look_again(d, ep, &f->settlement.delivery);
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	uint16_t lane = f->settlement.delivery.lane;
	flight_free(f);
	if (ep->lanes != NULL && w != NULL && !w->deleted)
		endpoint_look(d, ep, lane); /* the next one in it may go */
	endpoint_mark_idle(d, ep);
}

static void give_slot_back(struct flight *f)
{
	enum sched_result result = f->round == f->endpoint->round ? f->result : RESULT_STALE;
	sched_finish(f->dispatch->sched, f->sched, clock_wall_ms(), result, f->duration_us);
	if (f->endpoint->fallback != NULL)
		fallback_adjust(f->dispatch, f->endpoint);
}

static void finish_attempt(struct op *op, enum err result)
{
	struct flight *f = flight_of(op);
	if (!f->landed)
		give_slot_back(f);
	finish_flight(f, result);
}

static void finish_drop(struct op *op, enum err result)
{
	struct flight *f = flight_of(op);
	f->dispatch->drops--;
	finish_flight(f, result);
}

/*
 * It was delivered: the next may have its slot, though that is not on disk yet, and the outcome
 * may wait for others to share a flush. Not so where the next attempt depends on it: where
 * there is an order, or after a failure.
 */
static void land(struct flight *f)
{
	if (f->endpoint->fifo || f->endpoint->lanes != NULL || f->result != RESULT_OK ||
	    f->settlement.changes_webhook || turn_staged(f->dispatch->conf.turn) >= LANDED_MAX)
		return;
	f->landed = true;
	f->op.may_wait = true;
	give_slot_back(f);
}

/* Counts an attempt, and keeps how the last one of its endpoint went. */
static void note_result(struct dispatch *d, const struct flight *f,
    const struct client_result *r)
{
	struct endpoint *ep = f->endpoint;
	int class = r->status / 100;
	d->figures.attempts[class < DISPATCH_CLASSES ? class : 0]++;
	histogram_record(&d->figures.attempt, r->duration_us);
	if (f->sched != &ep->sched)
		return; /* it is of the webhook's own URL */
	ep->last_status = r->status;
	free(ep->last_error);
	ep->last_error = NULL;
	if (r->status == 0)
		ep->last_error = mem_copy(r->error, strlen(r->error));
}

/* Counts an attempt of webhook `w` among those of its last days. */
static void count_attempt(const struct dispatch *d, const struct webhook *w,
    const struct flight *f)
{
	if (d->conf.trends == NULL || w->deleted)
		return;
	struct trend_last last = {.at_ms = f->settlement.now_ms, .status = f->status};
	const char *why = f->error[0] != '\0' ? f->error : f->settlement.why;
	if (why != NULL) /* of most attempts there is none */
		(void)snprintf(last.error, sizeof(last.error), "%s", why);
	trends_note(d->conf.trends, w->number, &last,
	    f->settlement.verdict == VERDICT_DELIVERED, f->duration_us);
}

/* A start came to nothing. */
static void note_shortage(struct dispatch *d, enum shortage of)
{
	d->figures.shortages[of]++;
	if (clock_mono_ms() < d->short_quiet_ms)
		return;
	d->short_quiet_ms = clock_mono_ms() + LOG_EVERY_MS;
	log_warn("attempts wait, and do not count: the gateway is short of something",
	    LOG_S("of", SHORTAGE_NAMES[of]), LOG_N("in_flight", sched_in_flight(d->sched)));
}

/* No attempt was made. The delivery has stayed where it lies, as due as it was. */
static void lay_back(struct flight *f)
{
	struct dispatch *d = f->dispatch;
	struct endpoint *ep = f->endpoint;
	const struct delivery delivery = f->settlement.delivery;
	give_slot_back(f);
	flight_free(f);
	look_again(d, ep, &delivery);
	if (delivery.due_ms > clock_wall_ms() && ep->sched.due_ms != SCHED_NEVER) {
		/* was sent before its time, after `enable` */
		int64_t forced_ms = delivery.queued_ms + 1;
		ep->forced_ms = forced_ms > ep->forced_ms ? forced_ms : ep->forced_ms;
		endpoint_set_due(d, ep, 0);
	}
	endpoint_mark_idle(d, ep);
}

/*
 * The attempt of `f` was not made for want of something of ours. Where others lack it too all
 * rest a moment, so that who has it can end; else they may start.
 */
static void take_back(struct flight *f, const struct client_result *r)
{
	struct dispatch *d = f->dispatch;
	f->result = judge_endpoint(r, false);
	f->duration_us = r->duration_us;
	note_shortage(d, r->shortage);
	if (shortage_is_everybodys(r->shortage))
		d->rest_until_ms = clock_mono_ms() + SHORT_REST_MS;
	else
		sched_put_off(d->sched, f->sched, clock_wall_ms());
	lay_back(f);
}

/*
 * Whether the receiver has refused the token of an attempt, which is then made again, once,
 * with another, and does not count. Of those that were under way with the same, each is.
 */
static bool is_token_refused(struct flight *f, const struct client_result *r)
{
	struct endpoint *ep = f->endpoint;
	if (f->token == 0 || ep->token == NULL || r->status == 0)
		return false;
	bool is_last = token_number(ep->token) == f->token;
	if (r->status != STATUS_UNAUTHORIZED) {
		ep->is_refused = ep->is_refused && !is_last;
		return false;
	}
	if (is_last && !ep->is_refused && token_refuse(ep->token)) {
		ep->is_refused = true;
		ep->repeats = endpoint_in_flight(ep);
	} else if (is_last || ep->repeats == 0) {
		ep->is_refused = false;
		return false;
	}
	if (ep->repeats > 0)
		ep->repeats--;
	return true;
}

/* Tells the settlement which of both URLs the attempt went to, and how the other one does. */
static void note_url(struct flight *f)
{
	const struct sched_endpoint *own = &f->endpoint->sched;
	f->settlement.at_fallback = f->sched != own;
	f->settlement.other_failing_ms = f->settlement.at_fallback
	    ? own->failing_since_ms
	    : f->endpoint->fallback->sched.failing_since_ms;
}

/*
 * Whether the attempt is kept with its headers and TLS: each that failed or came after one that
 * did, and of the others, which are nearly all, one of a webhook in SEEN_EVERY_MS.
 */
static bool is_kept_whole(struct flight *f)
{
	int64_t *next_ms = &f->dispatch->seen_ms[f->endpoint->webhook % SEEN_SLOTS];
	int64_t now_ms = clock_mono_ms();
	if (f->result != RESULT_OK || f->settlement.delivery.attempts > 1)
		return true;
	if (now_ms < *next_ms)
		return false;
	*next_ms = now_ms + SEEN_EVERY_MS;
	return true;
}

/* An attempt ended: its outcome joins the turn. */
static void on_result(void *arg, const struct client_result *r)
{
	struct flight *f = arg;
	struct dispatch *d = f->dispatch;
	const struct webhook *w = registry_get(d->conf.registry, f->endpoint->webhook);
	buf_fini(&f->body);
	if (r->shortage != SHORT_OF_NOTHING) {
		take_back(f, r);
		return;
	}
	if (is_token_refused(f, r)) {
		f->result = RESULT_NONE;
		lay_back(f);
		return;
	}
	note_result(d, f, r);
	if (r->address != NULL && !r->is_proxys) /* which says nothing of the receiver */
		endpoint_move(d, f->sched, r->address);
	f->duration_us = r->duration_us;
	f->status = r->status;
	if (r->status == 0)
		(void)snprintf(f->error, sizeof(f->error), "%s", r->error);
	f->settlement.now_ms = clock_wall_ms();
	if (f->endpoint->fallback != NULL)
		note_url(f);
	if (w != NULL) /* else deleted and purged: the settlement will find nothing */
		judge_attempt(&d->conf.judge, w, f->sched, &f->event, r, &f->settlement);
	f->result = judge_endpoint(r, f->settlement.verdict == VERDICT_DELIVERED);
	if (w != NULL && r->url != NULL && d->keeps_attempts) /* else none was made */
		settlement_keep_attempt(&f->settlement, w, r, is_kept_whole(f));
	if (w != NULL)
		count_attempt(d, w, f);
	land(f);
	turn_stage(d->conf.turn, &f->op);
}

/* Makes the signing keys that are not there yet. */
static void make_keys(struct endpoint *ep, const struct webhook *w)
{
	if (ep->key == NULL && w->secret != NULL)
		ep->key = sign_key_new(slice_of(w->secret));
	if (ep->previous_key == NULL && w->previous_secret != NULL)
		ep->previous_key = sign_key_new(slice_of(w->previous_secret));
	if (ep->pair == NULL && w->pair != NULL)
		ep->pair = sign_pair_new(w->pair);
	if (ep->previous_pair == NULL && w->previous_pair != NULL)
		ep->previous_pair = sign_pair_new(w->previous_pair);
}

/*
 * Reads what is attached to the event, where that is what goes to the webhook. The store's
 * error, ERR_CORRUPT.
 */
static enum err read_raw(struct flight *f, const struct webhook *w, struct db_txn *txn)
{
	size_t n = 0;
	const struct event *e = &f->event;
	if (e->attached_bytes == 0 || w->payload != PAYLOAD_ENVELOPE)
		return OK;
	struct raw *raw = mem_new(sizeof(*raw));
	f->raw = raw;
	raw->bytes = BUF_INIT(EVENT_ATTACHED_MAX);
	if (!buf_reserve(&raw->bytes, e->attached_bytes))
		return ERR_CORRUPT;
	enum err err = events_read_body(txn, &e->id, e->body_bytes, raw->bytes.data,
	    e->attached_bytes, &n);
	raw->bytes.len = n;
	if (err == OK && n != e->attached_bytes)
		err = ERR_CORRUPT;
	return err == OK ? attachment_decode(buf_view(&raw->bytes), &raw->attachment) : err;
}

/* The body is the last part of what is attached behind the event's. */
static void make_raw_body(struct flight *f)
{
	struct slice sent = f->raw->attachment.body;
	f->payload = (struct payload_body){.head = BUF_INIT(0),
	    .at = f->event.body_bytes + f->event.attached_bytes - sent.len,
	    .len = sent.len};
	buf_reset(&f->body);
	buf_slice(&f->body, sent);
}

/* Appends `value` as words: `marks` in it become the spaces between. */
static void put_words(struct buf *out, struct slice value, const char *marks)
{
	for (size_t i = 0; i < value.len; i++)
		buf_putc(out, strchr(marks, value.ptr[i]) != NULL ? ' ' : value.ptr[i]);
	buf_putc(out, ' ');
}

/*
 * Remembers the secrets among what is sent, as a receiver may say them again: as they are, and
 * as one reads cookies, by their names.
 */
static void note_secrets(struct flight *f)
{
	const struct attachment *a = &f->raw->attachment;
	struct buf *out = &f->settlement.sent_secrets;
	*out = BUF_INIT(2 * ATTACHMENT_FRONT_MAX);
	for (size_t i = 0; i < a->header_count; i++) {
		if (!a->headers[i].is_secret)
			continue;
		put_words(out, a->headers[i].value, ";");
		put_words(out, a->headers[i].value, ";=");
	}
}

/* Makes what is sent of the event's body, which it has. */
static void make_body(struct flight *f, const struct webhook *w)
{
	struct payload_body *p = &f->payload;
	if (f->raw != NULL) {
		note_secrets(f);
		make_raw_body(f);
		return;
	}
	const struct payload_event e = {&f->settlement.delivery.event_id,
	    slice_of(f->event.session), slice_of(f->event.name), buf_view(&f->body)};
	payload_make(w->payload, &e, p);
	if (w->payload == PAYLOAD_ENVELOPE)
		return;
	struct buf sent = BUF_INIT(payload_bytes(p));
	buf_slice(&sent, buf_view(&p->head));
	buf_append(&sent, f->body.data + p->at, p->len);
	buf_slice(&sent, p->tail);
	buf_fini(&f->body);
	f->body = sent;
}

/* Copies the bytes from `offset` on of a text in memory. */
static size_t copy_part(struct slice text, size_t offset, char *out, size_t max)
{
	size_t n = text.len - offset < max ? text.len - offset : max;
	memcpy(out, text.ptr + offset, n);
	return n;
}

/* More of a large body is to be sent: memory has no part of what the store has of it. */
static size_t read_body(void *arg, size_t offset, char *out, size_t max)
{
	const struct flight *f = arg;
	const struct payload_body *p = &f->payload;
	struct db_txn *txn = NULL;
	size_t n = 0;
	if (offset < p->head.len)
		return copy_part(buf_view(&p->head), offset, out, max);
	offset -= p->head.len;
	if (offset >= p->len)
		return copy_part(p->tail, offset - p->len, out, max);
	max = p->len - offset < max ? p->len - offset : max;
	offset += p->at;
	enum err err = db_read(f->dispatch->conf.db, &txn);
	if (err == OK) {
		err = events_read_body(txn, &f->settlement.delivery.event_id, offset, out, max,
		    &n);
		db_read_end(txn);
	}
	if (err != OK)
		log_error("cannot read a body that is sent", LOG_S("error", err_text(err)));
	return err == OK ? n : 0;
}

/* Whether the attempt goes to the webhook's own URL; also where the other was just dropped. */
static bool is_own_url(const struct flight *f, const struct webhook *w)
{
	return f->sched == &f->endpoint->sched || w->fallback_url == NULL;
}

static void start(struct dispatch *d, struct flight *f)
{
	struct endpoint *ep = f->endpoint;
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	make_keys(ep, w);
	make_body(f, w);
	struct attempt a = {
	    .webhook = w,
	    .url = is_own_url(f, w) ? w->url : w->fallback_url,
	    .delivery = &f->settlement.delivery,
	    .key = ep->key,
	    .previous_key = w->previous_expires_ms > clock_wall_ms() ? ep->previous_key : NULL,
	    .session = slice_of(f->event.session),
	    .event = slice_of(f->event.name),
	    .body = buf_view(&f->body),
	    .raw = f->raw == NULL ? NULL : &f->raw->attachment,
	    .now_ms = clock_system_ms(),
	};
	if (f->trace != NULL)
		a.trace = (struct slice){f->trace, f->event.trace_bytes};
	if (ep->pair != NULL) {
		a.pair = ep->pair;
		a.previous_pair = w->previous_pair_expires_ms > clock_wall_ms()
		    ? ep->previous_pair
		    : NULL;
	}
	if (w->auth != NULL) {
		f->token = ep->token == NULL ? 0 : token_number(ep->token);
		if (f->token != 0)
			webhook_auth_grant(w->auth, token_header(ep->token));
		a.authorization = w->auth->header;
	}
	d->bytes_begun += f->body.len;
	struct buf packed = BUF_INIT(BODY_KEPT_MAX);
	if (f->raw == NULL && webhook_options_gzip(w->options, f->body.len) &&
	    gunzip_pack(buf_view(&f->body), &packed))
		a.packed = buf_view(&packed);
	else if (f->body.len > BODY_KEPT_MAX)
		a.read = read_body;
	attempt_send(d->conf.client, &a, on_result, f);
	drop_raw(f);
	if (a.read != NULL || a.packed.len > 0) /* it was there to be signed */
		buf_fini(&f->body);
	if (a.packed.len > 0)
		f->body = packed;
}

static struct flight *make_flight(struct dispatch *d, struct endpoint *ep,
    const struct delivery *delivery)
{
	struct flight *f = mem_new(sizeof(*f));
	f->dispatch = d;
	f->endpoint = ep;
	f->sched = ep->turn;
	f->round = ep->round;
	f->op.class = OP_PROGRESS;
	f->op.apply = apply_flight;
	f->op.done = finish_attempt;
	f->body = BUF_INIT(EVENT_BODY_MAX);
	f->settlement.delivery = *delivery;
	TAILQ_INSERT_TAIL(&ep->flights, f, link);
	return f;
}

bool flight_exists(void *ep, const struct uuid *id)
{
	const struct flight *f;
	TAILQ_FOREACH(f, &((const struct endpoint *)ep)->flights, link) {
		if (uuid_eq(&f->settlement.delivery.id, id))
			return true;
	}
	return false;
}

/*
 * Whether a claimed delivery is too old to be sent; then *e is its event. Most are too young
 * whatever the event, which is not read then.
 */
static bool has_expired(const struct dispatch *d, const struct delivery *delivery,
    struct db_txn *txn, int64_t now_ms, struct event *e)
{
	return judge_may_be_expired(&d->conf.judge, delivery, now_ms) &&
	    events_get(txn, &delivery->event_id, e, NULL) == OK &&
	    judge_is_expired(&d->conf.judge, e, delivery, now_ms);
}

/* `f`, which has its slot, makes no attempt: its outcome, which is judged, joins the turn. */
static void stage_drop(struct flight *f)
{
	struct dispatch *d = f->dispatch;
	d->drops++;
	sched_finish(d->sched, f->sched, f->settlement.now_ms, RESULT_NONE, 0);
	if (f->endpoint->fallback != NULL)
		fallback_adjust(d, f->endpoint);
	f->op.done = finish_drop;
	turn_stage(d->conf.turn, &f->op);
}

/*
 * Drops a claimed delivery that has expired: without an attempt, and without a slot. That
 * uses up its endpoint's turn, so that a queue full of them does not hold up the others.
 */
static void drop_expired(struct dispatch *d, struct endpoint *ep,
    const struct delivery *delivery, const struct event *e, int64_t now_ms)
{
	struct flight *f = make_flight(d, ep, delivery);
	sched_start(d->sched, f->sched, now_ms);
	f->event = *e;
	f->settlement.now_ms = now_ms;
	judge_expired(registry_get(d->conf.registry, ep->webhook), e, &f->settlement);
	stage_drop(f);
}

/*
 * Makes a dead letter, without an attempt, of a claimed delivery whose record or event cannot
 * be read, and never will be.
 */
static void bury(struct flight *f, enum err why, int64_t now_ms)
{
	struct dispatch *d = f->dispatch;
	const struct webhook *w = registry_get(d->conf.registry, f->endpoint->webhook);
	char words[96];
	(void)snprintf(words, sizeof(words), "the stored %s cannot be read: %s",
	    why == OK ? "delivery" : "event", err_text(why == OK ? ERR_CORRUPT : why));
	if (f->event.session[0] == '\0')
		(void)snprintf(f->event.session, sizeof(f->event.session), "%s", w->session);
	f->settlement.now_ms = now_ms;
	judge_damaged(&d->conf.judge, w, &f->event, words, &f->settlement);
	stage_drop(f);
}

/* Whether it says what the store has, be it nothing of use; else that cannot be read now. */
static bool is_known(enum err err)
{
	return err == OK || err == ERR_NOTFOUND || err == ERR_CORRUPT;
}

/* Starts the attempt of a claimed delivery. The store's error, and nothing has happened. */
static enum err take_off(struct dispatch *d, struct endpoint *ep,
    const struct delivery *delivery, struct db_txn *txn, int64_t now_ms)
{
	static const struct uuid NONE;
	struct flight *f = make_flight(d, ep, delivery);
	struct uuid *event_id = &f->settlement.delivery.event_id;
	bool damaged = uuid_eq(event_id, &NONE);
	enum err err = damaged ? events_find_of(txn, &delivery->id, event_id) : OK;
	if (is_known(err))
		err = events_get(txn, event_id, &f->event, &f->body);
	if (err == OK)
		err = read_raw(f, registry_get(d->conf.registry, ep->webhook), txn);
	if (err == OK && f->event.trace_bytes > 0) {
		f->trace = mem_array(TRACE_MAX, 1);
		err = events_read_trace(txn, &f->event, f->trace);
	}
	if (!is_known(err)) {
		flight_free(f);
		return err;
	}
	sched_start(d->sched, f->sched, now_ms);
	if (ep->fallback != NULL)
		fallback_adjust(d, ep);
	if (err == OK && !damaged) {
		start(d, f);
		return OK;
	}
	buf_fini(&f->body);
	if (err != OK)
		memset(f->event.session, 0, sizeof(f->event.session)); /* half read, perhaps */
	bury(f, damaged ? OK : err, now_ms);
	return OK;
}

/* Drops a claimed delivery, or starts its attempt. The same error. */
static enum err take_on(struct dispatch *d, struct endpoint *ep,
    const struct delivery *delivery, struct db_txn *txn, int64_t now_ms)
{
	struct event e;
	if (!has_expired(d, delivery, txn, now_ms, &e))
		return take_off(d, ep, delivery, txn, now_ms);
	drop_expired(d, ep, delivery, &e, now_ms);
	return OK;
}

/* Marks the lanes whose next delivery has to wait for one of these flights. */
static void mark_busy(const struct endpoint *ep, bool busy[LANES])
{
	const struct flight *f;
	TAILQ_FOREACH(f, &ep->flights, link) {
		uint16_t lane = f->settlement.delivery.lane;
		/* one that makes no attempt is in nobody's way, nor in that of the next such */
		if (lane < LANES && f->op.done != finish_drop)
			busy[lane] = true;
	}
}

/*
 * Claims as queue_claim() does, for a webhook with a key: the first of the lane whose turn it
 * is, if that is due. Each look finds one, or a lane that need not be looked at soon: LANES at
 * most.
 */
static enum err claim_lane(struct endpoint *ep, struct db_txn *txn, int64_t now_ms,
    struct delivery *out, size_t *count)
{
	bool busy[LANES] = {false};
	mark_busy(ep, busy);
	uint16_t lane = lanes_next(ep->lanes, busy, now_ms);
	for (; lane < LANES && *count == 0; lane = lanes_next(ep->lanes, busy, now_ms)) {
		uint16_t found = LANES;
		enum err err = queue_lane(txn, ep->webhook, lane, flight_exists, ep, out,
		    &found);
		if (err != OK)
			return err;
		if (found != lane) {
			lanes_set_empty(ep->lanes, lane, found);
			continue;
		}
		if (out->due_ms > now_ms && out->queued_ms >= ep->forced_ms) {
			lanes_set_due(ep->lanes, lane, out->due_ms);
			continue;
		}
		lanes_take(ep->lanes, lane);
		*count = 1;
	}
	return OK;
}

/*
 * When the first of the lanes is due that need not wait for a flight: of one that has to be
 * looked at, since when the delivery has been due that was claimed last.
 */
static int64_t wake_lanes(const struct endpoint *ep, int64_t claimed_ms)
{
	bool busy[LANES] = {false};
	mark_busy(ep, busy);
	int64_t due_ms = lanes_wake(ep->lanes, busy);
	return due_ms == LANES_LOOK ? claimed_ms : due_ms;
}

void flights_find_lanes(struct dispatch *d, struct endpoint *ep)
{
	struct flight *f;
	struct db_txn *txn = NULL;
	enum err err = TAILQ_EMPTY(&ep->flights) ? ERR_NOTFOUND : db_read(d->conf.db, &txn);
	if (err != OK)
		return; /* none, or they keep those that they had */
	TAILQ_FOREACH(f, &ep->flights, link) {
		struct delivery now;
		if (queue_get(txn, &f->settlement.delivery.id, &now) == OK)
			f->settlement.delivery.lane = now.lane;
	}
	db_read_end(txn);
}

/*
 * When the webhook may begin, wall: one with an order not before what another process has
 * begun is over.
 */
static int64_t settled_ms(const struct dispatch *d, const struct webhook *w)
{
	if (d->conf.taken_over_ms == 0 || !webhook_keeps_places(w))
		return 0;
	return d->conf.taken_over_ms + w->timeout_ms + DISPATCH_MARGIN_MS;
}

/*
 * Claims the delivery that somebody wants sent first, where it still waits. Lanes have an order
 * of their own.
 */
static enum err claim_wanted(struct endpoint *ep, struct db_txn *txn, struct delivery *out,
    size_t *count)
{
	ep->is_wanted = false;
	enum err err = queue_get(txn, &ep->wanted, out);
	if (err == OK && out->status == DELIVERY_WAITING && out->webhook == ep->webhook &&
	    !flight_exists(ep, &ep->wanted))
		*count = 1;
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}

/*
 * Claims the next due delivery of `ep` and takes it on. True when it did, or when `ep` has
 * moved to a later time or to the end of its line; false when claiming is over for this turn.
 */
static bool claim_one(struct dispatch *d, struct endpoint *ep, struct db_txn *txn,
    int64_t now_ms)
{
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	struct delivery delivery;
	size_t count = 0;
	int64_t next_due_ms = QUEUE_NEVER;
	if (now_ms < settled_ms(d, w)) {
		endpoint_set_due(d, ep, settled_ms(d, w));
		return true;
	}
	struct queue_claim claim = {.webhook = ep->webhook,
	    .now_ms = now_ms,
	    .forced_ms = ep->forced_ms,
	    .max = 1,
	    .fifo = w->fifo,
	    .place = ep->place,
	    .skip = flight_exists,
	    .arg = ep};
	if (w->auth != NULL && !endpoint_has_token(d, ep, w))
		return true; /* others may */
	enum err err = ep->is_wanted ? claim_wanted(ep, txn, &delivery, &count) : OK;
	if (err == OK && count > 0) {
		next_due_ms = now_ms; /* what is due behind it was not looked at */
	} else if (err == OK) {
		err = ep->lanes != NULL
		    ? claim_lane(ep, txn, now_ms, &delivery, &count)
		    : queue_claim(txn, &claim, &delivery, &count, &next_due_ms);
	}
	if (err == OK && count > 0)
		err = take_on(d, ep, &delivery, txn, now_ms);
	if (err != OK) {
		log_error("cannot claim from the queue", LOG_S("error", err_text(err)));
		d->rest_until_ms = clock_mono_ms() + READ_RETRY_MS;
		sched_pass(d->sched, ep->turn); /* what others want may be readable */
		return false;
	}
	ep->place = claim.place;
	if (ep->lanes != NULL)
		next_due_ms = wake_lanes(ep,
		    count > 0 && delivery.due_ms < now_ms ? delivery.due_ms : now_ms);
	if (count == 0 && next_due_ms <= now_ms) { /* passed many: goes on from its place */
		sched_pass(d->sched, ep->turn);
		return true;
	}
	bool passed_all = count == 0 && (ep->lanes == NULL || TAILQ_EMPTY(&ep->flights));
	if (passed_all && ep->forced_ms != 0) { /* the ordinary due times count again */
		ep->forced_ms = 0;
		endpoint_rewind(ep);
		return true;
	}
	endpoint_set_due(d, ep, next_due_ms);
	endpoint_mark_idle(d, ep);
	return true;
}

bool flights_have_room(const struct dispatch *d)
{
	return d->drops < DROPS_MAX && client_has_room(d->conf.client);
}

/* Names a session that had to wait as it had its share of the slots. */
static void tell_parked(struct dispatch *d)
{
	struct sched_figures f;
	sched_figures(d->sched, &f);
	bool again = f.parks > d->parks;
	d->parks = f.parks;
	if (!again || f.parked == NULL || clock_mono_ms() < d->share_quiet_ms)
		return;
	d->share_quiet_ms = clock_mono_ms() + LOG_EVERY_MS;
	log_info("session has its share of the slots", LOG_S("resource", "slots"),
	    LOG_S("taker", tenants_session(f.parked)), LOG_N("held", f.slots.held),
	    LOG_N("capacity", f.slots.capacity));
}

/* The endpoint that has its turn by one of its URLs. */
static struct endpoint *take_turn(struct sched_endpoint *se)
{
	struct endpoint *ep = endpoint_of(se);
	ep->turn = se;
	return ep;
}

/* Starts what may start of what is due; something is. */
static void start_due(struct dispatch *d, int64_t now_ms)
{
	struct db_txn *txn = NULL;
	if (db_read(d->conf.db, &txn) != OK) {
		d->rest_until_ms = clock_mono_ms() + READ_RETRY_MS;
		return;
	}
	/* not so many: where each turn waits for a slow disk they would be too few */
	int64_t began_us = clock_now_us();
	int64_t us = 0;
	uint64_t before = d->bytes_begun;
	for (; us < DISPATCH_PUMP_US && d->bytes_begun - before < BODIES_PER_TURN &&
	     flights_have_room(d);
	     us = clock_now_us() - began_us) {
		sched_hold_others(d->sched, us >= d->queues_us);
		struct sched_endpoint *se = sched_next(d->sched, now_ms);
		if (se == NULL || !claim_one(d, take_turn(se), txn, now_ms))
			break;
	}
	sched_hold_others(d->sched, false);
	db_read_end(txn);
}

void flights_start_due(struct dispatch *d)
{
	int64_t now_ms = clock_wall_ms();
	if (d->stopped || d->is_paused || clock_mono_ms() < d->rest_until_ms)
		return;
	if (sched_next(d->sched, now_ms) != NULL)
		start_due(d, now_ms);
	tell_parked(d); /* also where all that is due was parked */
}
