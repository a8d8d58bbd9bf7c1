/*
 * Publishing: one operation of the turn writes all events of a request, or finds that the
 * request or an event of it is a repeat and gives the first answer again.
 */
#include "api/publish_api.h"

#include <stdlib.h>

#include "api/handlers.h"
#include "api/inbound.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define ITEM_ANSWER_MAX 1024                                   /* bytes of one event's answer */
#define ANSWER_MAX (ITEM_ANSWER_MAX * (INTAKE_EVENTS_MAX + 1)) /* of a batch */
#define TEST_BODY_MAX 1024

struct publish_call {
	struct call call; /* first */
	struct intake intake;
	struct idempotency key;  /* of the whole request */
	struct buf answer;       /* out of apply, as the one below */
	struct json_writer json; /* onto `answer` */
	bool repeated;           /* out of apply: the whole request was stored before */
	int status;              /* of the answer when all is well */
	void (*after)(struct call *c, size_t fresh); /* NULL: nobody is told */
};

const size_t PUBLISH_CALL_SIZE = sizeof(struct publish_call);

void release_publish(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	intake_fini(&pc->intake);
	buf_fini(&pc->answer);
}

static void write_members(const struct intake_item *item, struct json_writer *json)
{
	const struct event *e = &item->publication.event;
	const struct answered *a = &item->answered;
	uuid_write(json, "id", &a->event);
	json_write_cstr(json, "session_id", e->session);
	json_write_cstr(json, "event", e->name);
	json_write_i64(json, "timestamp",
	    a->has_timestamp ? a->timestamp_s : item->timestamp_s);
	json_write_i64(json, "deliveries", a->deliveries);
}

static void write_event(const struct intake_item *item, struct json_writer *json)
{
	json_open_object(json, NULL);
	write_members(item, json);
	json_close(json);
}

static enum err refuse_id(struct publish_call *pc, size_t item)
{
	char field[32];
	(void)snprintf(field, sizeof(field), "[%zu].id", item);
	return problem_set(&pc->call.problem, ERR_CONFLICT, pc->intake.is_batch ? field : "id",
	    "this id was used for another event, and idempotency_retention is not over");
}

/* What is to be said about an event that is new. */
static struct answered answered_of(const struct intake_item *item)
{
	const struct event *e = &item->publication.event;
	return (struct answered){.event = e->id,
	    .deliveries = e->deliveries,
	    .has_timestamp = !item->has_timestamp,
	    .timestamp_s = item->timestamp_s};
}

/* Looks whether an event was stored before; then its answer is the one of that time. */
static enum err find_known_event(struct intake_item *item, struct db_txn *txn, int64_t now_ms,
    struct buf *known)
{
	struct answer answer = {0};
	item->answered = answered_of(item);
	item->answer_len = 0;
	item->repeated = item->repeats > 0;
	if (item->key.expires_ms == 0 || item->repeated)
		return OK;
	enum err err = idempotency_find(txn, &item->key, now_ms, &answer);
	item->repeated = err == OK;
	if (answer.count > 0)
		item->answered = answer.events[0];
	item->answer_at = known->len;
	item->answer_len = answer.text.len;
	if (err == OK)
		buf_slice(known, buf_view(&answer.text));
	answer_fini(&answer);
	return err == ERR_NOTFOUND ? OK : err;
}

/* Looks which events were stored before; says so in their `repeated`. Writes nothing. */
static enum err find_known_events(struct publish_call *pc, struct db_txn *txn, int64_t now_ms,
    struct buf *known)
{
	struct intake *in = &pc->intake;
	for (size_t i = 0; i < in->count; i++) {
		enum err err = find_known_event(&in->items[i], txn, now_ms, known);
		if (err != OK)
			return err == ERR_CONFLICT ? refuse_id(pc, i) : err;
	}
	return OK;
}

