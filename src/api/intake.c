/* How what publishers send becomes publications, if there is room for it; see intake.h. */
#include "api/intake.h"

#include <stdlib.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "domain/json.h"
#include "jobs/forgetter.h"
#include "store/retention.h"

#define BODIES_MAX (4u * EVENT_BODY_MAX) /* bytes: canonical numbers can be longer than given */
#define WHERE_SIZE 32                    /* "[9999]." and a NUL */
#define DELIVERY_BYTES 256               /* written for one delivery, about */
#define KEY_BYTES 4096 /* the same for an id: it falls into a page of its own */
#define FIELD_SIZE 40  /* "[9999].session_id" and a NUL */
#define MIB (1u << 20)

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

static enum err too_many_steps(const struct intake *in, struct problem *p)
{
	return problem_set(p, ERR_TOOBIG, "",
	    "its first %zu events take %llu steps of webhooks' filters, and a batch may take "
	    "at most %u; nothing of this was stored: split the batch",
	    in->count, (unsigned long long)in->steps, INTAKE_STEPS_MAX);
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
	struct intake_item *item = &in->items[in->count - 1];
	struct publication *p = &item->publication;
	const struct publication *before = in->count > 1 ? &in->items[in->count - 2].publication
							 : NULL;
	if (before != NULL && strcmp(before->event.name, p->event.name) == 0 &&
	    strcmp(before->event.session, p->event.session) == 0 &&
	    !registry_looks_inside(registry, slice_of(p->event.session)))
		publication_match_as(p, before);
	else
		item->steps = publication_match(p, registry);
	in->steps += item->steps;
	in->deliveries += p->event.deliveries;
}

/* Adds an event's JSON to the sum of the request. */
static void add_to_sum(struct intake *in, struct slice sorted)
{
	const struct slice parts[] = {{(const char *)in->sum, DIGEST_SIZE}, sorted};
	digest_of(parts, sizeof(parts) / sizeof(parts[0]), in->sum);
}

/*
 * Makes what repeats are known by: the key of an event with an "id", the sum of a request that
 * has a key. What a repeat must be equal to is the envelope's JSON, whatever the order of its
 * members: conf->scratch still has it in canonical form. Both digests lie in stores.
 */
static void take_keys(struct intake *in, const struct intake_conf *conf,
    const struct envelope *e, struct intake_item *item)
{
	struct buf sorted = BUF_INIT(conf->scratch->len);
	if (json_sort(buf_view(conf->scratch), &sorted) != OK)
		log_panic("canonical JSON cannot be read");
	if (conf->has_key)
		add_to_sum(in, buf_view(&sorted));
	if (e->id[0] != '\0')
		idempotency_set_own(&item->key, e->session, slice_of(e->id), buf_view(&sorted),
		    buf_view(conf->scratch), conf->now_ms + conf->key_ms);
	buf_fini(&sorted);
}

/* Takes over one event, and names its webhooks. */
static enum err take_event(struct intake *in, const struct intake_conf *conf,
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
	item->publication.body = e->body; /* moves, until stamp() */
	match(in, conf->registry);
	if (in->count > 1 && in->steps > INTAKE_STEPS_MAX)
		return too_many_steps(in, p);
	if (in->count > 1 && in->deliveries > INTAKE_DELIVERIES_MAX)
		return too_many_deliveries(in, p);
	return OK;
}

