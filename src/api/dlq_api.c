/* Dead letters: listed newest first, replayed with the same bytes and the same event id. */
#include <stdlib.h>

#include "api/handlers.h"
#include "base/clock.h"
#include "base/str.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/webhooks.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200
#define PAGE_BYTES (8u << 20)          /* an answer ends behind the entry that passes this */
#define LIST_MAX (8u * EVENT_BODY_MAX) /* bytes: a page and its last entry, escapes included */

struct dlq_call {
	struct call call; /* first */
	struct delivery delivery;
};

const size_t DLQ_CALL_SIZE = sizeof(struct dlq_call);

struct page {
	struct call *call;
	struct db_txn *txn;
	struct buf json;
	struct buf body;
	struct uuid last;
	size_t count;
};

static void put_id(struct buf *out, const char *key, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(id, text);
	buf_printf(out, "\"%s\":\"%s\",", key, text);
}

static void put_string(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "\"%s\":", key);
	buf_json(out, slice_of(value));
	buf_putc(out, ',');
}

/* Appends the body as a JSON string; null where the store cannot give it. */
static void put_payload(struct page *page, const struct dead_letter *d)
{
	struct event e;
	enum err err = events_get(page->txn, &d->event_id, &e, &page->body);
	buf_puts(&page->json, "\"payload\":");
	if (err == OK)
		buf_json(&page->json, buf_view(&page->body));
	else
		buf_puts(&page->json, "null");
}

static bool put_entry(void *arg, const struct dead_letter *d)
{
	struct page *page = arg;
	struct buf *json = &page->json;
	char stamp[STR_TIME_SIZE];
	if (json->len > PAGE_BYTES)
		return false;
	buf_puts(json, page->count++ == 0 ? "{" : ",{");
	put_id(json, "id", &d->id);
	put_string(json, "session_id", page->call->session);
	put_id(json, "webhook_id", &d->webhook_id);
	put_string(json, "webhook_url", d->webhook_url);
	put_id(json, "event_id", &d->event_id);
	put_id(json, "delivery_id", &d->delivery_id);
	put_string(json, "event", d->event);
	put_string(json, "last_error", d->last_error);
	str_time(d->failed_ms, stamp);
	buf_printf(json, "\"attempts\":%u,\"failed_at\":\"%s\",", d->attempts, stamp);
	put_payload(page, d);
	buf_putc(json, '}');
	page->last = d->id;
	return true;
}

/* Reads ?limit= and ?cursor=; false: the call has been answered. */
static bool read_page(struct call *c, uint64_t *limit, struct uuid *cursor, bool *has_cursor)
{
	struct slice text;
	*limit = PAGE_DEFAULT;
	if (call_parameter(c, SLICE("limit"), &text) &&
	    (str_u64(text, limit) != OK || *limit < 1 || *limit > PAGE_MAX)) {
		call_fail(c, 400, "limit", "limit must be an integer from 1 to 200");
		return false;
	}
	*has_cursor = call_parameter(c, SLICE("cursor"), &text);
	if (*has_cursor && uuid_parse(text, cursor) != OK) {
		call_fail(c, 400, "cursor",
		    "cursor must be the next_cursor of an earlier answer");
		return false;
	}
	return true;
}

static void end_list(struct page *page, bool more)
{
	char cursor[UUID_TEXT_SIZE];
	uuid_format(&page->last, cursor);
	buf_printf(&page->json, "],\"count\":%zu,\"next_cursor\":", page->count);
	if (more)
		buf_printf(&page->json, "\"%s\"}", cursor);
	else
		buf_puts(&page->json, "null}");
}

void handle_dlq_list(struct call *c)
{
	uint64_t limit = 0;
	struct uuid cursor;
	bool has_cursor = false;
	bool more = false;
	struct page page = {.call = c,
	    .json = BUF_INIT(LIST_MAX),
	    .body = BUF_INIT(EVENT_BODY_MAX)};
	if (!read_page(c, &limit, &cursor, &has_cursor))
		return;
	buf_puts(&page.json, "{\"entries\":[");
	enum err err = db_read(c->api->conf.db, &page.txn);
	if (err == OK) {
		err = dead_letters_list(page.txn, slice_of(c->session),
		    has_cursor ? &cursor : NULL, limit, put_entry, &page, &more);
		db_read_end(page.txn);
	}
	if (err == OK) {
		end_list(&page, more);
		call_reply(c, 200, &page.json);
	} else {
		call_fail_err(c, err);
	}
	buf_fini(&page.json);
	buf_fini(&page.body);
}

/* Checks that the webhook is still there to be sent to. */
static enum err check_webhook(struct dlq_call *dc, struct db_txn *txn)
{
	struct webhook *w = NULL;
	enum err err = webhooks_get(txn, dc->call.api->conf.vault, dc->delivery.webhook, &w);
	if (err == ERR_NOTFOUND || (err == OK && w->deleted))
		err = problem_set(&dc->call.problem, ERR_NOTFOUND, "",
		    "the webhook of this entry no longer exists");
	webhook_free(w);
	return err;
}

static enum err apply_replay(struct op *op, struct db_txn *txn)
{
	struct dlq_call *dc = (struct dlq_call *)op;
	struct slice session = slice_of(dc->call.session);
	struct dead_letter dead;
	enum err err = dead_letters_get(txn, session, &dc->call.id, &dead);
	if (err == OK)
		err = queue_get(txn, &dead.delivery_id, &dc->delivery);
	if (err == OK)
		err = check_webhook(dc, txn);
	if (err != OK)
		return err;
	struct delivery *d = &dc->delivery;
	d->status = DELIVERY_WAITING;
	d->replayed_at = d->attempts;
	d->place_ms = clock_wall_ms();
	d->due_ms = d->place_ms;
	d->queued_ms = d->place_ms;
	err = queue_add(txn, d);
	return err == OK ? dead_letters_del(txn, session, &dc->call.id) : err;
}

static void done_replay(struct op *op, enum err result)
{
	struct dlq_call *dc = (struct dlq_call *)op;
	const struct api_hooks *hooks = &dc->call.api->conf.hooks;
	if (result != OK) {
		if (result == ERR_NOTFOUND && dc->call.problem.message[0] == '\0')
			(void)problem_set(&dc->call.problem, result, "",
			    "no such dead letter in this session"); /* returns `result` */
		call_fail_err(&dc->call, result);
		return;
	}
	struct queue_place place = queue_place_of(&dc->delivery);
	hooks->queued(hooks->arg, dc->delivery.webhook, &place);
	call_succeed(&dc->call, "Webhook DLQ entry replay scheduled");
}

void handle_dlq_replay(struct call *c)
{
	call_stage(c, apply_replay, done_replay);
}
