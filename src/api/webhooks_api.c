/*
 * Registering, showing and changing webhooks. A change is a read, a change and a
 * write inside the turn's transaction, so that two changes in one turn both count;
 * the registry follows after the commit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/query.h"
#include "api/webhook_view.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/webhooks.h"

#define REQUEST_MAX 65536     /* bytes of a webhook's JSON */
#define LIMIT_MAX 1000        /* webhooks of a page that ?limit= may ask for */
#define ANSWER_MAX (4u << 16) /* bytes of one webhook's JSON, all of it escaped */
#define LIST_MAX (CALL_PAGE_BYTES + ANSWER_MAX)
#define CURSOR_SIZE 21          /* 20 digits, a NUL */
#define SESSION_STEPS_MAX 65536 /* of filters, for one event; docs/filters.md */

struct webhooks_call;

/* Changes the copy of the webhook; sets call.problem on error. */
typedef enum err (*mutate_fn)(struct webhooks_call *wc, struct webhook *w);

struct webhooks_call {
	struct call call;  /* first */
	struct webhook *w; /* as it is to be, or was, stored; owned */
	uint64_t number;
	mutate_fn mutate;
	const char *message; /* of the answer; NULL: the webhook itself */
	bool shows_secret;   /* the answer is that of a rotation, here and in the next */
	bool shows_key;
	bool keeps_queueing; /* with the next: what a disabled one is to do with events */
	bool says_keeps;
	bool asks_enable; /* by hand, whatever it was before */
	bool asks_verify; /* its endpoint is asked, whatever it said before */
	bool enabled_now;
	bool replaces;  /* a PUT: what is the same already is not written */
	bool creates;   /* and there is none of its name yet */
	bool tries;     /* nothing is written; the answer is what would be */
	bool unwritten; /* for one of these reasons */
	bool moves;     /* it sends elsewhere, or otherwise */
	bool joins; /* out of apply: it adds to its session in this turn, as the next two say */
	uint32_t added; /* webhooks */
	uint32_t steps; /* of filters */
};

const size_t WEBHOOKS_CALL_SIZE = sizeof(struct webhooks_call);

void release_webhook(struct call *c)
{
	webhook_free(((struct webhooks_call *)c)->w);
}

/* How its endpoint stands. */
static struct dispatch_status status_of(const struct call *c, const struct webhook *w)
{
	struct dispatch_status status = {.circuit = "closed"};
	/* false leaves it as it is */
	(void)dispatch_status(c->api->conf.dispatch, w->number, &status);
	return status;
}

const char *webhook_state(const struct call *c, const struct webhook *w)
{
	struct dispatch_status status = status_of(c, w);
	return webhook_view_state(w, &status);
}

void webhook_show(const struct call *c, const struct webhook *w, enum webhook_form form,
    struct json_writer *json)
{
	struct dispatch_status status = status_of(c, w);
	struct trend_last last = {0};
	struct db_txn *txn = NULL;
	if (db_read(c->api->conf.db, &txn) == OK) {
		if (trends_last(c->api->conf.trends, txn, w->number, &last) != OK)
			last = (struct trend_last){0}; /* what cannot be read is not shown */
		db_read_end(txn);
	}
	webhook_view_write(w, form, &status, &last, clock_wall_ms(), json);
}