/* Stores an event that is new, and keeps its answer where it has a key. */
static enum err store_event(struct intake_item *item, struct db_txn *txn)
{
	const struct answer answer = {.events = &item->answered, .count = 1};
	enum err err = publication_write(txn, &item->publication);
	if (err != OK || item->key.expires_ms == 0)
		return err;
	return idempotency_keep(txn, &item->key, slice_of(item->publication.event.session),
	    &answer);
}

/* The item that was answered for this one: itself, or an earlier one with the same key. */
static const struct intake_item *first_of(const struct intake *in,
    const struct intake_item *item)
{
	return item->repeats > 0 ? &in->items[item->repeats - 1] : item;
}

/* Writes the answer of one event; `known` has the texts of some that were stored before. */
static void write_item(const struct intake *in, const struct intake_item *item,
    const struct buf *known, struct json_writer *json)
{
	const struct intake_item *first = first_of(in, item);
	if (first->answer_len > 0)
		json_write_raw(json, NULL,
		    (struct slice){known->data + first->answer_at, first->answer_len});
	else
		write_event(first, json);
}

static void write_answer(struct publish_call *pc, bool is_batch, const struct buf *known)
{
	const struct intake *in = &pc->intake;
	struct json_writer *json = &pc->json;
	if (!is_batch) {
		write_item(in, &in->items[0], known, json);
		return;
	}
	json_open_object(json, NULL);
	json_write_u64(json, "accepted", in->count);
	json_open_array(json, "events");
	for (size_t i = 0; i < in->count; i++)
		write_item(in, &in->items[i], known, json);
	json_close(json);
	json_close(json);
}

/* Keeps the answer to the whole request; it counts for the session of its first event. */
static enum err keep_answer(struct publish_call *pc, struct db_txn *txn)
{
	const struct intake *in = &pc->intake;
	struct answer answer = {.is_batch = in->is_batch, .count = in->count};
	if (pc->key.expires_ms == 0 || in->count == 0)
		return OK;
	answer.events = mem_array(in->count, sizeof(*answer.events));
	for (size_t i = 0; i < in->count; i++)
		answer.events[i] = first_of(in, &in->items[i])->answered;
	enum err err = idempotency_keep(txn, &pc->key,
	    slice_of(in->items[0].publication.event.session), &answer);
	answer_fini(&answer);
	return err;
}

/* Stores the events that are new, when the request as a whole is. */
static enum err store_request(struct publish_call *pc, struct db_txn *txn, int64_t now_ms)
{
	struct buf known = BUF_INIT(ANSWER_MAX);
	struct intake *in = &pc->intake;
	enum err err = find_known_events(pc, txn, now_ms, &known);
	if (err == OK)
		err = intake_admit(in, &pc->call.api->conf.quota, txn, pc->key.expires_ms != 0,
		    &pc->call.problem);
	for (size_t i = 0; err == OK && i < in->count; i++) {
		if (!in->items[i].repeated)
			err = store_event(&in->items[i], txn);
	}
	if (err == OK) {
		write_answer(pc, in->is_batch, &known);
		json_expect_whole(&pc->json);
		err = keep_answer(pc, txn);
	}
	buf_fini(&known);
	return err;
}

/* Makes the answer to the first of these requests again. ERR_NOTFOUND where it was another. */
static enum err repeat_answer(struct publish_call *pc, const struct answer *first)
{
	static const struct buf NO_TEXTS;
	struct intake *in = &pc->intake;
	if (first->text.len > 0) {
		json_write_raw(&pc->json, NULL, buf_view(&first->text));
		return OK;
	}
	if (first->count != in->count || (!first->is_batch && in->count != 1))
		return ERR_NOTFOUND; /* read in another way than then */
	for (size_t i = 0; i < in->count; i++) {
		in->items[i].answered = first->events[i];
		in->items[i].answer_len = 0;
	}
	write_answer(pc, first->is_batch, &NO_TEXTS);
	json_expect_whole(&pc->json);
	return OK;
}

