/* Steps over canonical JSON; see json_walk.h. */
#include "domain/json_walk.h"

#include <stdint.h>

#include "base/str.h"
#include "base/utf8.h"

static bool begins(struct slice value, char c)
{
	return value.len >= 2 && value.ptr[0] == c;
}

bool json_is_string(struct slice value)
{
	return begins(value, '"');
}

bool json_is_object(struct slice value)
{
	return begins(value, '{');
}

bool json_is_array(struct slice value)
{
	return begins(value, '[');
}

/* Whether the byte at `end` is escaped: an odd number of backslashes stands before it. */
static bool is_escaped(const char *start, const char *end)
{
	const char *p = end;
	while (p > start && p[-1] == '\\')
		p--;
	return (end - p) % 2 == 1;
}

/* The length of the string that `s` begins with, its quotes included. */
static size_t string_len(struct slice s)
{
	size_t at = 1;
	while (at < s.len) {
		const char *quote = memchr(s.ptr + at, '"', s.len - at);
		if (quote == NULL)
			break;
		at = (size_t)(quote - s.ptr) + 1;
		if (!is_escaped(s.ptr + 1, quote))
			return at;
	}
	return s.len;
}

/* The length of the number or word that `s` begins with. */
static size_t word_len(struct slice s)
{
	size_t n = 0;
	while (n < s.len && s.ptr[n] != ',' && s.ptr[n] != '}' && s.ptr[n] != ']')
		n++;
	return n;
}

/* The length of the object or array that `s` begins with. */
static size_t nest_len(struct slice s)
{
	size_t depth = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '"')
			i += string_len((struct slice){s.ptr + i, s.len - i}) - 1;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return i + 1;
	}
	return s.len;
}

static size_t value_len(struct slice s)
{
	if (s.len > 0 && s.ptr[0] == '"')
		return string_len(s);
	return s.len > 0 && (s.ptr[0] == '{' || s.ptr[0] == '[') ? nest_len(s) : word_len(s);
}

static struct slice take(struct slice *left, size_t n)
{
	struct slice taken = {left->ptr, n < left->len ? n : left->len};
	left->ptr += taken.len;
	left->len -= taken.len;
	return taken;
}

struct json_walk json_walk_in(struct slice value)
{
	struct json_walk w = {.in_object = json_is_object(value)};
	if (w.in_object || json_is_array(value))
		w.left = (struct slice){value.ptr + 1, value.len - 2};
	return w;
}

bool json_walk_next(struct json_walk *w)
{
	if (w->left.len > 0 && w->left.ptr[0] == ',')
		(void)take(&w->left, 1);
	if (w->left.len == 0)
		return false;
	if (w->in_object) {
		struct slice name = take(&w->left, string_len(w->left));
		w->key = (struct slice){name.ptr + 1, name.len < 2 ? 0 : name.len - 2};
		(void)take(&w->left, 1); /* the colon */
	}
	w->value = take(&w->left, value_len(w->left));
	return true;
}

struct slice json_walk_find(struct slice object, struct slice key)
{
	struct json_walk w = json_walk_in(object);
	while (w.in_object && json_walk_next(&w)) {
		if (slice_eq(w.key, key))
			return w.value;
	}
	return (struct slice){0};
}

static void put_utf8(uint32_t c, struct buf *out)
{
	if (c < 0x80) {
		buf_putc(out, (char)c);
	} else if (c < 0x800) {
		buf_putc(out, (char)(0xc0 | c >> 6));
		buf_putc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_putc(out, (char)(0xe0 | c >> 12));
		buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_putc(out, (char)(0xf0 | c >> 18));
		buf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* Reads the four digits of a \u; 0xfffd where they are not there. */
static uint32_t read_unit(struct slice s)
{
	uint32_t unit = 0;
	for (size_t i = 0; i < 4; i++) {
		int digit = i < s.len ? str_hex_digit((unsigned char)s.ptr[i]) : -1;
		if (digit < 0)
			return 0xfffd;
		unit = unit << 4 | (uint32_t)digit;
	}
	return unit;
}

/* Decodes what stands behind a backslash; returns how many bytes that were. */
static size_t put_escape(struct slice s, struct buf *out)
{
	static const char NAMES[] = "bfnrt";
	static const char MEANT[] = "\b\f\n\r\t";
	if (s.len == 0)
		return 0;
	const char *name = memchr(NAMES, s.ptr[0], sizeof(NAMES) - 1);
	if (s.ptr[0] != 'u') {
		buf_putc(out, name == NULL ? s.ptr[0] : MEANT[name - NAMES]);
		return 1;
	}
	/* in canonical form what has an escape is a control or half of a pair, on its own */
	uint32_t unit = read_unit((struct slice){s.ptr + 1, s.len - 1});
	if (unit >= 0xd800 && unit <= 0xdfff)
		buf_puts(out, UTF8_REPLACEMENT);
	else
		put_utf8(unit, out);
	return s.len < 5 ? s.len : 5;
}

bool json_text_of(struct slice value, struct buf *out)
{
	if (!json_is_string(value))
		return false;
	struct slice left = {value.ptr + 1, value.len - 2};
	while (left.len > 0) {
		const char *escape = memchr(left.ptr, '\\', left.len);
		size_t plain = escape == NULL ? left.len : (size_t)(escape - left.ptr);
		buf_slice(out, take(&left, plain));
		if (left.len > 0) {
			(void)take(&left, 1);
			(void)take(&left, put_escape(left, out));
		}
	}
	return true;
}
