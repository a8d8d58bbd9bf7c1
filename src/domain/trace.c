/* Kept are traceparent and, behind a line feed, tracestate, if there is one; see trace.h. */
#include "domain/trace.h"

#include <string.h>

#define VERSION_AT 0
#define TRACE_AT 3
#define PARENT_AT 36
#define FLAGS_AT 53
#define PARENT_SIZE 55 /* of version 00; later ones may go on behind a "-" */
#define NAME_MAX_BYTES 256
#define VALUE_MAX_BYTES 256

static bool is_hex(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
			return false;
	}
	return true;
}

/* An id that is there: hexadecimal, and not all of it zeros. */
static bool is_id(const char *text, size_t n)
{
	return is_hex(text, n) && strspn(text, "0") < n;
}

static bool is_visible(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
			return false;
	}
	return true;
}

static bool is_parent(struct slice text)
{
	const char *p = text.ptr;
	if (text.len < PARENT_SIZE || text.len > TRACE_PARENT_MAX || !is_visible(text))
		return false;
	bool is_first = memcmp(p, "00", 2) == 0;
	if (text.len > PARENT_SIZE && (is_first || p[PARENT_SIZE] != '-'))
		return false;
	return is_hex(p + VERSION_AT, 2) && memcmp(p, "ff", 2) != 0 && p[TRACE_AT - 1] == '-' &&
	    is_id(p + TRACE_AT, 32) && p[PARENT_AT - 1] == '-' && is_id(p + PARENT_AT, 16) &&
	    p[FLAGS_AT - 1] == '-' && is_hex(p + FLAGS_AT, 2);
}

static struct slice trim(struct slice text)
{
	while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
		text.ptr++;
		text.len--;
	}
	while (
	    text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool is_name(struct slice text)
{
	if (text.len == 0 || text.len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		bool begins = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!begins && (i == 0 || c == '\0' || strchr("_-*/@", c) == NULL))
			return false;
	}
	return true;
}

/* NAME=VALUE; the value's spaces at its end are cut off by trim(). */
static bool is_member(struct slice text)
{
	const char *mark = memchr(text.ptr, '=', text.len);
	if (mark == NULL || !is_name((struct slice){text.ptr, (size_t)(mark - text.ptr)}))
		return false;
	size_t n = text.len - (size_t)(mark + 1 - text.ptr);
	for (size_t i = 1; i <= n; i++) {
		if (mark[i] < ' ' || mark[i] > '~' || mark[i] == '=')
			return false;
	}
	return n > 0 && n <= VALUE_MAX_BYTES;
}

static bool is_state(struct slice text)
{
	size_t members = 0;
	if (text.len == 0 || text.len > TRACE_STATE_MAX)
		return false;
	while (text.len > 0) {
		const char *comma = memchr(text.ptr, ',', text.len);
		size_t n = comma == NULL ? text.len : (size_t)(comma - text.ptr);
		struct slice member = trim((struct slice){text.ptr, n});
		if (member.len > 0) { /* members may be empty */
			if (!is_member(member) || ++members > TRACE_MEMBERS_MAX)
				return false;
		}
		n += comma != NULL ? 1 : 0;
		text.ptr += n;
		text.len -= n;
	}
	return members > 0;
}

size_t trace_keep(struct slice parent, struct slice state, char out[TRACE_MAX])
{
	parent = trim(parent);
	state = trim(state);
	if (!is_parent(parent))
		return 0;
	memcpy(out, parent.ptr, parent.len);
	if (!is_state(state))
		return parent.len;
	out[parent.len] = '\n';
	memcpy(out + parent.len + 1, state.ptr, state.len);
	return parent.len + 1 + state.len;
}

void trace_split(struct slice kept, struct slice *parent, struct slice *state)
{
	const char *end = kept.len > 0 ? memchr(kept.ptr, '\n', kept.len) : NULL;
	*parent = kept;
	*state = (struct slice){0};
	if (end == NULL)
		return;
	parent->len = (size_t)(end - kept.ptr);
	*state = (struct slice){end + 1, kept.len - parent->len - 1};
}