static enum err apply_publish(struct op *op, struct db_txn *txn)
{
	struct publish_call *pc = (struct publish_call *)op;
	int64_t now_ms = clock_wall_ms();
	enum err err = ERR_NOTFOUND;
	struct answer first = {0};
	pc->repeated = false;
	buf_reset(&pc->answer);
	pc->json = JSON_WRITER(&pc->answer);
	if (pc->key.expires_ms != 0)
		err = idempotency_find(txn, &pc->key, now_ms, &first);
	if (err == OK) {
		err = repeat_answer(pc, &first);
		answer_fini(&first);
	}
	if (err == ERR_NOTFOUND)
		return store_request(pc, txn, now_ms);
	pc->repeated = err == OK;
	if (err == ERR_CONFLICT)
		return problem_set(&pc->call.problem, err, "Idempotency-Key",
		    "this key was used for another request, and "
		    "idempotency_retention is not over");
	return err;
}

static void tell_feed(struct feed *feed, const struct event *e)
{
	struct happening h = {.type = HAPPENING_PUBLISHED,
	    .at_ms = e->created_ms,
	    .has_event = true,
	    .event_id = e->id};
	memcpy(h.session, e->session, sizeof(h.session));
	memcpy(h.event, e->name, sizeof(h.event));
	feed_tell(feed, &h);
}

/* Tells of an event and its deliveries, which are on disk now. */
static void tell_event(const struct api_conf *conf, const struct publication *p)
{
	tell_feed(conf->feed, &p->event);
	for (uint32_t n = 0; n < p->event.deliveries; n++) {
		struct queue_place place = publication_place(p, n);
		dispatch_queued(conf->dispatch, p->targets[n].webhook, &place);
	}
}

enum err publish_write(struct api *api, struct db_txn *txn, const struct intake *in,
    struct problem *p)
{
	enum err err = intake_admit(in, &api->conf.quota, txn, false, p);
	if (err == ERR_CONFLICT)
		err = ERR_BUSY; /* a session is being deleted: it is tried again behind that */
	for (size_t i = 0; err == OK && i < in->count; i++)
		err = publication_write(txn, &in->items[i].publication);
	return err;
}

size_t publish_tell(struct api *api, const struct intake *in)
{
	struct api_counts *n = &api->counts;
	size_t fresh = 0;
	for (size_t i = 0; i < in->count; i++) {
		const struct intake_item *item = &in->items[i];
		if (item->repeated) {
			n->repeats++;
			continue;
		}
		fresh++;
		n->events++;
		n->bytes += item->publication.body.len;
		n->deliveries += item->publication.event.deliveries;
		tell_event(&api->conf, &item->publication);
	}
	return fresh;
}

/* Whether nothing of the request was new. */
static bool is_replay(const struct publish_call *pc)
{
	bool all = pc->intake.count > 0;
	for (size_t i = 0; i < pc->intake.count; i++)
		all = all && pc->intake.items[i].repeated;
	return pc->repeated || all;
}

static void done_publish(struct op *op, enum err result)
{
	struct publish_call *pc = (struct publish_call *)op;
	if (result != OK) {
		call_fail_err(&pc->call, result);
		return;
	}
	size_t fresh = 0;
	if (pc->repeated)
		pc->call.api->counts.repeats += pc->intake.count;
	else
		fresh = publish_tell(pc->call.api, &pc->intake);
	if (pc->after != NULL)
		pc->after(&pc->call, fresh);
	if (is_replay(pc))
		http_add_header(pc->call.http, "Idempotent-Replayed", "true");
	call_reply(&pc->call, pc->status, &pc->json);
}

static void stage(struct publish_call *pc, int status)
{
	pc->status = status;
	pc->answer = BUF_INIT(ANSWER_MAX);
	pc->call.op.bytes = intake_bytes(&pc->intake);
	call_drop_body(&pc->call);
	call_stage(&pc->call, apply_publish, done_publish);
}

struct intake *publish_intake(struct call *c)
{
	return &((struct publish_call *)c)->intake;
}

void publish_stage(struct call *c, int status, void (*after)(struct call *c, size_t fresh))
{
	struct publish_call *pc = (struct publish_call *)c;
	pc->after = after;
	stage(pc, status);
}

