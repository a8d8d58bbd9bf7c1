/*
 * Sessions: those that have webhooks or hold anything of the store, in the order of their ids'
 * bytes. Those with webhooks are in memory, those that hold something in the store, each in
 * order: a page is made of the two as they come. A scoped token's are looked up one by one: it
 * is not told of others, by a cursor either. What a page looks at is bounded; the cursor is the
 * last session that it has passed.
 */
#include "api/handlers.h"
#include "api/query.h"
#include "store/queue.h"
#include "store/usage.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200
#define STEPS_MAX 2000          /* sessions that one call looks at */
#define WEBHOOKS_MAX 10000      /* a page ends with the session with which it has more */
#define ANSWER_MAX (128u << 10) /* bytes: a page of the longest names, all of it escaped */

struct name {
	char text[SESSION_MAX + 1];
};

struct page {
	struct call *call;
	struct db_txn *txn;
	uint64_t limit;
	struct name at; /* the last session that was looked at, or the cursor */
	size_t count;
	size_t webhooks; /* of those, whose queues are summed up */
};

/* Whether a session has webhooks or holds anything. */
bool session_is_known(const struct call *c, struct slice session)
{
	const struct api_conf *conf = &c->api->conf;
	struct holding h = usage_of(conf->quota.usage, session);
	size_t webhooks = 0;
	(void)registry_session(conf->registry, session, &webhooks); /* only counted */
	for (size_t i = 0; i < USAGE_KINDS; i++) {
		if (h.n[i] > 0)
			return true;
	}
	return webhooks > 0;
}

/* Moves to the next session of a scoped token. */
static enum err step_scoped(struct page *page, bool *is_there)
{
	const char *next = auth_next_session(page->call->token, page->at.text);
	if (next == NULL)
		return ERR_NOTFOUND;
	memcpy(page->at.text, next, strlen(next) + 1);
	*is_there = session_is_known(page->call, slice_of(page->at.text));
	return OK;
}

/*
 * Moves to the next session; *is_there says whether it has webhooks or holds anything.
 * ERR_NOTFOUND: there is none; the store's error.
 */
static enum err step(struct page *page, bool *is_there)
{
	struct name found;
	if (page->call->token != NULL)
		return step_scoped(page, is_there);
	const char *next = registry_next_session(page->call->api->conf.registry, page->at.text);
	enum err err = usage_next_session(page->txn, slice_of(page->at.text), found.text);
	if (err == ERR_NOTFOUND && next == NULL)
		return err;
	if (err != OK && err != ERR_NOTFOUND)
		return err;
	if (next == NULL || (err == OK && strcmp(found.text, next) < 0))
		next = found.text;
	memcpy(page->at.text, next, strlen(next) + 1);
	*is_there = true;
	return OK;
}

static size_t count_failing(const struct call *c, struct webhook *const *list, size_t count)
{
	size_t failing = 0;
	for (size_t i = 0; i < count; i++)
		failing += strcmp(webhook_state(c, list[i]), "failing") == 0 ? 1 : 0;
	return failing;
}

/* Writes all but the end of the object. */
static void begin_session(struct page *page, struct json_writer *json)
{
	const struct api_conf *conf = &page->call->api->conf;
	size_t webhooks = 0;
	struct slice session = slice_of(page->at.text);
	struct holding h = usage_of(conf->quota.usage, session);
	struct webhook *const *list = registry_session(conf->registry, session, &webhooks);
	json_open_object(json, NULL);
	json_write_cstr(json, "id", page->at.text);
	json_write_u64(json, "webhooks", webhooks);
	json_write_u64(json, "failing", count_failing(page->call, list, webhooks));
	json_write_u64(json, "waiting",
	    backlog_of_session(conf->quota.backlog, conf->registry, session));
	json_write_u64(json, "dead_letters", h.n[USAGE_LETTERS]);
	json_write_u64(json, "open_bytes", h.n[USAGE_OPEN]);
	json_write_u64(json, "key_bytes", h.n[USAGE_KEYS]);
	json_write_u64(json, "history_bytes", h.n[USAGE_HISTORY]);
	page->count++;
	page->webhooks += webhooks;
}

/*
 * Writes a page's sessions; *next is behind which one the next page begins, empty: there is
 * none. The store's error.
 */
static enum err write_page(struct page *page, struct name *next, struct json_writer *json)
{
	for (int steps = 0; steps < STEPS_MAX && page->webhooks <= WEBHOOKS_MAX; steps++) {
		bool is_there = false;
		*next = page->at;
		enum err err = step(page, &is_there);
		if (err != OK) {
			*next = (struct name){0};
			return err == ERR_NOTFOUND ? OK : err;
		}
		if (!is_there)
			continue;
		if (page->count == page->limit)
			return OK; /* there is another one */
		begin_session(page, json);
		json_close(json);
	}
	*next = page->at;
	return OK;
}

/* Reads ?limit= and ?cursor=; false: the call has been answered. */
static bool read_page(struct page *page)
{
	char cursor[QUERY_TEXT_MAX + 1];
	struct query q = {.call = page->call};
	page->limit = PAGE_DEFAULT;
	(void)query_number(&q, "limit", 1, PAGE_MAX, &page->limit);
	if (query_session(&q, "cursor", "the next_cursor of an earlier answer", cursor))
		memcpy(page->at.text, cursor, strlen(cursor)); /* was zeroed */
	return !q.answered;
}

void handle_sessions_list(struct call *c)
{
	struct page page = {.call = c};
	struct name next = {0};
	if (!read_page(&page))
		return;
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_open_array(&json, "sessions");
	enum err err = db_read(c->api->conf.db, &page.txn);
	if (err == OK) {
		err = write_page(&page, &next, &json);
		db_read_end(page.txn);
	}
	if (err == OK) {
		json_close(&json);
		json_write_cstr(&json, "next_cursor", next.text[0] != '\0' ? next.text : NULL);
		json_close(&json);
		call_reply(c, 200, &json);
	} else {
		call_fail_err(c, err);
	}
	buf_fini(&text);
}

/* Reads how the last deletion of the session went. ERR_NOTFOUND: none of the last day. */
static enum err read_deletion(struct call *c, struct task *out)
{
	struct db_txn *txn = NULL;
	struct task_key key = {.kind = TASK_DELETE_SESSION};
	memcpy(key.session, c->session, sizeof(key.session));
	enum err err = db_read(c->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = tasks_get(txn, &key, out);
	db_read_end(txn);
	return err == ERR_CORRUPT ? ERR_NOTFOUND : err;
}

void handle_session_show(struct call *c)
{
	struct page page = {.call = c};
	struct task deletion;
	memcpy(page.at.text, c->session, sizeof(page.at.text));
	enum err err = read_deletion(c, &deletion);
	if (err != OK && err != ERR_NOTFOUND) {
		call_fail_err(c, err);
		return;
	}
	if (err == ERR_NOTFOUND && !session_is_known(c, slice_of(c->session))) {
		call_fail(c, 404, "",
		    "there is no such session: it has no webhook, and nothing of it is kept");
		return;
	}
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	begin_session(&page, &json);
	if (err == OK)
		forget_write(&deletion, &json);
	else
		json_write_null(&json, "deletion");
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}
