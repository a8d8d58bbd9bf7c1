/*
 * Publishing: reads one envelope, matches it against the session's webhooks, and
 * stages one operation that writes the event once and a delivery for each match.
 */
#include "api/handlers.h"
#include "base/clock.h"
#include "domain/envelope.h"
#include "store/publication.h"

#define ANSWER_MAX 4096 /* bytes */

struct publish_call {
	struct call call; /* first */
	struct publication publication;
	int64_t timestamp_s;
	struct buf body;
};

const size_t PUBLISH_CALL_SIZE = sizeof(struct publish_call);

void release_publish(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	buf_fini(&pc->body);
	publication_fini(&pc->publication);
}

static enum err apply_publish(struct op *op, struct db_txn *txn)
{
	return publication_write(txn, &((struct publish_call *)op)->publication);
}

static void answer(struct publish_call *pc)
{
	char id[UUID_TEXT_SIZE];
	struct buf json = BUF_INIT(ANSWER_MAX);
	uuid_format(&pc->publication.event.id, id);
	buf_printf(&json,
	    "{\"id\":\"%s\",\"session_id\":\"%s\",\"event\":\"%s\",\"timestamp\":%lld,"
	    "\"deliveries\":%u}",
	    id, pc->publication.event.session, pc->publication.event.name, (long long)pc->timestamp_s,
	    pc->publication.event.deliveries);
	call_reply(&pc->call, 202, &json);
	buf_fini(&json);
}

static void done_publish(struct op *op, enum err result)
{
	struct publish_call *pc = (struct publish_call *)op;
	const struct publication *p = &pc->publication;
	const struct api_hooks *hooks = &pc->call.api->conf.hooks;
	if (result != OK) {
		call_fail_err(&pc->call, result);
		return;
	}
	for (uint32_t n = 0; n < p->event.deliveries; n++) {
		struct queue_place place = publication_place(p, n);
		hooks->queued(hooks->arg, p->webhooks[n], &place);
	}
	answer(pc);
}

/* Gives the event its id and stages it; one that nobody wants has nothing to be stored. */
static void stage(struct publish_call *pc)
{
	struct publication *p = &pc->publication;
	p->body = buf_view(&pc->body);
	publication_stamp(p, pc->call.api->conf.ids, clock_wall_ms());
	if (p->event.deliveries == 0)
		answer(pc);
	else
		call_stage(&pc->call, apply_publish, done_publish);
}

static enum err read_envelope(struct publish_call *pc, struct slice body)
{
	struct call *c = &pc->call;
	struct json_reader r;
	struct envelope envelope;
	pc->body = BUF_INIT(EVENT_BODY_MAX);
	json_init(&r, body);
	enum err err = envelope_read(&r, slice_of(c->session), clock_wall_ms() / 1000, "",
	    &c->api->scratch, &pc->body, &envelope, &c->problem);
	if (err == OK || err == ERR_INVALID) { /* malformed text comes before a field's fault */
		enum err end = json_read_end(&r);
		if (end != OK)
			err = json_problem(&r, end, &c->problem);
	}
	json_fini(&r);
	if (err != OK)
		return err;
	memcpy(pc->publication.event.session, envelope.session, sizeof(pc->publication.event.session));
	memcpy(pc->publication.event.name, envelope.event, sizeof(pc->publication.event.name));
	pc->timestamp_s = envelope.timestamp_s;
	return auth_reaches(c->token, slice_of(pc->publication.event.session)) ? OK : ERR_REFUSED;
}

void handle_publish(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
	struct slice body = http_body(c->http);
	if (!call_has_json(c))
		return;
	if (body.len > c->api->conf.body_max) {
		call_fail(c, 413, "", "the body is over max_body_bytes");
		return;
	}
	enum err err = read_envelope(pc, body);
	if (err == OK && !c->api->conf.health->has_room)
		err = ERR_NOSPACE;
	if (err != OK) {
		call_fail_err(c, err);
		return;
	}
	publication_match(&pc->publication, c->api->conf.registry);
	stage(pc);
}

void handle_test(struct call *c)
{
	struct publish_call *pc = (struct publish_call *)c;
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
	pc->timestamp_s = clock_wall_ms() / 1000;
	memcpy(pc->publication.event.session, c->session, sizeof(pc->publication.event.session));
	memcpy(pc->publication.event.name, "test", sizeof("test"));
	pc->body = BUF_INIT(ANSWER_MAX);
	buf_printf(&pc->body,
	    "{\"session_id\":\"%s\",\"event\":\"test\",\"timestamp\":%lld,"
	    "\"data\":{\"webhook_id\":\"%s\"}}",
	    c->session, (long long)pc->timestamp_s, id);
	publication_address(&pc->publication, w->number);
	stage(pc);
}
