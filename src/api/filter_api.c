/*
 * What a webhook's filter says of an event, one that is given or one that is kept. Nothing is
 * stored or sent. The filter is compiled anew for this: the registry's is in use by its
 * session.
 */
#include "api/handlers.h"
#include "base/clock.h"
#include "domain/envelope.h"
#include "domain/json_scan.h"
#include "store/events.h"

#define ANSWER_MAX                                                                             \
	(1u << 20) /* bytes; 64 leaves of 3 KiB and the names of events are below it */

/* What is asked. */
struct tested {
	char name[EVENT_MAX + 1]; /* of the event */
	struct buf body;          /* the same, canonical */
	struct filter *filter;    /* NULL: none */
	struct buf text;          /* the request, canonical */
	struct slice id;          /* of an event that is kept; ptr NULL: the request has one */
	struct slice condition;   /* in place of the webhook's; ptr NULL: that one */
};

static void free_tested(struct tested *t)
{
	buf_fini(&t->body);
	buf_fini(&t->text);
	filter_free(t->filter);
}

/* The session that the event is of; empty where the webhook is for all: any. */
static struct slice session_of(const struct call *c)
{
	return call_is_for_all(c) ? SLICE("") : slice_of(c->session);
}

/* Reads an event of the session that is kept. */
static enum err read_kept(struct call *c, const struct uuid *id, struct tested *t)
{
	struct db_txn *txn = NULL;
	struct event e;
	struct slice session = session_of(c);
	enum err err = db_read(c->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = events_get(txn, id, &e, &t->body);
	db_read_end(txn);
	if (err == ERR_NOTFOUND ||
	    (err == OK && session.len > 0 && !slice_eq(slice_of(e.session), session)))
		return problem_set(&c->problem, ERR_NOTFOUND, "event_id",
		    "no such event%s is kept: it went nowhere, is past its retention, or never "
		    "was",
		    call_is_for_all(c) ? "" : " of this session");
	if (err == OK)
		memcpy(t->name, e.name, sizeof(t->name));
	return err;
}

static enum err refuse_beside(struct call *c)
{
	return problem_set(&c->problem, ERR_INVALID, "event_id",
	    "beside event_id there may be filter alone: an event is kept, or it is given");
}

/* Takes the members of a request about an event that is kept. */
static enum err take_members(struct call *c, const struct json_member *members, size_t count,
    struct tested *t)
{
	size_t known = 0;
	for (size_t i = 0; i < count; i++) {
		bool is_id = slice_eq(members[i].key, SLICE("event_id"));
		bool is_filter = slice_eq(members[i].key, SLICE("filter"));
		if (is_id)
			t->id = members[i].value;
		if (is_filter)
			t->condition = members[i].value;
		known += is_id || is_filter ? 1 : 0;
	}
	if (t->id.ptr == NULL)
		t->condition = (struct slice){0}; /* is the event's own */
	return t->id.ptr != NULL && known < count ? refuse_beside(c) : OK;
}

/* Looks whether the body names an event that is kept. ERR_SYNTAX for no JSON, ERR_INVALID. */
static enum err read_request(struct call *c, struct tested *t)
{
	struct json_reader r;
	const struct json_member *members = NULL;
	size_t count = 0;
	json_init(&r, c->body);
	enum err err = json_read_members(&r, &t->text, &members, &count);
	if (err == OK)
		err = json_read_end(&r);
	if (err == OK)
		err = take_members(c, members, count, t);
	else
		(void)json_problem(&r, err, &c->problem); /* returns `err` */
	json_fini(&r);
	return err;
}

/* Reads the event of the body as a publisher would send it. */
static enum err read_given(struct call *c, struct tested *t)
{
	struct json_reader r;
	struct envelope e;
	json_init(&r, c->body);
	enum err err = envelope_read(&r, session_of(c), clock_wall_ms() / 1000, "",
	    &c->api->scratch, &t->body, &e, &c->problem);
	json_fini(&r);
	if (err == OK)
		memcpy(t->name, e.event, sizeof(t->name));
	return err;
}

static enum err read_event(struct call *c, struct tested *t)
{
	struct uuid id;
	if (t->id.ptr == NULL)
		return read_given(c, t);
	if (uuid_parse(json_inside(t->id), &id) != OK)
		return problem_set(&c->problem, ERR_INVALID, "event_id",
		    "must be the id of an event");
	return read_kept(c, &id, t);
}

/* Compiles the filter of the request, or the webhook's. */
static enum err read_filter(struct call *c, const struct webhook *w, struct tested *t)
{
	struct slice json = t->condition;
	if (json.ptr == NULL && w->filter != NULL)
		json = filter_json(w->filter);
	if (json.ptr == NULL || slice_eq(json, SLICE("null")))
		return OK;
	return filter_compile(json, "filter", &t->filter, &c->problem);
}

/* Writes what each leaf says; returns whether all of it matches. */
static bool write_leaves(struct tested *t, struct json_writer *json)
{
	if (t->filter == NULL)
		return true;
	struct pointers *ps = pointers_new();
	struct buf decoded = BUF_INIT(EVENT_BODY_MAX);
	uint64_t steps = 0;
	filter_enter(t->filter, ps);
	pointers_look(ps, buf_view(&t->body), &decoded);
	filter_explain(t->filter, ps, json);
	bool is_match = filter_matches(t->filter, ps, &steps);
	filter_leave(t->filter, ps);
	pointers_free(ps);
	buf_fini(&decoded);
	return is_match;
}

static void answer(struct call *c, const struct webhook *w, struct tested *t)
{
	struct buf why = BUF_INIT(ANSWER_MAX);
	struct buf text = BUF_INIT(2 * ANSWER_MAX);
	struct json_writer list = JSON_WRITER(&why);
	struct json_writer json = JSON_WRITER(&text);
	bool is_wanted = name_is_covered(slice_of(t->name), w->events, w->event_count);
	json_open_array(&list, NULL);
	json_open_object(&list, NULL);
	json_write_cstr(&list, "field", "events");
	json_write_cstr(&list, "event", t->name);
	json_write_bool(&list, "matches", is_wanted);
	json_close(&list);
	bool is_match = write_leaves(t, &list) && is_wanted;
	json_close(&list);
	json_expect_whole(&list);
	json_open_object(&json, NULL);
	json_write_bool(&json, "matches", is_match);
	json_write_bool(&json, "enabled", w->enabled);
	json_write_raw(&json, "why", buf_view(&why));
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&why);
	buf_fini(&text);
}

void handle_filter_test(struct call *c)
{
	const struct webhook *w = call_find_webhook(c);
	struct tested t = {.body = BUF_INIT(EVENT_BODY_MAX), .text = BUF_INIT(EVENT_BODY_MAX)};
	if (w == NULL)
		return;
	if (!call_has_json(c) || !call_read_body(c, c->api->conf.body_max))
		return;
	enum err err = read_request(c, &t);
	if (err == OK)
		err = read_filter(c, w, &t);
	if (err == OK)
		err = read_event(c, &t);
	if (err == OK)
		answer(c, w, &t);
	else
		call_fail_err(c, err);
	free_tested(&t);
}
