/* JSON out; see json_write.h. */
#include "base/json_write.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/utf8.h"

static bool is_in_object(const struct json_writer *w)
{
	return (w->objects >> w->depth & 1) != 0;
}

/* Puts `,"name":`, without the comma where nothing precedes; returns where that ends. */
static char *put_name(char *at, bool follows, struct slice name)
{
	if (follows)
		*at++ = ',';
	*at++ = '"';
	memcpy(at, name.ptr, name.len);
	at += name.len;
	*at++ = '"';
	*at++ = ':';
	return at;
}

static size_t name_bytes(bool follows, struct slice name)
{
	return (follows ? 1 : 0) + name.len + strlen("\"\":");
}

/*
 * Puts what stands before a value, its comma and its name, and takes `bytes` for the value
 * itself: returns where they are to be written, NULL where they do not fit. All at once, as
 * the events of a publish come this way.
 */
static char *begin(struct json_writer *w, const char *name, size_t bytes)
{
	struct buf *b = w->out;
	const struct slice text = slice_of(name);
	bool wants_name = is_in_object(w) && !w->named;
	panic_if(wants_name != (name != NULL), "JSON: a member needs one name, an item none");
	panic_if(w->depth == 0 && w->follows, "JSON: a second value");
	size_t before = name == NULL ? w->follows : name_bytes(w->follows, text);
	char *at = NULL;
	if (before + bytes > 0 && buf_reserve(b, before + bytes)) {
		at = b->data + b->len;
		b->len += before + bytes;
		if (name != NULL)
			at = put_name(at, w->follows, text);
		else if (w->follows)
			*at++ = ',';
	}
	w->named = false;
	w->follows = true;
	return at;
}

static void open_level(struct json_writer *w, const char *name, bool is_object)
{
	char *at = begin(w, name, 1);
	panic_if(w->depth == JSON_WRITE_DEPTH, "JSON: too deep");
	uint64_t bit = UINT64_C(1) << ++w->depth;
	w->objects = is_object ? w->objects | bit : w->objects & ~bit;
	w->follows = false;
	if (at != NULL)
		*at = is_object ? '{' : '[';
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
	struct buf *b = w->out;
	size_t bytes = name_bytes(w->follows, escaped);
	panic_if(!is_in_object(w) || w->named, "JSON: a name where none can be");
	if (buf_reserve(b, bytes)) {
		(void)put_name(b->data + b->len, w->follows, escaped); /* its end is known */
		b->len += bytes;
	}
	w->named = true;
	w->follows = false;
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

/* How many bytes at the front of `s` are ASCII that needs no escape. */
static size_t plain_bytes(struct slice s)
{
	size_t i = 0;
	for (; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
	}
	return i;
}

/* Puts the character that `s` begins with, which is not plain; returns its length in `s`. */
static size_t put_special(struct buf *b, struct slice s, bool checks)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t len = *p < 0x80 || !checks ? 1 : utf8_len(p, s.len);
	if (*p < 0x80)
		put_escape(b, *p);
	else if (len > 0)
		buf_append(b, p, len);
	else
		buf_puts(b, UTF8_REPLACEMENT);
	return len > 0 ? len : 1;
}

/* Puts what is left of a string, which does not begin with plain bytes, and its last quote. */
static void put_rest(struct buf *b, struct slice s, bool checks)
{
	while (s.len > 0) {
		size_t len = put_special(b, s, checks);
		s = (struct slice){s.ptr + len, s.len - len};
		size_t plain = plain_bytes(s);
		buf_append(b, s.ptr, plain);
		s = (struct slice){s.ptr + plain, s.len - plain};
	}
	buf_putc(b, '"');
}

/* `checks`: that it is UTF-8. */
static void write_string(struct json_writer *w, const char *name, struct slice s, bool checks)
{
	size_t plain = plain_bytes(s);
	bool is_plain = plain == s.len;
	char *at = begin(w, name, plain + (is_plain ? 2 : 1));
	if (at != NULL) {
		*at++ = '"';
		if (plain > 0)
			memcpy(at, s.ptr, plain);
		if (is_plain)
			at[plain] = '"';
	}
	if (!is_plain)
		put_rest(w->out, (struct slice){s.ptr + plain, s.len - plain}, checks);
}

void json_write_text(struct json_writer *w, const char *name, struct slice utf8)
{
	write_string(w, name, utf8, false);
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
	write_string(w, name, bytes, true);
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
	(void)begin(w, name, 0); /* what is printed makes its own room */
	buf_printf(w->out, "%llu", (unsigned long long)n);
}

void json_write_double(struct json_writer *w, const char *name, double n)
{
	(void)begin(w, name, 0); /* what is printed makes its own room */
	buf_printf(w->out, "%.15g", n);
}

void json_write_thousandths(struct json_writer *w, const char *name, double n)
{
	(void)begin(w, name, 0); /* what is printed makes its own room */
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
	char *at = begin(w, name, json.len);
	if (at != NULL)
		memcpy(at, json.ptr, json.len);
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
