/* A source's settings: laid over a preset's or the former ones, and read into a plan. */
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "domain/header.h"
#include "domain/json.h"
#include "domain/json_walk.h"
#include "domain/members.h"
#include "domain/source_inner.h"
#include "domain/source_preset.h"
#include "domain/webhook_mask.h"

#define STREAM_PRESET "waxum-nats" /* of a source of type nats that names none */
#define RETENTION_DEFAULT_MS (24LL * 3600 * 1000)
#define LITERAL_MAX 256 /* bytes of a value that is given as such */
#define TOKEN_MAX 256   /* bytes of a verify_token */
#define SEGMENT_MAX 16  /* of a path */

/* All members, in the order in which they are kept and shown. */
#define MEMBERS                                                                                \
	"name preset type enabled session event event_id timestamp data split drop form "      \
	"challenge verify_token body raw_headers id_scope id_retention "                       \
	"verify " SOURCE_NATS_MEMBERS
#define DOOR_MEMBERS "form challenge verify_token body raw_headers verify"

static void free_value(struct source_value *v)
{
	free(v->text);
	json_pointer_free(v->pointer);
}

void source_plan_free(struct source_plan *plan)
{
	if (plan == NULL)
		return;
	free(plan->name);
	free(plan->preset);
	free(plan->refused);
	source_nats_free(plan->nats);
	verify_free(plan->verify);
	free_value(&plan->session);
	free_value(&plan->event);
	free_value(&plan->event_id);
	free_value(&plan->timestamp);
	json_pointer_free(plan->data);
	json_pointer_free(plan->split);
	for (size_t i = 0; i < plan->drops; i++)
		json_pointer_free(plan->drop[i]);
	for (size_t i = 0; i < plan->raw_header_count; i++)
		free(plan->raw_headers[i]);
	free(plan->form);
	mem_forget(plan->verify_token);
	free(plan);
}

static struct json_pointer *take_pointer(struct members *m, const char *name)
{
	char *text = members_get(m, name).ptr == NULL ||
		slice_eq(members_get(m, name), SLICE("\"\""))
	    ? mem_copy("", 0)
	    : members_text(m, name, JSON_POINTER_MAX);
	struct json_pointer *p = text == NULL ? NULL : json_pointer_new(slice_of(text));
	if (p == NULL)
		members_refuse(m, name, "a JSON Pointer such as \"/data/id\"");
	free(text);
	return p;
}

#define VALUE_ALLOWED                                                                          \
	"a string, or an object with one of body (a JSON Pointer), header, query, path, subject"

static void read_segment(struct members *m, struct source_value *out)
{
	uint64_t n = 0;
	if (str_u64(members_get(m, "path"), &n) != OK || n < 1 || n > SEGMENT_MAX)
		members_refuse(m, "path", "a number from 1 to 16: a segment behind the door");
	out->segment = (unsigned)n;
}

/* Reads the object of a value; `allowed` names its members. */
static void read_place(struct members *m, struct source_value *out, const char *allowed)
{
	static const char *const NAMES[] = {"body", "header", "query", "path", "subject"};
	static const enum value_from FROM[] = {FROM_BODY, FROM_HEADER, FROM_QUERY, FROM_PATH,
	    FROM_SUBJECT};
	const char *name = "";
	size_t count = 0;
	members_allow(m, allowed);
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (members_get(m, NAMES[i]).ptr != NULL) {
			out->from = FROM[i];
			name = NAMES[i];
			count++;
		}
	}
	if (count != 1)
		members_refuse(m, "", "given once: " VALUE_ALLOWED);
	else if (out->from == FROM_BODY)
		out->pointer = take_pointer(m, "body");
	else if (out->from == FROM_PATH)
		read_segment(m, out);
	else
		out->text = members_text(m, name,
		    out->from == FROM_SUBJECT ? NATS_SUBJECT_MAX : HEADER_NAME_MAX);
	if (out->from == FROM_SUBJECT && out->text != NULL &&
	    !subject_is_template(slice_of(out->text)))
		members_refuse(m, name, "a template with {} once, such as wa.events.{}.*");
	if (out->from == FROM_HEADER && out->text != NULL && !header_is_name(out->text))
		members_refuse(m, "header", "the name of a header");
}

static void read_value(struct members *m, const char *name, struct source_value *out)
{
	char where[48];
	struct members inner = {members_get(m, name), where, m->p, m->err};
	if (inner.object.ptr == NULL)
		return;
	(void)snprintf(where, sizeof(where), "%s.", name);
	if (json_is_object(inner.object)) {
		read_place(&inner, out, "body header query path subject");
		m->err = inner.err;
	} else if (json_is_string(inner.object)) {
		out->from = FROM_TEXT;
		out->text = members_text(m, name, LITERAL_MAX);
	} else {
		members_refuse(m, name, VALUE_ALLOWED);
	}
}