/* The same of an envelope that has been read, with its keys. */
static enum err take_envelope(struct intake *in, const struct intake_conf *conf,
    const struct envelope *e, size_t body_at, struct problem *p)
{
	enum err err = take_event(in, conf, e, body_at, p);
	if (err == OK && (conf->has_key || e->id[0] != '\0'))
		take_keys(in, conf, e, &in->items[in->count - 1]);
	return err;
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

/* Adds the trace that the request names to the bodies, once for all. */
static struct slice keep_trace(struct intake *in, const struct intake_conf *conf)
{
	char kept[TRACE_MAX];
	if (conf->traceparent.len == 0)
		return SLICE("");
	size_t n = trace_keep(conf->traceparent, conf->tracestate, kept);
	size_t at = in->bodies.len;
	if (n == 0)
		return SLICE("");
	if (!buf_reserve(&in->bodies, n)) { /* without it rather than not at all */
		in->bodies.failed = false;
		return SLICE("");
	}
	buf_append(&in->bodies, kept, n);
	return (struct slice){in->bodies.data + at, n};
}

/* The bodies do not move any more: points each publication at its own, and gives ids. */
static void stamp(struct intake *in, const struct intake_conf *conf)
{
	struct slice trace = keep_trace(in, conf);
	for (size_t i = 0; i < in->count; i++) {
		struct intake_item *item = &in->items[i];
		item->publication.body = (struct slice){in->bodies.data + item->body_at,
		    item->body_len};
		if (item->attached_len > 0)
			item->publication.attached = (struct slice){
			    in->bodies.data + item->attached_at, item->attached_len};
		item->publication.trace = trace;
		publication_stamp(&item->publication, conf->ids, conf->now_ms);
	}
}

enum err intake_read(struct intake *in, const struct intake_conf *conf, enum intake_form form,
    struct slice text, struct problem *p)
{
	*in = (struct intake){.bodies = BUF_INIT(BODIES_MAX)};
	if (form != INTAKE_ONE && text.len > conf->batch_max && text.len > conf->body_max)
		return too_large("the body", "", "max_batch_bytes", conf->batch_max, p);
	(void)buf_reserve(&in->bodies, text.len + EVENT_FRAME_MAX); /* mostly that is all */
	enum err err = form == INTAKE_NDJSON ? read_lines(in, conf, text, p)
					     : read_json(in, conf, form, text, p);
	if (err == OK)
		err = find_repeats(in, p);
	if (err == OK)
		stamp(in, conf);
	return err;
}

/* Writes the body of a source's event, and makes it an envelope like those that are read. */
static void make_envelope(const struct source_event *from, int64_t now_s, struct buf *bodies,
    struct envelope *out)
{
	size_t start = bodies->len;
	struct json_writer json = JSON_WRITER(bodies);
	*out = (struct envelope){.has_timestamp = from->has_timestamp,
	    .timestamp_s = from->has_timestamp ? from->timestamp_s : now_s};
	memcpy(out->session, from->session, sizeof(out->session));
	memcpy(out->event, from->event, sizeof(out->event));
	json_open_object(&json, NULL);
	json_write_cstr(&json, "session_id", out->session);
	json_write_cstr(&json, "event", out->event);
	json_write_i64(&json, "timestamp", out->timestamp_s);
	json_write_raw(&json, "data", buf_view(&from->data));
	json_close(&json);
	bodies->failed = !json_is_whole(&json);
	out->body = (struct slice){bodies->data + start, bodies->len - start};
}

enum err intake_add(struct intake *in, const struct intake_conf *conf,
    const struct source_event *e, struct slice scope, int64_t key_ms, struct problem *p)
{
	struct envelope made;
	size_t body_at = in->bodies.len;
	if (in->count == INTAKE_EVENTS_MAX)
		return too_many_events(p);
	make_envelope(e, conf->now_ms / 1000, &in->bodies, &made);
	if (in->bodies.failed || made.body.len > conf->body_max + EVENT_FRAME_MAX)
		return too_large("an event in its canonical form", "", "max_body_bytes",
		    conf->body_max, p);
	enum err err = take_event(in, conf, &made, body_at, p);
	if (err == OK)
		in->items[in->count - 1].missed = e->missed;
	if (err == OK && key_ms > 0)
		/* the same id is the same event, whatever else is said of it */
		idempotency_set(&in->items[in->count - 1].key, scope, buf_view(&e->id),
		    SLICE(""), SLICE(""), conf->now_ms + key_ms);
	return err;
}

enum err intake_attach(struct intake *in, const struct attachment *a, struct problem *p)
{
	struct intake_item *last = &in->items[in->count - 1];
	last->attached_at = in->bodies.len;
	attachment_encode(a, &in->bodies);
	if (in->bodies.failed || a->body.len > EVENT_GIVEN_MAX)
		return too_large("what is passed on of the request", "", "max_body_bytes",
		    EVENT_GIVEN_MAX, p);
	last->attached_len = in->bodies.len - last->attached_at;
	return OK;
}

void intake_cut(struct intake *in, size_t count, size_t bytes)
{
	while (in->count > count) {
		struct intake_item *last = &in->items[--in->count];
		in->deliveries -= last->publication.event.deliveries;
		in->steps -= last->steps;
		publication_fini(&last->publication);
	}
	in->bodies.len = bytes;
	in->bodies.failed = false;
}

enum err intake_finish(struct intake *in, const struct intake_conf *conf, struct problem *p)
{
	enum err err = find_repeats(in, p);
	in->is_batch = in->count != 1;
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
	item->publication.body = body; /* moves, in stamp() */
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

/* Whether there is room for it */

/* What a taker would hold more. */
struct more {
	uint64_t bytes;
	uint64_t deliveries;
};

/* A session of the request. */
struct part {
	size_t item;      /* its first */
	uint64_t waiting; /* before the request */
	uint64_t own;     /* deliveries to its own webhooks, by its events so far */
	struct more more; /* by its events so far, as far as it pays for them */
};

static struct part *take_part(struct map *parts, const struct quota *q, const struct intake *in,
    size_t item)
{
	const char *session = in->items[item].publication.event.session;
	size_t len = strlen(session);
	struct part *part = map_get(parts, session, len);
	if (part != NULL)
		return part;
	part = mem_new(sizeof(*part));
	part->item = item;
	if (q->most > 0)
		part->waiting = backlog_of_session(q->backlog, q->registry, slice_of(session));
	map_put(parts, session, len, part);
	return part;
}

/* What an event would count for, its own key included. */
static uint64_t item_bytes(const struct intake_item *item)
{
	uint64_t bytes = item->key.expires_ms == 0 ? 0 : IDEMPOTENCY_COST;
	if (item->publication.event.deliveries > 0)
		bytes += event_cost(&item->publication.event);
	return bytes;
}

/* Those to webhooks for all sessions wait in the queues of these, which are no session's. */
static uint64_t own_deliveries(const struct publication *p)
{
	return p->event.deliveries - publication_for_all(p);
}

/* Of the deliveries of an event those that `owner` pays for. */
static uint64_t paid_by(const struct publication *p, struct slice owner)
{
	uint64_t n = 0;
	struct slice session = slice_of(p->event.session);
	for (uint32_t i = 0; i < p->event.deliveries; i++)
		n += slice_eq(webhook_owner(p->targets[i].webhook, session), owner) ? 1 : 0;
	return n;
}

/* Adds what `owner` would hold of an event (event_charge()). */
static void add_event(struct more *more, const struct publication *p, struct slice owner)
{
	uint64_t deliveries = paid_by(p, owner);
	more->deliveries += deliveries;
	more->bytes += deliveries > 0 ? event_cost(&p->event) : 0;
}

static uint64_t key_bytes(const struct intake *in, bool has_key)
{
	return has_key && in->count > 0 ? IDEMPOTENCY_COST + IDEMPOTENCY_RUN * (in->count - 1)
					: 0;
}

static uint64_t request_bytes(const struct intake *in, bool has_key)
{
	uint64_t bytes = key_bytes(in, has_key);
	for (size_t i = 0; i < in->count; i++)
		bytes += in->items[i].repeated ? 0 : item_bytes(&in->items[i]);
	return bytes;
}

static void name_field(const struct intake *in, size_t item, char field[FIELD_SIZE])
{
	field[0] = '\0';
	if (in->is_batch)
		(void)snprintf(field, FIELD_SIZE, "[%zu].session_id", item);
}

static enum err refuse_queue(const struct quota *q, const struct intake *in, size_t item,
    const struct part *part, struct problem *p)
{
	char field[FIELD_SIZE];
	name_field(in, item, field);
	return problem_set(p, ERR_FULL, field,
	    "session %s has %llu deliveries waiting, and max_queue_per_session allows %llu; "
	    "nothing of this was stored",
	    in->items[item].publication.event.session, (unsigned long long)part->waiting,
	    (unsigned long long)q->most);
}

/* Bytes as MiB with a tenth. */
struct amount {
	unsigned long long whole;
	unsigned tenths;
};

static struct amount amount_of(uint64_t bytes)
{
	return (struct amount){bytes / MIB, (unsigned)(bytes % MIB * 10 / MIB)};
}

enum err intake_refuse_share(const struct quota *q, struct slice session, const char *field,
    struct problem *p)
{
	struct holding h = usage_of(q->usage, session);
	struct amount open = amount_of(h.n[USAGE_OPEN]);
	struct amount keys = amount_of(h.n[USAGE_KEYS]);
	uint64_t waiting = backlog_of_session(q->backlog, q->registry, session);
	struct amount reserve = amount_of(waiting * USAGE_LETTER);
	char who[SESSION_MAX + 16] = "the webhooks for all sessions have their";
	if (!slice_eq(session, SLICE(SESSION_ALL)))
		(void)snprintf(who, sizeof(who), "session %.*s has its", (int)session.len,
		    session.ptr);
	usage_note_refusal(q->usage, session);
	return problem_set(p, ERR_FULL, field,
	    "%s share of the store: %llu.%u MiB of events that are not over "
	    "(%llu deliveries waiting, %llu dead letters), %llu.%u MiB of idempotency keys, "
	    "and %llu.%u MiB kept for the dead letters that those waiting may become; "
	    "mend or delete the webhooks that fail, replay or drop the dead letters, or wait; "
	    "nothing of this was stored",
	    who, open.whole, open.tenths, (unsigned long long)waiting,
	    (unsigned long long)h.n[USAGE_LETTERS], keys.whole, keys.tenths, reserve.whole,
	    reserve.tenths);
}

/* Adds up event by event. */
static enum err add_items(const struct quota *q, const struct intake *in, bool has_key,
    struct map *parts, struct problem *p)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct intake_item *item = &in->items[i];
		struct part *part = take_part(parts, q, in, i);
		part->more.bytes += i == 0 ? key_bytes(in, has_key) : 0;
		if (item->repeated)
			continue;
		part->more.bytes += item->key.expires_ms == 0 ? 0 : IDEMPOTENCY_COST;
		add_event(&part->more, &item->publication,
		    slice_of(item->publication.event.session));
		part->own += own_deliveries(&item->publication);
		if (q->most > 0 && part->own > 0 && part->waiting + part->own > q->most)
			return refuse_queue(q, in, i, part, p);
	}
	return OK;
}

