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

#include <stdlib.h>

#include "base/mem.h"
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

enum err json_problem(const struct json_reader *r, enum err err, struct problem *p)
{
	const char *what = err == ERR_TOOBIG ? "JSON over a limit" : "malformed JSON";
	return problem_set(p, err, "", "%s at byte %zu: %s", what, r->pos, r->error);
}
