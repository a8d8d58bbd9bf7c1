/* Query parameters; see query.h. */
#include "api/query.h"

#include <stdio.h>
#include <string.h>

#include "base/percent.h"
#include "base/str.h"
#include "domain/instant.h"

#define NAME_SHOWN_MAX 60 /* bytes of a parameter that nobody knows */

/* One "name=value" of a query; without "=" the value is empty. */
struct parameter {
	struct slice name;
	struct slice value;
};

/* Takes the next one off a query; false at its end. */
static bool next_parameter(struct slice *query, struct parameter *out)
{
	while (query->len > 0) {
		out->value = slice_cut(query, '&');
		if (out->value.len == 0)
			continue;
		out->name = slice_cut(&out->value, '=');
		return true;
	}
	return false;
}

/* Whether a parameter is written as `name`, or as what that was called before. */
static bool is_name(struct slice written, struct slice name)
{
	static const struct {
		struct slice now, before;
	} RENAMED[] = {
	    {SLICE_INIT("webhook_id"), SLICE_INIT("webhook")},
	    {SLICE_INIT("session_id"), SLICE_INIT("session")},
	};
	for (size_t i = 0; i < sizeof(RENAMED) / sizeof(RENAMED[0]); i++) {
		if (slice_eq(name, RENAMED[i].now) && slice_eq(written, RENAMED[i].before))
			return true;
	}
	return slice_eq(written, name);
}

/* Finds a parameter. */
static bool find(const struct call *c, struct slice name, struct parameter *out)
{
	struct slice query = http_query(c->http);
	while (next_parameter(&query, out)) {
		if (is_name(out->name, name))
			return true;
	}
	return false;
}

/* Finds what `written` is among `params`; empty where it is none of them. */
static struct slice known_name(const char *params, struct slice written)
{
	struct slice left = slice_of(params);
	while (left.len > 0) {
		struct slice name = slice_cut(&left, ' ');
		if (is_name(written, name))
			return name;
	}
	return (struct slice){0};
}

/* Whether one of the parameters behind this one is the same. */
static bool comes_again(struct slice query, struct slice name)
{
	struct parameter other;
	while (next_parameter(&query, &other)) {
		if (is_name(other.name, name))
			return true;
	}
	return false;
}

static void refuse_parameter(struct call *c, struct slice written, bool is_known)
{
	char field[NAME_SHOWN_MAX + 1];
	char words[256];
	const char *params = c->route->params;
	if (is_known)
		(void)snprintf(words, sizeof(words), "is given twice");
	else if (params == NULL)
		(void)snprintf(words, sizeof(words),
		    "unknown parameter; this call takes none in its query");
	else
		(void)snprintf(words, sizeof(words),
		    "unknown parameter; those of this call are %s", params);
	(void)snprintf(field, sizeof(field), "%.*s",
	    (int)(written.len < NAME_SHOWN_MAX ? written.len : NAME_SHOWN_MAX), written.ptr);
	call_fail(c, 400, field, words);
}

bool query_admit(struct call *c)
{
	struct slice query = http_query(c->http);
	struct parameter p;
	const char *params = c->route->params == NULL ? "" : c->route->params;
	while (next_parameter(&query, &p)) {
		struct slice name = known_name(params, p.name);
		bool is_known = name.len > 0;
		if (!is_known || comes_again(query, name)) {
			refuse_parameter(c, p.name, is_known);
			return false;
		}
	}
	return true;
}

void query_refuse(struct query *q, const char *name, const char *allowed)
{
	char words[256];
	char field[NAME_SHOWN_MAX + 1];
	struct parameter p = {.name = slice_of(name)};
	(void)find(q->call, slice_of(name), &p); /* its own name, or the one that is written */
	(void)snprintf(field, sizeof(field), "%.*s", (int)p.name.len, p.name.ptr);
	(void)snprintf(words, sizeof(words), "%s must be %s", field, allowed);
	q->answered = true;
	call_fail(q->call, 400, field, words);
}

/* Undoes %XX. False for what is malformed, too long, or has a NUL. */
static bool decode(struct slice raw, char out[QUERY_TEXT_MAX + 1])
{
	size_t len = 0;
	if (percent_decode(raw, QUERY_TEXT_MAX, out, &len) != OK ||
	    memchr(out, '\0', len) != NULL)
		return false;
	out[len] = '\0';
	return true;
}

/* Makes each '+' the space that it stands for where a form's rules hold. */
static struct slice undo_plus(struct slice raw, struct buf *out)
{
	for (size_t i = 0; i < raw.len; i++)
		buf_putc(out, raw.ptr[i] == '+' ? ' ' : raw.ptr[i]);
	return buf_view(out);
}

bool query_text(struct query *q, const char *name, char out[QUERY_TEXT_MAX + 1])
{
	struct parameter p;
	char text[QUERY_TEXT_MAX + 1];
	if (q->answered || !find(q->call, slice_of(name), &p))
		return false;
	if (!decode(p.value, text)) {
		query_refuse(q, name, "at most 128 bytes, percent-encoded");
		return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

bool query_session(struct query *q, const char *name, const char *allowed,
    char out[QUERY_TEXT_MAX + 1])
{
	struct parameter p;
	if (q->answered || !find(q->call, slice_of(name), &p))
		return false;
	struct buf raw = BUF_INIT(p.value.len);
	bool good = decode(undo_plus(p.value, &raw), out) && name_is_session(slice_of(out));
	buf_fini(&raw);
	if (!good)
		query_refuse(q, name, allowed);
	return good;
}

bool query_number(struct query *q, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
	char text[QUERY_TEXT_MAX + 1];
	char allowed[64];
	uint64_t n = 0;
	if (!query_text(q, name, text))
		return false;
	if (str_u64(slice_of(text), &n) == OK && n >= min && n <= max) {
		*out = n;
		return true;
	}
	(void)snprintf(allowed, sizeof(allowed), "an integer from %llu to %llu",
	    (unsigned long long)min, (unsigned long long)max);
	query_refuse(q, name, allowed);
	return false;
}

bool query_uuid(struct query *q, const char *name, struct uuid *out)
{
	char text[QUERY_TEXT_MAX + 1];
	struct uuid id;
	if (!query_text(q, name, text))
		return false;
	if (uuid_parse(slice_of(text), &id) == OK) {
		*out = id;
		return true;
	}
	query_refuse(q, name, "an id as answers have it");
	return false;
}

bool query_event(struct query *q, const char *name, char out[EVENT_MAX + 1])
{
	char text[QUERY_TEXT_MAX + 1];
	if (!query_text(q, name, text))
		return false;
	if (!name_is_event(slice_of(text))) {
		query_refuse(q, name, "1 to 64 of a-z 0-9 _ .");
		return false;
	}
	memcpy(out, text, strlen(text) + 1);
	return true;
}

bool query_time(struct query *q, const char *name, int64_t *out_ms)
{
	char text[QUERY_TEXT_MAX + 1];
	int64_t ms = 0;
	if (!query_text(q, name, text))
		return false;
	if (instant_parse(slice_of(text), &ms) == OK) {
		*out_ms = ms;
		return true;
	}
	query_refuse(q, name, INSTANT_ALLOWED);
	return false;
}
