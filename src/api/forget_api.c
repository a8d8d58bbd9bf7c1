/*
 * DELETE /api/v1/sessions/{session}: begins to delete a session; jobs/forgetter.h does it.
 * Asked for again meanwhile it goes on as it was.
 */
#include "api/handlers.h"

#include "base/clock.h"
#include "store/portal_series.h"

#define ANSWER_MAX 1024 /* bytes of JSON */

struct forget_call {
	struct call call; /* first */
	struct task job;
};

const size_t FORGET_CALL_SIZE = sizeof(struct forget_call);

void forget_write(const struct task *r, struct json_writer *json)
{
	const struct removed *n = &r->removed;
	json_open_object(json, "deletion");
	json_write_cstr(json, "state", r->state == TASK_RUNNING ? "running" : "done");
	json_write_time(json, "started_at", r->started_ms);
	json_write_time_or_null(json, "finished_at", r->finished_ms);
	json_open_object(json, "removed");
	json_write_u64(json, "webhooks", n->webhooks);
	json_write_u64(json, "sources", n->sources);
	json_write_u64(json, "dead_letters", n->dead_letters);
	json_write_u64(json, "events", n->events);
	json_write_u64(json, "deliveries", n->deliveries);
	json_write_u64(json, "attempts", n->attempts);
	json_write_u64(json, "idempotency_keys", n->keys);
	json_close(json);
	json_close(json);
}

/* The dead letters' own jobs have nothing to do any more. */
static enum err end_others(struct db_txn *txn, struct task_key key)
{
	static const enum task_kind KINDS[] = {TASK_REPLAY_LETTERS, TASK_DROP_LETTERS};
	enum err err = OK;
	for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]) && err == OK; i++) {
		key.kind = KINDS[i];
		err = tasks_del(txn, &key);
		err = err == ERR_NOTFOUND ? OK : err;
	}
	return err;
}

static enum err apply_delete(struct op *op, struct db_txn *txn)
{
	struct forget_call *fc = (struct forget_call *)op;
	struct task other;
	enum err err = tasks_get(txn, &fc->job.key, &other);
	if (err == OK && other.state == TASK_RUNNING) {
		fc->job = other;
		return OK;
	}
	if (err != OK && err != ERR_NOTFOUND && err != ERR_CORRUPT)
		return err;
	err = end_others(txn, fc->job.key);
	if (err == OK) /* the next one of this name hears nothing of who had links to this */
		err = portal_series_begin(txn, slice_of(fc->job.key.session),
		    fc->job.started_ms);
	return err == OK ? tasks_put(txn, &fc->job) : err;
}

static void done_delete(struct op *op, enum err result)
{
	struct forget_call *fc = (struct forget_call *)op;
	if (result != OK) {
		call_fail_err(&fc->call, result);
		return;
	}
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	forgetter_add(fc->call.api->conf.forgetter, &fc->job);
	streams_end_void(fc->call.api->streams);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	json_write_cstr(&json, "message", "Session deletion scheduled");
	forget_write(&fc->job, &json);
	json_close(&json);
	call_reply(&fc->call, 202, &json);
	buf_fini(&text);
}

struct search {
	const char *session;
	bool found;
};

static void look_at_source(void *entry, void *arg)
{
	const struct source *s = ((struct source_entry *)entry)->source;
	struct search *search = arg;
	search->found = search->found ||
	    (!s->is_configured && strcmp(source_session(s), search->session) == 0);
}

/* Whether there is anything to delete, or a deletion under way. */
static bool has_something(const struct call *c)
{
	struct search search = {.session = c->session};
	struct slice session = slice_of(c->session);
	if (session_is_known(c, session) || usage_is_closed(c->api->conf.quota.usage, session))
		return true;
	sources_each(c->api->conf.sources, look_at_source, &search);
	return search.found;
}

void handle_session_delete(struct call *c)
{
	struct forget_call *fc = (struct forget_call *)c;
	if (c->token != NULL) {
		call_fail(c, 403, "", "deleting a session needs a token for all");
		return;
	}
	if (!has_something(c)) {
		call_fail(c, 404, "",
		    "there is no such session: it has no webhook, and nothing of it is kept");
		return;
	}
	fc->job = (struct task){.state = TASK_RUNNING,
	    .key.kind = TASK_DELETE_SESSION,
	    .started_ms = clock_wall_ms()};
	memcpy(fc->job.key.session, c->session, sizeof(fc->job.key.session));
	call_stage(c, apply_delete, done_delete);
}