static void read_timestamp(struct members *m, struct source_plan *plan)
{
	struct members inner = {members_get(m, "timestamp"), "timestamp.", m->p, m->err};
	if (inner.object.ptr == NULL)
		return;
	if (!json_is_object(inner.object)) {
		members_refuse(m, "timestamp",
		    "an object with one of body, header, query, path, and perhaps a unit");
		return;
	}
	plan->unit = (enum time_unit)members_choice(&inner, "unit", "s ms iso");
	read_place(&inner, &plan->timestamp, "body header query path subject unit");
	m->err = inner.err;
}

/* Reads {"body":…} of `data`. */
static void read_data(struct members *m, struct source_plan *plan)
{
	struct source_value data = {0};
	read_value(m, "data", &data);
	if (data.from != FROM_NOTHING && data.from != FROM_BODY)
		members_refuse(m, "data", "an object with the member body, a JSON Pointer");
	plan->data = data.pointer;
	data.pointer = NULL;
	free_value(&data);
}

static void read_drop(struct members *m, struct source_plan *plan)
{
	char *texts[SOURCE_DROPS_MAX] = {0};
	size_t count = 0;
	members_texts(m, "drop", SOURCE_DROPS_MAX, JSON_POINTER_MAX, texts, &count);
	for (size_t i = 0; i < count; i++) {
		struct json_pointer *p = json_pointer_new(slice_of(texts[i]));
		if (p == NULL)
			members_refuse(m, "drop",
			    "an array of JSON Pointers such as "
			    "\"/apikey\"");
		else
			plan->drop[plan->drops++] = p;
		free(texts[i]);
	}
}

/* A source whose events are all of one session says so with a name that can be one. */
static void check_literals(struct members *m, const struct source_plan *plan)
{
	const struct source_value *session = &plan->session;
	const struct source_value *event = &plan->event;
	if (session->from == FROM_TEXT && session->text != NULL &&
	    (!name_is_session(slice_of(session->text)) ||
		name_is_folded(slice_of(session->text))))
		members_refuse(m, "session", "the id of a session, or where to find it");
	if (event->from == FROM_TEXT && event->text != NULL &&
	    (!name_is_event(slice_of(event->text)) || strcmp(event->text, "all") == 0))
		members_refuse(m, "event",
		    "1 to 64 of a-z 0-9 _ . but not all, or where to "
		    "find it");
}

/* Refuses a place that what comes to this type of source does not have. */
static void check_place(struct members *m, const char *name, const struct source_value *v,
    bool is_stream)
{
	bool is_request = v->from == FROM_HEADER || v->from == FROM_QUERY ||
	    v->from == FROM_PATH;
	if (is_stream && is_request)
		members_refuse(m, name,
		    "a literal, or in the body or the subject of a message");
	else if (!is_stream && v->from == FROM_SUBJECT)
		members_refuse(m, name, "a literal, or in a request, which has no subject");
}

static void check_places(struct members *m, const struct source_plan *plan, bool is_stream)
{
	check_place(m, "session", &plan->session, is_stream);
	check_place(m, "event", &plan->event, is_stream);
	check_place(m, "event_id", &plan->event_id, is_stream);
	check_place(m, "timestamp", &plan->timestamp, is_stream);
}

/* Refuses members that only the other type has. */
static void refuse_others(struct members *m, const char *names, const char *type)
{
	struct slice left = slice_of(names);
	while (left.len > 0 && m->err == OK) {
		struct slice name = slice_cut(&left, ' ');
		char field[64];
		(void)snprintf(field, sizeof(field), "%.*s", (int)name.len, name.ptr);
		if (members_get(m, field).ptr != NULL)
			m->err = problem_set(m->p, ERR_INVALID, field,
			    "%s is for sources of type %s", field, type);
	}
}

/* Whether an earlier one of the names is the same: letters have no case. */
static bool is_named_before(char *const names[], size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (strcasecmp(names[i], names[at]) == 0)
			return true;
	}
	return false;
}

