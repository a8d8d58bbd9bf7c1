/* YAML in, through libyaml's events and without a tree; see yaml.h. */
#include "cli/yaml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/json_write.h"
#include "base/mem.h"

#define TEXT_MAX (64u << 20) /* bytes of a scalar, and of the keys of what is open */

/* A key of a mapping that is not closed yet. */
struct key {
	size_t at;         /* in `names`, these from its level on */
	struct slice text; /* set when they are compared */
	yaml_mark_t mark;
};

/* A mapping or a sequence that is not closed yet. */
struct level {
	bool is_mapping;
	bool wants_value; /* the key has been read */
	size_t first_key;
};

struct reading {
	yaml_parser_t parser;
	struct slice text;
	struct json_writer json;
	struct problem *p;
	struct level levels[YAML_DEPTH_MAX];
	unsigned depth;
	struct key *keys; /* those of all that is open */
	size_t key_count;
	size_t key_cap;
	struct buf names; /* their bytes, a NUL behind each */
	struct buf word;  /* a name or a number as JSON has it */
	bool has_document;
};

static enum err refuse(const struct reading *r, yaml_mark_t at, const char *why)
{
	return problem_set(r->p, ERR_INVALID, "", "line %zu, column %zu: %s", at.line + 1,
	    at.column + 1, why);
}

/* What the scanner or the parser has found; what the reader has is a byte that it names. */
static enum err refuse_syntax(const struct reading *r)
{
	const yaml_parser_t *parser = &r->parser;
	yaml_mark_t at = parser->problem_mark;
	if (parser->error == YAML_MEMORY_ERROR)
		return problem_set(r->p, ERR_TOOBIG, "", "there is no memory for it");
	if (parser->error == YAML_READER_ERROR) {
		at = (yaml_mark_t){0};
		for (size_t i = 0; i < parser->problem_offset && i < r->text.len; i++) {
			bool is_end = r->text.ptr[i] == '\n';
			at.line += is_end ? 1 : 0;
			/* bytes behind the first one of a character do not count */
			at.column = is_end
			    ? 0
			    : at.column + (((unsigned char)r->text.ptr[i] & 0xc0) != 0x80);
		}
	}
	return refuse(r, at, parser->problem == NULL ? "this is no YAML" : parser->problem);
}

/* Digits in front of `s`; these are taken off it. */
static struct slice take_digits(struct slice *s)
{
	struct slice digits = {s->ptr, 0};
	while (digits.len < s->len && s->ptr[digits.len] >= '0' && s->ptr[digits.len] <= '9')
		digits.len++;
	*s = (struct slice){s->ptr + digits.len, s->len - digits.len};
	return digits;
}

static bool take_char(struct slice *s, const char *chars)
{
	bool is_there = s->len > 0 && memchr(chars, s->ptr[0], strlen(chars)) != NULL;
	if (is_there)
		*s = (struct slice){s->ptr + 1, s->len - 1};
	return is_there;
}

/*
 * Writes a decimal number of the core schema as JSON has it, the same where it is JSON already;
 * false: it is none.
 */
static bool put_decimal(struct buf *out, struct slice s)
{
	bool is_below = s.len > 0 && s.ptr[0] == '-';
	(void)take_char(&s, "+-");
	struct slice whole = take_digits(&s);
	bool has_point = take_char(&s, ".");
	struct slice part = has_point ? take_digits(&s) : SLICE("");
	if (whole.len + part.len == 0)
		return false;
	struct slice power = s; /* with its letter and sign */
	if (take_char(&s, "eE")) {
		(void)take_char(&s, "+-");
		if (take_digits(&s).len == 0)
			return false;
	}
	if (s.len > 0)
		return false;
	while (whole.len > 1 && whole.ptr[0] == '0')
		whole = (struct slice){whole.ptr + 1, whole.len - 1};
	buf_puts(out, is_below ? "-" : "");
	buf_slice(out, whole.len == 0 ? SLICE("0") : whole);
	if (part.len > 0) {
		buf_putc(out, '.');
		buf_slice(out, part);
	}
	buf_slice(out, power);
	return true;
}

