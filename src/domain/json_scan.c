/* Canonical JSON has no white space and no error: each byte says what follows it. */
#include "domain/json_scan.h"

#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* Returns the byte at `pos`, or -1 at the end. */
static int next(const struct json_scan *s)
{
	return s->pos < s->text.len ? (unsigned char)s->text.ptr[s->pos] : -1;
}

enum json_type json_type_of(struct slice value)
{
	switch (value.len > 0 ? value.ptr[0] : '\0') {
	case '"':
		return JSON_STRING;
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case 't':
	case 'f':
	case 'n':
		return JSON_WORD;
	}
	return JSON_NUMBER;
}

/* Whether the byte at `end` is escaped: an odd number of backslashes stands before it. */
static bool is_escaped(const char *start, const char *end)
{
	const char *p = end;
	while (p > start && p[-1] == '\\')
		p--;
	return (end - p) % 2 == 1;
}

static void skip_string(struct json_scan *s)
{
	const char *start = s->text.ptr + s->pos + 1;
	const char *end = s->text.ptr + s->text.len;
	const char *quote = start;
	do {
		quote = quote < end ? memchr(quote, '"', (size_t)(end - quote)) : NULL;
		if (quote == NULL) {
			s->pos = s->text.len;
			return;
		}
		quote++;
	} while (is_escaped(start, quote - 1));
	s->pos = (size_t)(quote - s->text.ptr);
}

static void skip_nest(struct json_scan *s)
{
	size_t depth = 0;
	while (s->pos < s->text.len) {
		char c = s->text.ptr[s->pos];
		if (c == '"') {
			skip_string(s);
			continue;
		}
		s->pos++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return;
	}
}

static void skip_plain(struct json_scan *s)
{
	for (int c = next(s); c >= 0 && c != ',' && c != '}' && c != ']'; c = next(s))
		s->pos++;
}

struct slice json_scan_value(struct json_scan *s)
{
	size_t from = s->pos;
	int c = next(s);
	if (c == '"')
		skip_string(s);
	else if (c == '{' || c == '[')
		skip_nest(s);
	else
		skip_plain(s);
	return (struct slice){s->text.ptr + from, s->pos - from};
}

void json_scan_enter(struct json_scan *s)
{
	if (next(s) >= 0)
		s->pos++;
}

bool json_scan_item(struct json_scan *s)
{
	int c = next(s);
	if (c == ',') {
		s->pos++;
		return true;
	}
	if (c == ']' || c == '}')
		s->pos++;
	return c >= 0 && c != ']' && c != '}';
}

bool json_scan_member(struct json_scan *s, struct slice *key)
{
	if (!json_scan_item(s))
		return false;
	*key = json_inside(json_scan_value(s));
	if (next(s) == ':')
		s->pos++;
	return next(s) >= 0;
}

struct slice json_inside(struct slice string)
{
	if (string.len < 2)
		return (struct slice){string.ptr, 0};
	return (struct slice){string.ptr + 1, string.len - 2};
}

/* Appends U+0800 to U+FFFF, or what is below it, as UTF-8 has it. */
static void put_unit(uint32_t u, struct buf *out)
{
	if (u >= 0x800) {
		buf_putc(out, (char)(0xe0 | u >> 12));
		buf_putc(out, (char)(0x80 | (u >> 6 & 0x3f)));
	} else if (u >= 0x80) {
		buf_putc(out, (char)(0xc0 | u >> 6));
	}
	buf_putc(out, (char)(u < 0x80 ? u : 0x80 | (u & 0x3f)));
}

/* Appends what the escape whose backslash is at `i` stands for; returns how long that is. */
static size_t decode_escape(struct slice inside, size_t i, struct buf *out)
{
	static const char LETTERS[] = "bfnrt";
	static const char MEANINGS[] = "\b\f\n\r\t";
	char c = i + 1 < inside.len ? inside.ptr[i + 1] : '\\';
	const char *letter = memchr(LETTERS, c, sizeof(LETTERS) - 1);
	if (c != 'u') {
		buf_putc(out, letter == NULL ? c : MEANINGS[letter - LETTERS]);
		return 2;
	}
	uint32_t u = 0;
	for (size_t k = i + 2; k < i + 6; k++) {
		int digit = k < inside.len ? str_hex_digit((unsigned char)inside.ptr[k]) : 0;
		u = u << 4 | (uint32_t)(digit < 0 ? 0 : digit);
	}
	put_unit(u, out);
	return 6;
}

void json_decode(struct slice inside, struct buf *out)
{
	size_t from = 0;
	for (size_t i = 0; i < inside.len;) {
		if (inside.ptr[i] != '\\') {
			i++;
			continue;
		}
		buf_append(out, inside.ptr + from, i - from);
		i += decode_escape(inside, i, out);
		from = i;
	}
	if (from < inside.len)
		buf_append(out, inside.ptr + from, inside.len - from);
}