/* One look at all sessions of a request. */
struct look {
	const struct quota *quota;
	const struct intake *intake;
	struct problem *problem;
	enum err err;
};

/* Whether a session may hold what the request would add. */
static void check_share(void *value, void *arg)
{
	struct look *l = arg;
	const struct part *part = value;
	char field[FIELD_SIZE];
	struct slice session = slice_of(l->intake->items[part->item].publication.event.session);
	if (l->err != OK)
		return;
	l->err = usage_allows(l->quota->usage, session, part->more.bytes,
	    part->more.deliveries);
	if (l->err != ERR_FULL)
		return;
	name_field(l->intake, part->item, field);
	l->err = intake_refuse_share(l->quota, session, field, l->problem);
}

/*
 * Whether the store has room for what would wait for the webhooks for all sessions. That these
 * have their share is no reason for a refusal: publication_write() gives those deliveries up.
 */
static enum err check_for_all(const struct quota *q, const struct intake *in)
{
	struct more more = {0};
	for (size_t i = 0; i < in->count; i++) {
		if (!in->items[i].repeated)
			add_event(&more, &in->items[i].publication, SLICE(SESSION_ALL));
	}
	return usage_allows(q->usage, SLICE(SESSION_ALL), more.bytes, more.deliveries) ==
		ERR_NOSPACE
	    ? ERR_NOSPACE
	    : OK;
}

