/* JSON Pointers; see json_pointer.h. Tokens are kept as keys stand in canonical JSON. */
#include "domain/json_pointer.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/json_walk.h"

struct token {
	char *key; /* escaped, without quotes */
	size_t len;
	bool is_any;
	uint64_t index; /* UINT64_MAX: it is no index of an array */
};

struct json_pointer {
	struct token tokens[JSON_POINTER_TOKENS];
	size_t count;
};

/* Decodes ~0 and ~1 of RFC 6901 section 3. False for any other "~". */
static bool decode_token(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (c == '~') {
			i++;
			if (i == text.len || (text.ptr[i] != '0' && text.ptr[i] != '1'))
				return false;
			c = text.ptr[i] == '0' ? '~' : '/';
		}
		buf_putc(out, c);
	}
	return true;
}

/* An index has no zero in front (RFC 6901 section 4). */
static uint64_t index_of(struct slice text)
{
	uint64_t n = UINT64_MAX;
	bool plain = text.len == 1 || (text.len > 0 && text.ptr[0] != '0');
	return plain && str_u64(text, &n) == OK ? n : UINT64_MAX;
}

static bool take_token(struct slice text, struct token *t)
{
	struct buf plain = BUF_INIT(JSON_POINTER_MAX);
	struct buf escaped = BUF_INIT(6 * JSON_POINTER_MAX + 2);
	struct json_writer w = JSON_WRITER(&escaped);
	bool good = decode_token(text, &plain);
	if (good) {
		json_write_bytes(&w, NULL, buf_view(&plain));
		t->len = escaped.len - 2;
		t->key = mem_copy(escaped.data + 1, t->len);
		t->is_any = slice_eq(text, SLICE("*"));
		t->index = index_of(text);
	}
	buf_fini(&plain);
	buf_fini(&escaped);
	return good;
}

struct json_pointer *json_pointer_new(struct slice text)
{
	if (text.len > JSON_POINTER_MAX || (text.len > 0 && text.ptr[0] != '/'))
		return NULL;
	struct json_pointer *p = mem_new(sizeof(*p));
	size_t at = 0;
	while (at < text.len) {
		const char *from = text.ptr + at + 1;
		const char *end = memchr(from, '/', text.len - at - 1);
		size_t len = end == NULL ? text.len - at - 1 : (size_t)(end - from);
		if (p->count == JSON_POINTER_TOKENS ||
		    !take_token((struct slice){from, len}, &p->tokens[p->count])) {
			json_pointer_free(p);
			return NULL;
		}
		p->count++;
		at += 1 + len;
	}
	return p;
}

void json_pointer_free(struct json_pointer *p)
{
	for (size_t i = 0; p != NULL && i < p->count; i++)
		free(p->tokens[i].key);
	free(p);
}

/* Whether the walk stands at what the token means; it is the `n`th one. */
static bool is_meant(const struct token *t, const struct json_walk *w, uint64_t n, bool any)
{
	if (any && t->is_any)
		return true;
	if (w->in_object)
		return slice_eq(w->key, (struct slice){t->key, t->len});
	return t->index == n;
}

struct slice json_pointer_find(const struct json_pointer *p, struct slice value)
{
	for (size_t i = 0; i < p->count && value.ptr != NULL; i++) {
		struct json_walk w = json_walk_in(value);
		value = (struct slice){0};
		for (uint64_t n = 0; value.ptr == NULL && json_walk_next(&w); n++) {
			if (is_meant(&p->tokens[i], &w, n, false))
				value = w.value;
		}
	}
	return value;
}

struct each {
	const struct json_pointer *p;
	bool (*fn)(void *arg, struct slice found);
	void *arg;
};

/* From token `at` on; as deep as there are tokens. */
static bool walk_each(const struct each *e, size_t at, struct slice value)
{
	if (at == e->p->count)
		return e->fn(e->arg, value);
	struct json_walk w = json_walk_in(value);
	for (uint64_t n = 0; json_walk_next(&w); n++) {
		if (is_meant(&e->p->tokens[at], &w, n, true) && !walk_each(e, at + 1, w.value))
			return false;
	}
	return true;
}

void json_pointer_each(const struct json_pointer *p, struct slice value,
    bool (*fn)(void *arg, struct slice found), void *arg)
{
	const struct each e = {p, fn, arg};
	(void)walk_each(&e, 0, value);
}

/*
 * What the patterns of a set say of the members at one depth. It is made once for many objects
 * and arrays there: those in an array are mostly met with the same set.
 */