/* Checks an Idempotency-Key; false: the call has been answered. */
static bool check_key(struct call *c)
{
	struct slice name = http_header(c->http, "Idempotency-Key");
	if (name.ptr == NULL || envelope_is_id(name))
		return true;
	call_fail(c, 400, "Idempotency-Key", "must be 1 to 128 printable ASCII characters");
	return false;
}

/*
 * Makes the key of the whole request, for one that has been read. One name space a session;
 * where the path names none, one for all tokens of the same reach: a key must show nobody what
 * a token of another reach has published, and must outlast a change of tokens.
 */
static void make_key(struct publish_call *pc)
{
	struct call *c = &pc->call;
	struct slice name = http_header(c->http, "Idempotency-Key");
	if (name.ptr == NULL)
		return;
	struct slice reach = auth_reach(c->token);
	struct buf scope = BUF_INIT(SESSION_MAX + 8 + reach.len);
	buf_printf(&scope, "key:%s", c->session);
	if (c->session[0] == '\0')
		buf_slice(&scope, reach);
	idempotency_set(&pc->key, buf_view(&scope), name,
	    (struct slice){(const char *)pc->intake.sum, DIGEST_SIZE}, c->body,
	    clock_wall_ms() + c->api->conf.idempotency_ms);
	buf_fini(&scope);
}

struct intake_conf publish_conf(const struct call *c)
{
	struct slice parent = http_header(c->http, "traceparent");
	return (struct intake_conf){
	    .session = slice_of(c->session),
	    .traceparent = parent,
	    .tracestate = parent.len > 0 ? http_header(c->http, "tracestate") : parent,
	    .token = c->token,
	    .registry = c->api->conf.registry,
	    .ids = c->api->conf.ids,
	    .scratch = &c->api->scratch,
	    .now_ms = clock_wall_ms(),
	    .key_ms = c->api->conf.idempotency_ms,
	    .takes_any = c->route->handle == handle_webhook_in,
	    .has_key = http_header(c->http, "Idempotency-Key").ptr != NULL,
	    .body_max = c->api->conf.body_max,
	    .batch_max = c->session[0] == '\0' ? c->api->conf.batch_max : 0,
	};
}

bool publish_take_batch(struct call *c)
{
	const struct intake *in = publish_intake(c);
	return !in->is_batch || call_take_input(c, in->count * sizeof(*in->items));
}

/* Reads the body; false: the call has been answered. */
static bool read_body(struct publish_call *pc, enum intake_form form, struct slice body)
{
	struct call *c = &pc->call;
	struct intake_conf conf = publish_conf(c);
	enum err err = intake_read(&pc->intake, &conf, form, body, &c->problem);
	if (err != OK)
		call_fail_err(c, err);
	return err == OK && publish_take_batch(c);
}

void handle_publish(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	if (call_has_json(c) && check_key(c) && call_read_body(c, c->api->conf.body_max) &&
	    read_body(pc, INTAKE_ONE, c->body)) {
		make_key(pc);
		stage(pc, 202);
	}
}

void handle_publish_any(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	const struct api_conf *conf = &c->api->conf;
	uint64_t most = conf->body_max > conf->batch_max ? conf->body_max : conf->batch_max;
	enum intake_form form = call_is_ndjson(c) ? INTAKE_NDJSON : INTAKE_ANY;
	if ((form == INTAKE_NDJSON || call_has_json(c)) && check_key(c) &&
	    call_read_body(c, most) && read_body(pc, form, c->body)) {
		make_key(pc);
		stage(pc, 202);
	}
}

/* Whether a token lets a webhook-in call in; it then answers for what that takes. */
static bool has_token(struct call *c)
{
	const struct auth *auth = c->api->conf.auth;
	struct slice token = http_header(c->http, "Authorization");
	if (auth_count(auth) == 0 || !auth_check(auth, token, &c->token, &c->token_name) ||
	    !auth_reaches(c->token, slice_of(c->session)))
		return false;
	http_set_taker(c->http, slice_of(c->token_name));
	return true;
}