static void read_raw_headers(struct members *m, struct source_plan *plan)
{
	members_texts(m, "raw_headers", ATTACHMENT_HEADERS_MAX, HEADER_NAME_MAX,
	    plan->raw_headers, &plan->raw_header_count);
	for (size_t i = 0; i < plan->raw_header_count; i++) {
		if (!header_is_name(plan->raw_headers[i]) ||
		    is_named_before(plan->raw_headers, i))
			members_refuse(m, "raw_headers",
			    "an array of names of headers, each once");
		else if (header_is_reserved(plan->raw_headers[i]))
			members_refuse(m, "raw_headers",
			    "names of headers that deliveries do not set themselves, and "
			    "that do not frame a request (docs/api.md)");
	}
	if (plan->raw_header_count > 0 && !plan->is_raw)
		members_refuse(m, "raw_headers", "given where body is raw alone");
}

/* Reads what goes on: envelopes, or the bytes of each request. */
static void read_raw(struct members *m, struct source_plan *plan)
{
	plan->is_raw = members_choice(m, "body", "envelope raw") == 1;
	read_raw_headers(m, plan);
	if (!plan->is_raw || plan->split == NULL)
		return;
	if (slice_eq(members_get(m, "split"), SLICE("\"\""))) { /* no part, but the whole */
		json_pointer_free(plan->split);
		plan->split = NULL;
		return;
	}
	members_refuse(m, "split",
	    "empty where body is raw: the sender's bytes are one request, and so one event; "
	    "parts of them are nothing that it has sent or signed");
}

static void read_door(struct members *m, struct source_plan *plan)
{
	refuse_others(m, SOURCE_NATS_MEMBERS, "nats");
	read_raw(m, plan);
	plan->form = members_text(m, "form", HEADER_NAME_MAX);
	plan->challenge = (enum source_challenge)members_choice(m, "challenge",
	    "none meta slack");
	plan->verify_token = members_text(m, "verify_token", TOKEN_MAX);
	if (plan->challenge == CHALLENGE_META && plan->verify_token == NULL)
		members_refuse(m, "verify_token",
		    "given: what was typed at Meta as its verify token");
	if (plan->verify_token != NULL && strcmp(plan->verify_token, WEBHOOK_MASK) == 0)
		members_refuse(m, "verify_token",
		    "the token itself, not the mask that answers show");
	if (m->err == OK)
		m->err = verify_new(members_get(m, "verify"), &plan->verify, m->p);
}

static void read_stream(struct members *m, struct source_plan *plan)
{
	refuse_others(m, DOOR_MEMBERS, "http");
	plan->nats = source_nats_new(m);
	if (plan->name == NULL)
		members_refuse(m, "name", "given: a string of 1 to 100 bytes");
}

static void read_plan(struct members *m, struct source_plan *plan)
{
	bool is_stream = members_choice(m, "type", "http nats") == 1;
	plan->is_stream = is_stream;
	plan->name = members_text(m, "name", SOURCE_NAME_MAX);
	if (plan->name == NULL && !is_stream) /* else the stream is named first */
		members_refuse(m, "name", "given: a string of 1 to 100 bytes");
	plan->preset = members_text(m, "preset", 64);
	plan->enabled = members_bool(m, "enabled", true);
	read_value(m, "session", &plan->session);
	read_value(m, "event", &plan->event);
	read_value(m, "event_id", &plan->event_id);
	read_timestamp(m, plan);
	read_data(m, plan);
	if (members_get(m, "split").ptr != NULL)
		plan->split = take_pointer(m, "split");
	read_drop(m, plan);
	plan->by_id = members_choice(m, "id_scope", "event id") == 1;
	plan->retention_ms = members_duration(m, "id_retention", SOURCE_RETENTION_MAX_MS,
	    is_stream ? 0 : RETENTION_DEFAULT_MS);
	check_literals(m, plan);
	check_places(m, plan, is_stream);
	if (is_stream)
		read_stream(m, plan);
	else
		read_door(m, plan);
}

enum err source_plan_new(struct slice settings, struct source_plan **out, struct problem *p)
{
	struct members m = {settings, "", p, OK};
	*out = NULL;
	struct source_plan *plan = mem_new(sizeof(*plan));
	read_plan(&m, plan);
	if (m.err == OK)
		*out = plan;
	else
		source_plan_free(plan);
	return m.err;
}

static char *text_or_none(struct slice settings, const char *name, size_t max)
{
	struct problem ignored;
	struct members m = {settings, "", &ignored, OK};
	return members_text(&m, name, max);
}

struct source_plan *source_plan_refused(struct slice settings, const char *why)
{
	struct source_plan *plan = mem_new(sizeof(*plan));
	plan->name = text_or_none(settings, "name", SOURCE_NAME_MAX);
	if (plan->name == NULL)
		plan->name = mem_copy("", 0);
	plan->preset = text_or_none(settings, "preset", 64);
	plan->is_stream = slice_eq(json_walk_find(settings, SLICE("type")), SLICE("\"nats\""));
	plan->refused = mem_copy(why, strlen(why));
	return plan;
}

