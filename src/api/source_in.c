/*
 * The doors of sources: what a sender posts there is proven, read, mapped and stored, all
 * events of a request in one commit. What cannot be mapped is taken all the same: a sender that
 * is refused gives up for good.
 */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/publish_api.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/utf8.h"
#include "domain/json_walk.h"
#include "domain/url_form.h"

#define DOOR_PREFIX SLICE("/in/")
#define CHALLENGE_MAX 1024
#define FORM_FIELDS_MAX 1000
#define ID_BYTES_MAX (2 * EVENT_BODY_MAX)

/* What the sender's path says behind the door; *door is that. */
static struct slice rest_of(struct slice path, struct slice *door)
{
	path.ptr += DOOR_PREFIX.len;
	path.len -= DOOR_PREFIX.len;
	*door = slice_cut(&path, '/');
	return path;
}

static struct source_entry *find_entry(struct call *c)
{
	struct slice door;
	(void)rest_of(http_path(c->http), &door);
	return sources_at_door(c->api->conf.sources, door);
}

/* Who has what a proven request takes. */
static struct slice name_taker(const struct source *s, char out[HTTP_TAKER_SIZE])
{
	char id[UUID_TEXT_SIZE];
	uuid_format(&s->id, id);
	(void)snprintf(out, HTTP_TAKER_SIZE, "source %s", id);
	return slice_of(out);
}

/* Finds the source, whose guest the request is; NULL: the call has been answered. */
static struct source_entry *enter(struct call *c)
{
	char taker[HTTP_TAKER_SIZE];
	if (!guard_admits(c->api->guard, c))
		return NULL;
	struct source_entry *e = find_entry(c);
	if (e == NULL || source_is_stream(e->source)) { /* which has no door */
		call_fail(c, 404, "", "there is no such source");
		return NULL;
	}
	http_set_guest_of(c->http, name_taker(e->source, taker));
	if (source_is_enabled(e->source))
		return e;
	call_fail(c, 403, "",
	    source_refusal(e->source) == NULL
		? "the source is disabled"
		: "the source is disabled: this version of waybill does not take its settings");
	return NULL;
}

static void note_refusal(struct source_entry *e, const char *why)
{
	e->figures.refused++;
	sources_note_refusal(e, why);
}

/* Answers what the problem says, and notes it. */
static void refuse(struct call *c, struct source_entry *e, enum err err)
{
	note_refusal(e, c->problem.message);
	call_fail_err(c, err);
}

static void refuse_proof(struct call *c, struct source_entry *e, const char *why)
{
	note_refusal(e, why);
	guard_refuse(c->api->guard, c, true, why);
}

static struct slice header_of(const void *request, const char *name)
{
	return http_header(request, name);
}

static struct arrival arrival_of(struct call *c)
{
	struct slice door;
	return (struct arrival){.header = header_of,
	    .request = c->http,
	    .query = http_query(c->http),
	    .path = rest_of(http_path(c->http), &door),
	    .body = http_body(c->http)};
}

void source_in_note(struct call *c)
{
	struct source_entry *e = find_entry(c);
	if (e != NULL && !source_is_stream(e->source) && source_is_enabled(e->source))
		note_refusal(e, c->problem.message);
}

bool source_in_may_come(struct call *c)
{
	struct source_entry *e = enter(c);
	if (e == NULL)
		return false;
	const struct arrival a = arrival_of(c);
	if (verify_may(source_verify(e->source), &a))
		return true;
	refuse_proof(c, e, "the header with the proof is missing");
	return false;
}

/* Writes a field's name as JSON has it, without the quotes around it. */
static void write_field_name(const struct buf *name, struct json_writer *json)
{
	struct buf text = BUF_INIT(6 * name->len + 8);
	struct json_writer one = JSON_WRITER(&text);
	json_write_bytes(&one, NULL, buf_view(name));
	json_write_name(json, (struct slice){text.data + 1, text.len - 2});
	buf_fini(&text);
}

