/* Members of an object of settings; see members.h. */
#include "domain/members.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "domain/json_walk.h"

#define NAME_SHOWN_MAX 40 /* bytes of a member that nobody knows */

/* The problem's field of `name`; of "" the object itself, without the dot behind it. */
static void name_field(const struct members *m, const char *name, char out[96])
{
	int n = snprintf(out, 96, "%s%s", m->where, name);
	if (name[0] == '\0' && n > 0)
		out[n - 1] = '\0';
}

void members_refuse(struct members *m, const char *name, const char *allowed)
{
	char field[96];
	if (m->err != OK)
		return;
	name_field(m, name, field);
	m->err = problem_set(m->p, ERR_INVALID, field, "%s must be %s", field, allowed);
}

static bool is_listed(struct slice name, const char *names)
{
	struct slice left = slice_of(names);
	while (left.len > 0) {
		if (slice_eq(slice_cut(&left, ' '), name))
			return true;
	}
	return false;
}

void members_allow(struct members *m, const char *names)
{
	struct json_walk w = json_walk_in(m->object);
	while (m->err == OK && json_walk_next(&w)) {
		char field[96];
		if (is_listed(w.key, names))
			continue;
		size_t len = w.key.len;
		if (len > NAME_SHOWN_MAX) /* whole characters */
			for (len = NAME_SHOWN_MAX; (w.key.ptr[len] & 0xc0) == 0x80;)
				len--;
		(void)snprintf(field, sizeof(field), "%s%.*s", m->where, (int)len, w.key.ptr);
		m->err = problem_set(m->p, ERR_INVALID, field,
		    "unknown or read-only field; allowed are %s", names);
	}
}

struct slice members_get(const struct members *m, const char *name)
{
	struct slice value = json_walk_find(m->object, slice_of(name));
	if (slice_eq(value, SLICE("null")))
		return (struct slice){0};
	return value;
}

/* Whether it is UTF-8 without a NUL: half a surrogate pair, which JSON can escape, is not. */
static bool is_utf8(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t len = 0;
	for (size_t i = 0; i < s.len; i += len) {
		len = p[i] < 0x80 ? 1 : utf8_len(p + i, s.len - i);
		if (len == 0 || p[i] == '\0')
			return false;
	}
	return true;
}

/* Takes the string `value`; NULL where it is none of 1 to `max` bytes, or no is_utf8(). */
static char *take_text(struct slice value, size_t max)
{
	struct buf text = BUF_INIT(max);
	bool good = json_text_of(value, &text) && !text.failed && text.len > 0 &&
	    is_utf8(buf_view(&text));
	char *copy = good ? mem_copy(text.data, text.len) : NULL;
	if (text.data != NULL)
		mem_wipe(text.data, text.len); /* it may be a secret */
	buf_fini(&text);
	return copy;
}

char *members_text(struct members *m, const char *name, size_t max)
{
	char allowed[64];
	struct slice value = members_get(m, name);
	if (value.ptr == NULL || m->err != OK)
		return NULL;
	char *text = take_text(value, max);
	(void)snprintf(allowed, sizeof(allowed), "a string of 1 to %zu bytes of UTF-8", max);
	if (text == NULL)
		members_refuse(m, name, allowed);
	return text;
}

size_t members_choice(struct members *m, const char *name, const char *names)
{
	struct buf allowed = BUF_INIT(512);
	struct buf text = BUF_INIT(64);
	struct slice value = members_get(m, name);
	struct slice left = slice_of(names);
	size_t found = 0;
	bool is_found = value.ptr == NULL;
	bool is_text = json_text_of(value, &text) && !text.failed;
	for (size_t i = 0; left.len > 0; i++) {
		struct slice one = slice_cut(&left, ' ');
		buf_printf(&allowed, "%s\"%.*s\"", i == 0 ? "one of " : ", ", (int)one.len,
		    one.ptr);
		if (is_text && slice_eq(one, buf_view(&text))) {
			found = i;
			is_found = true;
		}
	}
	if (!is_found)
		members_refuse(m, name, buf_cstr(&allowed));
	buf_fini(&allowed);
	buf_fini(&text);
	return found;
}

int64_t members_duration(struct members *m, const char *name, int64_t max_ms, int64_t missing)
{
	char allowed[96];
	char most[STR_DURATION_SIZE];
	struct buf text = BUF_INIT(32);
	struct slice value = members_get(m, name);
	int64_t ms = missing;
	if (value.ptr != NULL) {
		bool good = json_text_of(value, &text) && !text.failed &&
		    str_duration(buf_view(&text), &ms) == OK && ms <= max_ms;
		str_put_duration(max_ms, most);
		(void)snprintf(allowed, sizeof(allowed),
		    "a duration such as \"5m\", at most \"%s\"", most);
		if (!good)
			members_refuse(m, name, allowed);
	}
	buf_fini(&text);
	return m->err == OK ? ms : missing;
}

bool members_bool(struct members *m, const char *name, bool missing)
{
	struct slice value = members_get(m, name);
	bool is_true = slice_eq(value, SLICE("true"));
	if (value.ptr != NULL && !is_true && !slice_eq(value, SLICE("false")))
		members_refuse(m, name, "true or false");
	return value.ptr == NULL ? missing : is_true;
}

void members_texts(struct members *m, const char *name, size_t count_max, size_t max,
    char *out[], size_t *count)
{
	char allowed[96];
	struct slice value = members_get(m, name);
	bool good = value.ptr == NULL || json_is_array(value);
	struct json_walk w = json_walk_in(value);
	*count = 0;
	while (good && json_walk_next(&w)) {
		char *text = *count < count_max ? take_text(w.value, max) : NULL;
		good = text != NULL;
		if (good)
			out[(*count)++] = text;
	}
	(void)snprintf(allowed, sizeof(allowed),
	    "an array of at most %zu strings of 1 to %zu bytes of UTF-8", count_max, max);
	if (!good)
		members_refuse(m, name, allowed);
}
