/* Dead letters: listed newest first, sent again, dropped. */
#include "api/handlers.h"

#include <stdlib.h>

#include "api/query.h"
#include "base/clock.h"
#include "base/mem.h"
#include "jobs/replay_slice.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/resend.h"
#include "store/retention.h"
#include "store/webhooks.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200
#define LOOK_MAX 1000                  /* entries passed for a page of one webhook's */
#define LIST_MAX (8u * EVENT_BODY_MAX) /* bytes: a page and its last entry, escapes included */

struct page {
	struct call *call;
	struct db_txn *txn;
	struct buf text;
	struct json_writer json; /* onto `text` */
	struct buf body;
	struct uuid last; /* that was looked at */
	size_t count;
	uint64_t limit;
	bool of_webhook; /* only entries of this one: */
	struct uuid webhook;
};

static bool write_entry(void *arg, const struct dead_letter *d)
{
	struct page *page = arg;
	struct json_writer *json = &page->json;
	if (page->text.len > CALL_PAGE_BYTES || page->count == page->limit)
		return false;
	page->last = d->id;
	if (page->of_webhook && !uuid_eq(&page->webhook, &d->webhook_id))
		return true;
	struct event e;
	bool is_kept = events_get(page->txn, &d->event_id, &e, &page->body) == OK;
	page->count++;
	json_open_object(json, NULL);
	uuid_write(json, "id", &d->id);
	json_write_cstr(json, "session_id", is_kept ? e.session : page->call->session);
	uuid_write(json, "webhook_id", &d->webhook_id);
	json_write_bytes_or_null(json, "webhook_url", slice_of(d->webhook_url));
	uuid_write(json, "event_id", &d->event_id);
	uuid_write(json, "delivery_id", &d->delivery_id);
	json_write_bytes_or_null(json, "event", slice_of(d->event));
	json_write_bytes_or_null(json, "last_error", slice_of(d->last_error));
	json_write_u64(json, "attempts", d->attempts);
	json_write_time(json, "failed_at", d->failed_ms);
	json_write_i64(json, "failed_at_unix", d->failed_ms / 1000);
	if (is_kept)
		json_write_text(json, "payload", buf_view(&page->body));
	else
		json_write_null(json, "payload");
	json_close(json);
	return true;
}

/* Reads ?limit=, ?webhook_id= and ?cursor=; false: the call has been answered. */
static bool read_page(struct call *c, struct page *page, struct uuid *cursor, bool *has_cursor)
{
	struct query q = {.call = c};
	page->limit = PAGE_DEFAULT;
	(void)query_number(&q, "limit", 1, PAGE_MAX, &page->limit);
	page->of_webhook = query_uuid(&q, "webhook_id", &page->webhook);
	*has_cursor = query_uuid(&q, "cursor", cursor);
	return !q.answered;
}

static void end_list(struct page *page, bool more)
{
	json_close(&page->json);
	json_write_u64(&page->json, "count", page->count);
	if (more)
		uuid_write(&page->json, "next_cursor", &page->last);
	else
		json_write_null(&page->json, "next_cursor");
	json_close(&page->json);
}

void handle_dlq_list(struct call *c)
{
	struct uuid cursor;
	bool has_cursor = false;
	bool more = false;
	struct page page = {.call = c,
	    .text = BUF_INIT(LIST_MAX),
	    .body = BUF_INIT(EVENT_BODY_MAX)};
	if (!read_page(c, &page, &cursor, &has_cursor))
		return;
	page.json = JSON_WRITER(&page.text);
	json_open_object(&page.json, NULL);
	json_open_array(&page.json, "entries");
	enum err err = db_read(c->api->conf.db, &page.txn);
	if (err == OK) {
		err = dead_letters_list(page.txn, slice_of(c->session),
		    has_cursor ? &cursor : NULL, page.of_webhook ? LOOK_MAX : page.limit,
		    write_entry, &page, &more);
		db_read_end(page.txn);
	}
	if (err == OK) {
		end_list(&page, more);
		call_reply(c, 200, &page.json);
	} else {
		call_fail_err(c, err);
	}
	buf_fini(&page.text);
	buf_fini(&page.body);
}

#define COUNTED_MAX 10000 /* dead letters that a call counts */
#define ANSWER_MAX 256    /* bytes of JSON */

struct dlq_call {
	struct call call; /* first */
	struct delivery delivery;
	struct replay job;
	size_t count;
	bool more; /* than were counted */
};

const size_t DLQ_CALL_SIZE = sizeof(struct dlq_call);

static void fail_one(struct call *c, enum err result)
{
	if (result == ERR_NOTFOUND && c->problem.message[0] == '\0')
		(void)problem_set(&c->problem, result, "", "no such dead letter %s",
		    call_where(c)); /* returns `result` */
	call_fail_err(c, result);
}