/* Copies the members of a text that is a JSON object; false where it is none. */
static bool write_members(struct slice text, struct json_writer *json)
{
	struct json_reader r;
	struct buf canonical = BUF_INIT(EVENT_BODY_MAX);
	const struct json_member *members = NULL;
	size_t count = 0;
	json_init(&r, text);
	bool good = json_read_members(&r, &canonical, &members, &count) == OK;
	for (size_t i = 0; good && i < count; i++) {
		json_write_name(json, members[i].key);
		json_write_raw(json, NULL, members[i].value);
	}
	json_fini(&r);
	buf_fini(&canonical);
	return good;
}

/*
 * Makes a form's fields the members of an object; the field that holds JSON gives its members
 * to it in the place of itself. Of names that are there twice the last counts, as in JSON.
 * Fails `out` where that, or their number, is over its limit.
 */
static void write_form(struct slice form, const char *json_field, struct buf *out)
{
	struct buf name = BUF_INIT(form.len);
	struct buf value = BUF_INIT(form.len);
	struct json_writer json = JSON_WRITER(out);
	size_t fields = 0;
	json_open_object(&json, NULL);
	while (fields <= FORM_FIELDS_MAX && url_form_next(&form, &name, &value)) {
		fields++;
		if (json_field != NULL && slice_eq(buf_view(&name), slice_of(json_field)) &&
		    write_members(buf_view(&value), &json))
			continue;
		write_field_name(&name, &json);
		json_write_bytes(&json, NULL, buf_view(&value));
	}
	json_close(&json);
	out->failed = !json_is_whole(&json) || fields > FORM_FIELDS_MAX;
	buf_fini(&name);
	buf_fini(&value);
}

/* Reads JSON into the scratch buffer in canonical form. */
static enum err read_canonical(struct call *c, struct slice text)
{
	buf_reset(&c->api->scratch);
	return json_read_whole(text, &c->api->scratch, &c->problem);
}

/* The same of what the sender sent, in whatever form. */
static enum err read_body(struct call *c, const struct source *s)
{
	uint64_t most = c->api->conf.body_max;
	if (c->body.len > most)
		return problem_set(&c->problem, ERR_TOOBIG, "",
		    "the body is over max_body_bytes: at most %llu bytes",
		    (unsigned long long)most);
	if (!call_is_form(c))
		return read_canonical(c, c->body);
	struct buf json = BUF_INIT(EVENT_BODY_MAX);
	write_form(c->body, source_form(s), &json);
	enum err err = json.failed
	    ? problem_set(&c->problem, ERR_TOOBIG, "",
		  "a form may have at most %d fields, and %u bytes as JSON", FORM_FIELDS_MAX,
		  EVENT_BODY_MAX)
	    : read_canonical(c, buf_view(&json));
	buf_fini(&json);
	return err;
}

/* Whether it is UTF-8. */
static bool is_text(struct slice bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.ptr;
	size_t len = 1;
	for (size_t i = 0; i < bytes.len; i += len) {
		len = p[i] < 0x80 ? 1 : utf8_len(p + i, bytes.len - i);
		if (len == 0)
			return false;
	}
	return true;
}

/*
 * The same of a source whose sender's bytes go on as they are: what cannot be read is taken,
 * too. The event says of it what can be said in JSON: a text as a string, else null.
 */
static enum err read_raw_body(struct call *c, const struct source *s)
{
	uint64_t most = c->api->conf.body_max;
	struct buf *scratch = &c->api->scratch;
	enum err err = read_body(c, s);
	if (c->body.len > most || (err == OK && scratch->len <= most))
		return err;
	c->problem = (struct problem){0};
	buf_reset(scratch);
	struct json_writer json = JSON_WRITER(scratch);
	if (err != OK && is_text(c->body))
		json_write_text(&json, NULL, c->body);
	if (scratch->len == 0 || scratch->len > most || !json_is_whole(&json)) {
		buf_reset(scratch);
		buf_puts(scratch, "null");
	}
	return OK;
}

