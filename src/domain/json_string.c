/*
 * Strings of the JSON reader. Runs of plain bytes are passed over and stay in the
 * text's pending run (json.c); only an escape that is not the canonical one is
 * cut and replaced. Decoded strings that are equal have the same canonical bytes,
 * so that keys can be compared without decoding.
 */
#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "domain/json_inner.h"

#define ESCAPE_U_LEN 6                    /* \uXXXX */
#define CANONICAL_MAX ESCAPE_U_LEN        /* bytes of the longest character */
#define BYTES(n) (UINT64_MAX / 255 * (n)) /* the same byte eight times */

/* The short escapes' letters and what they stand for; the first is never needed to write. */
static const struct slice LETTERS = SLICE_INIT("/\"\\bfnrt");
static const struct slice MEANINGS = SLICE_INIT("/\"\\\b\f\n\r\t");

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/*
 * Sets the top bit of bytes that are not plain, out of eight with the first lowest.
 * The lowest bit set is right; bits above it may be wrong, by what was borrowed.
 */
static uint64_t mark_special(const char *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	w = le64toh(w);
	uint64_t control = w - BYTES(0x20);
	uint64_t quote = (w ^ BYTES('"')) - BYTES(1);
	uint64_t backslash = (w ^ BYTES('\\')) - BYTES(1);
	return (w | control | quote | backslash) & BYTES(0x80);
}

/* Moves `pos` over plain bytes. */
static void skip_plain(struct json_reader *r)
{
	const char *p = r->text.ptr;
	size_t pos = r->pos;
	uint64_t special = 0;
	while (r->text.len - pos >= sizeof(special)) {
		special = mark_special(p + pos);
		if (special != 0)
			break;
		pos += sizeof(special);
	}
	if (special != 0) {
		for (; (special & 0x80) == 0; special >>= 8)
			pos++;
	} else {
		while (pos < r->text.len && is_plain((unsigned char)p[pos]))
			pos++;
	}
	r->pos = pos;
}

/* Returns the length of the UTF-8 sequence at `p`, not ASCII; 0 if malformed. RFC 3629 §4. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t len = 0;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		len = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		len = 3;
		low = p[0] == 0xe0 ? 0xa0 : low;   /* below: overlong */
		high = p[0] == 0xed ? 0x9f : high; /* above: surrogates */
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		len = 4;
		low = p[0] == 0xf0 ? 0x90 : low;   /* below: overlong */
		high = p[0] == 0xf4 ? 0x8f : high; /* above: past U+10FFFF */
	}
	if (len == 0 || left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

static bool is_surrogate(uint32_t u)
{
	return u >= 0xd800 && u <= 0xdfff;
}

/* Writes character or lone surrogate `u` as JSON.stringify does; returns the length. */
static size_t put_canonical(uint32_t u, char out[CANONICAL_MAX])
{
	static const char HEX[] = "0123456789abcdef";
	const char *same = NULL;
	if (u < 0x80)
		same = memchr(MEANINGS.ptr + 1, (int)u, MEANINGS.len - 1);
	if (same != NULL) {
		out[0] = '\\';
		out[1] = LETTERS.ptr[same - MEANINGS.ptr];
		return 2;
	}
	if (u < 0x20 || is_surrogate(u)) {
		out[0] = '\\';
		out[1] = 'u';
		for (unsigned i = 0; i < 4; i++)
			out[2 + i] = HEX[u >> (12 - 4 * i) & 15];
		return ESCAPE_U_LEN;
	}
	if (u < 0x80) {
		out[0] = (char)u;
		return 1;
	}
	size_t len = u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
	for (size_t i = len - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (u & 0x3f));
		u >>= 6;
	}
	out[0] = (char)((0xf00 >> len & 0xff) | u); /* as many leading ones as bytes */
	return len;
}

