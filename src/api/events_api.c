/*
 * Events, looked at: what was published, and what became of it; newest first, of a session or
 * of all that the call reaches. publish_api.c takes them.
 */
#include "api/delivery_json.h"
#include "api/handlers.h"
#include "api/newest.h"
#include "base/clock.h"
#include "domain/envelope.h"
#include "domain/json.h"
#include "store/idempotency.h"

#define DELIVERIES_MAX 200              /* that are shown; the others are in the list */
#define SHOWN_MAX (8u * EVENT_BODY_MAX) /* bytes of JSON, escapes included */

/* Writes the body's timestamp, a number as it stands there; null where it cannot be read. */
static void write_timestamp(struct slice body, struct json_writer *json)
{
	struct json_reader r;
	struct buf canonical = BUF_INIT(EVENT_BODY_MAX);
	const struct json_member *members = NULL;
	size_t count = 0;
	struct slice found = SLICE("null");
	json_init(&r, body);
	if (json_read_members(&r, &canonical, &members, &count) != OK)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		if (slice_eq(members[i].key, SLICE("timestamp")))
			found = members[i].value;
	}
	json_write_raw(json, "timestamp", found);
	json_fini(&r);
	buf_fini(&canonical);
}

static void write_head(const struct event *e, struct slice body, struct json_writer *json)
{
	uuid_write(json, "id", &e->id);
	json_write_cstr(json, "session_id", e->session);
	json_write_cstr(json, "event", e->name);
	write_timestamp(body, json);
	json_write_time(json, "created_at", e->created_ms);
	json_write_text(json, "payload", body);
	json_write_u64(json, "deliveries_count", e->deliveries);
}

static enum err write_deliveries(struct call *c, struct db_txn *txn, const struct event *e,
    struct json_writer *json)
{
	size_t start = json->out->len;
	size_t shown = 0;
	json_open_array(json, "deliveries");
	for (uint32_t n = 1; n <= e->deliveries && shown < DELIVERIES_MAX &&
	     json->out->len - start <= CALL_PAGE_BYTES;
	     n++) {
		struct uuid id;
		struct delivery d;
		uuid_step(&e->id, n, &id);
		enum err err = queue_get(txn, &id, &d);
		if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
			continue; /* a damaged one: it is logged, and passed by */
		if (err == OK && !call_sees(c, d.webhook))
			continue;
		if (err == OK)
			err = delivery_write(&c->api->conf, txn, e, &d, false, json);
		if (err != OK)
			return err;
		shown++;
	}
	json_close(json);
	return OK;
}

/* Reads the event of the path, if the call may see it. */
static enum err read_event(struct call *c, struct db_txn *txn, struct event *e,
    struct buf *body)
{
	enum err err = events_get(txn, &c->id, e, body);
	if (err != OK && err != ERR_NOTFOUND)
		return err;
	if (err == OK && call_reaches(c, e->session))
		return OK;
	return problem_set(&c->problem, ERR_NOTFOUND, "",
	    "no such event is kept: it went nowhere, is past its retention, or never was");
}

/* The trace that its publisher has named, if it did. */
static enum err write_trace(struct db_txn *txn, const struct event *e, struct json_writer *json)
{
	char kept[TRACE_MAX];
	struct slice parent;
	struct slice state;
	if (e->trace_bytes == 0)
		return OK;
	enum err err = events_read_trace(txn, e, kept);
	if (err != OK)
		return err;
	trace_split((struct slice){kept, e->trace_bytes}, &parent, &state);
	json_open_object(json, "trace");
	json_write_bytes(json, "traceparent", parent);
	if (state.len > 0)
		json_write_bytes(json, "tracestate", state);
	json_close(json);
	return OK;
}

