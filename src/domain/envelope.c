/*
 * Envelopes: the members that waybill knows are checked and put in the contract's
 * order, the rest passes through as the reader made it canonical. Only session
 * names and ids are decoded: event names need no escapes, a timestamp is judged by
 * its canonical digits, so that 1e9 is an integer and 1.5 is not.
 */
#include "domain/envelope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/str.h"

/* The canonical values of the members that waybill knows; ptr is NULL where one is missing. */
struct known {
	struct slice session;
	struct slice event;
	struct slice timestamp;
	struct slice data;
	struct slice id;
};

static const struct field {
	struct slice key;
	size_t offset; /* into struct known */
} FIELDS[] = {
    {SLICE_INIT("session_id"), offsetof(struct known, session)},
    {SLICE_INIT("event"), offsetof(struct known, event)},
    {SLICE_INIT("timestamp"), offsetof(struct known, timestamp)},
    {SLICE_INIT("data"), offsetof(struct known, data)},
    {SLICE_INIT("id"), offsetof(struct known, id)},
};

/* What the checks have in common. */
struct reading {
	const char *where;
	bool takes_any; /* what is no envelope becomes the data of one */
	struct known known;
	struct envelope *out;
	struct problem *p;
};

static enum err refuse(struct reading *rd, const char *name, const char *message)
{
	char field[sizeof(rd->p->field)];
	(void)snprintf(field, sizeof(field), "%s%s", rd->where, name);
	return problem_set(rd->p, ERR_INVALID, field, "%s", message);
}

/* Names the item itself: `where` without the dot that would join a member's name. */
static void name_item(struct reading *rd)
{
	size_t len = strlen(rd->where);
	if (len > 0 && rd->where[len - 1] == '.')
		len--;
	(void)snprintf(rd->p->field, sizeof(rd->p->field), "%.*s", (int)len, rd->where);
}

/* Returns the index of the known field `key`, or -1. */
static int find_field(struct slice key)
{
	for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
		if (slice_eq(key, FIELDS[i].key))
			return (int)i;
	}
	return -1;
}

/* Whether the member is as good as missing: a null, but for `data`, where it is a value. */
static bool is_default(const struct json_member *m)
{
	return slice_eq(m->value, SLICE("null")) && !slice_eq(m->key, SLICE("data"));
}

static void gather_known(const struct json_member *members, size_t count, struct known *known)
{
	*known = (struct known){.data = SLICE("{}")};
	for (size_t i = 0; i < count; i++) {
		int at = find_field(members[i].key);
		if (at >= 0 && !is_default(&members[i]))
			memcpy((char *)known + FIELDS[at].offset, &members[i].value,
			    sizeof(struct slice));
	}
}

/* Strips the quotes of a canonical string; the escapes in it stay. False if it is no string. */
static bool unquote(struct slice value, struct slice *text)
{
	if (value.len < 2 || value.ptr[0] != '"')
		return false;
	*text = (struct slice){value.ptr + 1, value.len - 2};
	return true;
}

/*
 * Decodes a canonical string into `out` and a NUL. Only " and \ may be escaped in it: a control
 * or half of a surrogate is no part of a name. False for those, and past `max` bytes.
 */
static bool decode_name(struct slice value, size_t max, char *out)
{
	struct slice text;
	size_t len = 0;
	if (!unquote(value, &text))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		bool escaped = text.ptr[i] == '\\';
		if (escaped)
			i++; /* something follows */
		char c = text.ptr[i];
		if (len == max || (escaped && c != '"' && c != '\\'))
			return false;
		out[len++] = c;
	}
	out[len] = '\0';
	return true;
}

static void copy_name(struct slice s, char *out)
{
	memcpy(out, s.ptr, s.len);
	out[s.len] = '\0';
}

static enum err take_session(struct reading *rd, struct slice path)
{
	struct slice value = rd->known.session;
	char *session = rd->out->session;
	struct slice text;
	if (value.ptr == NULL && path.len == 0)
		return refuse(rd, "session_id", "is required");
	if (value.ptr != NULL && !unquote(value, &text))
		return refuse(rd, "session_id", "must be a string");
	bool is_good = value.ptr == NULL
	    ? name_is_session(path)
	    : decode_name(value, SESSION_MAX, session) && name_is_session(slice_of(session));
	if (!is_good)
		return refuse(rd, "session_id", "must be " SESSION_ALLOWED);
	if (value.ptr == NULL)
		copy_name(path, session);
	if (name_is_folded(slice_of(session)))
		return refuse(rd, "session_id", NAME_FOLDED);
	if (path.len > 0 && !slice_eq(slice_of(session), path))
		return refuse(rd, "session_id", "is not the session of the path");
	return OK;
}

