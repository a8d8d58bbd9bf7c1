/* JSON out; see json_write.h. */
#include "base/json_write.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/utf8.h"

static bool is_in_object(const struct json_writer *w)
{
	return w->depth > 0 && (w->objects >> (w->depth - 1) & 1) != 0;
}

/* Writes `,"name":`, the comma where something precedes. */
static void put_name(struct json_writer *w, struct slice name)
{
	struct buf *b = w->out;
	if (!buf_reserve(b, (w->follows ? 1 : 0) + name.len + strlen("\"\":")))
		return;
	if (w->follows)
		b->data[b->len++] = ',';
	b->data[b->len++] = '"';
	memcpy(b->data + b->len, name.ptr, name.len);
	b->len += name.len;
	b->data[b->len++] = '"';
	b->data[b->len++] = ':';
}

/* Writes what stands before a value: its comma and its name. */
static void begin(struct json_writer *w, const char *name)
{
	if (!w->named) {
		panic_if(is_in_object(w) != (name != NULL),
		    "JSON: a member without a name, or a name without an object");
		panic_if(w->depth == 0 && w->follows, "JSON: a second value");
		if (name != NULL)
			put_name(w, slice_of(name));
		else if (w->follows)
			buf_putc(w->out, ',');
	} else {
		panic_if(name != NULL, "JSON: a second name");
	}
	w->named = false;
	w->follows = true;
}

static void open_level(struct json_writer *w, const char *name, bool is_object)
{
	begin(w, name);
	panic_if(w->depth == JSON_WRITE_DEPTH, "JSON: too deep");
	uint32_t bit = UINT32_C(1) << w->depth++;
	w->objects = is_object ? w->objects | bit : w->objects & ~bit;
	w->follows = false;
	buf_putc(w->out, is_object ? '{' : '[');
}

void json_open_object(struct json_writer *w, const char *name)
{
	open_level(w, name, true);
}

void json_open_array(struct json_writer *w, const char *name)
{
	open_level(w, name, false);
}

void json_close(struct json_writer *w)
{
	panic_if(w->depth == 0 || w->named,
	    "JSON: nothing to close, or a name without a value");
	buf_putc(w->out, is_in_object(w) ? '}' : ']');
	w->depth--;
	w->follows = true;
}

void json_write_name(struct json_writer *w, struct slice escaped)
{
	panic_if(!is_in_object(w) || w->named, "JSON: a name where none can be");
	put_name(w, escaped);
	w->named = true;
}

static void put_escape(struct buf *b, unsigned char c)
{
	static const char HEX[] = "0123456789abcdef";
	static const char MEANINGS[] = "\"\\\b\f\n\r\t";
	static const char LETTERS[] = "\"\\bfnrt";
	const char *same = c == '\0' ? NULL : strchr(MEANINGS, c);
	if (same != NULL) {
		const char text[2] = {'\\', LETTERS[same - MEANINGS]};
		buf_append(b, text, sizeof(text));
	} else {
		const char text[6] = {'\\', 'u', '0', '0', HEX[c >> 4], HEX[c & 15]};
		buf_append(b, text, sizeof(text));
	}
}

/* How many bytes of `s` can stand as they are; with `checks` only while they are UTF-8. */
static size_t plain_bytes(struct slice s, bool checks)
{
	size_t i = 0;
	while (i < s.len) {
		const unsigned char *p = (const unsigned char *)s.ptr + i;
		size_t len = 1;
		if (*p < 0x20 || *p == '"' || *p == '\\')
			return i;
		if (checks && *p >= 0x80)
			len = utf8_len(p, s.len - i);
		if (len == 0)
			return i;
		i += len;
	}
	return i;
}

static void put_string(struct buf *b, struct slice s, bool checks)
{
	buf_putc(b, '"');
	while (s.len > 0) {
		size_t plain = plain_bytes(s, checks);
		buf_append(b, s.ptr, plain);
		if (plain == s.len)
			break;
		unsigned char c = (unsigned char)s.ptr[plain];
		if (c >= 0x80)
			buf_puts(b, UTF8_REPLACEMENT);
		else
			put_escape(b, c);
		s = (struct slice){s.ptr + plain + 1, s.len - plain - 1};
	}
	buf_putc(b, '"');
}

void json_write_text(struct json_writer *w, const char *name, struct slice utf8)
{
	begin(w, name);
	put_string(w->out, utf8, false);
}

void json_write_cstr(struct json_writer *w, const char *name, const char *utf8)
{
	if (utf8 == NULL)
		json_write_null(w, name);
	else
		json_write_text(w, name, slice_of(utf8));
}

void json_write_bytes(struct json_writer *w, const char *name, struct slice bytes)
{
	begin(w, name);
	put_string(w->out, bytes, true);
}

void json_write_bytes_or_null(struct json_writer *w, const char *name, struct slice bytes)
{
	if (bytes.len == 0)
		json_write_null(w, name);
	else
		json_write_bytes(w, name, bytes);
}

void json_write_i64(struct json_writer *w, const char *name, int64_t n)
{
	char digits[STR_I64_SIZE];
	json_write_raw(w, name, str_put_i64(n, digits));
}

void json_write_u64(struct json_writer *w, const char *name, uint64_t n)
{
	begin(w, name);
	buf_printf(w->out, "%llu", (unsigned long long)n);
}

void json_write_double(struct json_writer *w, const char *name, double n)
{
	begin(w, name);
	buf_printf(w->out, "%.15g", n);
}

void json_write_thousandths(struct json_writer *w, const char *name, double n)
{
	begin(w, name);
	buf_printf(w->out, "%.3f", n);
}

void json_write_bool(struct json_writer *w, const char *name, bool b)
{
	json_write_raw(w, name, b ? SLICE("true") : SLICE("false"));
}

void json_write_null(struct json_writer *w, const char *name)
{
	json_write_raw(w, name, SLICE("null"));
}

void json_write_time(struct json_writer *w, const char *name, int64_t wall_ms)
{
	char stamp[STR_TIME_SIZE];
	str_time(wall_ms, stamp);
	json_write_cstr(w, name, stamp);
}

void json_write_time_or_null(struct json_writer *w, const char *name, int64_t wall_ms)
{
	if (wall_ms == 0)
		json_write_null(w, name);
	else
		json_write_time(w, name, wall_ms);
}

void json_write_raw(struct json_writer *w, const char *name, struct slice json)
{
	panic_if(json.len == 0, "JSON: no value");
	begin(w, name);
	buf_slice(w->out, json);
}

bool json_is_whole(const struct json_writer *w)
{
	panic_if(w->depth > 0 || !w->follows, "JSON: a text that has not ended");
	return !w->out->failed;
}

void json_expect_whole(const struct json_writer *w)
{
	panic_if(!json_is_whole(w), "JSON: a text of %zu bytes at most is longer", w->out->max);
}
