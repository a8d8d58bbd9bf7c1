/*
 * Deliveries, looked at: a page of a session's, or of all that the call reaches, newest first,
 * and a single one.
 *
 * A list walks the events from the newest on, and each one's deliveries from the last on: the
 * order of ids, backwards. What it looks at in one call is bounded, so that a filter that
 * matches little does not hold up the loop; the cursor is the last id that it has passed.
 */
#include "api/delivery_json.h"

#include "api/handlers.h"
#include "api/newest.h"
#include "base/clock.h"
#include "store/events.h"
#include "store/resend.h"
#include "store/webhooks.h"

#define LOOK_MAX 2000 /* events and deliveries that one call looks at */

/* Which deliveries are asked for. */
struct filter {
	struct uuid webhook;
	struct uuid event_id;
	char event[EVENT_MAX + 1]; /* empty: any */
	enum delivery_status status;
	bool has_webhook;
	bool has_event_id;
	bool has_status;
};

struct page {
	struct call *call;
	struct db_txn *txn;
	struct filter filter;
	struct buf text;
	struct json_writer json; /* onto `text` */
	struct newest range;     /* its `below` moves on with what has been passed */
	uint64_t count;
	unsigned looked;
	bool more;
	enum err err;
};

static void read_names(struct query *q, struct filter *f)
{
	char text[QUERY_TEXT_MAX + 1];
	if (query_text(q, "status", text)) {
		f->has_status = delivery_status_parse(slice_of(text), &f->status);
		if (!f->has_status)
			query_refuse(q, "status",
			    "pending, delivered, dead, expired or cancelled");
	}
	(void)query_event(q, "event", f->event);
}

/* Reads what is asked for; false: the call has been answered. */
static bool read_page(struct page *page)
{
	struct query q = {.call = page->call};
	struct filter *f = &page->filter;
	newest_read(&q, &page->range);
	f->has_webhook = query_uuid(&q, "webhook_id", &f->webhook);
	f->has_event_id = query_uuid(&q, "event_id", &f->event_id);
	read_names(&q, f);
	return !q.answered;
}

/* Whether another may be looked at; if not, the next page begins here. */
static bool may_go_on(struct page *page)
{
	page->more = page->count >= page->range.limit || page->looked >= LOOK_MAX ||
	    page->text.len > CALL_PAGE_BYTES;
	page->looked++;
	return !page->more;
}

static bool is_asked_for(struct page *page, const struct delivery *d)
{
	const struct filter *f = &page->filter;
	struct uuid webhook;
	if ((f->has_status && d->status != f->status) || !call_sees(page->call, d->webhook))
		return false;
	if (!f->has_webhook)
		return true;
	page->err = delivery_find_webhook(&page->call->api->conf, page->txn, d, &webhook);
	return page->err == OK && uuid_eq(&webhook, &f->webhook);
}

static void look_at(struct page *page, const struct event *e, const struct uuid *id)
{
	struct delivery d;
	enum err err = queue_get(page->txn, id, &d);
	if (err != OK) { /* a damaged one is passed by */
		page->err = err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
		return;
	}
	if (!is_asked_for(page, &d))
		return;
	page->count++;
	page->err = delivery_write(&page->call->api->conf, page->txn, e, &d, false,
	    &page->json);
}

/* Looks at the deliveries of an event, from the last on. False when the page ends there. */
static bool walk_event(struct page *page, const struct event *e)
{
	for (uint32_t n = e->deliveries; n > 0 && page->err == OK; n--) {
		struct uuid id;
		uuid_step(&e->id, n, &id);
		if (!uuid_before(&id, &page->range.below))
			continue;
		if (!may_go_on(page))
			return false;
		look_at(page, e, &id);
		page->range.below = id;
	}
	return page->err == OK;
}

static bool on_event(void *arg, const struct uuid *id, const char *session)
{
	struct page *page = arg;
	struct event e;
	(void)session;
	if (!may_go_on(page))
		return false;
	enum err err = events_get(page->txn, id, &e, NULL);
	if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
		return true; /* it is logged, and passed by */
	page->err = err;
	bool named = page->filter.event[0] == '\0' || strcmp(page->filter.event, e.name) == 0;
	if (err == OK && named && call_reaches(page->call, e.session) && !walk_event(page, &e))
		return false;
	page->range.below = *id;
	return err == OK;
}