static struct slice header_of(const void *request, const char *name)
{
	return http_header(request, name);
}

static bool is_signed(const struct call *c)
{
	return http_header(c->http, "X-Webhook-Signature").len > 0;
}

static void refuse_inbound(struct call *c)
{
	bool is_guess = http_header(c->http, "Authorization").len > 0 || is_signed(c);
	guard_refuse(c->api->guard, c, is_guess,
	    "a signature of this session's inbound secret is needed, or a token");
}

bool webhook_in_may_come(struct call *c)
{
	if (!guard_admits(c->api->guard, c))
		return false;
	if (has_token(c) ||
	    inbound_may_verify(c->api->conf.inbound, slice_of(c->session), is_signed(c)))
		return true;
	refuse_inbound(c);
	return false;
}

void handle_webhook_in(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	/* what is signed is what was sent: nothing is inflated for those who cannot sign */
	const struct sign_claim claim = {.header = header_of,
	    .request = c->http,
	    .body = http_body(c->http),
	    .now_s = clock_system_ms() / 1000,
	    .window_s = INBOUND_WINDOW_S};
	if (!guard_admits(c->api->guard, c))
		return;
	bool by_token = has_token(c);
	if (!by_token && !inbound_verify(c->api->conf.inbound, slice_of(c->session), &claim)) {
		refuse_inbound(c);
		return;
	}
	if (!by_token)
		c->token = NULL; /* the signature lets it in, whatever the token would not do */
	if (!call_has_json(c) || !call_read_body(c, c->api->conf.body_max) ||
	    !read_body(pc, INTAKE_ONE, c->body))
		return;
	struct buf scope = BUF_INIT(SESSION_MAX + 8);
	buf_printf(&scope, "in:%s", c->session);
	idempotency_set(&pc->key, buf_view(&scope), c->body, c->body, c->body,
	    clock_wall_ms() + IDEMPOTENCY_IN_MS);
	buf_fini(&scope);
	stage(pc, 200);
}

/* Writes the envelope of a test. */
static void write_test(const struct call *c, const struct webhook *w, int64_t now_s,
    struct buf *body)
{
	struct json_writer json = JSON_WRITER(body);
	json_open_object(&json, NULL);
	json_write_cstr(&json, "session_id", c->session);
	json_write_cstr(&json, "event", "test");
	json_write_i64(&json, "timestamp", now_s);
	json_open_object(&json, "data");
	uuid_write(&json, "webhook_id", &w->id);
	json_close(&json);
	json_close(&json);
	json_expect_whole(&json);
}

/* The test is on disk: it goes before all others, and the answer says what holds it. */
static void send_test(struct call *c, size_t fresh)
{
	struct publish_call *pc = (struct publish_call *)c;
	const struct publication *p = &pc->intake.items[0].publication;
	struct dispatch *d = c->api->conf.dispatch;
	struct dispatch_hold hold = {0};
	if (fresh > 0) {
		struct queue_place place = publication_place(p, 0);
		dispatch_send(d, p->targets[0].webhook, &place.id);
		dispatch_find_hold(d, p->targets[0].webhook, place.place_ms, &hold);
	}
	buf_reset(&pc->answer);
	pc->json = JSON_WRITER(&pc->answer);
	json_open_object(&pc->json, NULL);
	write_members(&pc->intake.items[0], &pc->json);
	call_write_hold(&pc->json, &hold);
	json_close(&pc->json);
}

void handle_test(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	const struct webhook *w = call_find_webhook(c);
	if (w == NULL)
		return;
	if (!w->enabled) {
		call_fail(c, 409, "", "the webhook is disabled; enable it first");
		return;
	}
	struct buf body = BUF_INIT(TEST_BODY_MAX);
	struct intake_conf conf = publish_conf(c);
	write_test(c, w, conf.now_ms / 1000, &body);
	intake_make(&pc->intake, &conf, "test", buf_view(&body), w);
	buf_fini(&body);
	pc->after = send_test;
	stage(pc, 202);
}