void webhook_answer(struct call *c, const struct webhook *w)
{
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	webhook_show(c, w, WEBHOOK_WHOLE, &json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

/* Says that the URL or the name is taken, where that is the error, which it returns. */
static enum err explain_exists(struct webhooks_call *wc, struct db_txn *txn, enum err err)
{
	struct call *c = &wc->call;
	if (err != ERR_EXISTS)
		return err;
	bool is_url = webhooks_check_url(txn, wc->w) == ERR_EXISTS;
	return problem_set(&c->problem, err, is_url ? "url" : "name",
	    "this %s is registered %s already", is_url ? "URL" : "name",
	    call_is_for_all(c) ? "for all sessions" : "in this session");
}

/* What was added to a session in this turn, and the registry lacks so far. */
struct joining {
	uint32_t requests;
	uint32_t webhooks;
	uint64_t steps; /* of filters */
};

/* Takes the webhook out of those that join. */
static void leave(struct webhooks_call *wc)
{
	struct map *joining = wc->call.api->joining;
	const char *session = wc->call.session;
	size_t len = strlen(session);
	struct joining *j = map_get(joining, session, len);
	if (!wc->joins)
		return;
	wc->joins = false;
	j->webhooks -= wc->added;
	j->steps -= wc->steps;
	if (--j->requests == 0)
		free(map_del(joining, session, len));
}

static void join(struct webhooks_call *wc, uint32_t added, uint32_t steps)
{
	struct map *joining = wc->call.api->joining;
	const char *session = wc->call.session;
	struct joining *j = map_get(joining, session, strlen(session));
	if (j == NULL) {
		j = mem_new(sizeof(*j));
		map_put(joining, session, strlen(session), j);
	}
	j->requests++;
	j->webhooks += added;
	j->steps += steps;
	wc->added = added;
	wc->steps = steps;
	wc->joins = true;
}

/*
 * Whether the session may have one more beside those that it has and those that this turn adds
 * before it; else the problem says so.
 */
static bool may_have_more(struct call *c)
{
	size_t count = 0;
	const struct joining *j = map_get(c->api->joining, c->session, strlen(c->session));
	(void)registry_session(c->api->conf.registry, slice_of(c->session),
	    &count); /* the list is not asked for */
	count += j == NULL ? 0 : j->webhooks;
	if (count < c->api->conf.webhooks_per_session)
		return true;
	problem_set(&c->problem, ERR_CONFLICT, "",
	    "%s as many webhooks as max_webhooks_per_session allows: %u",
	    call_is_for_all(c) ? "all sessions together have" : "the session has",
	    c->api->conf.webhooks_per_session);
	return false;
}

static uint32_t steps_of(const struct webhook *w)
{
	return w->filter == NULL ? 0 : filter_steps(w->filter);
}

/* The same for `steps` more of filters. */
static bool has_steps(struct call *c, uint32_t steps)
{
	const struct joining *j = map_get(c->api->joining, c->session, strlen(c->session));
	uint64_t others = registry_steps(c->api->conf.registry, slice_of(c->session)) +
	    (j == NULL ? 0 : j->steps);
	if (steps == 0 || others + steps <= SESSION_STEPS_MAX)
		return true;
	problem_set(&c->problem, ERR_CONFLICT, "filter",
	    "the filters of the %s may take 65536 steps for an event together; "
	    "without this they take %llu, and this adds %u",
	    call_is_for_all(c) ? "webhooks for all sessions" : "session's webhooks",
	    (unsigned long long)others, steps);
	return false;
}

static enum err apply_create(struct op *op, struct db_txn *txn)
{
	struct webhooks_call *wc = (struct webhooks_call *)op;
	leave(wc); /* of a transaction that was voided */
	if (!may_have_more(&wc->call) || !has_steps(&wc->call, steps_of(wc->w)))
		return ERR_CONFLICT;
	enum err err = OK;
	wc->unwritten = wc->tries;
	if (wc->tries) {
		err = webhooks_check_url(txn, wc->w);
		return explain_exists(wc, txn,
		    err == OK ? webhooks_check_name(txn, wc->w) : err);
	}
	err = webhooks_add(txn, wc->call.api->conf.vault, wc->w);
	if (err == OK)
		join(wc, 1, steps_of(wc->w));
	return explain_exists(wc, txn, err);
}

static void done_create(struct op *op, enum err result)
{
	struct webhooks_call *wc = (struct webhooks_call *)op;
	leave(wc);
	if (result != OK) {
		call_fail_err(&wc->call, result);
		return;
	}
	const struct webhook *w = wc->w;
	if (wc->unwritten) {
		webhook_answer(&wc->call, w);
		return;
	}
	registry_set(wc->call.api->conf.registry, wc->w);
	wc->w = NULL;
	if (w->ownership.state == OWNERSHIP_PENDING)
		asker_add(wc->call.api->conf.asker, w->number);
	webhook_answer(&wc->call, w);
}

/* Whether the request has a JSON body of bearable size; else it has been answered. */
static bool check_body(struct call *c)
{
	if (!call_has_json(c) || !call_read_body(c, REQUEST_MAX))
		return false;
	if (c->body.len <= REQUEST_MAX)
		return true;
	call_fail(c, 413, "", "the body of a webhook is at most 65536 bytes");
	return false;
}

/* Makes a webhook, with a number of its own, of what `apply` makes of the body. */
static enum err make_webhook(struct webhooks_call *wc, mutate_fn apply)
{
	struct call *c = &wc->call;
	webhook_free(wc->w); /* of a transaction that was voided */
	wc->w = webhook_new();
	webhook_set(&wc->w->session, c->session);
	webhook_set_defaults(wc->w, &c->api->conf.rules);
	enum err err = apply(wc, wc->w);
	if (err == OK)
		err = webhook_check(wc->w, &c->problem);
	if (err == OK)
		err = webhook_check_expiry(wc->w, NULL, clock_wall_ms(), &c->problem);
	if (err == OK && !c->api->conf.health->has_room)
		err = ERR_NOSPACE;
	if (err != OK)
		return err;
	wc->w->created_ms = clock_wall_ms();
	wc->w->updated_ms = wc->w->created_ms;
	if (wc->tries)
		return OK;
	uuid_random(&wc->w->id);
	wc->w->number = registry_take_number(c->api->conf.registry);
	if (call_is_for_all(c))
		wc->w->number |= WEBHOOK_FOR_ALL;
	ownership_follow(wc->w, NULL, c->api->conf.rules.verifies, false, wc->w->created_ms);
	return OK;
}

static enum err mutate_patch(struct webhooks_call *wc, struct webhook *w)
{
	struct call *c = &wc->call;
	return webhook_apply(w, c->body, &c->api->conf.rules, &c->problem);
}

void handle_webhook_create(struct call *c)
{
	struct webhooks_call *wc = (struct webhooks_call *)c;
	if (!check_body(c))
		return;
	enum err err = may_have_more(c) ? make_webhook(wc, mutate_patch) : ERR_CONFLICT;
	if (err != OK)
		call_fail_err(c, err);
	else
		call_stage(c, apply_create, done_create);
}

/*
 * Writes those behind the webhook with number `after`, at most `limit`, as far as the bytes of
 * a page go: some 700 bytes each at the least. Returns the number of the last one where others
 * follow, else 0.
 */
static uint64_t write_page(const struct call *c, uint64_t after, uint64_t limit,
    struct json_writer *json)
{
	size_t count = 0;
	size_t shown = 0;
	struct webhook *const *list = registry_behind(c->api->conf.registry,
	    slice_of(c->session), after, &count);
	while (shown < count && shown < limit && json->out->len <= CALL_PAGE_BYTES)
		webhook_show(c, list[shown++], WEBHOOK_LISTED, json);
	return shown < count ? list[shown - 1]->number : 0;
}

/* The cursor is the number of the last webhook: a place, whoever leaves or comes. */
static void answer_list(struct call *c, uint64_t after, uint64_t limit)
{
	size_t count = 0;
	char cursor[CURSOR_SIZE];
	struct buf text = BUF_INIT(LIST_MAX);
	struct json_writer json = JSON_WRITER(&text);
	(void)registry_session(c->api->conf.registry, slice_of(c->session),
	    &count); /* only counted */
	json_open_object(&json, NULL);
	json_open_array(&json, "webhooks");
	uint64_t last = write_page(c, after, limit, &json);
	json_close(&json);
	json_write_u64(&json, "count", count);
	(void)snprintf(cursor, sizeof(cursor), "%llu", (unsigned long long)last);
	json_write_cstr(&json, "next_cursor", last == 0 ? NULL : cursor);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_webhook_list(struct call *c)
{
	uint64_t limit = UINT64_MAX;
	uint64_t after = 0;
	char cursor[QUERY_TEXT_MAX + 1];
	struct query q = {.call = c};
	(void)query_number(&q, "limit", 1, LIMIT_MAX, &limit);
	if (query_text(&q, "cursor", cursor) && str_u64(slice_of(cursor), &after) != OK)
		query_refuse(&q, "cursor", "the next_cursor of an earlier answer");
	if (!q.answered)
		answer_list(c, after, limit);
}

void handle_webhook_show(struct call *c)
{
	const struct webhook *w = call_find_webhook(c);
	if (w != NULL)
		webhook_answer(c, w);
}

/* Reads the webhook as this transaction has it. ERR_NOTFOUND where it was deleted meanwhile. */
static enum err read_current(struct webhooks_call *wc, struct db_txn *txn, struct webhook **out)
{
	enum err err = webhooks_get(txn, wc->call.api->conf.vault, wc->number, out);
	if (err == OK && (*out)->deleted) {
		webhook_free(*out);
		*out = NULL;
		err = ERR_NOTFOUND;
	}
	return err;
}

/* Writes the webhook as it is now; unless nothing of it changes, where that is of no use. */
static enum err write_change(struct webhooks_call *wc, struct db_txn *txn,
    const struct webhook *old)
{
	const struct vault *vault = wc->call.api->conf.vault;
	webhook_note_order(wc->w, old);
	ownership_follow(wc->w, old, wc->call.api->conf.rules.verifies, wc->asks_verify,
	    clock_wall_ms());
	wc->unwritten = wc->replaces && webhook_same(old, wc->w);
	if (wc->unwritten)
		return OK;
	wc->w->updated_ms = clock_wall_ms();
	(void)webhook_drop_expired(wc->w, clock_wall_ms()); /* written anyway */
	wc->enabled_now = wc->w->enabled && (wc->asks_enable || !old->enabled);
	wc->moves = !webhook_sends_alike(old, wc->w);
	if (wc->enabled_now)
		wc->w->failing_since_ms = 0;
	wc->unwritten = wc->tries;
	if (wc->w->deleted)
		return webhooks_retire(txn, vault, wc->w);
	enum err err = OK;
	if (wc->tries) {
		err = webhooks_check_url(txn, wc->w);
		err = err == OK ? webhooks_check_name(txn, wc->w) : err;
	} else {
		err = webhooks_change(txn, vault, old, wc->w);
	}
	return explain_exists(wc, txn, err);
}

static enum err apply_change(struct op *op, struct db_txn *txn)
{
	struct webhooks_call *wc = (struct webhooks_call *)op;
	struct webhook *old = NULL;
	leave(wc);
	webhook_free(wc->w); /* of a transaction that was voided */
	wc->w = NULL;
	enum err err = read_current(wc, txn, &old);
	if (err == OK)
		err = read_current(wc, txn, &wc->w);
	if (err == OK)
		err = wc->mutate(wc, wc->w);
	if (err == OK)
		err = webhook_check_expiry(wc->w, old, clock_wall_ms(), &wc->call.problem);
	uint32_t more = err == OK && steps_of(wc->w) > steps_of(old)
	    ? steps_of(wc->w) - steps_of(old)
	    : 0;
	if (err == OK && !has_steps(&wc->call, more))
		err = ERR_CONFLICT;
	if (err == OK)
		err = write_change(wc, txn, old);
	if (err == OK && !wc->unwritten)
		join(wc, 0, more);
	webhook_free(old);
	return err;
}

/* The one answer that shows a secret, once. */
static void answer_rotation(struct call *c, const struct webhook *w)
{
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	json_write_cstr(&json, "secret", w->secret);
	json_write_time_or_null(&json, "previous_secret_expires_at", w->previous_expires_ms);
	json_close(&json);
	call_reply(c, 200, &json);
	mem_wipe(text.data, text.len);
	buf_fini(&text);
}

/* The public keys; no answer shows a private one, ever. */
static void answer_key_rotation(struct call *c, const struct webhook *w)
{
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_bool(&json, "success", true);
	webhook_write_public(w, clock_wall_ms(), &json);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

static void done_change(struct op *op, enum err result)
{
	struct webhooks_call *wc = (struct webhooks_call *)op;
	const struct api_conf *conf = &wc->call.api->conf;
	leave(wc);
	if (result != OK) {
		call_fail_err(&wc->call, result);
		return;
	}
	const struct webhook *w = wc->w;
	if (wc->unwritten) {
		webhook_answer(&wc->call, w);
		return;
	}
	const struct webhook *old = registry_get(conf->registry, wc->number);
	bool asks = w->ownership.state == OWNERSHIP_PENDING ||
	    (old != NULL && old->ownership.state == OWNERSHIP_PENDING);
	bool reorders = w->unordered != 0 && old != NULL && w->unordered != old->unordered;
	if (old != NULL && old->enabled && !w->enabled)
		feed_tell_disabled(conf->feed, w, clock_wall_ms());
	registry_set(conf->registry, wc->w);
	wc->w = NULL;
	dispatch_changed(conf->dispatch, wc->number, wc->enabled_now);
	if (wc->moves)
		dispatch_moved(conf->dispatch, wc->number);
	if (reorders)
		ordering_add(conf->ordering, wc->number);
	if (asks) /* or no more */
		asker_add(conf->asker, wc->number);
	if (wc->shows_secret)
		answer_rotation(&wc->call, w);
	else if (wc->shows_key)
		answer_key_rotation(&wc->call, w);
	else if (wc->message == NULL)
		webhook_answer(&wc->call, w);
	else
		call_succeed(&wc->call, wc->message);
}

static void stage_change(struct call *c, mutate_fn mutate, const char *message)
{
	struct webhooks_call *wc = (struct webhooks_call *)c;
	const struct webhook *w = call_find_webhook(c);
	if (w == NULL)
		return;
	wc->number = w->number;
	wc->mutate = mutate;
	wc->message = message;
	call_stage(c, apply_change, done_change);
}

void handle_webhook_patch(struct call *c)
{
	if (check_body(c))
		stage_change(c, mutate_patch, NULL);
}

/* The body is all of it; the name of the path is its name. */
static enum err mutate_put(struct webhooks_call *wc, struct webhook *w)
{
	struct call *c = &wc->call;
	if (c->name[0] != '\0')
		webhook_set(&w->name, c->name);
	enum err err = webhook_apply_whole(w, c->body, &c->api->conf.rules, &c->problem);
	if (err == OK && c->name[0] != '\0' && !slice_eq(slice_of(w->name), slice_of(c->name)))
		return problem_set(&c->problem, ERR_INVALID, "name",
		    "the name is that of the path: leave it out, or PATCH it");
	return err;
}

/* What the name stands for is known here alone: others of this turn may make it, or free it. */
static enum err apply_put(struct op *op, struct db_txn *txn)
{
	struct webhooks_call *wc = (struct webhooks_call *)op;
	struct call *c = &wc->call;
	struct slice number = SLICE("");
	wc->creates = false;
	if (c->name[0] == '\0')
		return apply_change(op, txn);
	enum err err = webhooks_find_name(txn, slice_of(c->session), slice_of(c->name),
	    &number);
	if (err == OK) {
		struct reader r = reader_of(number);
		wc->number = get_u64(&r);
		return r.failed ? ERR_CORRUPT : apply_change(op, txn);
	}
	if (err != ERR_NOTFOUND)
		return err;
	wc->creates = true;
	err = make_webhook(wc, mutate_put);
	return err == OK ? apply_create(op, txn) : err;
}

static void done_put(struct op *op, enum err result)
{
	if (((struct webhooks_call *)op)->creates)
		done_create(op, result);
	else
		done_change(op, result);
}

void handle_webhook_put(struct call *c)
{
	struct webhooks_call *wc = (struct webhooks_call *)c;
	char text[QUERY_TEXT_MAX + 1] = "false";
	struct query q = {.call = c};
	if (query_text(&q, "dry_run", text) && strcmp(text, "true") != 0 &&
	    strcmp(text, "false") != 0)
		query_refuse(&q, "dry_run", "true or false");
	if (q.answered || !check_body(c))
		return;
	if (c->name[0] == '\0') {
		const struct webhook *w = call_find_webhook(c);
		if (w == NULL)
			return;
		wc->number = w->number;
	}
	wc->tries = strcmp(text, "true") == 0;
	wc->replaces = true;
	wc->mutate = mutate_put;
	call_stage(c, apply_put, done_put);
}

static enum err mutate_delete(struct webhooks_call *wc, struct webhook *w)
{
	(void)wc;
	w->deleted = true;
	return OK;
}

void handle_webhook_delete(struct call *c)
{
	stage_change(c, mutate_delete, "Webhook unregistered");
}

static enum err mutate_enable(struct webhooks_call *wc, struct webhook *w)
{
	enum err err = webhook_check_enable(w, &wc->call.problem);
	if (err != OK)
		return err;
	wc->asks_enable = true;
	webhook_set_enabled(w, NULL);
	return OK;
}

void handle_webhook_enable(struct call *c)
{
	stage_change(c, mutate_enable, "Webhook re-enabled");
}

/* What the operator is told of a try, by enum dispatch_try. */
static const char *const TRIED[] = {
    [TRY_NOTHING_WAITS] = "Nothing waits for it; the next delivery is sent at once",
    [TRY_STARTS] = "What waits for it is due; if it was failing, one delivery goes first",
    [TRY_IS_UNDER_WAY] = "A probe is under way, and decides",
};

void handle_webhook_try(struct call *c)
{
	const struct webhook *w = call_find_webhook(c);
	const struct dispatch *d = c->api->conf.dispatch;
	struct dispatch_hold hold;
	if (w == NULL)
		return;
	if (!w->enabled) {
		call_fail(c, 409, "", "the webhook is disabled; enable it first");
		return;
	}
	const char *message = TRIED[dispatch_try(c->api->conf.dispatch, w->number)];
	dispatch_find_hold(d, w->number, clock_wall_ms(), &hold);
	call_succeed_held(c, message, &hold);
}

static enum err mutate_verify(struct webhooks_call *wc, struct webhook *w)
{
	bool may = w->ownership.way != OWNERSHIP_NOT_ASKED || wc->call.api->conf.rules.verifies;
	wc->asks_verify = true;
	if (may)
		return webhook_check_asked(w, &wc->call.problem);
	return problem_set(&wc->call.problem, ERR_CONFLICT, "verify",
	    "the webhook does not say how its endpoint is asked: set verify to get or post");
}

void handle_webhook_verify(struct call *c)
{
	stage_change(c, mutate_verify, NULL);
}

static enum err mutate_disable(struct webhooks_call *wc, struct webhook *w)
{
	if (w->enabled)
		webhook_set_enabled(w, WEBHOOK_DISABLED_BY_REQUEST);
	if (wc->says_keeps)
		w->keeps_queueing = wc->keeps_queueing;
	return w->keeps_queueing ? webhook_check_enable(w, &wc->call.problem) : OK;
}

void handle_webhook_disable(struct call *c)
{
	struct webhooks_call *wc = (struct webhooks_call *)c;
	char text[QUERY_TEXT_MAX + 1];
	struct query q = {.call = c};
	wc->says_keeps = query_text(&q, "keep_queueing", text);
	wc->keeps_queueing = wc->says_keeps && strcmp(text, "true") == 0;
	if (wc->says_keeps && !wc->keeps_queueing && strcmp(text, "false") != 0)
		query_refuse(&q, "keep_queueing", "true or false");
	if (!q.answered)
		stage_change(c, mutate_disable,
		    wc->keeps_queueing ? "Webhook disabled; it goes on queueing"
				       : "Webhook disabled");
}

static enum err mutate_rotate(struct webhooks_call *wc, struct webhook *w)
{
	struct call *c = &wc->call;
	return webhook_apply_rotation(w, c->body, &c->api->conf.rules, clock_wall_ms(),
	    &c->problem);
}

void handle_webhook_rotate(struct call *c)
{
	if (http_body(c->http).len > 0 && !check_body(c))
		return; /* answered; no body at all asks for a secret of our making */
	((struct webhooks_call *)c)->shows_secret = true;
	stage_change(c, mutate_rotate, NULL);
}

static enum err mutate_rotate_key(struct webhooks_call *wc, struct webhook *w)
{
	struct call *c = &wc->call;
	return webhook_apply_key_rotation(w, c->body, &c->api->conf.rules, clock_wall_ms(),
	    &c->problem);
}

void handle_webhook_rotate_key(struct call *c)
{
	if (http_body(c->http).len > 0 && !check_body(c))
		return; /* answered; no body at all asks for a pair of our drawing */
	((struct webhooks_call *)c)->shows_key = true;
	stage_change(c, mutate_rotate_key, NULL);
}