struct level {
	uint32_t set;  /* bit i: pattern i goes on down to here; 0: not made yet */
	uint32_t any;  /* of these, those that mean every member here */
	uint32_t ends; /* those whose last token this is */
	uint64_t keys; /* the others' tokens, as bit_of() has them */
	uint64_t last; /* the highest index among them */
	bool has_index;
	size_t named; /* how many the others are: their tokens, and which patterns have these */
	const struct token *tokens[JSON_POINTER_PATTERNS];
	uint32_t bits[JSON_POINTER_PATTERNS];
};

/*
 * Patterns whose members are left out, all in one pass: each means what was there before. What
 * stays is copied in pieces that are as long as can be.
 */
struct leaving {
	struct json_pointer *const *patterns;
	size_t count;
	struct level levels[JSON_POINTER_TOKENS];
	const char *copied; /* the value up to here is in `out`, or left out */
	struct buf *out;
};

/* One bit of 64 for a key: by its length and its first byte. */
static uint64_t bit_of(struct slice key)
{
	size_t first = key.len == 0 ? 0 : (unsigned char)key.ptr[0];
	return UINT64_C(1) << ((first ^ key.len << 3) & 63);
}

static void make_level(const struct leaving *l, uint32_t set, size_t at, struct level *out)
{
	*out = (struct level){.set = set};
	for (size_t i = 0; i < l->count; i++) {
		uint32_t bit = UINT32_C(1) << i;
		const struct json_pointer *p = l->patterns[i];
		if ((set & bit) == 0)
			continue;
		const struct token *t = &p->tokens[at];
		out->ends |= at + 1 == p->count ? bit : 0;
		if (t->is_any) {
			out->any |= bit;
			continue;
		}
		out->tokens[out->named] = t;
		out->bits[out->named++] = bit;
		out->keys |= bit_of((struct slice){t->key, t->len});
		if (t->index != UINT64_MAX) {
			out->has_index = true;
			out->last = t->index > out->last ? t->index : out->last;
		}
	}
}

/* Which patterns of the level mean the member that the walk stands at, the `n`th. */
static uint32_t who_mean(const struct level *level, const struct json_walk *w, uint64_t n)
{
	uint32_t meant = level->any;
	bool can_be = w->in_object ? (level->keys & bit_of(w->key)) != 0
				   : level->has_index && n <= level->last;
	bool is_over = !can_be;
	for (size_t i = 0; !is_over && i < level->named; i++) {
		const struct token *t = level->tokens[i];
		bool is_it = w->in_object
		    ? t->len == w->key.len && memcmp(t->key, w->key.ptr, t->len) == 0
		    : t->index == n;
		meant |= is_it ? level->bits[i] : 0;
		is_over = (meant & level->ends) != 0; /* it is left out: all else is one */
	}
	return meant;
}

/* Leaves out what stands between the two. */
static void cut(struct leaving *l, const char *from, const char *to)
{
	buf_append(l->out, l->copied, (size_t)(from - l->copied));
	l->copied = to;
}

/* The same of the member that the walk stands at, with the comma before it, if it has one. */
static void cut_member(struct leaving *l, const struct json_walk *w, bool is_behind)
{
	const char *start = w->in_object ? w->key.ptr - 1 : w->value.ptr;
	const char *end = w->value.ptr + w->value.len;
	if (is_behind)
		start--;
	else if (*end == ',')
		end++;
	cut(l, start, end);
}

/* From token `at` on, which each pattern of `set` has; as deep as they are. */
static void leave_out(struct leaving *l, uint32_t set, size_t at, struct slice value)
{
	struct level *level = &l->levels[at];
	struct json_walk w = json_walk_in(value);
	bool is_behind = false; /* a member that stays */
	if (level->set != set)
		make_level(l, set, at, level);
	if ((level->any & level->ends) != 0) { /* all of them */
		cut(l, value.ptr + 1, value.ptr + value.len - 1);
		return;
	}
	for (uint64_t n = 0; json_walk_next(&w); n++) {
		uint32_t meant = who_mean(level, &w, n);
		if ((meant & level->ends) != 0) {
			cut_member(l, &w, is_behind);
			continue;
		}
		is_behind = true;
		bool is_deep = json_is_object(w.value) || json_is_array(w.value);
		if (meant != 0 && is_deep)
			leave_out(l, meant, at + 1, w.value);
	}
}

void json_pointer_leave_out(struct json_pointer *const patterns[], size_t count,
    struct slice value, struct buf *out)
{
	struct leaving l = {patterns, count, .copied = value.ptr, .out = out};
	uint32_t set = 0;
	panic_if(count > JSON_POINTER_PATTERNS, "more patterns than a set holds");
	for (size_t i = 0; i < count; i++) {
		if (patterns[i]->count == 0)
			return; /* the whole */
		set |= UINT32_C(1) << i;
	}
	if (set != 0 && (json_is_object(value) || json_is_array(value)))
		leave_out(&l, set, 0, value);
	cut(&l, value.ptr + value.len, NULL);
}