static bool is_null(struct slice value)
{
	return slice_eq(value, SLICE("null"));
}

/*
 * Writes the proof that is given over the former one: of the same type, or of none, each member
 * takes the place of its like; of another, all is new.
 */
static void lay_verify(struct slice given, struct slice below, struct json_writer *out)
{
	struct slice type = json_walk_find(given, SLICE("type"));
	struct json_walk w = json_walk_in(below);
	if (!json_is_object(given) || !json_is_object(below) ||
	    (type.ptr != NULL && !slice_eq(type, json_walk_find(below, SLICE("type"))))) {
		json_write_raw(out, NULL, given);
		return;
	}
	json_open_object(out, NULL);
	while (json_walk_next(&w)) {
		if (json_walk_find(given, w.key).ptr != NULL)
			continue;
		json_write_name(out, w.key);
		json_write_raw(out, NULL, w.value);
	}
	for (w = json_walk_in(given); json_walk_next(&w);) {
		if (is_null(w.value))
			continue;
		json_write_name(out, w.key);
		json_write_raw(out, NULL, w.value);
	}
	json_close(out);
}

/* What the member is where nothing of it is given, or a null. */
static struct slice below_of(struct slice name, struct slice given, struct slice former,
    struct slice preset)
{
	struct slice below = json_walk_find(is_null(given) ? preset : former, name);
	if (is_null(below))
		return (struct slice){0};
	return below;
}

/* Writes the members of `given` over `former`, in the order of MEMBERS. ERR_INVALID. */
static enum err lay_over(struct slice given, struct slice former, struct slice preset,
    struct buf *out, struct problem *p)
{
	struct json_writer w = JSON_WRITER(out);
	struct slice left = SLICE(MEMBERS);
	json_open_object(&w, NULL);
	while (left.len > 0) {
		struct slice name = slice_cut(&left, ' ');
		struct slice value = json_walk_find(given, name);
		struct slice below = below_of(name, value, former, preset);
		bool is_given = value.ptr != NULL && !is_null(value);
		if (!is_given && below.ptr == NULL)
			continue;
		json_write_name(&w, name);
		if (is_given && slice_eq(name, SLICE("verify")))
			lay_verify(value, below, &w);
		else
			json_write_raw(&w, NULL, is_given ? value : below);
	}
	json_close(&w);
	if (json_is_whole(&w))
		return OK;
	return problem_set(p, ERR_INVALID, "",
	    "the settings of a source are together at most %d bytes", SOURCE_SETTINGS_MAX);
}

/* Reads what a client sends into canonical JSON. */
static enum err read_given(struct slice body, struct buf *out, struct problem *p)
{
	struct json_reader r;
	const struct json_member *members = NULL;
	size_t count = 0;
	struct members m = {.where = "", .p = p};
	json_init(&r, body);
	enum err err = json_read_members(&r, out, &members, &count);
	if (err == OK)
		err = json_read_end(&r);
	if (err != OK)
		(void)json_problem(&r, err, p); /* returns `err` */
	json_fini(&r);
	m.object = buf_view(out);
	if (err == OK) {
		members_allow(&m, MEMBERS);
		err = m.err;
	}
	return err;
}

/* The preset that is named, an empty one where none is; a change names no other. */
static enum err find_preset(const struct source *s, struct slice given,
    struct source_preset *out, struct problem *p)
{
	struct members m = {given, "", p, OK};
	char *name = members_text(&m, "preset", 64);
	const char *former = s->plan == NULL ? NULL : s->plan->preset;
	*out = (struct source_preset){.settings = SLICE("{}")};
	if (name != NULL && s->plan != NULL && (former == NULL || strcmp(name, former) != 0))
		members_refuse(&m, "preset", "what it was: make a new source for another");
	if (name == NULL && former != NULL)
		name = mem_copy(former, strlen(former));
	if (name != NULL && !source_preset_find(slice_of(name), out)) {
		struct buf allowed = BUF_INIT(512);
		buf_puts(&allowed, "one of ");
		source_preset_names(&allowed);
		members_refuse(&m, "preset", buf_cstr(&allowed));
		buf_fini(&allowed);
	}
	free(name);
	return m.err;
}

