/* Replays of a webhook: started, shown, cancelled. The work is done by jobs/task_runner.c. */
#include "api/handlers.h"
#include "base/clock.h"
#include "domain/instant.h"
#include "domain/json.h"
#include "store/tasks.h"
#include "store/webhooks.h"

#define REQUEST_MAX 4096 /* bytes of a body */
#define ANSWER_MAX 1024  /* bytes of JSON */

struct replay_call {
	struct call call; /* first */
	struct task replay;
};

const size_t REPLAY_CALL_SIZE = sizeof(struct replay_call);

static const struct {
	const char *name;
	uint8_t statuses;
} SELECTIONS[] = {
    {"failed", REPLAY_FAILED},
    {"delivered", REPLAY_STATUS(DELIVERY_DELIVERED)},
    {"dead", REPLAY_STATUS(DELIVERY_DEAD)},
    {"expired", REPLAY_STATUS(DELIVERY_EXPIRED)},
    {"cancelled", REPLAY_STATUS(DELIVERY_CANCELLED)},
    {"all", REPLAY_ALL},
};
#define SELECTION_COUNT (sizeof(SELECTIONS) / sizeof(SELECTIONS[0]))

static const char *selection_name(uint8_t statuses)
{
	for (size_t i = 0; i < SELECTION_COUNT; i++) {
		if (SELECTIONS[i].statuses == statuses)
			return SELECTIONS[i].name;
	}
	return "all";
}

static void answer(struct call *c, int status, const struct task *r)
{
	static const char *const STATES[] = {
	    [TASK_RUNNING] = "running",
	    [TASK_DONE] = "done",
	    [TASK_CANCELLED] = "cancelled",
	};
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_open_object(&json, "replay");
	uuid_write(&json, "webhook_id", &c->id);
	json_write_cstr(&json, "state", STATES[r->state]);
	json_write_time(&json, "since", r->since_ms);
	json_write_time(&json, "until", r->until_ms);
	json_write_cstr(&json, "status", selection_name(r->statuses));
	json_write_u64(&json, "scheduled", r->scheduled);
	json_write_u64(&json, "looked_at", r->looked_at);
	json_write_time(&json, "started_at", r->started_ms);
	json_write_time_or_null(&json, "finished_at", r->finished_ms);
	json_close(&json);
	json_close(&json);
	call_reply(c, status, &json);
	buf_fini(&text);
}

/* Finds the webhook of the path; false: the call has been answered with 404. */
static bool find_webhook(struct call *c, struct task_key *key)
{
	const struct webhook *w = call_find_webhook(c);
	if (w != NULL)
		*key = (struct task_key){.kind = TASK_REPLAY, .webhook = w->number};
	return w != NULL;
}

/* What is between the quotes of a string; a number as it is. */
static struct slice text_of(struct slice value)
{
	if (value.len >= 2 && value.ptr[0] == '"')
		return (struct slice){value.ptr + 1, value.len - 2};
	return value;
}

static enum err read_time(const struct json_member *m, const char *field, int64_t *out,
    struct problem *p)
{
	if (instant_parse(text_of(m->value), out) != OK)
		return problem_set(p, ERR_INVALID, field, "%s must be " INSTANT_ALLOWED, field);
	return OK;
}

static enum err read_status(const struct json_member *m, uint8_t *out, struct problem *p)
{
	for (size_t i = 0; m->value.ptr[0] == '"' && i < SELECTION_COUNT; i++) {
		if (slice_eq(text_of(m->value), slice_of(SELECTIONS[i].name))) {
			*out = SELECTIONS[i].statuses;
			return OK;
		}
	}
	return problem_set(p, ERR_INVALID, "status",
	    "status must be failed (the default), delivered, dead, expired, cancelled or all; "
	    "what is pending is sent anyway");
}

static enum err read_member(const struct json_member *m, bool ignores_unknown, struct task *r,
    struct problem *p)
{
	bool is_null = slice_eq(m->value, SLICE("null")); /* and leaves the default */
	if (slice_eq(m->key, SLICE("since")))
		return is_null ? OK : read_time(m, "since", &r->since_ms, p);
	if (slice_eq(m->key, SLICE("until")))
		return is_null ? OK : read_time(m, "until", &r->until_ms, p);
	if (slice_eq(m->key, SLICE("status")))
		return is_null ? OK : read_status(m, &r->statuses, p);
	if (ignores_unknown)
		return OK;
	return problem_set(p, ERR_INVALID, "", "allowed are since, until and status");
}

static enum err read_members(const struct json_member *members, size_t count,
    bool ignores_unknown, struct task *r, struct problem *p)
{
	enum err err = OK;
	for (size_t i = 0; err == OK && i < count; i++)
		err = read_member(&members[i], ignores_unknown, r, p);
	if (err == OK && r->since_ms < 0)
		err = problem_set(p, ERR_INVALID, "since", "since is needed: " INSTANT_ALLOWED);
	if (err == OK && r->until_ms <= r->since_ms)
		err = problem_set(p, ERR_INVALID, "until", "until must be later than since");
	return err;
}