static enum err take_event(struct reading *rd)
{
	struct slice event;
	if (rd->known.event.ptr == NULL)
		return refuse(rd, "event", "is required");
	if (!unquote(rd->known.event, &event))
		return refuse(rd, "event", "must be a string");
	if (!name_is_event(event))
		return refuse(rd, "event", "must be 1 to 64 of a-z 0-9 _ .");
	if (slice_eq(event, SLICE("all")))
		return refuse(rd, "event", "all means every event, so it cannot be published");
	copy_name(event, rd->out->event);
	return OK;
}

static enum err take_timestamp(struct reading *rd, int64_t now_s)
{
	struct slice value = rd->known.timestamp;
	uint64_t seconds = (uint64_t)now_s;
	if (value.ptr != NULL &&
	    (str_u64(value, &seconds) != OK || seconds > (uint64_t)ENVELOPE_TIME_MAX))
		return refuse(rd, "timestamp", "must be whole unix seconds, 0 to 253402300799");
	rd->out->timestamp_s = (int64_t)seconds;
	rd->out->has_timestamp = value.ptr != NULL;
	return OK;
}

bool envelope_is_id(struct slice id)
{
	for (size_t i = 0; i < id.len; i++) {
		if (id.ptr[i] < ' ' || id.ptr[i] > '~')
			return false;
	}
	return id.len > 0 && id.len <= ENVELOPE_ID_MAX;
}

static enum err take_id(struct reading *rd)
{
	char *id = rd->out->id;
	id[0] = '\0';
	if (rd->known.id.ptr == NULL ||
	    (decode_name(rd->known.id, ENVELOPE_ID_MAX, id) && envelope_is_id(slice_of(id))))
		return OK;
	return refuse(rd, "id", "must be a string of 1 to 128 printable ASCII characters");
}

static void write_member(struct json_writer *w, const struct json_member *m)
{
	json_write_name(w, m->key);
	json_write_raw(w, NULL, m->value);
}

static void write_body(const struct reading *rd, const struct json_member *members,
    size_t count, struct json_writer *w)
{
	struct slice timestamp = rd->known.timestamp;
	char now[STR_I64_SIZE];
	if (timestamp.ptr == NULL)
		timestamp = str_put_i64(rd->out->timestamp_s, now);
	size_t i = 0;
	json_open_object(w, NULL);
	/* Array indices are first in canonical order, and JavaScript puts them before all. */
	for (; i < count && json_is_index(members[i].key); i++)
		write_member(w, &members[i]);
	json_write_cstr(w, "session_id", rd->out->session);
	json_write_raw(w, "event", rd->known.event);
	json_write_raw(w, "timestamp", timestamp);
	for (; i < count; i++) {
		if (find_field(members[i].key) < 0)
			write_member(w, &members[i]);
	}
	json_write_raw(w, "data", rd->known.data);
	json_close(w);
}

static enum err check_members(struct reading *rd, struct slice session, int64_t now_s)
{
	enum err err = take_session(rd, session);
	if (err == OK)
		err = take_event(rd);
	if (err == OK)
		err = take_timestamp(rd, now_s);
	if (err == OK)
		err = take_id(rd);
	return err;
}

/* Reads the members; what is JSON but no object is told apart from what is no JSON. */
static enum err read_members(struct json_reader *r, struct reading *rd, struct buf *scratch,
    const struct json_member **members, size_t *count)
{
	enum err err = OK;
	int c = json_peek(r);
	if (c == '{' || c < 0)
		err = json_read_members(r, scratch, members, count);
	else
		err = json_read_value(r, scratch);
	if (err != OK)
		(void)json_problem(r, err, rd->p);
	else if (c != '{')
		err = problem_set(rd->p, ERR_INVALID, "", "an event must be a JSON object");
	if (err != OK)
		name_item(rd);
	return err;
}

/* The value of a member, null as good as missing; ptr is NULL where there is none. */
static struct slice find_member(const struct json_member *members, size_t count,
    struct slice key)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_eq(members[i].key, key) && !slice_eq(members[i].value, SLICE("null")))
			return members[i].value;
	}
	return (struct slice){0};
}

