/* Dead letters, listed newest first. What is done with them is in dlq_change_api.c. */
#include "api/handlers.h"
#include "api/member.h"
#include "api/query.h"
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
	if (json->len > PAGE_BYTES || page->count == page->limit)
		return false;
	page->last = d->id;
	if (page->of_webhook && !uuid_eq(&page->webhook, &d->webhook_id))
		return true;
	buf_puts(json, page->count++ == 0 ? "{" : ",{");
	member_put_id(json, "id", &d->id);
	member_put_text(json, "session_id", slice_of(page->call->session));
	member_put_id(json, "webhook_id", &d->webhook_id);
	member_put_text(json, "webhook_url", slice_of(d->webhook_url));
	member_put_id(json, "event_id", &d->event_id);
	member_put_id(json, "delivery_id", &d->delivery_id);
	member_put_text(json, "event", slice_of(d->event));
	member_put_text(json, "last_error", slice_of(d->last_error));
	buf_printf(json, "\"attempts\":%u,", d->attempts);
	member_put_time(json, "failed_at", d->failed_ms);
	put_payload(page, d);
	buf_putc(json, '}');
	return true;
}

/* Reads ?limit=, ?webhook= and ?cursor=; false: the call has been answered. */
static bool read_page(struct call *c, struct page *page, struct uuid *cursor, bool *has_cursor)
{
	struct query q = {.call = c};
	page->limit = PAGE_DEFAULT;
	(void)query_number(&q, "limit", 1, PAGE_MAX, &page->limit);
	page->of_webhook = query_uuid(&q, "webhook", &page->webhook);
	*has_cursor = query_uuid(&q, "cursor", cursor);
	return !q.answered;
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
