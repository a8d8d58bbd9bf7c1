/* Showing what the API answers; see show.h. */
#include "cli/show.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/printable.h"

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

void show_put_line(struct buf *out, struct slice text)
{
	printable_put(out, text, false);
}

void show_put_word(struct buf *out, struct slice text)
{
	printable_put(out, text, true);
}

void show_print(FILE *out, struct slice text)
{
	struct buf line = BUF_INIT(SHOW_GROWTH * text.len + 1);
	show_put_line(&line, text);
	(void)fputs(buf_cstr(&line), out); /* who reads it is gone if this fails */
	buf_fini(&line);
}

void show_put(struct buf *out, struct slice text, size_t width)
{
	for (size_t i = 0; i < text.len; i++)
		buf_putc(out, text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?');
	for (size_t i = text.len; i < width; i++)
		buf_putc(out, ' ');
}

/* Whether the JSON of a string needs neither its quotes nor an escape to be one word. */
static bool is_plain(struct slice json)
{
	for (size_t i = 1; i + 1 < json.len; i++) {
		if (json.ptr[i] <= ' ' || json.ptr[i] > '~' || json.ptr[i] == '\\')
			return false;
	}
	return json.len > 2 && json.ptr[0] == '"';
}

/* How many characters `text` has, which is UTF-8. */
static size_t characters(struct slice text)
{
	size_t n = 0;
	for (size_t i = 0; i < text.len; i++)
		n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80 ? 1 : 0;
	return n;
}

void show_put_name(struct buf *out, struct slice json, size_t width)
{
	size_t from = out->len;
	if (json.len == 0)
		buf_putc(out, '-');
	else if (is_plain(json))
		buf_append(out, json.ptr + 1, json.len - 2);
	else
		show_put_line(out, json);
	for (size_t n = characters((struct slice){out->data + from, out->len - from});
	     n < width; n++)
		buf_putc(out, ' ');
}
