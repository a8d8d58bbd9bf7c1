/*
 * The JSON reader's values, arrays, strings and top level; json.h has the contract.
 *
 * Most texts come nearly canonical, so the output is the text with pieces cut out
 * or replaced, never built byte by byte. Between `copied` and `pos` lies what has
 * been read, is canonical as it stands, and waits to be appended in one run:
 *
 *     {"a":1,  "b":"x\/y","c":[1,2,3],"d":…
 *      in `out` or cut     |copied     |pos
 *
 * json_cut() appends the run and skips a piece; a replacement then goes to `out`.
 * Recursion is as deep as the nesting, so at most JSON_DEPTH_MAX.
 */
#include "domain/json.h"

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "domain/json_inner.h"

#define SPANS_FIRST 32        /* members; most events have fewer */
#define FEW_MEMBERS 32        /* up to here pairs are compared, which is faster than to sort */
#define INDEX_MAX 4294967294U /* the greatest array index, 2^32 - 2 */
#define INDEX_DIGITS 10       /* its length */
#define PLAIN_DIGITS 15       /* decimal digits that every double holds (DBL_DIG) */
#define PLAIN_FRACTION 6      /* 0.000001 is the least that is printed without an exponent */

#define STRING(x) #x
#define NUMBER_TEXT(x) STRING(x)

static enum err read_value(struct json_reader *r);

void json_init(struct json_reader *r, struct slice text)
{
	*r = (struct json_reader){.text = text};
	r->scratch = mem_new(sizeof(*r->scratch));
}

void json_fini(struct json_reader *r)
{
	struct json_scratch *s = r->scratch;
	if (s == NULL)
		return;
	free(s->spans);
	free(s->sorted);
	free(s->notes);
	free(s->places);
	free(s->members);
	buf_fini(&s->bytes);
	free(s);
	r->scratch = NULL;
}

void json_push_span(struct json_scratch *s, struct json_span span)
{
	if (s->used == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : SPANS_FIRST;
		s->spans = mem_resize(s->spans, s->cap, sizeof(*s->spans));
	}
	s->spans[s->used++] = span;
}

