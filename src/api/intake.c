/* Envelopes into publications; see intake.h. */
#include "api/intake.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

#define BODIES_MAX                                                                             \
	(8u * EVENT_BODY_MAX) /* bytes: canonical numbers can be longer than they came */
#define WHERE_SIZE 32         /* "[9999]." and a NUL */
#define DELIVERY_BYTES 256    /* written for one delivery, about */

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

static enum err too_many(const char *what, unsigned most, struct problem *p)
{
	return problem_set(p, ERR_TOOBIG, "",
	    "a request may make at most %u %s; split the batch", most, what);
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
	char message[96];
	(void)snprintf(message, sizeof(message), "%s is over %s: at most %llu bytes", what,
	    setting, (unsigned long long)most);
	return refuse(ERR_TOOBIG, where, "", message, p);
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
	item->body_at = body_at;
	item->body_len = e->body.len;
	publication_match(&item->publication, conf->registry);
	in->deliveries += event->deliveries;
	if (in->deliveries > INTAKE_DELIVERIES_MAX)
		return too_many("deliveries", INTAKE_DELIVERIES_MAX, p);
	if (e->id[0] == '\0')
		return OK;
	/*
	 * conf->scratch still holds the envelope in canonical form: what a repeat must be
	 * equal to
	 */
	struct buf scope = BUF_INIT(SESSION_MAX + 8);
	buf_printf(&scope, "id:%s", e->session);
	idempotency_set(&item->key, buf_view(&scope), slice_of(e->id), buf_view(conf->scratch),
	    conf->now_ms + IDEMPOTENCY_MS);
	buf_fini(&scope);
	return OK;
}

static enum err read_item(struct intake *in, const struct intake_conf *conf,
    struct json_reader *r, const char *where, struct problem *p)
{
	struct envelope e;
	size_t body_at = in->bodies.len;
	size_t text_at = r->pos;
	if (in->count == INTAKE_EVENTS_MAX)
		return too_many("events", INTAKE_EVENTS_MAX, p);
	enum err err = envelope_read(r, conf->session, conf->now_ms / 1000, where,
	    conf->scratch, &in->bodies, &e, p);
	if (err != OK)
		return err;
	if (r->pos - text_at > conf->body_max)
		return too_large("an event", where, "max_body_bytes", conf->body_max, p);
	if (!auth_reaches(conf->token, slice_of(e.session)))
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

static enum err read_lines(struct intake *in, const struct intake_conf *conf, struct slice text,
    struct problem *p)
{
	enum err err = OK;
	in->is_batch = true;
	for (unsigned number = 1; err == OK && text.len > 0; number++) {
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
		if (item->key.expires_ms != 0)
			idgen_take(conf->ids, conf->now_ms, 1, &item->answer_id);
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
	return in->bodies.len + in->deliveries * DELIVERY_BYTES;
}

void intake_fini(struct intake *in)
{
	for (size_t i = 0; i < in->count; i++)
		publication_fini(&in->items[i].publication);
	free(in->items);
	buf_fini(&in->bodies);
	*in = (struct intake){0};
}