static enum err write_event(struct call *c, struct json_writer *json)
{
	struct db_txn *txn = NULL;
	struct event e;
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	enum err err = db_read(c->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = read_event(c, txn, &e, &body);
	if (err == OK) {
		json_open_object(json, NULL);
		write_head(&e, buf_view(&body), json);
		err = delivery_write_raw(txn, &e, json);
		if (err == OK)
			err = write_trace(txn, &e, json);
		if (err == OK)
			err = write_deliveries(c, txn, &e, json);
		if (err == OK)
			json_close(json);
	}
	db_read_end(txn);
	buf_fini(&body);
	return err;
}

void handle_event_show(struct call *c)
{
	struct buf text = BUF_INIT(SHOWN_MAX);
	struct json_writer json = JSON_WRITER(&text);
	enum err err = write_event(c, &json);
	if (err == OK)
		call_reply(c, 200, &json);
	else
		call_fail_err(c, err);
	buf_fini(&text);
}

#define LOOK_MAX 2000         /* events that one call looks at */
#define LIST_MAX (256u << 10) /* bytes of a page: the longest names, all of them escaped */

struct page {
	struct call *call;
	struct db_txn *txn;
	struct json_writer *json;
	struct newest range;             /* its `below` moves on with what has been passed */
	char event[EVENT_MAX + 1];       /* only those of this name; empty: any */
	char own_id[QUERY_TEXT_MAX + 1]; /* the one that its publisher called so; empty: any */
	uint64_t count;
	unsigned looked;
	bool more;
	enum err err;
};

/* Writes an event as lists have it: how it stands, without its body. */
static enum err write_entry(struct page *page, const struct event *e)
{
	struct json_writer *json = page->json;
	struct event_state state = {0};
	enum err err = events_state(page->txn, e, &state);
	if (err == ERR_CORRUPT)
		return OK; /* a damaged one: it is logged, and passed by */
	if (err != OK)
		return err;
	page->count++;
	json_open_object(json, NULL);
	uuid_write(json, "id", &e->id);
	json_write_cstr(json, "session_id", e->session);
	json_write_cstr(json, "event", e->name);
	json_write_time(json, "created_at", e->created_ms);
	json_write_u64(json, "bytes", e->body_bytes);
	json_write_u64(json, "deliveries_count", e->deliveries);
	json_write_u64(json, "open_deliveries", state.open);
	json_write_time_or_null(json, "settled_at", state.open == 0 ? state.settled_ms : 0);
	json_close(json);
	return OK;
}

static bool on_event(void *arg, const struct uuid *id, const char *session)
{
	struct page *page = arg;
	struct event e;
	(void)session;
	page->more = page->count == page->range.limit || page->looked++ == LOOK_MAX;
	if (page->more)
		return false;
	page->range.below = *id;
	enum err err = events_get(page->txn, id, &e, NULL);
	if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
		return true; /* it is logged, and passed by */
	bool asked = err == OK && e.deliveries > 0 && call_reaches(page->call, e.session) &&
	    (page->event[0] == '\0' || strcmp(page->event, e.name) == 0);
	page->err = asked ? write_entry(page, &e) : err;
	return page->err == OK;
}

/* The event that its publisher gave that id, as long as a repeat of it would be known. */
static enum err walk_own(struct page *page)
{
	struct idempotency key = {0};
	struct answer known = {0};
	enum err err = OK;
	idempotency_set_own(&key, page->call->session, slice_of(page->own_id), SLICE(""),
	    SLICE(""), 0);
	struct repeat repeat;
	err = idempotency_get(page->txn, key.key, &repeat, &known);
	if (err == OK && known.count == 1 && repeat.expires_ms > clock_wall_ms() &&
	    uuid_before(&known.events[0].event, &page->range.below) &&
	    uuid_time(&known.events[0].event) >= page->range.since_ms)
		(void)on_event(page, &known.events[0].event, "");
	answer_fini(&known);
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}

/* Reads what is asked for; false: the call has been answered. */
static bool read_page(struct page *page)
{
	struct query q = {.call = page->call};
	newest_read(&q, &page->range);
	(void)query_event(&q, "event", page->event);
	if (query_text(&q, "id", page->own_id) && !envelope_is_id(slice_of(page->own_id)))
		query_refuse(&q, "id", "1 to 128 printable ASCII characters");
	return !q.answered;
}

static enum err fill_page(struct page *page)
{
	enum err err = db_read(page->call->api->conf.db, &page->txn);
	if (err != OK)
		return err;
	err = page->own_id[0] != '\0'
	    ? walk_own(page)
	    : newest_each(page->call, page->txn, NEWEST_EVENTS, &page->range, on_event, page);
	db_read_end(page->txn);
	return err == OK ? page->err : err;
}

void handle_events_list(struct call *c)
{
	struct page page = {.call = c};
	if (!read_page(&page))
		return;
	struct buf text = BUF_INIT(LIST_MAX);
	struct json_writer json = JSON_WRITER(&text);
	page.json = &json;
	json_open_object(&json, NULL);
	json_open_array(&json, "events");
	enum err err = fill_page(&page);
	if (err == OK) {
		json_close(&json);
		newest_write_cursor(&json, page.more ? &page.range.below : NULL);
		json_close(&json);
		call_reply(c, 200, &json);
	} else {
		call_fail_err(c, err);
	}
	buf_fini(&text);
}