/* The one event that is asked for, if it is of that time. */
static void walk_one(struct page *page)
{
	const struct uuid *id = &page->filter.event_id;
	if (uuid_time(id) >= page->range.since_ms && uuid_before(id, &page->range.below))
		(void)on_event(page, id, "");
}

static enum err fill_page(struct page *page)
{
	enum err err = db_read(page->call->api->conf.db, &page->txn);
	if (err != OK)
		return err;
	if (page->filter.has_event_id)
		walk_one(page);
	else
		err = newest_each(page->call, page->txn, NEWEST_EVENTS, &page->range, on_event,
		    page);
	db_read_end(page->txn);
	return err == OK ? page->err : err;
}

static void end_page(struct page *page)
{
	json_close(&page->json);
	newest_write_cursor(&page->json, page->more ? &page->range.below : NULL);
	json_close(&page->json);
}

void handle_deliveries_list(struct call *c)
{
	struct page page = {.call = c,
	    .text = BUF_INIT(CALL_PAGE_BYTES + 2 * DELIVERY_JSON_MAX)};
	if (!read_page(&page))
		return;
	page.json = JSON_WRITER(&page.text);
	json_open_object(&page.json, NULL);
	json_open_array(&page.json, "deliveries");
	enum err err = fill_page(&page);
	if (err == OK) {
		end_page(&page);
		call_reply(c, 200, &page.json);
	} else {
		call_fail_err(c, err);
	}
	buf_fini(&page.text);
}

enum err deliveries_find(struct call *c, struct db_txn *txn, struct delivery *d,
    struct event *e)
{
	enum err err = queue_get(txn, &c->id, d);
	if (err == OK)
		err = events_get(txn, &d->event_id, e, NULL);
	if (err == OK && (!call_reaches(c, e->session) || !call_sees(c, d->webhook)))
		err = ERR_NOTFOUND;
	if (err == ERR_NOTFOUND)
		return problem_set(&c->problem, err, "", "no such delivery %s", call_where(c));
	return err;
}

void handle_delivery_show(struct call *c)
{
	struct db_txn *txn = NULL;
	struct delivery d;
	struct event e;
	struct buf text = BUF_INIT(DELIVERY_WHOLE_MAX);
	struct json_writer json = JSON_WRITER(&text);
	enum err err = db_read(c->api->conf.db, &txn);
	if (err == OK) {
		err = deliveries_find(c, txn, &d, &e);
		if (err == OK)
			err = delivery_write(&c->api->conf, txn, &e, &d, true, &json);
		db_read_end(txn);
	}
	if (err == OK)
		call_reply(c, 200, &json);
	else
		call_fail_err(c, err);
	buf_fini(&text);
}

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

/* Whose dead letters that of the delivery is among. */
static struct slice letters_of(const struct delivery_call *dc)
{
	return webhook_owner(dc->delivery.webhook, slice_of(dc->call.session));
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
		err = resend_delivery(txn, letters_of(dc), &dc->delivery, w, clock_wall_ms());
	webhook_free(w);
	if (err == ERR_FULL)
		return intake_refuse_share(&dc->call.api->conf.quota, letters_of(dc), "",
		    &dc->call.problem);
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
	struct dispatch *d = dc->call.api->conf.dispatch;
	struct queue_place place = queue_place_of(&dc->delivery);
	uint64_t webhook = dc->delivery.webhook;
	struct dispatch_hold hold;
	if (result != OK) {
		answer(dc, result, NULL);
		return;
	}
	oldest_queued(dc->call.api->conf.oldest, &place.id);
	dispatch_queued(d, webhook, &place);
	dispatch_send(d, webhook, &place.id);
	dispatch_find_hold(d, webhook, dc->delivery.due_ms, &hold);
	call_succeed_held(&dc->call, "Delivery retry scheduled", &hold);
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
		err = resend_cancel(txn, letters_of(dc), &dc->delivery, clock_wall_ms());
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
