/*
 * Publishing: reads one envelope, matches it against the session's webhooks, and
 * stages one operation that writes the event once and a delivery for each match.
 */
#include <stdlib.h>

#include "api/handlers.h"
#include "base/clock.h"
#include "base/mem.h"
#include "domain/envelope.h"
#include "store/events.h"

#define ANSWER_MAX 4096 /* bytes */

struct publish_call {
	struct call call; /* first */
	struct event event;
	int64_t timestamp_s;
	struct buf body;
	uint64_t *webhooks; /* numbers of the matches; event.deliveries of them */
};

const size_t PUBLISH_CALL_SIZE = sizeof(struct publish_call);

void release_publish(struct call *c)
{
	struct publish_call *ec = (struct publish_call *)c;
	buf_fini(&ec->body);
	free(ec->webhooks);
}

static struct delivery make_delivery(const struct publish_call *ec, uint32_t n)
{
	struct delivery d = {
	    .event_id = ec->event.id,
	    .webhook = ec->webhooks[n],
	    .created_ms = ec->event.created_ms,
	    .place_ms = ec->event.created_ms,
	    .due_ms = ec->event.created_ms,
	    .queued_ms = ec->event.created_ms,
	    .status = DELIVERY_WAITING,
	};
	uuid_step(&ec->event.id, n + 1, &d.id);
	return d;
}

static enum err apply_publish(struct op *op, struct db_txn *txn)
{
	struct publish_call *ec = (struct publish_call *)op;
	enum err err = events_put(txn, &ec->event, buf_view(&ec->body));
	for (uint32_t n = 0; err == OK && n < ec->event.deliveries; n++) {
		struct delivery d = make_delivery(ec, n);
		err = queue_add(txn, &d);
	}
	return err;
}

static void answer(struct publish_call *ec)
{
	char id[UUID_TEXT_SIZE];
	struct buf json = BUF_INIT(ANSWER_MAX);
	uuid_format(&ec->event.id, id);
	buf_printf(&json,
	    "{\"id\":\"%s\",\"session_id\":\"%s\",\"event\":\"%s\",\"timestamp\":%lld,"
	    "\"deliveries\":%u}",
	    id, ec->event.session, ec->event.name, (long long)ec->timestamp_s,
	    ec->event.deliveries);
	call_reply(&ec->call, 202, &json);
	buf_fini(&json);
}

static void done_publish(struct op *op, enum err result)
{
	struct publish_call *ec = (struct publish_call *)op;
	const struct api_hooks *hooks = &ec->call.api->conf.hooks;
	if (result != OK) {
		call_fail_err(&ec->call, result);
		return;
	}
	for (uint32_t n = 0; n < ec->event.deliveries; n++) {
		struct delivery d = make_delivery(ec, n);
		struct queue_place place = queue_place_of(&d);
		hooks->queued(hooks->arg, d.webhook, &place);
	}
	answer(ec);
}

/* Keeps the numbers of the session's webhooks that want the event. */
static void match(struct publish_call *ec)
{
	size_t count = 0;
	struct slice name = slice_of(ec->event.name);
	struct webhook *const *list = registry_session(ec->call.api->conf.registry,
	    slice_of(ec->event.session), &count);
	if (count == 0)
		return;
	ec->webhooks = mem_array(count, sizeof(*ec->webhooks));
	for (size_t i = 0; i < count; i++) {
		if (list[i]->enabled && webhook_wants(list[i], name))
			ec->webhooks[ec->event.deliveries++] = list[i]->number;
	}
}

/* Gives the event its id and stages it; one that nobody wants has nothing to be stored. */
static void stage(struct publish_call *ec)
{
	struct event *e = &ec->event;
	e->created_ms = clock_wall_ms();
	e->open = e->deliveries;
	e->body_bytes = (uint32_t)ec->body.len;
	idgen_take(ec->call.api->conf.ids, e->created_ms, e->deliveries + 1, &e->id);
	if (e->deliveries == 0)
		answer(ec);
	else
		call_stage(&ec->call, apply_publish, done_publish);
}

static enum err read_envelope(struct publish_call *ec, struct slice body)
{
	struct call *c = &ec->call;
	struct json_reader r;
	struct envelope envelope;
	ec->body = BUF_INIT(EVENT_BODY_MAX);
	json_init(&r, body);
	enum err err = envelope_read(&r, slice_of(c->session), clock_wall_ms() / 1000, "",
	    &c->api->scratch, &ec->body, &envelope, &c->problem);
	if (err == OK || err == ERR_INVALID) { /* malformed text comes before a field's fault */
		enum err end = json_read_end(&r);
		if (end != OK)
			err = json_problem(&r, end, &c->problem);
	}
	json_fini(&r);
	if (err != OK)
		return err;
	memcpy(ec->event.session, envelope.session, sizeof(ec->event.session));
	memcpy(ec->event.name, envelope.event, sizeof(ec->event.name));
	ec->timestamp_s = envelope.timestamp_s;
	return auth_reaches(c->token, slice_of(ec->event.session)) ? OK : ERR_REFUSED;
}

void handle_publish(struct call *c)
{
	struct publish_call *ec = (struct publish_call *)c;
	struct slice body = http_body(c->http);
	if (!call_has_json(c))
		return;
	if (body.len > c->api->conf.body_max) {
		call_fail(c, 413, "", "the body is over max_body_bytes");
		return;
	}
	enum err err = read_envelope(ec, body);
	if (err == OK && !c->api->conf.health->has_room)
		err = ERR_NOSPACE;
	if (err != OK) {
		call_fail_err(c, err);
		return;
	}
	match(ec);
	stage(ec);
}

void handle_test(struct call *c)
{
	struct publish_call *ec = (struct publish_call *)c;
	const struct webhook *w = registry_find(c->api->conf.registry, slice_of(c->session),
	    &c->id);
	if (w == NULL) {
		call_fail(c, 404, "", "no such webhook in this session");
		return;
	}
	if (!w->enabled) {
		call_fail(c, 409, "", "the webhook is disabled; enable it first");
		return;
	}
	char id[UUID_TEXT_SIZE];
	uuid_format(&w->id, id);
	ec->timestamp_s = clock_wall_ms() / 1000;
	memcpy(ec->event.session, c->session, sizeof(ec->event.session));
	memcpy(ec->event.name, "test", sizeof("test"));
	ec->body = BUF_INIT(ANSWER_MAX);
	buf_printf(&ec->body,
	    "{\"session_id\":\"%s\",\"event\":\"test\",\"timestamp\":%lld,"
	    "\"data\":{\"webhook_id\":\"%s\"}}",
	    c->session, (long long)ec->timestamp_s, id);
	ec->webhooks = mem_new(sizeof(*ec->webhooks));
	ec->webhooks[0] = w->number;
	ec->event.deliveries = 1;
	stage(ec);
}
