/* How a request becomes events; see source.h. */
#include <stdlib.h>

#include "base/str.h"
#include "domain/envelope.h"
#include "domain/instant.h"
#include "domain/json_walk.h"
#include "domain/source_inner.h"
#include "domain/url_form.h"

#define DEFAULT_SESSION "default"
#define DEFAULT_EVENT "unknown"

/* Appends the `n`th segment of a path, from 1. */
static void put_segment(struct slice path, unsigned n, struct buf *out)
{
	struct slice segment = {0};
	for (unsigned i = 0; i < n; i++)
		segment = slice_cut(&path, '/');
	if (segment.len > 0)
		url_decode(segment, false, out);
}

/* Appends a value of the body as a text: that of a string, the literal of a number or word. */
static void put_body(const struct json_pointer *p, struct slice item, struct buf *out)
{
	struct slice value = json_pointer_find(p, item);
	bool is_text = json_text_of(value, out);
	if (!is_text && value.ptr != NULL && !json_is_object(value) && !json_is_array(value) &&
	    !slice_eq(value, SLICE("null")))
		buf_slice(out, value);
}

/* Where the four values of a plan are; their order is that of source_event's parameters. */
enum value { VALUE_SESSION, VALUE_EVENT, VALUE_ID, VALUE_TIME };

static const struct source_value *value_of(const struct source_plan *plan, enum value which)
{
	const struct source_value *const all[SOURCE_VALUES] = {&plan->session, &plan->event,
	    &plan->event_id, &plan->timestamp};
	return all[which];
}

/* Looks the query's parameters up, once for all items: there may be thousands of both. */
static void find_parameters(const struct source_plan *plan, const struct arrival *a,
    struct source_event *out)
{
	out->has_parameters = true;
	for (size_t i = 0; i < SOURCE_VALUES; i++) {
		const struct source_value *v = value_of(plan, (enum value)i);
		out->parameters[i] = BUF_INIT(a->query.len);
		if (v->from == FROM_QUERY)
			url_form_find(a->query, slice_of(v->text), &out->parameters[i]);
	}
}

/* Appends the value; nothing where there is none, or it is over the buffer's limit. */
static void put_value(const struct source_plan *plan, enum value which, const struct arrival *a,
    struct slice item, const struct source_event *event, struct buf *out)
{
	const struct source_value *v = value_of(plan, which);
	size_t start = out->len;
	if (v->from == FROM_TEXT)
		buf_puts(out, v->text);
	else if (v->from == FROM_BODY)
		put_body(v->pointer, item, out);
	else if (v->from == FROM_HEADER)
		buf_slice(out, slice_trim(a->header(a->request, v->text)));
	else if (v->from == FROM_QUERY)
		buf_slice(out, buf_view(&event->parameters[which]));
	else if (v->from == FROM_PATH)
		put_segment(a->path, v->segment, out);
	else if (v->from == FROM_SUBJECT)
		buf_slice(out, subject_take(slice_of(v->text), a->subject));
	if (out->failed) {
		out->len = start;
		out->failed = false;
	}
}

/* Reads a time; false where there is none that can be one of an envelope's. */
static bool read_time(struct slice text, enum time_unit unit, int64_t *out_s)
{
	int64_t ms = 0;
	uint64_t n = 0;
	if (unit == UNIT_ISO) {
		bool good = instant_parse(text, &ms) == OK;
		*out_s = ms / 1000;
		return good;
	}
	struct slice whole = slice_cut(&text, '.'); /* 1700000000.5 */
	if (str_u64(whole, &n) != OK)
		return false;
	n /= unit == UNIT_MS ? 1000 : 1;
	*out_s = (int64_t)n;
	return n <= (uint64_t)ENVELOPE_TIME_MAX;
}

/* Appends what becomes the data: the whole, where it is not where it should be. */
static void put_data(const struct source_plan *plan, struct slice item, struct buf *out)
{
	struct slice data = plan->data == NULL ? item : json_pointer_find(plan->data, item);
	buf_slice(out, data.ptr == NULL ? item : data);
}

static void map_data(const struct source_plan *plan, struct slice item, struct buf *out)
{
	struct buf kept = BUF_INIT(out->max);
	if (plan->drops == 0) {
		put_data(plan, item, out);
		return;
	}
	json_pointer_leave_out(plan->drop, plan->drops, item, &kept);
	put_data(plan, buf_view(&kept), out);
	buf_fini(&kept);
}

static void map_names(const struct source_plan *plan, const struct arrival *a,
    struct slice item, struct source_event *out)
{
	struct buf text = BUF_INIT(SOURCE_ID_MAX);
	put_value(plan, VALUE_SESSION, a, item, out, &text);
	if (!name_put_session(buf_view(&text), out->session)) {
		out->missed = plan->session.from != FROM_NOTHING;
		memcpy(out->session, DEFAULT_SESSION, sizeof(DEFAULT_SESSION));
	}
	buf_reset(&text);
	put_value(plan, VALUE_EVENT, a, item, out, &text);
	if (!name_put_event(buf_view(&text), out->event)) {
		out->missed = out->missed || plan->event.from != FROM_NOTHING;
		memcpy(out->event, DEFAULT_EVENT, sizeof(DEFAULT_EVENT));
	}
	buf_reset(&text);
	put_value(plan, VALUE_TIME, a, item, out, &text);
	out->has_timestamp = read_time(buf_view(&text), plan->unit, &out->timestamp_s);
	buf_fini(&text);
}

/*
 * What repeats have in common: their id, and unless that alone tells events apart, their event;
 * without an id all that they say, where it goes on raw to the byte.
 */
static void map_id(const struct source_plan *plan, const struct arrival *a, struct slice item,
    struct source_event *out)
{
	struct buf id = BUF_INIT(SOURCE_ID_MAX);
	put_value(plan, VALUE_ID, a, item, out, &id);
	bool has_id = id.len > 0;
	buf_slice(&out->id, has_id ? buf_view(&id) : plan->is_raw ? a->body : item);
	buf_fini(&id);
	if (!has_id || !plan->by_id) {
		buf_putc(&out->id, '\0');
		buf_puts(&out->id, out->event);
	}
	buf_putc(&out->id, '\0');
	buf_puts(&out->id, out->session);
}

void source_map(const struct source *s, const struct arrival *a, struct slice item,
    struct source_event *out)
{
	const struct source_plan *plan = s->plan;
	out->missed = false;
	if (!out->has_parameters)
		find_parameters(plan, a, out);
	buf_reset(&out->data);
	buf_reset(&out->id);
	map_names(plan, a, item, out);
	map_id(plan, a, item, out);
	map_data(plan, item, &out->data);
}

void source_event_fini(struct source_event *e)
{
	buf_fini(&e->data);
	buf_fini(&e->id);
	for (size_t i = 0; i < SOURCE_VALUES; i++)
		buf_fini(&e->parameters[i]);
}

struct splitting {
	bool (*fn)(void *arg, struct slice item);
	void *arg;
	bool found;
};

static bool take_item(void *arg, struct slice item)
{
	struct splitting *sp = arg;
	sp->found = true;
	return sp->fn(sp->arg, item);
}

void source_split(const struct source *s, struct slice body,
    bool (*fn)(void *arg, struct slice item), void *arg)
{
	struct splitting sp = {fn, arg, false};
	if (s->plan->split != NULL)
		json_pointer_each(s->plan->split, body, take_item, &sp);
	if (!sp.found)
		(void)fn(arg, body);
}
