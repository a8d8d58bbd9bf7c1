/* Dead letters, listed newest first. What is done with them is in dlq_change_api.c. */
#include "api/handlers.h"
#include "base/str.h"
#include "store/dead_letters.h"
#include "store/events.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200
#define LOOK_MAX 1000                  /* entries passed for a page of one webhook's */
#define PAGE_BYTES (8u << 20)          /* an answer ends behind the entry that passes this */
#define LIST_MAX (8u * EVENT_BODY_MAX) /* bytes: a page and its last entry, escapes included */

struct page {
	struct call *call;
	struct db_txn *txn;
	struct buf json;
	struct buf body;
	struct uuid last; /* that was looked at */
	size_t count;
	uint64_t limit;
	bool of_webhook; /* only entries of this one: */
	struct uuid webhook;
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
	if (json->len > PAGE_BYTES || page->count == page->limit)
		return false;
	page->last = d->id;
	if (page->of_webhook &&
	    memcmp(page->webhook.bytes, d->webhook_id.bytes, UUID_SIZE) != 0)
		return true;
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
	return true;
}

/* Reads ?limit=, ?webhook= and ?cursor=; false: the call has been answered. */
static bool read_page(struct call *c, struct page *page, struct uuid *cursor, bool *has_cursor)
{
	struct slice text;
	page->limit = PAGE_DEFAULT;
	if (call_parameter(c, SLICE("limit"), &text) &&
	    (str_u64(text, &page->limit) != OK || page->limit < 1 || page->limit > PAGE_MAX)) {
		call_fail(c, 400, "limit", "limit must be an integer from 1 to 200");
		return false;
	}
	page->of_webhook = call_parameter(c, SLICE("webhook"), &text);
	if (page->of_webhook && uuid_parse(text, &page->webhook) != OK) {
		call_fail(c, 400, "webhook", "webhook must be a webhook's id");
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
	struct uuid cursor;
	bool has_cursor = false;
	bool more = false;
	struct page page = {.call = c,
	    .json = BUF_INIT(LIST_MAX),
	    .body = BUF_INIT(EVENT_BODY_MAX)};
	if (!read_page(c, &page, &cursor, &has_cursor))
		return;
	buf_puts(&page.json, "{\"entries\":[");
	enum err err = db_read(c->api->conf.db, &page.txn);
	if (err == OK) {
		err = dead_letters_list(page.txn, slice_of(c->session),
		    has_cursor ? &cursor : NULL, page.of_webhook ? LOOK_MAX : page.limit,
		    put_entry, &page, &more);
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
