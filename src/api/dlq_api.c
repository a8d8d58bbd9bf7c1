/*
 * Dead letters: listed newest first, of a session or of all that the call reaches; sent again,
 * dropped.
 */
#include "api/handlers.h"

#include <stdlib.h>

#include "api/newest.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "jobs/task_slice.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/resend.h"
#include "store/retention.h"
#include "store/webhooks.h"

#define LOOK_MAX 1000                  /* entries that one call looks at */
#define LIST_MAX (8u * EVENT_BODY_MAX) /* bytes: a page and its last entry, escapes included */

struct page {
	struct call *call;
	struct db_txn *txn;
	struct dead_letter *letter; /* the one at hand */
	struct buf text;
	struct json_writer json; /* onto `text` */
	struct buf body;
	struct newest range; /* its `below` moves on with what has been passed */
	size_t count;
	unsigned looked;
	bool more;
	bool of_webhook; /* only entries of this one: */
	struct uuid webhook;
	char event[EVENT_MAX + 1]; /* only those of events of this name; empty: any */
};

static void write_entry(struct page *page, const char *session)
{
	struct json_writer *json = &page->json;
	const struct dead_letter *d = page->letter;
	struct event e;
	bool is_kept = events_get(page->txn, &d->event_id, &e, &page->body) == OK;
	page->count++;
	json_open_object(json, NULL);
	uuid_write(json, "id", &d->id);
	json_write_cstr(json, "session_id", is_kept ? e.session : session);
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
}

static bool is_asked_for(const struct page *page)
{
	const struct dead_letter *d = page->letter;
	return (!page->of_webhook || uuid_eq(&page->webhook, &d->webhook_id)) &&
	    (page->event[0] == '\0' || strcmp(page->event, d->event) == 0);
}

static bool on_letter(void *arg, const struct uuid *id, const char *session)
{
	struct page *page = arg;
	page->more = page->text.len > CALL_PAGE_BYTES || page->count == page->range.limit ||
	    page->looked++ == LOOK_MAX;
	if (page->more)
		return false;
	page->range.below = *id;
	if (dead_letters_get(page->txn, slice_of(session), id, page->letter) != OK)
		log_error("dead letter is corrupt", LOG_S("session", session));
	else if (is_asked_for(page))
		write_entry(page, session);
	return true;
}

/* Reads what is asked for; false: the call has been answered. */
static bool read_page(struct call *c, struct page *page)
{
	struct query q = {.call = c};
	newest_read(&q, &page->range);
	page->of_webhook = query_uuid(&q, "webhook_id", &page->webhook);
	(void)query_event(&q, "event", page->event);
	return !q.answered;
}

static void end_list(struct page *page)
{
	json_close(&page->json);
	json_write_u64(&page->json, "count", page->count);
	newest_write_cursor(&page->json, page->more ? &page->range.below : NULL);
	json_close(&page->json);
}

void handle_dlq_list(struct call *c)
{
	struct page page = {.call = c,
	    .text = BUF_INIT(LIST_MAX),
	    .body = BUF_INIT(EVENT_BODY_MAX)};
	if (!read_page(c, &page))
		return;
	page.letter = mem_new(sizeof(*page.letter));
	page.json = JSON_WRITER(&page.text);
	json_open_object(&page.json, NULL);
	json_open_array(&page.json, "entries");
	enum err err = db_read(c->api->conf.db, &page.txn);
	if (err == OK) {
		err = newest_each(c, page.txn, NEWEST_LETTERS, &page.range, on_letter, &page);
		db_read_end(page.txn);
	}
	if (err == OK) {
		end_list(&page);
		call_reply(c, 200, &page.json);
	} else {
		call_fail_err(c, err);
	}
	free(page.letter);
	buf_fini(&page.text);
	buf_fini(&page.body);
}

#define COUNTED_MAX 10000 /* dead letters that a call counts */
#define ANSWER_MAX 256    /* bytes of JSON */

struct dlq_call {
	struct call call; /* first */
	struct delivery delivery;
	struct task job;
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

/* Names the session of a call that is about a dead letter by its id alone. ERR_NOTFOUND. */
static enum err find_session(struct call *c, struct db_txn *txn)
{
	char session[SESSION_MAX + 1];
	if (c->session[0] != '\0')
		return OK;
	enum err err = dead_letters_find(txn, &c->id, session);
	if (err == OK && !auth_reaches(c->token, slice_of(session)))
		err = ERR_NOTFOUND;
	if (err == OK)
		memcpy(c->session, session, sizeof(session));
	return err;
}

static enum err apply_replay(struct op *op, struct db_txn *txn)
{
	struct dlq_call *dc = (struct dlq_call *)op;
	struct dead_letter *dead = mem_new(sizeof(*dead));
	enum err err = find_session(&dc->call, txn);
	if (err == OK)
		err = dead_letters_get(txn, slice_of(dc->call.session), &dc->call.id, dead);
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
	oldest_queued(dc->call.api->conf.oldest, &place.id);
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
	enum err err = find_session(c, txn);
	if (err == OK)
		err = retention_drop_dead(txn, slice_of(c->session), &c->id, clock_wall_ms());
	return err;
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
	struct task other;
	enum err err = tasks_get(txn, &dc->job.key, &other);
	if (err == OK)
		return problem_set(&dc->call.problem, ERR_CONFLICT, "",
		    "one of %s dead letters is under way: wait for its end",
		    call_is_for_all(&dc->call) ? "these" : "this session's");
	if (err != ERR_NOTFOUND && err != ERR_CORRUPT)
		return err;
	err = task_slice_count_letters(txn, &dc->job, COUNTED_MAX, &dc->count, &dc->more);
	if (err != OK || (dc->count == 0 && !dc->more))
		return err; /* nothing to do */
	return tasks_put(txn, &dc->job);
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
		task_runner_add(dc->call.api->conf.task_runner, &dc->job.key);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	json_write_cstr(&json, "message",
	    dc->job.key.kind == TASK_DROP_LETTERS ? "Webhook DLQ purge scheduled"
						  : "Webhook DLQ replay scheduled");
	json_write_u64(&json, "count", dc->count);
	json_write_bool(&json, "more", dc->more);
	json_close(&json);
	call_reply(&dc->call, 200, &json);
	buf_fini(&text);
}

/* Stages a job on the dead letters that there are now. */
static void start_job(struct call *c, enum task_kind kind)
{
	struct dlq_call *dc = (struct dlq_call *)c;
	struct query q = {.call = c};
	int64_t now_ms = clock_wall_ms();
	dc->job = (struct task){.state = TASK_RUNNING, .started_ms = now_ms};
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
	start_job(c, TASK_DROP_LETTERS);
}

void handle_dlq_replay_all(struct call *c)
{
	start_job(c, TASK_REPLAY_LETTERS);
}