bool json_is_index(struct slice key)
{
	if (key.len == 0 || key.len > INDEX_DIGITS || (key.ptr[0] == '0' && key.len > 1))
		return false;
	uint64_t n = 0;
	for (size_t i = 0; i < key.len; i++) {
		if (key.ptr[i] < '0' || key.ptr[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(key.ptr[i] - '0');
	}
	return n <= INDEX_MAX;
}

static void skip_space(struct json_reader *r)
{
	for (;;) {
		int c = json_next(r);
		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return;
		r->pos++;
	}
}

static void cut_run_of_space(struct json_reader *r)
{
	size_t from = r->pos;
	skip_space(r);
	if (r->pos > from)
		json_cut(r, from);
}

/* Leaves white space at `pos` out of the output. Mostly there is none: worth to be inline. */
static inline void cut_space(struct json_reader *r)
{
	if (json_next(r) <= ' ')
		cut_run_of_space(r);
}

static enum err open_nest(struct json_reader *r)
{
	if (r->depth == JSON_DEPTH_MAX) {
		return json_fail(r,
		    "nested deeper than " NUMBER_TEXT(JSON_DEPTH_MAX) " levels");
	}
	r->depth++;
	r->pos++;
	cut_space(r);
	return OK;
}

/* Reads what follows an item: *more is true after a comma, false after `close`. */
static enum err read_separator(struct json_reader *r, char close, const char *expected,
    bool *more)
{
	cut_space(r);
	int c = json_next(r);
	if (c != ',' && c != close)
		return json_fail(r, expected);
	r->pos++;
	*more = c == ',';
	if (*more)
		cut_space(r);
	return OK;
}

static enum err read_array(struct json_reader *r)
{
	enum err err = open_nest(r);
	if (err != OK)
		return err;
	bool more = json_next(r) != ']';
	if (!more)
		r->pos++;
	while (err == OK && more) {
		err = read_value(r);
		if (err == OK)
			err = read_separator(r, ']', "a comma or ] expected", &more);
	}
	r->depth--;
	return err;
}

static enum err read_member(struct json_reader *r, const char *expected)
{
	if (json_next(r) != '"')
		return json_fail(r, expected);
	struct json_span span = {.key = json_out_pos(r) + 1,
	    .note = (uint32_t)r->scratch->notes_used};
	enum err err = json_read_string(r);
	if (err != OK)
		return err;
	span.key_len = json_out_pos(r) - 1 - span.key;
	cut_space(r);
	if (json_next(r) != ':')
		return json_fail(r, "a colon expected");
	r->pos++;
	cut_space(r);
	size_t value = json_out_pos(r);
	err = read_value(r);
	span.value_len = json_out_pos(r) - value;
	json_push_span(r->scratch, span);
	return err;
}

/* Opens the note of the object that begins at `pos`. */
static void open_note(struct json_reader *r)
{
	struct json_scratch *s = r->scratch;
	if (s->notes_used == s->notes_cap) {
		s->notes_cap = s->notes_cap > 0 ? s->notes_cap * 2 : SPANS_FIRST;
		s->notes = mem_resize(s->notes, s->notes_cap, sizeof(*s->notes));
	}
	s->notes[s->notes_used++] = (struct json_note){.start = (uint32_t)json_out_pos(r)};
}

/* Whether a few members are seen at a glance to be in order: no index, none twice. */
static bool is_in_order(const struct json_reader *r, size_t first)
{
	const struct json_span *spans = r->scratch->spans + first;
	size_t count = r->scratch->used - first;
	const char *data = r->out->data;
	if (count > FEW_MEMBERS || r->sorts)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct slice key = {data + spans[i].key, spans[i].key_len};
		if (json_is_index(key))
			return false;
		for (size_t k = 0; k < i; k++) {
			if (spans[k].key_len == key.len &&
			    memcmp(data + spans[k].key, key.ptr, key.len) == 0)
				return false;
		}
	}
	return true;
}

/* Ends an object; mostly it is in order, and so is all in it. */
static enum err end_object(struct json_reader *r, size_t note, size_t first)
{
	struct json_scratch *s = r->scratch;
	bool plain = s->used - first < 2;
	if (!plain) {
		json_cut(r, r->pos);
		if (r->out->failed) {
			r->error = "the value is over the size limit";
			return ERR_TOOBIG;
		}
		plain = is_in_order(r, first);
	}
	if (plain && s->notes_used == note + 1)
		s->notes_used--;
	else
		json_order_members(r, note, first);
	return OK;
}

/* Reads an object and leaves its members on the scratch stack. */
static enum err read_object(struct json_reader *r)
{
	size_t first = r->scratch->used;
	size_t note = r->scratch->notes_used;
	open_note(r);
	const char *expected = "a member name in quotes or } expected";
	enum err err = open_nest(r);
	if (err != OK)
		return err;
	bool more = json_next(r) != '}';
	if (!more)
		r->pos++;
	while (err == OK && more) {
		err = read_member(r, expected);
		expected = "a member name in quotes expected";
		if (err == OK)
			err = read_separator(r, '}', "a comma or } expected", &more);
	}
	r->depth--;
	return err == OK ? end_object(r, note, first) : err;
}

static enum err read_word(struct json_reader *r, struct slice word)
{
	for (size_t i = 0; i < word.len; i++) {
		if (json_next(r) != word.ptr[i])
			return json_fail(r, "true, false or null expected");
		r->pos++;
	}
	return OK;
}

static size_t skip_digits(const struct json_reader *r, size_t pos)
{
	while (pos < r->text.len && r->text.ptr[pos] >= '0' && r->text.ptr[pos] <= '9')
		pos++;
	return pos;
}

/*
 * Steps over a number that is canonical as it stands: as many digits as a double holds, none of
 * them a zero that goes, and so few behind the point that no exponent comes. False: it may be
 * another number, or none.
 */
static bool read_plain(struct json_reader *r)
{
	const char *text = r->text.ptr;
	bool is_below = text[r->pos] == '-';
	size_t from = r->pos + (is_below ? 1 : 0);
	size_t pos = skip_digits(r, from);
	size_t digits = pos - from;
	bool has_zero = digits > 0 && text[from] == '0';
	if (digits == 0 || (has_zero && digits > 1))
		return false;
	if (pos < r->text.len && text[pos] == '.') {
		size_t end = skip_digits(r, pos + 1);
		size_t behind = end - pos - 1;
		if (behind == 0 || behind > PLAIN_FRACTION || text[end - 1] == '0')
			return false;
		digits += behind;
		pos = end;
	} else if (is_below && has_zero) {
		return false;
	}
	char next = pos < r->text.len ? text[pos] : '\0';
	if (digits > PLAIN_DIGITS || next == 'e' || next == 'E')
		return false;
	r->pos = pos;
	return true;
}

static enum err read_value(struct json_reader *r)
{
	int c = json_next(r);
	switch (c) {
	case '"':
		return json_read_string(r);
	case '{': {
		size_t first = r->scratch->used;
		enum err err = read_object(r);
		r->scratch->used = first;
		return err;
	}
	case '[':
		return read_array(r);
	case 't':
		return read_word(r, SLICE("true"));
	case 'f':
		return read_word(r, SLICE("false"));
	case 'n':
		return read_word(r, SLICE("null"));
	}
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_plain(r) ? OK : json_read_number(r);
	return json_fail(r, "a value expected");
}

static void begin(struct json_reader *r, struct buf *out)
{
	skip_space(r);
	r->copied = r->pos;
	r->out = out;
	r->depth = 0;
	r->scratch->used = 0;
	r->scratch->notes_used = 0;
	r->scratch->places_used = 0;
}

/*
 * Completes a value whose reading ended with `err`; `start` is where it began in the output.
 * `has_spans`: those of the outermost object are still on the stack.
 */
static enum err finish(struct json_reader *r, enum err err, size_t start, bool has_spans)
{
	struct buf *out = r->out;
	if (err == OK)
		json_cut(r, r->pos);
	if (err == OK && out->failed) {
		r->error = "the value is over the size limit";
		err = ERR_TOOBIG;
	}
	if (err == OK) {
		if (r->scratch->notes_used > 0)
			json_reorder(r, start, has_spans);
		skip_space(r);
	} else {
		out->len = start;
	}
	r->out = NULL;
	return err;
}

enum err json_read_value(struct json_reader *r, struct buf *out)
{
	size_t start = out->len;
	begin(r, out);
	enum err err = read_value(r);
	return finish(r, err, start, false);
}

enum err json_sort(struct slice text, struct buf *out)
{
	struct json_reader r;
	json_init(&r, text);
	r.sorts = true;
	enum err err = json_read_value(&r, out);
	json_fini(&r);
	return err;
}

enum err json_read_members(struct json_reader *r, struct buf *out,
    const struct json_member **members, size_t *count)
{
	size_t start = out->len;
	begin(r, out);
	enum err err = ERR_SYNTAX;
	if (json_next(r) == '{')
		err = read_object(r);
	else
		r->error = "an object expected";
	err = finish(r, err, start, true);
	if (err != OK)
		return err;
	struct json_scratch *s = r->scratch;
	if (s->used > s->members_cap) {
		s->members = mem_resize(s->members, s->used, sizeof(*s->members));
		s->members_cap = s->used;
	}
	for (size_t i = 0; i < s->used; i++) {
		const struct json_span *span = &s->spans[i];
		const char *key = out->data + span->key;
		s->members[i].key = (struct slice){key, span->key_len};
		s->members[i].value = (struct slice){key + span->key_len + 2, span->value_len};
	}
	*members = s->members;
	*count = s->used;
	return OK;
}

int json_peek(struct json_reader *r)
{
	skip_space(r);
	return json_next(r);
}

enum err json_read_array(struct json_reader *r)
{
	if (json_peek(r) != '[')
		return json_fail(r, "an array expected");
	r->pos++;
	return OK;
}

enum err json_read_item(struct json_reader *r, bool first, bool *more)
{
	int c = json_peek(r);
	if (c != ']' && c != ',' && !first)
		return json_fail(r, "a comma or ] expected");
	*more = c != ']';
	if (c == ']' || !first)
		r->pos++;
	return OK;
}

enum err json_read_end(struct json_reader *r)
{
	return json_peek(r) < 0 ? OK : json_fail(r, "the end of the text expected");
}

/* What a text that is no JSON from its first byte on may be instead; NULL: who knows. */
static const char *name_other(struct slice text)
{
	static const struct {
		struct slice start;
		const char *words;
	} OTHERS[] = {
	    {SLICE_INIT("\xef\xbb\xbf"),
		"a byte order mark (EF BB BF): JSON is sent without one"},
	    {SLICE_INIT("\xff\xfe"), "a byte order mark of UTF-16: JSON is sent in UTF-8"},
	    {SLICE_INIT("\xfe\xff"), "a byte order mark of UTF-16: JSON is sent in UTF-8"},
	    {SLICE_INIT("\x1f\x8b"), "this is gzip: it needs Content-Encoding: gzip"},
	    {SLICE_INIT("\x28\xb5\x2f\xfd"), "this is zstd, which is not taken; gzip is"},
	};
	for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
		if (slice_starts(text, OTHERS[i].start))
			return OTHERS[i].words;
	}
	return NULL;
}

enum err json_problem(const struct json_reader *r, enum err err, struct problem *p)
{
	const char *what = err == ERR_TOOBIG ? "JSON over a limit" : "malformed JSON";
	const char *other = r->pos == 0 ? name_other(r->text) : NULL;
	return problem_set(p, err, "", "%s at byte %zu: %s", what, r->pos,
	    other == NULL ? r->error : other);
}

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

enum err json_read_whole(struct slice text, struct buf *out, struct problem *p)
{
	struct json_reader r;
	json_init(&r, text);
	enum err err = json_read_value(&r, out);
	if (err == OK)
		err = json_read_end(&r);
	if (err != OK)
		(void)json_problem(&r, err, p); /* returns `err` */
	json_fini(&r);
	return err;
}
