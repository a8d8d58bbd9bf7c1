/* One delivery: sent again, or given up. */
#include "api/handlers.h"
#include "base/clock.h"
#include "store/events.h"
#include "store/resend.h"
#include "store/webhooks.h"

struct delivery_call {
	struct call call; /* first */
	struct delivery delivery;
	char event[EVENT_MAX + 1];
};

const size_t DELIVERY_CALL_SIZE = sizeof(struct delivery_call);

/* Reads the delivery of the path. ERR_NOTFOUND where it is not one of this session. */
static enum err find(struct delivery_call *dc, struct db_txn *txn)
{
	struct event e;
	enum err err = deliveries_find(&dc->call, txn, &dc->delivery, &e);
	if (err == OK)
		memcpy(dc->event, e.name, sizeof(dc->event));
	return err;
}

static enum err apply_retry(struct op *op, struct db_txn *txn)
{
	struct delivery_call *dc = (struct delivery_call *)op;
	struct webhook *w = NULL;
	enum err err = find(dc, txn);
	if (err != OK)
		return err;
	err = webhooks_get_open(txn, dc->delivery.webhook, &w);
	if (err == ERR_NOTFOUND || (err == OK && w->deleted))
		err = problem_set(&dc->call.problem, ERR_CONFLICT, "",
		    "the webhook of this delivery no longer exists");
	if (err == OK)
		err = resend_delivery(txn, slice_of(dc->call.session), &dc->delivery, w->fifo,
		    clock_wall_ms());
	webhook_free(w);
	return err;
}

static void answer(struct delivery_call *dc, enum err result, const char *message)
{
	if (result == OK) {
		call_succeed(&dc->call, message);
		return;
	}
	if (result == ERR_NOTFOUND)
		(void)problem_set(&dc->call.problem, result, "",
		    "no such delivery in this session"); /* returns `result` */
	call_fail_err(&dc->call, result);
}

static void done_retry(struct op *op, enum err result)
{
	struct delivery_call *dc = (struct delivery_call *)op;
	const struct api_hooks *hooks = &dc->call.api->conf.hooks;
	struct queue_place place = queue_place_of(&dc->delivery);
	if (result == OK)
		hooks->queued(hooks->arg, dc->delivery.webhook, &place);
	answer(dc, result, "Delivery retry scheduled");
}

void handle_delivery_retry(struct call *c)
{
	call_stage(c, apply_retry, done_retry);
}

static enum err apply_cancel(struct op *op, struct db_txn *txn)
{
	struct delivery_call *dc = (struct delivery_call *)op;
	enum err err = find(dc, txn);
	if (err == OK)
		err = resend_cancel(txn, slice_of(dc->call.session), &dc->delivery,
		    clock_wall_ms());
	if (err == ERR_CONFLICT)
		err = problem_set(&dc->call.problem, err, "",
		    "it is over already: delivered, expired or cancelled");
	return err;
}

/* Tells those who watch. */
static void tell_cancelled(const struct delivery_call *dc)
{
	const struct delivery *d = &dc->delivery;
	const struct webhook *w = registry_get(dc->call.api->conf.registry, d->webhook);
	struct happening h = {.type = HAPPENING_CANCELLED,
	    .at_ms = clock_wall_ms(),
	    .webhook = d->webhook,
	    .attempt = d->attempts,
	    .has_event = true,
	    .event_id = d->event_id,
	    .has_delivery = true,
	    .delivery_id = d->id,
	    .has_webhook = w != NULL};
	if (w != NULL)
		h.webhook_id = w->id;
	memcpy(h.session, dc->call.session, sizeof(h.session));
	memcpy(h.event, dc->event, sizeof(h.event));
	feed_tell(dc->call.api->conf.feed, &h);
}

static void done_cancel(struct op *op, enum err result)
{
	struct delivery_call *dc = (struct delivery_call *)op;
	if (result == OK) {
		dc->call.api->counts.cancelled++;
		tell_cancelled(dc);
	}
	answer(dc, result, "Delivery cancelled");
}

void handle_delivery_cancel(struct call *c)
{
	call_stage(c, apply_cancel, done_cancel);
}