/* Sends the delivery of the dead letter again, if its webhook is still there. */
static enum err replay(struct dlq_call *dc, struct db_txn *txn, const struct dead_letter *dead)
{
	struct webhook *w = NULL;
	struct delivery *d = &dc->delivery;
	enum err err = queue_get(txn, &dead->delivery_id, d);
	if (err != OK)
		return err;
	d->letter = dead->id;
	err = webhooks_get_open(txn, d->webhook, &w);
	if (err == ERR_NOTFOUND || (err == OK && w->deleted))
		err = problem_set(&dc->call.problem, ERR_NOTFOUND, "",
		    "the webhook of this entry no longer exists");
	if (err == OK)
		err = resend_delivery(txn, slice_of(dc->call.session), d, w, clock_wall_ms());
	webhook_free(w);
	return err;
}

static enum err apply_replay(struct op *op, struct db_txn *txn)
{
	struct dlq_call *dc = (struct dlq_call *)op;
	struct dead_letter *dead = mem_new(sizeof(*dead));
	enum err err = dead_letters_get(txn, slice_of(dc->call.session), &dc->call.id, dead);
	if (err == OK)
		err = replay(dc, txn, dead);
	free(dead);
	return err;
}

static void done_replay(struct op *op, enum err result)
{
	struct dlq_call *dc = (struct dlq_call *)op;
	if (result != OK) {
		fail_one(&dc->call, result);
		return;
	}
	struct queue_place place = queue_place_of(&dc->delivery);
	dispatch_queued(dc->call.api->conf.dispatch, dc->delivery.webhook, &place);
	call_succeed(&dc->call, "Webhook DLQ entry replay scheduled");
}

void handle_dlq_replay(struct call *c)
{
	call_stage(c, apply_replay, done_replay);
}

static enum err apply_delete(struct op *op, struct db_txn *txn)
{
	struct call *c = (struct call *)op;
	return retention_drop_dead(txn, slice_of(c->session), &c->id, clock_wall_ms());
}

static void done_delete(struct op *op, enum err result)
{
	struct call *c = (struct call *)op;
	if (result == OK)
		call_succeed(c, "Webhook DLQ entry deleted");
	else
		fail_one(c, result);
}

void handle_dlq_delete(struct call *c)
{
	call_stage(c, apply_delete, done_delete);
}

static enum err apply_job(struct op *op, struct db_txn *txn)
{
	struct dlq_call *dc = (struct dlq_call *)op;
	struct replay other;
	enum err err = replays_get(txn, &dc->job.key, &other);
	if (err == OK)
		return problem_set(&dc->call.problem, ERR_CONFLICT, "",
		    "one of %s dead letters is under way: wait for its end",
		    call_is_for_all(&dc->call) ? "these" : "this session's");
	if (err != ERR_NOTFOUND && err != ERR_CORRUPT)
		return err;
	err = replay_count_letters(txn, &dc->job, COUNTED_MAX, &dc->count, &dc->more);
	if (err != OK || (dc->count == 0 && !dc->more))
		return err; /* nothing to do */
	return replays_put(txn, &dc->job);
}

static void done_job(struct op *op, enum err result)
{
	struct dlq_call *dc = (struct dlq_call *)op;
	if (result != OK) {
		call_fail_err(&dc->call, result);
		return;
	}
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	if (dc->count > 0 || dc->more)
		replayer_add(dc->call.api->conf.replayer, &dc->job.key);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	json_write_cstr(&json, "message",
	    dc->job.key.kind == REPLAY_PURGE ? "Webhook DLQ purge scheduled"
					     : "Webhook DLQ replay scheduled");
	json_write_u64(&json, "count", dc->count);
	json_write_bool(&json, "more", dc->more);
	json_close(&json);
	call_reply(&dc->call, 200, &json);
	buf_fini(&text);
}

/* Stages a job on the dead letters that there are now. */
static void start_job(struct call *c, enum replay_kind kind)
{
	struct dlq_call *dc = (struct dlq_call *)c;
	struct query q = {.call = c};
	int64_t now_ms = clock_wall_ms();
	dc->job = (struct replay){.state = REPLAY_RUNNING, .started_ms = now_ms};
	dc->job.key.kind = kind;
	memcpy(dc->job.key.session, c->session, sizeof(dc->job.key.session));
	memset(dc->job.last.bytes, 0xff, UUID_SIZE);
	uuid_set_time(&dc->job.last, now_ms);
	(void)query_uuid(&q, "webhook_id", &dc->job.webhook);
	if (!q.answered)
		call_stage(c, apply_job, done_job);
}

void handle_dlq_purge(struct call *c)
{
	start_job(c, REPLAY_PURGE);
}

void handle_dlq_replay_all(struct call *c)
{
	start_job(c, REPLAY_LETTERS);
}