/* Reads uXXXX at `pos` and moves behind it, on an error to the byte that is no digit. */
static enum err read_unit(struct json_reader *r, uint32_t *unit)
{
	uint32_t u = 0;
	r->pos++;
	for (int i = 0; i < 4; i++) {
		int digit = str_hex_digit(json_next(r));
		if (digit < 0)
			return json_fail(r, "four hexadecimal digits after \\u expected");
		u = u << 4 | (uint32_t)digit;
		r->pos++;
	}
	*unit = u;
	return OK;
}

/* Reads the uXXXX of an escape, and the second escape of a surrogate pair with it. */
static enum err read_unicode(struct json_reader *r, uint32_t *u)
{
	enum err err = read_unit(r, u);
	if (err != OK || *u < 0xd800 || *u > 0xdbff)
		return err;
	struct slice rest = {r->text.ptr + r->pos, r->text.len - r->pos};
	if (!slice_starts(rest, SLICE("\\u")))
		return OK;
	size_t second = r->pos;
	uint32_t low = 0;
	r->pos++;
	err = read_unit(r, &low);
	if (err != OK)
		return err;
	if (low >= 0xdc00 && low <= 0xdfff)
		*u = 0x10000 + ((*u - 0xd800) << 10) + (low - 0xdc00);
	else
		r->pos = second; /* the first was alone; this one is read in its own turn */
	return OK;
}

/* Reads the escape whose backslash is at `pos`. */
static enum err read_escape(struct json_reader *r)
{
	size_t from = r->pos;
	uint32_t u = 0;
	r->pos++;
	int c = json_next(r);
	const char *letter = c < 0 ? NULL : memchr(LETTERS.ptr, c, LETTERS.len);
	if (c == 'u') {
		enum err err = read_unicode(r, &u);
		if (err != OK)
			return err;
	} else if (letter != NULL) {
		u = (unsigned char)MEANINGS.ptr[letter - LETTERS.ptr];
		r->pos++;
	} else {
		return json_fail(r, "one of \" \\ / b f n r t u after a backslash expected");
	}
	if (u == 0)
		r->has_nul = true;
	char canonical[CANONICAL_MAX];
	size_t len = put_canonical(u, canonical);
	if (len == r->pos - from && memcmp(canonical, r->text.ptr + from, len) == 0)
		return OK;
	json_cut(r, from);
	buf_append(r->out, canonical, len);
	return OK;
}

enum err json_read_string(struct json_reader *r)
{
	r->pos++;
	for (;;) {
		skip_plain(r);
		int c = json_next(r);
		if (c == '"') {
			r->pos++;
			return OK;
		}
		if (c < 0)
			return json_fail(r, "a closing quote expected");
		if (c < 0x20)
			return json_fail(r, "a control character in a string must be escaped");
		if (c == '\\') {
			enum err err = read_escape(r);
			if (err != OK)
				return err;
			continue;
		}
		const char *p = r->text.ptr + r->pos;
		size_t len = utf8_len((const unsigned char *)p, r->text.len - r->pos);
		if (len == 0)
			return json_fail(r, "bytes that are not UTF-8");
		r->pos += len;
	}
}

void json_put_lossy(struct slice bytes, struct buf *out)
{
	size_t plain = 0; /* what is before it has been appended */
	size_t i = 0;
	struct buf text = BUF_INIT(3 * bytes.len); /* of each byte at most U+FFFD */
	while (i < bytes.len) {
		const unsigned char *p = (const unsigned char *)bytes.ptr + i;
		size_t len = p[0] < 0x80 ? 1 : utf8_len(p, bytes.len - i);
		if (len == 0) {
			buf_append(&text, bytes.ptr + plain, i - plain);
			buf_puts(&text, "\xef\xbf\xbd");
			plain = i + 1;
		}
		i += len == 0 ? 1 : len;
	}
	buf_append(&text, bytes.ptr + plain, i - plain);
	buf_json(out, buf_view(&text));
	buf_fini(&text);
}