static enum err read_request(struct slice body, bool ignores_unknown, struct task *r,
    struct problem *p)
{
	struct json_reader reader;
	struct buf canonical = BUF_INIT(2 * REQUEST_MAX);
	const struct json_member *members = NULL;
	size_t count = 0;
	json_init(&reader, body);
	enum err err = json_read_members(&reader, &canonical, &members, &count);
	if (err == OK)
		err = json_read_end(&reader);
	if (err == OK)
		err = read_members(members, count, ignores_unknown, r, p);
	else
		(void)json_problem(&reader, err, p); /* returns `err` */
	json_fini(&reader);
	buf_fini(&canonical);
	return err;
}

/* Right before all ids of that millisecond. */
static struct uuid id_before(int64_t ms)
{
	struct uuid id = {0};
	uuid_set_time(&id, ms);
	return id;
}

static enum err apply_start(struct op *op, struct db_txn *txn)
{
	struct replay_call *rc = (struct replay_call *)op;
	struct webhook *w = NULL;
	struct task other;
	enum err err = webhooks_get_open(txn, rc->replay.key.webhook, &w);
	if (err == OK && w->deleted)
		err = ERR_NOTFOUND;
	webhook_free(w);
	if (err != OK)
		return err;
	err = tasks_get(txn, &rc->replay.key, &other);
	if (err == OK && other.state == TASK_RUNNING)
		return problem_set(&rc->call.problem, ERR_CONFLICT, "",
		    "a replay of this webhook is under way: wait for its end, or cancel it");
	if (err != OK && err != ERR_NOTFOUND && err != ERR_CORRUPT)
		return err;
	return tasks_put(txn, &rc->replay);
}

static void done_start(struct op *op, enum err result)
{
	struct replay_call *rc = (struct replay_call *)op;
	if (result != OK) {
		call_fail_err(&rc->call, result);
		return;
	}
	task_runner_add(rc->call.api->conf.task_runner, &rc->replay.key);
	answer(&rc->call, 202, &rc->replay);
}

void handle_replay_start(struct call *c)
{
	struct task *r = &((struct replay_call *)c)->replay;
	if (!call_has_json(c) || !call_read_body(c, REQUEST_MAX))
		return;
	if (c->body.len > REQUEST_MAX) {
		call_fail(c, 413, "", "the body of a replay is at most 4096 bytes");
		return;
	}
	int64_t now_ms = clock_wall_ms();
	*r = (struct task){.state = TASK_RUNNING,
	    .statuses = REPLAY_FAILED,
	    .since_ms = -1,
	    .until_ms = now_ms + 1, /* what was accepted in this millisecond, too */
	    .started_ms = now_ms};
	if (!find_webhook(c, &r->key))
		return;
	enum err err = read_request(c->body, c->api->conf.rules.ignores_unknown, r,
	    &c->problem);
	if (err == OK && !c->api->conf.health->has_room)
		err = ERR_NOSPACE;
	if (err != OK) {
		call_fail_err(c, err);
		return;
	}
	r->position = id_before(r->since_ms);
	call_stage(c, apply_start, done_start);
}

static void answer_none(struct call *c, enum err err)
{
	if (err == ERR_NOTFOUND)
		(void)problem_set(&c->problem, err, "",
		    "no replay of this webhook was started"); /* returns `err` */
	call_fail_err(c, err);
}

void handle_replay_show(struct call *c)
{
	struct task *r = &((struct replay_call *)c)->replay;
	struct task_key key;
	struct db_txn *txn = NULL;
	if (!find_webhook(c, &key))
		return;
	enum err err = db_read(c->api->conf.db, &txn);
	if (err == OK) {
		err = tasks_get(txn, &key, r);
		db_read_end(txn);
	}
	if (err == OK)
		answer(c, 200, r);
	else
		answer_none(c, err);
}

static enum err apply_cancel(struct op *op, struct db_txn *txn)
{
	struct replay_call *rc = (struct replay_call *)op;
	struct task_key key = rc->replay.key;
	enum err err = tasks_get(txn, &key, &rc->replay);
	rc->replay.key = key; /* for a second time */
	if (err != OK || rc->replay.state != TASK_RUNNING)
		return err;
	rc->replay.state = TASK_CANCELLED;
	rc->replay.finished_ms = clock_wall_ms();
	return tasks_put(txn, &rc->replay);
}

static void done_cancel(struct op *op, enum err result)
{
	struct replay_call *rc = (struct replay_call *)op;
	if (result == OK)
		answer(&rc->call, 200, &rc->replay);
	else
		answer_none(&rc->call, result);
}

void handle_replay_cancel(struct call *c)
{
	if (find_webhook(c, &((struct replay_call *)c)->replay.key))
		call_stage(c, apply_cancel, done_cancel);
}
