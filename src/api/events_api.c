/* Events, looked at: what was published, and what became of it. publish_api.c takes them. */
#include "api/delivery_json.h"
#include "api/handlers.h"
#include "base/str.h"
#include "domain/json.h"

#define DELIVERIES_MAX 200              /* that are shown; the others are in the list */
#define DELIVERIES_BYTES (4u << 20)     /* the last one is that which passes this */
#define SHOWN_MAX (8u * EVENT_BODY_MAX) /* bytes of JSON, escapes included */

/* The body's timestamp, a number as it stands there; null where it cannot be read. */
static void put_timestamp(struct slice body, struct buf *out)
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
	buf_puts(out, "\"timestamp\":");
	buf_slice(out, found);
	json_fini(&r);
	buf_fini(&canonical);
}

static void put_head(const struct event *e, struct slice body, struct buf *out)
{
	char text[UUID_TEXT_SIZE];
	char stamp[STR_TIME_SIZE];
	uuid_format(&e->id, text);
	str_time(e->created_ms, stamp);
	buf_printf(out, "{\"id\":\"%s\",\"session_id\":\"%s\",\"event\":\"%s\",", text,
	    e->session, e->name);
	put_timestamp(body, out);
	buf_printf(out, ",\"created_at\":\"%s\",\"payload\":", stamp);
	buf_json(out, body);
	buf_printf(out, ",\"deliveries_count\":%u,\"deliveries\":[", e->deliveries);
}

static enum err put_deliveries(struct call *c, struct db_txn *txn, const struct event *e,
    struct buf *out)
{
	size_t start = out->len;
	size_t shown = 0;
	for (uint32_t n = 1; n <= e->deliveries && shown < DELIVERIES_MAX &&
	     out->len - start < DELIVERIES_BYTES;
	     n++) {
		struct uuid id;
		struct delivery d;
		uuid_step(&e->id, n, &id);
		enum err err = queue_get(txn, &id, &d);
		if (err == ERR_NOTFOUND || err == ERR_CORRUPT)
			continue; /* a damaged one: it is logged, and passed by */
		if (err == OK && shown++ > 0)
			buf_putc(out, ',');
		if (err == OK)
			err = delivery_put_json(&c->api->conf, txn, e, &d, out);
		if (err != OK)
			return err;
	}
	buf_puts(out, "]}");
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

static enum err write_event(struct call *c, struct buf *json)
{
	struct db_txn *txn = NULL;
	struct event e;
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	enum err err = db_read(c->api->conf.db, &txn);
	if (err != OK)
		return err;
	err = read_event(c, txn, &e, &body);
	if (err == OK) {
		put_head(&e, buf_view(&body), json);
		err = put_deliveries(c, txn, &e, json);
	}
	db_read_end(txn);
	buf_fini(&body);
	return err;
}

void handle_event_show(struct call *c)
{
	struct buf json = BUF_INIT(SHOWN_MAX);
	enum err err = write_event(c, &json);
	if (err == OK)
		call_reply(c, 200, &json);
	else
		call_fail_err(c, err);
	buf_fini(&json);
}