/* Answers Slack's question whether we are there; false where it is none. */
static bool answer_slack(struct call *c, struct source_entry *e)
{
	const struct source *s = e->source;
	struct slice body = buf_view(&c->api->scratch);
	if (source_challenge(s) != CHALLENGE_SLACK ||
	    !slice_eq(json_walk_find(body, SLICE("type")), SLICE("\"url_verification\"")))
		return false;
	struct slice challenge = json_walk_find(body, SLICE("challenge"));
	if (!json_is_string(challenge) || challenge.len > CHALLENGE_MAX) {
		refuse(c, e,
		    problem_set(&c->problem, ERR_INVALID, "challenge",
			"challenge must be given, a string of at most %d bytes",
			CHALLENGE_MAX - 2));
		return true;
	}
	struct buf text = BUF_INIT(2 * CHALLENGE_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_raw(&json, "challenge", challenge);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
	return true;
}

/* The events of one request, on their way into the intake. */
struct entering {
	struct call *call;
	const struct source_entry *entry;
	const struct arrival *arrival;
	struct intake_conf conf;
	struct source_event event;
	struct buf scope;
	enum err err;
};

/* Whether a header that came can go on: it is there, and what a webhook's own may hold. */
static bool is_value(struct slice value)
{
	char text[HEADER_VALUE_MAX + 1];
	if (value.len == 0 || value.len > HEADER_VALUE_MAX)
		return false;
	memcpy(text, value.ptr, value.len);
	text[value.len] = '\0';
	return header_is_value(text);
}

/* Whether such a header of a sender has what nobody else is to see. */
static bool is_secret(const struct source *s, const char *name)
{
	return header_is_credential(name) || verify_has_secret_in(source_verify(s), name);
}

/* Attaches what goes on of the request to its event. */
static enum err attach(struct call *c, const struct source *s)
{
	char *const *names = NULL;
	struct attachment a = {.type = http_header(c->http, "Content-Type"), .body = c->body};
	size_t count = source_raw_headers(s, &names);
	if (!is_value(a.type))
		a.type = SLICE("application/octet-stream"); /* RFC 9110 section 8.3 */
	for (size_t i = 0; i < count; i++) {
		struct slice value = http_header(c->http, names[i]);
		if (is_value(value))
			a.headers[a.header_count++] = (struct attachment_header){
			    slice_of(names[i]), value, is_secret(s, names[i])};
	}
	return intake_attach(publish_intake(c), &a, &c->problem);
}

static bool take_item(void *arg, struct slice item)
{
	struct entering *n = arg;
	const struct source *s = n->entry->source;
	source_map(s, n->arrival, item, &n->event);
	n->err = intake_add(publish_intake(n->call), &n->conf, &n->event, buf_view(&n->scope),
	    source_retention_ms(s), &n->call->problem);
	if (n->err == OK && source_is_raw(s))
		n->err = attach(n->call, s);
	return n->err == OK;
}

/* Fills the intake with the events of the scratch buffer. */
static enum err take_events(struct call *c, const struct source_entry *e,
    const struct arrival *a)
{
	struct entering n = {.call = c,
	    .entry = e,
	    .arrival = a,
	    .conf = publish_conf(c),
	    .event = {.data = BUF_INIT(2 * EVENT_BODY_MAX), .id = BUF_INIT(ID_BYTES_MAX)},
	    .scope = BUF_INIT(64)};
	char id[UUID_TEXT_SIZE];
	struct intake *in = publish_intake(c);
	uuid_format(&e->source->id, id);
	buf_printf(&n.scope, "source:%s", id);
	*in = (struct intake){.bodies = BUF_INIT(4u * EVENT_BODY_MAX)};
	source_split(e->source, buf_view(&c->api->scratch), take_item, &n);
	if (n.err == OK)
		n.err = intake_finish(in, &n.conf, &c->problem);
	source_event_fini(&n.event);
	buf_fini(&n.scope);
	return n.err;
}

/* It is on disk: the source's figures follow, if it is still there. */
static void count_events(struct call *c, size_t fresh)
{
	const struct intake *in = publish_intake(c);
	struct source_entry *e = find_entry(c);
	if (e == NULL)
		return;
	e->figures.events += fresh;
	e->figures.repeats += in->count - fresh;
	for (size_t i = 0; i < in->count; i++)
		e->figures.missed += in->items[i].missed && !in->items[i].repeated ? 1 : 0;
	e->figures.last_ms = clock_wall_ms();
}

/* Whether the body may be hashed with each secret; else the call has been answered. */
static bool may_be_hashed(struct call *c, struct source_entry *e)
{
	size_t most = verify_body_max(source_verify(e->source));
	if (http_body(c->http).len <= most)
		return true;
	refuse(c, e,
	    problem_set(&c->problem, ERR_TOOBIG, "",
		"with as many secrets as the source has a body is at most %zu bytes: take "
		"those out that nobody uses any more",
		most));
	return false;
}

void handle_source_in(struct call *c)
{
	const char *why = NULL;
	char taker[HTTP_TAKER_SIZE];
	struct source_entry *e = enter(c);
	if (e == NULL || !may_be_hashed(c, e))
		return;
	const struct arrival a = arrival_of(c);
	if (!verify_arrival(source_verify(e->source), &a, clock_system_ms(), &why)) {
		refuse_proof(c, e, why);
		return;
	}
	http_set_taker(c->http, name_taker(e->source, taker));
	enum err err = call_inflate(c, c->api->conf.body_max);
	if (err == ERR_FULL) { /* not the sender's fault */
		call_fail_err(c, err);
		return;
	}
	if (err == OK)
		err = source_is_raw(e->source) ? read_raw_body(c, e->source)
					       : read_body(c, e->source);
	if (err == OK && answer_slack(c, e))
		return;
	if (err == OK)
		err = take_events(c, e, &a);
	if (err != OK)
		refuse(c, e, err);
	else if (publish_take_batch(c)) /* of small events, which take more than their text */
		publish_stage(c, 200, count_events);
}

/* Meta's question whether we are there (its Graph API, "Webhooks: verification requests"). */
void handle_source_challenge(struct call *c)
{
	struct source_entry *e = enter(c);
	if (e == NULL)
		return;
	struct buf mode = BUF_INIT(CHALLENGE_MAX);
	struct buf token = BUF_INIT(CHALLENGE_MAX);
	struct buf challenge = BUF_INIT(CHALLENGE_MAX);
	url_form_find(http_query(c->http), SLICE("hub.mode"), &mode);
	url_form_find(http_query(c->http), SLICE("hub.verify_token"), &token);
	url_form_find(http_query(c->http), SLICE("hub.challenge"), &challenge);
	struct slice expected = slice_of(source_verify_token(e->source));
	if (source_challenge(e->source) != CHALLENGE_META) {
		http_add_header(c->http, "Allow", "POST");
		call_fail(c, 405, "", "this source is asked nothing: it takes POST");
	} else if (!slice_eq(buf_view(&mode), SLICE("subscribe")) ||
	    !str_same_secret(buf_view(&token), expected)) {
		note_refusal(e, "the verify token of a challenge is wrong");
		call_fail(c, 403, "hub.verify_token", "is not this source's verify_token");
	} else if (challenge.failed || challenge.len == 0) {
		refuse(c, e,
		    problem_set(&c->problem, ERR_INVALID, "hub.challenge",
			"hub.challenge must be given, 1 to %d bytes", CHALLENGE_MAX));
	} else {
		http_reply(c->http, 200, "text/plain; charset=utf-8", buf_view(&challenge));
		call_end(c);
	}
	buf_fini(&mode);
	buf_fini(&token);
	buf_fini(&challenge);
}