/* Whether a new source's secret is ours to draw: none is given for a preset that lets us. */
static bool draws_secret(const struct source *s, const struct source_preset *preset,
    struct slice given)
{
	struct slice verify = json_walk_find(given, SLICE("verify"));
	struct slice type = json_walk_find(verify, SLICE("type"));
	struct slice presets = json_walk_find(preset->settings, SLICE("verify"));
	return s->plan == NULL && preset->makes_secret &&
	    json_walk_find(verify, SLICE("secrets")).ptr == NULL &&
	    (verify.ptr == NULL || json_is_object(verify)) &&
	    (type.ptr == NULL || slice_eq(type, json_walk_find(presets, SLICE("type"))));
}

/* Writes `object` with the member `name` set to `value`. */
static void set_member(struct slice object, const char *name, struct slice value,
    struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);
	struct json_walk member = json_walk_in(object);
	json_open_object(&w, NULL);
	while (json_walk_next(&member)) {
		if (slice_eq(member.key, slice_of(name)))
			continue;
		json_write_name(&w, member.key);
		json_write_raw(&w, NULL, member.value);
	}
	json_write_raw(&w, name, value);
	json_close(&w);
	out->failed = !json_is_whole(&w);
}

/* The same in place. */
static void add_member(struct buf *object, const char *name, struct slice value)
{
	struct buf with = BUF_INIT(object->max);
	set_member(buf_view(object), name, value, &with);
	mem_wipe(object->data, object->len);
	buf_fini(object);
	*object = with;
}

/* Puts a secret of ours among what is given. */
static void add_secret(struct buf *given, const char *secret)
{
	struct buf list = BUF_INIT(256);
	struct buf verify = BUF_INIT(SOURCE_SETTINGS_MAX);
	struct json_writer w = JSON_WRITER(&list);
	json_open_array(&w, NULL);
	json_write_cstr(&w, NULL, secret);
	json_close(&w);
	set_member(json_walk_find(buf_view(given), SLICE("verify")), "secrets", buf_view(&list),
	    &verify);
	add_member(given, "verify", buf_view(&verify));
	mem_wipe(list.data, list.len);
	mem_wipe(verify.data, verify.len);
	buf_fini(&list);
	buf_fini(&verify);
}

/* What a new source of a stream need not say: its name is the stream's, it is waxum's. */
static void add_defaults(struct buf *given)
{
	struct slice stream = json_walk_find(buf_view(given), SLICE("stream"));
	if (!slice_eq(json_walk_find(buf_view(given), SLICE("type")), SLICE("\"nats\"")))
		return;
	if (json_walk_find(buf_view(given), SLICE("name")).ptr == NULL &&
	    json_is_string(stream)) {
		struct buf name = BUF_INIT(SOURCE_SETTINGS_MAX); /* what is set moves */
		buf_slice(&name, stream);
		add_member(given, "name", buf_view(&name));
		buf_fini(&name);
	}
	if (json_walk_find(buf_view(given), SLICE("preset")).ptr == NULL)
		add_member(given, "preset", SLICE("\"" STREAM_PRESET "\""));
}

/* Makes settings and plan of what is given; what the buffers hold is wiped by the caller. */
static enum err apply(struct source *s, struct buf *given, struct buf *laid,
    char made[SIGN_SECRET_SIZE], struct problem *p)
{
	struct source_preset preset;
	struct source_plan *plan = NULL;
	if (s->plan == NULL)
		add_defaults(given);
	enum err err = find_preset(s, buf_view(given), &preset, p);
	if (err != OK)
		return err;
	struct slice former = s->settings == NULL ? preset.settings : slice_of(s->settings);
	if (draws_secret(s, &preset, buf_view(given))) {
		sign_make_secret(made);
		add_secret(given, made);
	}
	err = lay_over(buf_view(given), former, preset.settings, laid, p);
	if (err == OK)
		err = source_plan_new(buf_view(laid), &plan, p);
	if (err != OK)
		return err;
	source_plan_free(s->plan);
	mem_forget(s->settings);
	s->plan = plan;
	s->settings = mem_copy(laid->data, laid->len);
	return OK;
}

enum err source_apply(struct source *s, struct slice body, char made[SIGN_SECRET_SIZE],
    struct problem *p)
{
	struct buf given = BUF_INIT(2 * SOURCE_SETTINGS_MAX); /* and what is added */
	struct buf laid = BUF_INIT(SOURCE_SETTINGS_MAX);
	made[0] = '\0';
	enum err err = read_given(body, &given, p);
	if (err == OK)
		err = apply(s, &given, &laid, made, p);
	mem_wipe(given.data, given.len);
	mem_wipe(laid.data, laid.len);
	buf_fini(&given);
	buf_fini(&laid);
	return err;
}