/* The same of 0x1F and 0o17. *big: it has more than 64 bits. */
static bool put_based(struct buf *out, struct slice s, bool *big)
{
	bool is_hex = slice_starts(s, SLICE("0x"));
	const char *digits = is_hex ? "0123456789abcdefABCDEF" : "01234567";
	if ((!is_hex && !slice_starts(s, SLICE("0o"))) || s.len == 2)
		return false;
	for (size_t i = 2; i < s.len; i++) {
		if (memchr(digits, s.ptr[i], strlen(digits)) == NULL)
			return false;
	}
	errno = 0;
	uint64_t n = strtoull(s.ptr + 2, NULL,
	    is_hex ? 16 : 8); /* libyaml ends it with a NUL */
	*big = errno == ERANGE;
	buf_printf(out, "%" PRIu64, n);
	return true;
}

static bool is_one_of(struct slice s, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (slice_eq(s, slice_of(*words)))
			return true;
	}
	return false;
}

/*
 * Writes what a plain scalar is, other than a string, into `word`, which is empty where it is
 * one (YAML 1.2.2, section 10.3.2).
 */
static enum err resolve(struct reading *r, struct slice s, yaml_mark_t at)
{
	static const char *const NULLS[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const TRUES[] = {"true", "True", "TRUE", NULL};
	static const char *const FALSES[] = {"false", "False", "FALSE", NULL};
	static const char *const NO_JSON[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
	    "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN", NULL};
	bool big = false;
	buf_reset(&r->word);
	if (is_one_of(s, NO_JSON))
		return refuse(r, at, "JSON has no such number; a string takes quotes");
	if (is_one_of(s, NULLS))
		buf_puts(&r->word, "null");
	else if (is_one_of(s, TRUES))
		buf_puts(&r->word, "true");
	else if (is_one_of(s, FALSES))
		buf_puts(&r->word, "false");
	else if (!put_decimal(&r->word, s))
		(void)put_based(&r->word, s, &big);
	return big ? refuse(r, at, "the number has more than 64 bits; a string takes quotes")
		   : OK;
}

static bool wants_key(const struct reading *r)
{
	const struct level *l = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
	return l != NULL && l->is_mapping && !l->wants_value;
}

/* The value of a key, or an item, has come. */
static void note_value(struct reading *r)
{
	if (r->depth > 0)
		r->levels[r->depth - 1].wants_value = false;
}

static enum err take_key(struct reading *r, struct slice name, yaml_mark_t at)
{
	struct json_writer quoted = JSON_WRITER(&r->word);
	if (r->key_count == r->key_cap) {
		r->key_cap = r->key_cap == 0 ? 64 : 2 * r->key_cap;
		r->keys = mem_resize(r->keys, r->key_cap, sizeof(*r->keys));
	}
	r->keys[r->key_count++] = (struct key){.at = r->names.len, .mark = at};
	buf_slice(&r->names, name);
	buf_putc(&r->names, '\0');
	buf_reset(&r->word);
	json_write_text(&quoted, NULL, name);
	if (!json_is_whole(&quoted) || r->names.failed)
		return problem_set(r->p, ERR_TOOBIG, "", "its keys are too large");
	json_write_name(&r->json, (struct slice){r->word.data + 1, r->word.len - 2});
	r->levels[r->depth - 1].wants_value = true;
	return OK;
}

static enum err take_scalar(struct reading *r, const yaml_event_t *e)
{
	struct slice s = {(const char *)e->data.scalar.value, e->data.scalar.length};
	yaml_mark_t at = e->start_mark;
	bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	buf_reset(&r->word);
	enum err err = is_plain ? resolve(r, s, at) : OK;
	if (err != OK)
		return err;
	if (wants_key(r)) {
		if (r->word.len > 0)
			return refuse(r, at, "a key has to be a string: put it in quotes");
		if (is_plain && slice_eq(s, SLICE("<<")))
			return refuse(r, at, "merge keys are not read: write it out");
		return take_key(r, s, at);
	}
	if (r->word.len > 0)
		json_write_raw(&r->json, NULL, buf_view(&r->word));
	else
		json_write_text(&r->json, NULL, s);
	note_value(r);
	return OK;
}

static enum err open_level(struct reading *r, const yaml_event_t *e, bool is_mapping)
{
	if (wants_key(r))
		return refuse(r, e->start_mark, "a key has to be a string");
	if (r->depth == YAML_DEPTH_MAX)
		return refuse(r, e->start_mark, "it nests too deep");
	note_value(r);
	r->levels[r->depth++] = (struct level){.is_mapping = is_mapping,
	    .first_key = r->key_count};
	if (is_mapping)
		json_open_object(&r->json, NULL);
	else
		json_open_array(&r->json, NULL);
	return OK;
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *l = a;
	const struct key *r = b;
	size_t common = l->text.len < r->text.len ? l->text.len : r->text.len;
	int order = common == 0 ? 0 : memcmp(l->text.ptr, r->text.ptr, common);
	if (order == 0 && l->text.len != r->text.len)
		order = l->text.len < r->text.len ? -1 : 1;
	return order != 0 ? order : l->at < r->at ? -1 : 1;
}

/* Refuses a key that the mapping has twice. */
static enum err check_keys(struct reading *r, size_t first)
{
	size_t count = r->key_count - first;
	if (count < 2)
		return OK;
	struct key *keys = r->keys + first;
	for (size_t i = 0; i < count; i++) {
		size_t end = i + 1 < count ? keys[i + 1].at : r->names.len;
		keys[i].text = (struct slice){r->names.data + keys[i].at, end - keys[i].at - 1};
	}
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < count; i++) {
		if (slice_eq(keys[i - 1].text, keys[i].text))
			return problem_set(r->p, ERR_INVALID, "",
			    "line %zu, column %zu: the key is on line %zu already",
			    keys[i].mark.line + 1, keys[i].mark.column + 1,
			    keys[i - 1].mark.line + 1);
	}
	return OK;
}

