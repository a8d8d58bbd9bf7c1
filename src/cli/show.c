/* Showing what the API answers; see show.h. */
#include "cli/show.h"

#include <stdlib.h>
#include <unistd.h>

bool show_has_colours(void)
{
	const char *unwanted = getenv("NO_COLOR");
	return isatty(STDOUT_FILENO) == 1 && (unwanted == NULL || unwanted[0] == '\0');
}

enum err show_read(struct show *s, struct slice json, size_t max)
{
	*s = (struct show){.text = BUF_INIT(max)};
	json_init(&s->reader, json);
	enum err err = json_read_members(&s->reader, &s->text, &s->members, &s->count);
	return err == OK ? json_read_end(&s->reader) : err;
}

void show_fini(struct show *s)
{
	json_fini(&s->reader);
	buf_fini(&s->text);
}

struct slice show_member(const struct show *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct json_member *m = &s->members[i];
		if (slice_eq(m->key, slice_of(name)) && !slice_eq(m->value, SLICE("null")))
			return m->value;
	}
	return SLICE("");
}

struct slice show_text(const struct show *s, const char *name)
{
	struct slice value = show_member(s, name);
	if (value.len >= 2 && value.ptr[0] == '"')
		value = (struct slice){value.ptr + 1, value.len - 2};
	return value;
}

void show_put(struct buf *out, struct slice text, size_t width)
{
	for (size_t i = 0; i < text.len; i++)
		buf_putc(out, text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?');
	for (size_t i = text.len; i < width; i++)
		buf_putc(out, ' ');
}
