/* YAML out; see yaml.h. */
#include <string.h>
#include <strings.h>

#include "base/printable.h"
#include "base/utf8.h"
#include "cli/yaml.h"
#include "domain/json_walk.h"

#define INDENT 2
#define KEY_MAX 1000 /* bytes; in front of its ':' a key has at most 1024 (YAML 1.2.2, 8.2.2) */
#define TEXT_MAX (256u << 20)

struct writing {
	struct buf *out;
	struct buf text; /* a string, decoded */
	struct buf line; /* a key as it is written */
	bool fails;      /* it cannot be said */
};

static void put_spaces(struct buf *out, unsigned count)
{
	while (count-- > 0)
		buf_putc(out, ' ');
}

/* Whether a reader of any version could take a word that looks like one for something else. */
static bool is_reserved(struct slice s)
{
	static const char *const WORDS[] = {"null", "true", "false", "yes", "no", "on", "off",
	    "y", "n"};
	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
		if (strlen(WORDS[i]) == s.len && strncasecmp(WORDS[i], s.ptr, s.len) == 0)
			return true;
	}
	return false;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether it is the same string without quotes: words, paths, URLs. No number begins so. */
static bool is_plain(struct slice s)
{
	static const char WITHIN[] = "0123456789_./+@-:?=&%~*() ";
	if (s.len == 0 || !(is_letter(s.ptr[0]) || s.ptr[0] == '/' || s.ptr[0] == '_'))
		return false;
	for (size_t i = 1; i < s.len; i++) {
		bool before_space = i + 1 == s.len || s.ptr[i + 1] == ' ';
		if (!is_letter(s.ptr[i]) &&
		    memchr(WITHIN, s.ptr[i], sizeof(WITHIN) - 1) == NULL)
			return false;
		if ((s.ptr[i] == ':' && before_space) || (s.ptr[i] == ' ' && i + 1 == s.len))
			return false;
	}
	return !is_reserved(s);
}

/* The character in front of `s`, and its bytes; 0: a byte that is none. */
static size_t take_char(struct slice s, uint32_t *c)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t len = p[0] < 0x80 ? 1 : utf8_len(p, s.len);
	*c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++)
		*c = *c << 6 | (p[i] & 0x3fu);
	return len;
}

static bool is_shown(uint32_t c)
{
	return !printable_hides(c) && c != 0xfffe && c != 0xffff;
}

/*
 * Whether it can stand as lines of its own: there are several, each is shown as it is, none
 * ends in what is not seen, and the first one has no space in front, which would count.
 */
static bool is_lines(struct slice s)
{
	if (s.len == 0 || memchr(s.ptr, '\n', s.len) == NULL || s.ptr[0] == '\n' ||
	    s.ptr[0] == ' ')
		return false;
	if (s.len > 1 && memcmp(s.ptr + s.len - 2, "\n\n", 2) == 0)
		return false;
	uint32_t before = 0;
	for (uint32_t c = 0; s.len > 0; before = c) {
		size_t len = take_char(s, &c);
		if (len == 0 || (c != '\n' && !is_shown(c)) || (c == '\n' && before == ' '))
			return false;
		s = (struct slice){s.ptr + len, s.len - len};
	}
	return before != ' ';
}

static void put_lines(struct buf *out, struct slice s, unsigned indent)
{
	bool ends = s.ptr[s.len - 1] == '\n';
	buf_puts(out, ends ? "|" : "|-");
	while (s.len > 0) {
		struct slice line = slice_cut(&s, '\n');
		buf_putc(out, '\n');
		if (line.len > 0)
			put_spaces(out, indent);
		buf_slice(out, line);
	}
}

static void put_quoted(struct writing *w, struct buf *out, struct slice s)
{
	buf_putc(out, '"');
	while (s.len > 0) {
		uint32_t c = 0;
		size_t len = take_char(s, &c);
		if (len == 0) { /* a lone surrogate */
			w->fails = true;
			return;
		}
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", (char)c);
		else if (c == '\n' || c == '\r' || c == '\t')
			buf_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
		else if (is_shown(c))
			buf_append(out, s.ptr, len);
		else
			buf_printf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
		s = (struct slice){s.ptr + len, s.len - len};
	}
	buf_putc(out, '"');
}

/* A string, of which `indent` is where its lines begin; else any scalar. */
static void put_scalar(struct writing *w, struct slice value, unsigned indent)
{
	if (!json_is_string(value)) {
		buf_slice(w->out, value);
		return;
	}
	buf_reset(&w->text);
	(void)json_text_of(value, &w->text);
	struct slice s = buf_view(&w->text);
	if (is_plain(s))
		buf_slice(w->out, s);
	else if (is_lines(s))
		put_lines(w->out, s, indent);
	else
		put_quoted(w, w->out, s);
}

/* Writes a key up to its ':'; a long one has a line of its own. */
static void put_key(struct writing *w, struct slice escaped, unsigned indent)
{
	buf_reset(&w->text);
	buf_reset(&w->line);
	json_decode(escaped, &w->text);
	struct slice s = buf_view(&w->text);
	if (is_plain(s))
		buf_slice(&w->line, s);
	else
		put_quoted(w, &w->line, s);
	bool is_long = w->line.len > KEY_MAX;
	buf_puts(w->out, is_long ? "? " : "");
	buf_slice(w->out, buf_view(&w->line));
	if (is_long) {
		buf_putc(w->out, '\n');
		put_spaces(w->out, indent);
	}
	buf_putc(w->out, ':');
}

static bool is_block(struct slice value)
{
	return (json_is_object(value) || json_is_array(value)) && value.len > 2;
}

/* Writes the members or items of `value`, the first one where `out` is, at `indent`. */
static void put_block(struct writing *w, struct slice value, unsigned indent)
{
	struct json_walk m = json_walk_in(value);
	bool is_object = json_is_object(value);
	if (indent == YAML_DEPTH_MAX * INDENT) {
		w->fails = true;
		return;
	}
	for (bool is_first = true; json_walk_next(&m) && !w->fails; is_first = false) {
		if (!is_first) {
			buf_putc(w->out, '\n');
			put_spaces(w->out, indent);
		}
		if (is_object)
			put_key(w, m.key, indent);
		else
			buf_putc(w->out, '-');
		if (!is_block(m.value)) {
			buf_putc(w->out, ' ');
			put_scalar(w, m.value, indent + INDENT);
			continue;
		}
		buf_putc(w->out, is_object ? '\n' : ' ');
		put_spaces(w->out, is_object ? indent + INDENT : 0);
		put_block(w, m.value, indent + INDENT);
	}
}

enum err yaml_write(struct buf *out, struct slice json)
{
	struct writing w = {.out = out, .text = BUF_INIT(TEXT_MAX), .line = BUF_INIT(TEXT_MAX)};
	if (is_block(json))
		put_block(&w, json, 0);
	else
		put_scalar(&w, json, INDENT);
	buf_putc(out, '\n');
	bool fails = w.fails || w.text.failed || w.line.failed;
	buf_fini(&w.text);
	buf_fini(&w.line);
	return fails ? ERR_INVALID : OK;
}
