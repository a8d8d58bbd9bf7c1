/*
 * The JSON reader's values, arrays and top level; json.h has the contract.
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
	free(s->members);
	buf_fini(&s->bytes);
	free(s);
	r->scratch = NULL;
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
	struct json_span span = {.key = json_out_pos(r) + 1};
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

/* Reads an object and leaves its members on the scratch stack. */
static enum err read_object(struct json_reader *r)
{
	size_t first = r->scratch->used;
	size_t start = json_out_pos(r);
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
	return err == OK ? json_order_members(r, start, first) : err;
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
		return json_read_number(r);
	return json_fail(r, "a value expected");
}

static void begin(struct json_reader *r, struct buf *out)
{
	skip_space(r);
	r->copied = r->pos;
	r->out = out;
	r->depth = 0;
	r->scratch->used = 0;
}

/* Completes a value whose reading ended with `err`; `start` is where it began in the output. */
static enum err finish(struct json_reader *r, enum err err, size_t start)
{
	struct buf *out = r->out;
	if (err == OK)
		json_cut(r, r->pos);
	if (err == OK && out->failed) {
		r->error = "the value is over the size limit";
		err = ERR_TOOBIG;
	}
	if (err == OK)
		skip_space(r);
	else
		out->len = start;
	r->out = NULL;
	return err;
}

enum err json_read_value(struct json_reader *r, struct buf *out)
{
	size_t start = out->len;
	begin(r, out);
	enum err err = read_value(r);
	return finish(r, err, start);
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
	err = finish(r, err, start);
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

#define SPANS_FIRST 32        /* members; most events have fewer */
#define FEW_MEMBERS 32        /* up to here pairs are compared, which is faster than to sort */
#define INDEX_MAX 4294967294U /* the greatest array index, 2^32 - 2 */
#define INDEX_DIGITS 10       /* its length */

/* The members of the object in hand. */
struct members {
	const char *data; /* the output */
	struct json_span *spans;
	size_t count;
};

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

static bool has_index(const struct members *m, size_t i)
{
	return json_is_index((struct slice){m->data + m->spans[i].key, m->spans[i].key_len});
}

static inline bool is_same_key(const char *data, const struct json_span *x,
    const struct json_span *y)
{
	size_t len = x->key_len;
	return len == y->key_len && memcmp(data + x->key, data + y->key, len) == 0;
}

/* Orders members by key; 0 for the same key. */
static int compare_keys(const struct members *m, size_t a, size_t b)
{
	const struct json_span *x = &m->spans[a];
	const struct json_span *y = &m->spans[b];
	if (x->key_len != y->key_len)
		return x->key_len < y->key_len ? -1 : 1;
	return memcmp(m->data + x->key, m->data + y->key, x->key_len);
}

/* The same, and by position where keys are the same. */
static int compare_members(const void *a, const void *b, void *arg)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;
	int order = compare_keys(arg, x, y);
	if (order != 0)
		return order;
	return x < y ? -1 : 1;
}

/* Fills s->sorted with the numbers of all members. */
static void sort_members(struct json_scratch *s, struct members *m)
{
	if (m->count > s->sorted_cap) {
		s->sorted = mem_resize(s->sorted, m->count, sizeof(*s->sorted));
		s->sorted_cap = m->count;
	}
	for (size_t i = 0; i < m->count; i++)
		s->sorted[i] = (uint32_t)i;
	qsort_r(s->sorted, m->count, sizeof(*s->sorted), compare_members, m);
}

/* Whether the array indices ascend and come before all other keys. */
static bool are_indices_in_place(const struct members *m)
{
	size_t indices = 0;
	for (size_t i = 0; i < m->count; i++) {
		if (!has_index(m, i))
			continue;
		if (indices != i || (i > 0 && compare_keys(m, i - 1, i) > 0))
			return false;
		indices++;
	}
	return true;
}

static bool has_duplicates(struct json_scratch *s, struct members *m)
{
	if (m->count > FEW_MEMBERS) {
		sort_members(s, m);
		for (size_t i = 1; i < m->count; i++) {
			if (compare_keys(m, s->sorted[i - 1], s->sorted[i]) == 0)
				return true;
		}
		return false;
	}
	const struct json_span *end = m->spans + m->count;
	for (const struct json_span *x = m->spans + 1; x < end; x++) {
		for (const struct json_span *y = m->spans; y < x; y++) {
			if (is_same_key(m->data, x, y))
				return true;
		}
	}
	return false;
}

/* Appends a member to the new object and its new span, relative to the '{', to the stack. */
static void move_member(struct json_scratch *s, const char *data, struct json_span span)
{
	buf_putc(&s->bytes, s->bytes.len == 0 ? '{' : ',');
	const char *quoted = data + span.key - 1;
	span.key = s->bytes.len + 1;
	buf_append(&s->bytes, quoted, span.key_len + span.value_len + strlen("\"\":"));
	json_push_span(s, span);
}

/*
 * Moves array indices, in order, or `all`, and marks them as dropped, as all but the first
 * of duplicates, which gets the value of the last.
 */
static void arrange_members(struct json_scratch *s, struct members *m, size_t first, bool all)
{
	sort_members(s, m);
	size_t end = 0;
	for (size_t i = 0; i < m->count; i = end) {
		size_t head = s->sorted[i];
		size_t last = head;
		for (end = i + 1; end < m->count; end++) {
			if (compare_keys(m, head, s->sorted[end]) != 0)
				break;
			last = s->sorted[end];
		}
		struct json_span winner = m->spans[last];
		bool moves = all || has_index(m, head);
		if (moves) {
			move_member(s, m->data, winner);
			m->spans = s->spans + first; /* the push may have moved the stack */
		}
		for (size_t k = i; k < end; k++)
			m->spans[s->sorted[k]].key = 0;
		if (!moves)
			m->spans[head] = winner;
	}
}

/* Puts the object together anew and replaces both its bytes and its spans. */
static void rebuild(struct json_reader *r, struct members *m, size_t start, size_t first)
{
	struct json_scratch *s = r->scratch;
	size_t top = s->used;
	s->bytes.max = r->out->max;
	buf_reset(&s->bytes);
	arrange_members(s, m, first, r->sorts);
	for (size_t i = first; i < top; i++) {
		if (s->spans[i].key != 0)
			move_member(s, m->data, s->spans[i]);
	}
	buf_putc(&s->bytes, '}');

	memcpy(r->out->data + start, s->bytes.data, s->bytes.len);
	r->out->len = start + s->bytes.len;
	size_t kept = s->used - top;
	for (size_t i = 0; i < kept; i++) {
		s->spans[first + i] = s->spans[top + i];
		s->spans[first + i].key += start;
	}
	s->used = first + kept;
}

enum err json_order_members(struct json_reader *r, size_t start, size_t first)
{
	struct json_scratch *s = r->scratch;
	if (s->used - first < 2)
		return OK;
	json_cut(r, r->pos);
	if (r->out->failed) {
		r->error = "the value is over the size limit";
		return ERR_TOOBIG;
	}
	struct members m = {r->out->data, s->spans + first, s->used - first};
	if (r->sorts || !are_indices_in_place(&m) || has_duplicates(s, &m))
		rebuild(r, &m, start, first);
	return OK;
}
