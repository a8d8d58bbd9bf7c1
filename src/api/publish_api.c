/*
 * Publishing: one operation of the turn writes all events of a request, or finds that the
 * request or an event of it is a repeat and gives the first answer again.
 */
#include "api/handlers.h"

#include <stdlib.h>

#include "api/inbound.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define ITEM_ANSWER_MAX 1024                                   /* bytes of one event's answer */
#define ANSWER_MAX (ITEM_ANSWER_MAX * (INTAKE_EVENTS_MAX + 1)) /* of a batch */
#define KEY_MAX 128                                            /* bytes of an Idempotency-Key */
#define TEST_BODY_MAX 1024

struct publish_call {
	struct call call; /* first */
	struct intake intake;
	struct idempotency key;  /* of the whole request */
	struct buf answer;       /* out of apply, as the one below */
	struct json_writer json; /* onto `answer` */
	bool repeated;           /* out of apply: the whole request was stored before */
	int status;              /* of the answer when all is well */
};

const size_t PUBLISH_CALL_SIZE = sizeof(struct publish_call);

void release_publish(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	intake_fini(&pc->intake);
	buf_fini(&pc->answer);
}

static void write_event(const struct intake_item *item, struct json_writer *json)
{
	const struct event *e = &item->publication.event;
	const struct answered *a = &item->answered;
	json_open_object(json, NULL);
	uuid_write(json, "id", &a->event);
	json_write_cstr(json, "session_id", e->session);
	json_write_cstr(json, "event", e->name);
	json_write_i64(json, "timestamp",
	    a->has_timestamp ? a->timestamp_s : item->timestamp_s);
	json_write_i64(json, "deliveries", a->deliveries);
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
		err = quota_check(&pc->call.api->conf.quota, txn, in, pc->key.expires_ms != 0,
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

/* Tells of each event and each delivery that is on disk now. */
static void tell_queued(const struct publish_call *pc)
{
	const struct api_conf *conf = &pc->call.api->conf;
	for (size_t i = 0; i < pc->intake.count; i++) {
		const struct intake_item *item = &pc->intake.items[i];
		const struct publication *p = &item->publication;
		if (!item->repeated)
			tell_feed(conf->feed, &p->event);
		for (uint32_t n = 0; !item->repeated && n < p->event.deliveries; n++) {
			struct queue_place place = publication_place(p, n);
			dispatch_queued(conf->dispatch, p->targets[n].webhook, &place);
		}
	}
}

/* Counts what is on disk now. */
static void count_events(const struct publish_call *pc)
{
	struct api_counts *n = &pc->call.api->counts;
	for (size_t i = 0; i < pc->intake.count; i++) {
		const struct intake_item *item = &pc->intake.items[i];
		bool is_new = !pc->repeated && !item->repeated;
		n->events += is_new ? 1 : 0;
		n->repeats += is_new ? 0 : 1;
		n->bytes += is_new ? item->publication.body.len : 0;
		n->deliveries += is_new ? item->publication.event.deliveries : 0;
	}
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
	count_events(pc);
	if (!pc->repeated)
		tell_queued(pc);
	if (is_replay(pc))
		http_add_header(pc->call.http, "Idempotent-Replayed", "true");
	call_reply(&pc->call, pc->status, &pc->json);
}

static void stage(struct publish_call *pc, int status)
{
	pc->status = status;
	pc->answer = BUF_INIT(ANSWER_MAX);
	pc->call.op.bytes = intake_bytes(&pc->intake);
	call_stage(&pc->call, apply_publish, done_publish);
}

/* Whether there is a second Idempotency-Key beside `name`: nobody knows which one is meant. */
static bool has_second_key(const struct call *c, struct slice name)
{
	struct buf all = BUF_INIT(2 * KEY_MAX);
	http_header_list(c->http, "Idempotency-Key", &all);
	bool has_more = all.failed || slice_trim(buf_view(&all)).len != name.len;
	buf_fini(&all);
	return has_more;
}

/* Checks an Idempotency-Key; false: the call has been answered. */
static bool check_key(struct call *c)
{
	struct slice name = http_header(c->http, "Idempotency-Key");
	bool valid = name.len <= KEY_MAX;
	if (name.ptr == NULL)
		return true;
	if (valid && has_second_key(c, name)) {
		call_fail(c, 400, "Idempotency-Key", "is given twice");
		return false;
	}
	for (size_t i = 0; i < name.len; i++)
		valid = valid && name.ptr[i] >= ' ' && name.ptr[i] <= '~';
	if (name.len == 0 || !valid) {
		call_fail(c, 400, "Idempotency-Key",
		    "must be 1 to 128 printable ASCII characters");
		return false;
	}
	return true;
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

static struct intake_conf conf_of(const struct call *c)
{
	return (struct intake_conf){
	    .session = slice_of(c->session),
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

/* Reads the body; false: the call has been answered. */
static bool read_body(struct publish_call *pc, enum intake_form form, struct slice body)
{
	struct call *c = &pc->call;
	struct intake_conf conf = conf_of(c);
	enum err err = intake_read(&pc->intake, &conf, form, body, &c->problem);
	if (err != OK)
		call_fail_err(c, err);
	else if (pc->intake.is_batch) /* of small events, which take more than their text */
		return call_take_input(c, pc->intake.count * sizeof(*pc->intake.items));
	return err == OK;
}

void handle_publish(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	if (call_has_json(c) && call_read_body(c, c->api->conf.body_max) && check_key(c) &&
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
	if ((form == INTAKE_NDJSON || call_has_json(c)) && call_read_body(c, most) &&
	    check_key(c) && read_body(pc, form, c->body)) {
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
	const struct sign_claim claim = {header_of, c->http, http_body(c->http),
	    clock_system_ms() / 1000, INBOUND_WINDOW_S};
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

void handle_test(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	const struct webhook *w = registry_find(c->api->conf.registry, slice_of(c->session),
	    &c->id);
	if (w == NULL || !w->enabled) {
		call_fail(c, w == NULL ? 404 : 409, "",
		    w == NULL ? "no such webhook in this session"
			      : "the webhook is disabled; enable it first");
		return;
	}
	struct buf body = BUF_INIT(TEST_BODY_MAX);
	struct intake_conf conf = conf_of(c);
	write_test(c, w, conf.now_ms / 1000, &body);
	intake_make(&pc->intake, &conf, "test", buf_view(&body), w);
	buf_fini(&body);
	stage(pc, 202);
}

#define BODIES_MAX (4u * EVENT_BODY_MAX) /* bytes: canonical numbers can be longer than given */
#define WHERE_SIZE 32                    /* "[9999]." and a NUL */
#define DELIVERY_BYTES 256               /* written for one delivery, about */
#define KEY_BYTES 4096 /* the same for an id: it falls into a page of its own */

static struct intake_item *add_item(struct intake *in)
{
	if (in->count == in->cap) {
		in->cap = in->cap == 0 ? 1 : in->cap * 2;
		in->items = mem_resize(in->items, in->cap, sizeof(*in->items));
	}
	struct intake_item *item = &in->items[in->count++];
	*item = (struct intake_item){0};
	return item;
}

static enum err too_many_events(struct problem *p)
{
	return problem_set(p, ERR_TOOBIG, "",
	    "a request may have at most %u events; split the batch", INTAKE_EVENTS_MAX);
}

static enum err too_many_deliveries(const struct intake *in, struct problem *p)
{
	return problem_set(p, ERR_TOOBIG, "",
	    "its first %zu events make %zu deliveries, and a batch may make at most %u "
	    "deliveries; nothing of this was stored: split the batch",
	    in->count, in->deliveries, INTAKE_DELIVERIES_MAX);
}

/* Refuses the item at `where`, or its member `name`. */
static enum err refuse(enum err err, const char *where, const char *name, const char *message,
    struct problem *p)
{
	char field[sizeof(p->field)];
	size_t len = strlen(where);
	if (name[0] == '\0' && len > 0)
		len--; /* the dot that would join the name */
	(void)snprintf(field, sizeof(field), "%.*s%s", (int)len, where, name);
	return problem_set(p, err, field, "%s", message);
}

static enum err too_large(const char *what, const char *where, const char *setting,
    uint64_t most, struct problem *p)
{
	char message[160];
	(void)snprintf(message, sizeof(message), "%s is over %s: at most %llu bytes", what,
	    setting, (unsigned long long)most);
	return refuse(ERR_TOOBIG, where, "", message, p);
}

/* Names the webhooks of the last item; of many alike in a row they are looked up once. */
static void match(struct intake *in, const struct registry *registry)
{
	struct publication *p = &in->items[in->count - 1].publication;
	const struct publication *before = in->count > 1 ? &in->items[in->count - 2].publication
							 : NULL;
	if (before != NULL && strcmp(before->event.name, p->event.name) == 0 &&
	    strcmp(before->event.session, p->event.session) == 0)
		publication_match_as(p, before);
	else
		publication_match(p, registry);
	in->deliveries += p->event.deliveries;
}

/*
 * Makes the key of an event with an "id", and adds to the sum of the request. What a repeat
 * must be equal to is the envelope's JSON, whatever the order of its members: conf->scratch
 * still has it in canonical form.
 */
static void take_keys(struct intake *in, const struct intake_conf *conf,
    const struct envelope *e, struct intake_item *item)
{
	struct buf scope = BUF_INIT(SESSION_MAX + 8);
	struct buf sorted = BUF_INIT(conf->scratch->len);
	if (json_sort(buf_view(conf->scratch), &sorted) != OK)
		log_panic("canonical JSON cannot be read");
	const struct slice parts[] = {{(const char *)in->sum, DIGEST_SIZE}, buf_view(&sorted)};
	digest_of(parts, sizeof(parts) / sizeof(parts[0]), in->sum);
	buf_printf(&scope, "id:%s", e->session);
	if (e->id[0] != '\0')
		idempotency_set(&item->key, buf_view(&scope), slice_of(e->id),
		    buf_view(&sorted), buf_view(conf->scratch), conf->now_ms + conf->key_ms);
	buf_fini(&sorted);
	buf_fini(&scope);
}

/* Takes over one envelope that has been read, and names its webhooks. */
static enum err take_envelope(struct intake *in, const struct intake_conf *conf,
    const struct envelope *e, size_t body_at, struct problem *p)
{
	struct intake_item *item = add_item(in);
	struct event *event = &item->publication.event;
	memcpy(event->session, e->session, sizeof(event->session));
	memcpy(event->name, e->event, sizeof(event->name));
	item->timestamp_s = e->timestamp_s;
	item->has_timestamp = e->has_timestamp;
	item->body_at = body_at;
	item->body_len = e->body.len;
	match(in, conf->registry);
	if (in->count > 1 && in->deliveries > INTAKE_DELIVERIES_MAX)
		return too_many_deliveries(in, p);
	if (conf->has_key || e->id[0] != '\0')
		take_keys(in, conf, e, item);
	return OK;
}

static enum err read_item(struct intake *in, const struct intake_conf *conf,
    struct json_reader *r, const char *where, struct problem *p)
{
	struct envelope e;
	size_t body_at = in->bodies.len;
	size_t text_at = r->pos;
	if (in->count == INTAKE_EVENTS_MAX)
		return too_many_events(p);
	enum err err = OK;
	if (conf->takes_any)
		err = envelope_read_any(r, conf->session, conf->now_ms / 1000, where,
		    conf->scratch, &in->bodies, &e, p);
	else
		err = envelope_read(r, conf->session, conf->now_ms / 1000, where, conf->scratch,
		    &in->bodies, &e, p);
	if (err != OK)
		return err;
	if (r->pos - text_at > conf->body_max)
		return too_large("an event", where, "max_body_bytes", conf->body_max, p);
	if (e.body.len > conf->body_max + EVENT_FRAME_MAX)
		return too_large(
		    "an event in its canonical form, with its numbers written out,", where,
		    "max_body_bytes", conf->body_max, p);
	if (conf->session.len == 0 && !auth_reaches(conf->token, slice_of(e.session)))
		return refuse(ERR_REFUSED, where, "session_id",
		    "the token does not reach this session", p);
	return take_envelope(in, conf, &e, body_at, p);
}

static void name_place(const struct intake *in, char where[WHERE_SIZE])
{
	(void)snprintf(where, WHERE_SIZE, "[%zu].", in->count);
}

static enum err read_array(struct intake *in, const struct intake_conf *conf,
    struct json_reader *r, struct problem *p)
{
	char where[WHERE_SIZE];
	bool more = false;
	in->is_batch = true;
	enum err err = json_read_array(r);
	for (bool first = true; err == OK; first = false) {
		err = json_read_item(r, first, &more);
		if (err != OK || !more)
			break;
		name_place(in, where);
		err = read_item(in, conf, r, where, p);
		if (err != OK)
			return err; /* the problem is set */
	}
	return err == OK ? OK : json_problem(r, err, p);
}

/* Reads a whole text of one envelope or, where the form allows it, an array. */
static enum err read_json(struct intake *in, const struct intake_conf *conf,
    enum intake_form form, struct slice text, struct problem *p)
{
	struct json_reader r;
	json_init(&r, text);
	enum err err = OK;
	bool is_array = form == INTAKE_ANY && json_peek(&r) == '[';
	if (is_array)
		err = read_array(in, conf, &r, p);
	else if (text.len > conf->body_max)
		err = too_large("the body", "", "max_body_bytes", conf->body_max, p);
	else
		err = read_item(in, conf, &r, "", p);
	/*
	 * Malformed text comes before a field's fault; of an array, the first item's fault
	 * counts.
	 */
	if (err == OK || (err == ERR_INVALID && !is_array)) {
		enum err end = json_read_end(&r);
		if (end != OK && (err == OK || r.error != NULL))
			err = json_problem(&r, end, p);
	}
	json_fini(&r);
	return err;
}

static enum err read_line(struct intake *in, const struct intake_conf *conf, struct slice line,
    struct problem *p)
{
	struct json_reader r;
	char where[WHERE_SIZE];
	json_init(&r, line);
	enum err err = OK;
	if (json_peek(&r) >= 0) { /* an empty line is none */
		name_place(in, where);
		err = read_item(in, conf, &r, where, p);
		if (err == OK) {
			err = json_read_end(&r);
			if (err != OK)
				(void)json_problem(&r, err, p); /* returns `err` */
		}
	}
	json_fini(&r);
	return err;
}

/* Takes lines of nothing but blanks off the front of `text`; returns how many they were. */
static unsigned skip_empty_lines(struct slice *text)
{
	size_t end = 0;
	unsigned count = 0;
	for (size_t i = 0; i < text->len; i++) {
		char c = text->ptr[i];
		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
		if (c == '\n') {
			end = i + 1;
			count++;
		}
	}
	text->ptr += end;
	text->len -= end;
	return count;
}

static enum err read_lines(struct intake *in, const struct intake_conf *conf, struct slice text,
    struct problem *p)
{
	enum err err = OK;
	in->is_batch = true;
	for (unsigned number = 1; err == OK && text.len > 0; number++) {
		number += skip_empty_lines(&text);
		struct slice line = slice_cut(&text, '\n');
		err = read_line(in, conf, line, p);
		if (err != OK) {
			struct problem why = *p;
			err = problem_set(p, err, why.field, "line %u: %s", number,
			    why.message);
		}
	}
	return err;
}

/* Finds items with the same id: the same event again, or another, which is a conflict. */
static enum err find_repeats(struct intake *in, struct problem *p)
{
	if (in->count < 2)
		return OK;
	struct map *seen = map_new();
	enum err err = OK;
	for (size_t i = 0; err == OK && i < in->count; i++) {
		struct intake_item *item = &in->items[i];
		if (item->key.expires_ms == 0)
			continue;
		const struct intake_item *first = map_get(seen, item->key.key, RECORD_DIGEST);
		if (first == NULL) {
			map_put(seen, item->key.key, RECORD_DIGEST, item);
		} else if (memcmp(first->key.request, item->key.request, RECORD_DIGEST) == 0) {
			item->repeats = (size_t)(first - in->items) + 1;
		} else {
			char field[WHERE_SIZE];
			(void)snprintf(field, sizeof(field), "[%zu].id", i);
			err = problem_set(p, ERR_CONFLICT, field,
			    "the same id names another event in this batch");
		}
	}
	map_free(seen);
	return err;
}

/* The bodies do not move any more: points each publication at its own, and gives ids. */
static void stamp(struct intake *in, const struct intake_conf *conf)
{
	for (size_t i = 0; i < in->count; i++) {
		struct intake_item *item = &in->items[i];
		item->publication.body = (struct slice){in->bodies.data + item->body_at,
		    item->body_len};
		publication_stamp(&item->publication, conf->ids, conf->now_ms);
	}
}

enum err intake_read(struct intake *in, const struct intake_conf *conf, enum intake_form form,
    struct slice text, struct problem *p)
{
	*in = (struct intake){.bodies = BUF_INIT(BODIES_MAX)};
	if (form != INTAKE_ONE && text.len > conf->batch_max && text.len > conf->body_max)
		return too_large("the body", "", "max_batch_bytes", conf->batch_max, p);
	enum err err = form == INTAKE_NDJSON ? read_lines(in, conf, text, p)
					     : read_json(in, conf, form, text, p);
	if (err == OK)
		err = find_repeats(in, p);
	if (err == OK)
		stamp(in, conf);
	return err;
}

void intake_make(struct intake *in, const struct intake_conf *conf, const char *event,
    struct slice body, const struct webhook *w)
{
	*in = (struct intake){.bodies = BUF_INIT(BODIES_MAX)};
	struct intake_item *item = add_item(in);
	struct event *e = &item->publication.event;
	(void)snprintf(e->session, sizeof(e->session), "%.*s", (int)conf->session.len,
	    conf->session.ptr);
	(void)snprintf(e->name, sizeof(e->name), "%s", event);
	item->timestamp_s = conf->now_ms / 1000;
	item->body_len = body.len;
	buf_slice(&in->bodies, body);
	publication_address(&item->publication, w);
	in->deliveries = 1;
	stamp(in, conf);
}

size_t intake_bytes(const struct intake *in)
{
	size_t keys = 0;
	for (size_t i = 0; i < in->count; i++)
		keys += in->items[i].key.expires_ms != 0 ? 1 : 0;
	return in->bodies.len + in->deliveries * DELIVERY_BYTES + keys * KEY_BYTES;
}

void intake_fini(struct intake *in)
{
	for (size_t i = 0; i < in->count; i++)
		publication_fini(&in->items[i].publication);
	free(in->items);
	buf_fini(&in->bodies);
	*in = (struct intake){0};
}