static enum err check_sessions(const struct quota *q, const struct intake *in, bool has_key,
    struct problem *p)
{
	struct map *parts = map_new();
	struct look look = {.quota = q, .intake = in, .problem = p};
	look.err = add_items(q, in, has_key, parts, p);
	map_each(parts, check_share, &look);
	map_free_all(parts);
	return look.err == OK ? check_for_all(q, in) : look.err;
}

/* Whether nobody is near any limit, whatever the request: the usual case, cheap. */
static bool has_room(const struct quota *q, const struct intake *in, uint64_t bytes)
{
	if (q->most > 0 && backlog_total(q->backlog) + in->deliveries > q->most)
		return false;
	return usage_allows_any(q->usage, bytes, in->deliveries);
}

/* How many idempotency keys a request would write. */
static uint64_t count_keys(const struct intake *in, bool has_key)
{
	uint64_t keys = has_key ? 1 : 0;
	for (size_t i = 0; i < in->count; i++)
		keys += in->items[i].repeated || in->items[i].key.expires_ms == 0 ? 0 : 1;
	return keys;
}

/* Lets history go where there is no room beside it. */
static enum err make_room(const struct quota *q, struct db_txn *txn, uint64_t bytes,
    uint64_t keys)
{
	if (keys > 1 && !usage_may_copy(q->usage, keys))
		return ERR_NOSPACE;
	if (usage_lacks(q->usage, bytes) == 0)
		return OK;
	enum err err = retention_make_room(txn, bytes);
	if (err == OK && usage_lacks(q->usage, bytes) > 0)
		err = ERR_NOSPACE;
	return err;
}

/* Whether no session of the request is being deleted, which it would not outlast. */
static enum err check_closed(const struct quota *q, const struct intake *in, struct problem *p)
{
	char field[FIELD_SIZE];
	if (usage_closed(q->usage) == 0)
		return OK;
	for (size_t i = 0; i < in->count; i++) {
		const char *session = in->items[i].publication.event.session;
		if (!usage_is_closed(q->usage, slice_of(session)))
			continue;
		name_field(in, i, field);
		return problem_set(p, ERR_CONFLICT, field, FORGETTER_REFUSAL);
	}
	return OK;
}

enum err intake_admit(const struct intake *in, const struct quota *q, struct db_txn *txn,
    bool has_key, struct problem *p)
{
	uint64_t bytes = request_bytes(in, has_key);
	enum err err = check_closed(q, in, p);
	if (err != OK || bytes == 0)
		return err;
	if (!has_room(q, in, bytes))
		err = check_sessions(q, in, has_key, p);
	return err == OK ? make_room(q, txn, bytes, count_keys(in, has_key)) : err;
}

void intake_fini(struct intake *in)
{
	for (size_t i = 0; i < in->count; i++)
		publication_fini(&in->items[i].publication);
	free(in->items);
	buf_fini(&in->bodies);
	*in = (struct intake){0};
}
