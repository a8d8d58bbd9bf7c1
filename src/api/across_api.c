/*
 * Looked at and mended across sessions: webhooks of all sessions, one by its id alone, and the
 * replay of everybody's dead letters. Lists of deliveries, events and dead letters are the
 * same with a session and without (newest.h), and lie with those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/query.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/dead_letters.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define LOOK_MAX 2000                   /* webhooks that one call looks at */
#define LIST_MAX (16 * CALL_PAGE_BYTES) /* a page and its last entry, escapes included */
#define CURSOR_SIZE 24
#define SESSIONS_MAX 500 /* whose replay one call starts */
#define ANSWER_MAX 2048  /* bytes of JSON */

void handle_webhook_find(struct call *c)
{
	const struct webhook *w = registry_find_in_all(c->api->conf.registry, &c->id);
	if (w == NULL || !auth_reaches(c->token, slice_of(w->session)))
		call_fail(c, 404, "", "no such webhook in any session that this token reaches");
	else
		webhook_answer(c, w);
}

/* Whether the call is let look at all; else it has been answered. */
static bool may_see_all(struct call *c)
{
	if (c->token == NULL)
		return true;
	call_fail(c, 403, "", "what is of all sessions needs a token for all");
	return false;
}

/* Reads ?state=; empty: any. */
static void read_state(struct query *q, char out[QUERY_TEXT_MAX + 1])
{
	out[0] = '\0';
	if (query_text(q, "state", out) && !webhook_view_knows(out))
		query_refuse(q, "state", WEBHOOK_STATES);
}

/* Writes those of a page; the number of the last that was looked at, 0: there are no others. */
static uint64_t write_page(const struct call *c, uint64_t after, uint64_t limit,
    const char *state, struct json_writer *json)
{
	size_t count = 0;
	size_t shown = 0;
	size_t i = 0;
	struct webhook *const *list = registry_all_behind(c->api->conf.registry, after, &count);
	for (; i < count && i < LOOK_MAX && shown < limit && json->out->len <= CALL_PAGE_BYTES;
	     i++) {
		if (state[0] != '\0' && strcmp(webhook_state(c, list[i]), state) != 0)
			continue;
		webhook_show(c, list[i], WEBHOOK_LISTED, json);
		shown++;
	}
	return i < count ? list[i - 1]->number : 0;
}

void handle_webhooks_all(struct call *c)
{
	uint64_t limit = LIMIT_DEFAULT;
	uint64_t after = 0;
	char cursor[QUERY_TEXT_MAX + 1];
	char state[QUERY_TEXT_MAX + 1];
	struct query q = {.call = c};
	if (!may_see_all(c))
		return;
	(void)query_number(&q, "limit", 1, LIMIT_MAX, &limit);
	if (query_text(&q, "cursor", cursor) && str_u64(slice_of(cursor), &after) != OK)
		query_refuse(&q, "cursor", "the next_cursor of an earlier answer");
	read_state(&q, state);
	if (q.answered)
		return;
	struct buf text = BUF_INIT(LIST_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_open_array(&json, "webhooks");
	uint64_t last = write_page(c, after, limit, state, &json);
	json_close(&json);
	struct registry_figures all = registry_figures(c->api->conf.registry);
	json_write_u64(&json, "count", all.enabled + all.disabled);
	(void)snprintf(cursor, CURSOR_SIZE, "%llu", (unsigned long long)last);
	json_write_cstr(&json, "next_cursor", last == 0 ? NULL : cursor);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

struct across_call {
	struct call call;         /* first */
	char at[SESSION_MAX + 1]; /* the last session that was passed */
	struct task_key *keys;    /* owned; of the replays that were started */
	size_t count;
	bool more; /* sessions are left behind `at` */
};

const size_t ACROSS_CALL_SIZE = sizeof(struct across_call);

void release_across(struct call *c)
{
	free(((struct across_call *)c)->keys);
}

/* Begins the replay of a session's dead letters, unless one is under way. */
static enum err start_replay(struct across_call *ac, struct db_txn *txn, int64_t now_ms)
{
	struct task other;
	struct task r = {.state = TASK_RUNNING, .started_ms = now_ms};
	r.key.kind = TASK_REPLAY_LETTERS;
	memcpy(r.key.session, ac->at, sizeof(r.key.session));
	memset(r.last.bytes, 0xff, UUID_SIZE);
	uuid_set_time(&r.last, now_ms);
	enum err err = tasks_get(txn, &r.key, &other);
	if (err != ERR_NOTFOUND && err != ERR_CORRUPT)
		return err;
	err = tasks_put(txn, &r);
	if (err == OK)
		ac->keys[ac->count++] = r.key;
	return err;
}

/* The next session that has dead letters and that the token reaches. ERR_NOTFOUND. */
static enum err next_session(struct across_call *ac, struct db_txn *txn)
{
	if (ac->call.token == NULL)
		return dead_letters_next_session(txn, slice_of(ac->at), ac->at);
	const char *next = auth_next_session(ac->call.token, ac->at);
	if (next == NULL)
		return ERR_NOTFOUND;
	memcpy(ac->at, next, strlen(next) + 1);
	return OK;
}

static enum err apply_replays(struct op *op, struct db_txn *txn)
{
	struct across_call *ac = (struct across_call *)op;
	int64_t now_ms = clock_wall_ms();
	char session[QUERY_TEXT_MAX + 1] = "";
	struct query q = {.call = &ac->call};
	enum err err = OK;
	(void)query_session(&q, "cursor", "", session); /* was good when the call came */
	memcpy(ac->at, session, sizeof(ac->at));
	ac->count = 0; /* of a transaction that was voided */
	ac->more = false;
	for (int passed = 0; err == OK; passed++) {
		ac->more = passed == SESSIONS_MAX;
		if (ac->more)
			return OK;
		err = next_session(ac, txn);
		if (err == OK)
			err = start_replay(ac, txn, now_ms);
	}
	return err == ERR_NOTFOUND ? OK : err;
}

static void done_replays(struct op *op, enum err result)
{
	struct across_call *ac = (struct across_call *)op;
	struct call *c = &ac->call;
	if (result != OK) {
		call_fail_err(c, result);
		return;
	}
	for (size_t i = 0; i < ac->count; i++)
		task_runner_add(c->api->conf.task_runner, &ac->keys[i]);
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	json_write_cstr(&json, "message", "Webhook DLQ replays scheduled");
	json_write_u64(&json, "sessions", ac->count);
	json_write_cstr(&json, "next_cursor", ac->more ? ac->at : NULL);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_dlq_replay_across(struct call *c)
{
	struct across_call *ac = (struct across_call *)c;
	char session[QUERY_TEXT_MAX + 1];
	struct query q = {.call = c};
	(void)query_session(&q, "cursor", "the next_cursor of an earlier answer", session);
	if (q.answered)
		return;
	ac->keys = mem_array(SESSIONS_MAX, sizeof(*ac->keys));
	call_stage(c, apply_replays, done_replays);
}