/* Whether `value` is an object whose member `key` is 0. */
static bool has_zero(struct slice value, struct slice key)
{
	struct json_reader r;
	struct buf out = BUF_INIT(value.len);
	const struct json_member *members = NULL;
	size_t count = 0;
	json_init(&r, value);
	bool is_zero = json_read_members(&r, &out, &members, &count) == OK &&
	    slice_eq(find_member(members, count, key), SLICE("0"));
	json_fini(&r);
	buf_fini(&out);
	return is_zero;
}

/* The name, in quotes, of an event that comes without one, by the members that it has. */
static struct slice guess_event(const struct json_member *members, size_t count)
{
	struct slice counters = find_member(members, count, SLICE("counters"));
	struct slice status = find_member(members, count, SLICE("status"));
	if (find_member(members, count, SLICE("schedule_id")).ptr != NULL)
		return find_member(members, count, SLICE("error")).ptr != NULL
		    ? SLICE("\"scheduled_failed\"")
		    : SLICE("\"scheduled_sent\"");
	if (find_member(members, count, SLICE("job_id")).ptr == NULL || counters.ptr == NULL)
		return SLICE("\"unknown\"");
	return slice_eq(status, SLICE("\"completed\"")) || has_zero(counters, SLICE("pending"))
	    ? SLICE("\"blast_completed\"")
	    : SLICE("\"blast_progress\"");
}

/* Makes the whole object, which `scratch` has, the data of an envelope. */
static enum err wrap(struct reading *rd, const struct json_member *members, size_t count,
    struct slice session, int64_t now_s, const struct buf *scratch)
{
	struct problem ignored;
	struct reading tried = {.where = "", .out = rd->out, .p = &ignored};
	tried.known.event = rd->known.event;
	bool is_named = rd->known.event.ptr != NULL && take_event(&tried) == OK;
	rd->known = (struct known){.event = rd->known.event, .data = buf_view(scratch)};
	if (!is_named)
		rd->known.event = guess_event(members, count);
	*rd->p = (struct problem){0};
	return check_members(rd, session, now_s);
}

/* Whether it is a whole envelope, for another session than that of the path. */
static bool is_of_another(const struct reading *rd, struct slice path)
{
	char session[SESSION_MAX + 1];
	return rd->known.event.ptr != NULL && rd->known.session.ptr != NULL &&
	    decode_name(rd->known.session, SESSION_MAX, session) &&
	    name_is_session(slice_of(session)) && !slice_eq(slice_of(session), path);
}

static enum err read_one(struct json_reader *r, struct slice session, int64_t now_s,
    struct reading *rd, struct buf *scratch, struct buf *body)
{
	struct json_writer w = JSON_WRITER(body);
	const struct json_member *members = NULL;
	size_t count = 0;
	size_t start = body->len;
	bool failed = body->failed;
	buf_reset(scratch);
	enum err err = read_members(r, rd, scratch, &members, &count);
	if (err != OK)
		return err;
	gather_known(members, count, &rd->known);
	err = check_members(rd, session, now_s);
	if (err != OK && rd->takes_any && !is_of_another(rd, session)) {
		err = wrap(rd, members, count, session, now_s, scratch);
		count = 0; /* they are in the data */
	}
	if (err != OK)
		return err;
	write_body(rd, members, count, &w);
	if (!json_is_whole(&w)) {
		body->len = start;
		body->failed = failed;
		err = problem_set(rd->p, ERR_TOOBIG, "", "the event is over the size limit");
		name_item(rd);
		return err;
	}
	rd->out->body = (struct slice){body->data + start, body->len - start};
	return OK;
}

enum err envelope_read(struct json_reader *r, struct slice session, int64_t now_s,
    const char *where, struct buf *scratch, struct buf *body, struct envelope *out,
    struct problem *p)
{
	struct reading rd = {.where = where, .out = out, .p = p};
	return read_one(r, session, now_s, &rd, scratch, body);
}

enum err envelope_read_any(struct json_reader *r, struct slice session, int64_t now_s,
    const char *where, struct buf *scratch, struct buf *body, struct envelope *out,
    struct problem *p)
{
	struct reading rd = {.where = where, .takes_any = true, .out = out, .p = p};
	return read_one(r, session, now_s, &rd, scratch, body);
}
