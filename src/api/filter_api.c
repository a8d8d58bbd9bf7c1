/*
 * What a webhook's filter says of an event, one that is given or one that is kept. Nothing is
 * stored or sent. The filter is compiled anew for this: the registry's is in use by its
 * session.
 */
#include "api/handlers.h"
#include "base/clock.h"
#include "base/log.h"
#include "domain/envelope.h"
#include "store/events.h"

#define ANSWER_MAX                                                                             \
	(1u << 20) /* bytes; 64 leaves of 3 KiB and the names of events are below it */

/* The event in question. */
struct tested {
	char name[EVENT_MAX + 1];
	struct buf body; /* canonical */
};

/* Reads an event of the session that is kept. */
static enum err read_kept(struct call *c, const struct uuid *id, struct tested *t)
{
	struct db_txn *txn = NULL;
	struct event e;
	enum err err = db_read(c->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = events_get(txn, id, &e, &t->body);
	db_read_end(txn);
	if (err == ERR_NOTFOUND || (err == OK && strcmp(e.session, c->session) != 0))
		return problem_set(&c->problem, ERR_NOTFOUND, "event_id",
		    "no such event of this session is kept: it went nowhere, is past its "
		    "retention, or never was");
	if (err == OK)
		memcpy(t->name, e.name, sizeof(t->name));
	return err;
}

/*
 * Looks whether the body names an event that is kept: *id is the string, ptr NULL where it does
 * not. `text` has what it points into. The error is that of JSON that is none.
 */
static enum err find_id(struct call *c, struct buf *text, struct slice *id)
{
	struct json_reader r;
	const struct json_member *members = NULL;
	size_t count = 0;
	*id = (struct slice){0};
	json_init(&r, c->body);
	enum err err = json_read_members(&r, text, &members, &count);
	if (err == OK)
		err = json_read_end(&r);
	if (err != OK)
		(void)json_problem(&r, err, &c->problem); /* returns `err` */
	for (size_t i = 0; err == OK && i < count; i++) {
		if (!slice_eq(members[i].key, SLICE("event_id")))
			continue;
		*id = members[i].value;
		if (count > 1)
			err = problem_set(&c->problem, ERR_INVALID, "event_id",
			    "must stand alone: an event is kept, or it is given");
	}
	json_fini(&r);
	return err;
}

/* Reads the event of the body as a publisher would send it. */
static enum err read_given(struct call *c, struct tested *t)
{
	struct json_reader r;
	struct envelope e;
	json_init(&r, c->body);
	enum err err = envelope_read(&r, slice_of(c->session), clock_wall_ms() / 1000, "",
	    &c->api->scratch, &t->body, &e, &c->problem);
	json_fini(&r);
	if (err == OK)
		memcpy(t->name, e.event, sizeof(t->name));
	return err;
}

static enum err read_tested(struct call *c, struct tested *t)
{
	struct uuid id;
	struct slice given;
	struct buf text = BUF_INIT(EVENT_BODY_MAX);
	enum err err = find_id(c, &text, &given);
	if (err == OK && given.ptr == NULL)
		err = read_given(c, t);
	else if (err == OK &&
	    (given.len < 2 ||
		uuid_parse((struct slice){given.ptr + 1, given.len - 2}, &id) != OK))
		err = problem_set(&c->problem, ERR_INVALID, "event_id",
		    "must be the id of an event");
	else if (err == OK)
		err = read_kept(c, &id, t);
	buf_fini(&text);
	return err;
}

/* Writes what each leaf says; returns whether all of it matches. */
static bool write_leaves(const struct webhook *w, const struct tested *t,
    struct json_writer *json)
{
	struct filter *f = NULL;
	struct problem ignored;
	if (w->filter == NULL)
		return true;
	if (filter_compile(filter_json(w->filter), "filter", &f, &ignored) != OK)
		log_panic("a filter does not compile again");
	struct pointers *ps = pointers_new();
	struct buf decoded = BUF_INIT(EVENT_BODY_MAX);
	uint64_t steps = 0;
	filter_enter(f, ps);
	pointers_look(ps, buf_view(&t->body), &decoded);
	filter_explain(f, ps, json);
	bool is_match = filter_matches(f, ps, &steps);
	filter_leave(f, ps);
	filter_free(f);
	pointers_free(ps);
	buf_fini(&decoded);
	return is_match;
}

static void answer(struct call *c, const struct webhook *w, const struct tested *t)
{
	struct buf why = BUF_INIT(ANSWER_MAX);
	struct buf text = BUF_INIT(2 * ANSWER_MAX);
	struct json_writer list = JSON_WRITER(&why);
	struct json_writer json = JSON_WRITER(&text);
	bool is_wanted = webhook_wants(w, slice_of(t->name));
	json_open_array(&list, NULL);
	json_open_object(&list, NULL);
	json_write_cstr(&list, "field", "events");
	json_write_cstr(&list, "event", t->name);
	json_write_bool(&list, "matches", is_wanted);
	json_close(&list);
	bool is_match = write_leaves(w, t, &list) && is_wanted;
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
	const struct webhook *w = registry_find(c->api->conf.registry, slice_of(c->session),
	    &c->id);
	struct tested t = {.body = BUF_INIT(EVENT_BODY_MAX)};
	if (w == NULL) {
		call_fail(c, 404, "", "no such webhook in this session");
		return;
	}
	if (!call_has_json(c) || !call_read_body(c, c->api->conf.body_max))
		return;
	enum err err = read_tested(c, &t);
	if (err == OK)
		answer(c, w, &t);
	else
		call_fail_err(c, err);
	buf_fini(&t.body);
}
