/* Events, looked at: what was published, and what became of it. publish_api.c takes them. */
#include "api/delivery_json.h"
#include "api/handlers.h"
#include "domain/json.h"

#define DELIVERIES_MAX 200              /* that are shown; the others are in the list */
#define SHOWN_MAX (8u * EVENT_BODY_MAX) /* bytes of JSON, escapes included */

/* Writes the body's timestamp, a number as it stands there; null where it cannot be read. */
static void write_timestamp(struct slice body, struct json_writer *json)
{
	struct json_reader r;
	struct buf canonical = BUF_INIT(EVENT_BODY_MAX);
	const struct json_member *members = NULL;
	size_t count = 0;
	struct slice found = SLICE("null");
	json_init(&r, body);
	if (json_read_members(&r, &canonical, &members, &count) != OK)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		if (slice_eq(members[i].key, SLICE("timestamp")))
			found = members[i].value;
	}
	json_write_raw(json, "timestamp", found);
	json_fini(&r);
	buf_fini(&canonical);
}

static void write_head(const struct event *e, struct slice body, struct json_writer *json)
{
	uuid_write(json, "id", &e->id);
	json_write_cstr(json, "session_id", e->session);
	json_write_cstr(json, "event", e->name);
	write_timestamp(body, json);
	json_write_time(json, "created_at", e->created_ms);
	json_write_text(json, "payload", body);
	json_write_u64(json, "deliveries_count", e->deliveries);
}

static enum err write_deliveries(struct call *c, struct db_txn *txn, const struct event *e,
    struct json_writer *json)
{
	size_t start = json->out->len;
	size_t shown = 0;
	json_open_array(json, "deliveries");
	for (uint32_t n = 1; n <= e->deliveries && shown < DELIVERIES_MAX &&
	     json->out->len - start <= CALL_PAGE_BYTES;
	     n++) {
		struct uuid id;
		struct delivery d;
		uuid_step(&e->id, n, &id);
		enum err err = queue_get(txn, &id, &d);
		if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
			continue; /* a damaged one: it is logged, and passed by */
		if (err == OK && !call_sees(c, d.webhook))
			continue;
		if (err == OK)
			err = delivery_write(&c->api->conf, txn, e, &d, false, json);
		if (err != OK)
			return err;
		shown++;
	}
	json_close(json);
	return OK;
}

/* Reads the event of the path, if the call may see it. */
static enum err read_event(struct call *c, struct db_txn *txn, struct event *e,
    struct buf *body)
{
	enum err err = events_get(txn, &c->id, e, body);
	if (err != OK && err != ERR_NOTFOUND)
		return err;
	bool reached = err == OK && auth_reaches(c->token, slice_of(e->session)) &&
	    (c->session[0] == '\0' || strcmp(c->session, e->session) == 0);
	if (reached)
		return OK;
	return problem_set(&c->problem, ERR_NOTFOUND, "",
	    "no such event is kept: it went nowhere, is past its retention, or never was");
}

static enum err write_event(struct call *c, struct json_writer *json)
{
	struct db_txn *txn = NULL;
	struct event e;
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	enum err err = db_read(c->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = read_event(c, txn, &e, &body);
	if (err == OK) {
		json_open_object(json, NULL);
		write_head(&e, buf_view(&body), json);
		err = delivery_write_raw(txn, &e, json);
		if (err == OK)
			err = write_deliveries(c, txn, &e, json);
		if (err == OK)
			json_close(json);
	}
	db_read_end(txn);
	buf_fini(&body);
	return err;
}

void handle_event_show(struct call *c)
{
	struct buf text = BUF_INIT(SHOWN_MAX);
	struct json_writer json = JSON_WRITER(&text);
	enum err err = write_event(c, &json);
	if (err == OK)
		call_reply(c, 200, &json);
	else
		call_fail_err(c, err);
	buf_fini(&text);
}