static enum err close_level(struct reading *r)
{
	struct level l = r->levels[--r->depth];
	size_t before = l.first_key < r->key_count ? r->keys[l.first_key].at : r->names.len;
	enum err err = check_keys(r, l.first_key);
	r->names.len = before;
	r->key_count = l.first_key;
	json_close(&r->json);
	return err;
}

static enum err take_document(struct reading *r, const yaml_event_t *e)
{
	const yaml_version_directive_t *v = e->data.document_start.version_directive;
	if (r->has_document)
		return refuse(r, e->start_mark, "there is a second document: put it in a file");
	if (v != NULL && (v->major != 1 || v->minor != 2))
		return refuse(r, e->start_mark,
		    "this is read as YAML 1.2, not as what it declares");
	r->has_document = true;
	return OK;
}

/* Refuses what an event has beside what it is. */
static enum err check_adornments(const struct reading *r, const yaml_event_t *e)
{
	const yaml_char_t *anchor = NULL;
	const yaml_char_t *tag = NULL;
	if (e->type == YAML_SCALAR_EVENT) {
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
	}
	if (anchor != NULL || e->type == YAML_ALIAS_EVENT)
		return refuse(r, e->start_mark,
		    "anchors and aliases are not read: write it out");
	if (tag != NULL)
		return refuse(r, e->start_mark, "tags are not read; a string takes quotes");
	return OK;
}

static enum err take(struct reading *r, const yaml_event_t *e)
{
	enum err err = check_adornments(r, e);
	if (err != OK)
		return err;
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return take_document(r, e);
	case YAML_SCALAR_EVENT:
		return take_scalar(r, e);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return open_level(r, e, e->type == YAML_MAPPING_START_EVENT);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return close_level(r);
	case YAML_STREAM_END_EVENT:
		return r->has_document ? OK : problem_set(r->p, ERR_INVALID, "", "it is empty");
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_ALIAS_EVENT:
		break;
	}
	return OK;
}

static enum err read_events(struct reading *r)
{
	enum err err = OK;
	bool is_over = false;
	while (err == OK && !is_over) {
		yaml_event_t e;
		if (yaml_parser_parse(&r->parser, &e) == 0)
			return refuse_syntax(r);
		err = take(r, &e);
		is_over = e.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
		if (err == OK && r->json.out->failed)
			err = problem_set(r->p, ERR_TOOBIG, "", "it is too large");
	}
	return err;
}

enum err yaml_read(struct slice text, struct buf *out, struct problem *p)
{
	static const struct slice MARK = SLICE_INIT("\xef\xbb\xbf");
	struct reading r = {.text = text,
	    .json = JSON_WRITER(out),
	    .p = p,
	    .names = BUF_INIT(TEXT_MAX),
	    .word = BUF_INIT(6 * TEXT_MAX)};
	if (slice_starts(text, MARK))
		r.text = (struct slice){text.ptr + MARK.len, text.len - MARK.len};
	if (yaml_parser_initialize(&r.parser) == 0)
		return problem_set(p, ERR_TOOBIG, "", "there is no memory for it");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)r.text.ptr, r.text.len);
	enum err err = read_events(&r);
	yaml_parser_delete(&r.parser);
	free(r.keys);
	mem_wipe(r.word.data, r.word.len);
	buf_fini(&r.word);
	buf_fini(&r.names);
	return err;
}
