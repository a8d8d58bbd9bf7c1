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

/* Patterns whose members are left out, all in one pass: each means what was there before. */
struct leaving {
	struct json_pointer *const *patterns;
	size_t count;
	struct json_writer *out;
};

/*
 * Which of the patterns of `set` go on behind the member that the walk stands at; *gone: one of
 * them ends there.
 */
static uint32_t sort_out(const struct leaving *l, uint32_t set, size_t at,
    const struct json_walk *w, uint64_t n, bool *gone)
{
	uint32_t deeper = 0;
	*gone = false;
	for (size_t i = 0; i < l->count; i++) {
		const struct json_pointer *p = l->patterns[i];
		if ((set >> i & 1) == 0 || !is_meant(&p->tokens[at], w, n, true))
			continue;
		if (at + 1 == p->count)
			*gone = true;
		else
			deeper |= UINT32_C(1) << i;
	}
	return deeper;
}

/* From token `at` on, which no pattern of `set` has behind its last; as deep as they are. */
static void leave_out(const struct leaving *l, uint32_t set, size_t at, struct slice value)
{
	struct json_walk w = json_walk_in(value);
	if (set == 0 || (!w.in_object && !json_is_array(value))) {
		json_write_raw(l->out, NULL, value);
		return;
	}
	if (w.in_object)
		json_open_object(l->out, NULL);
	else
		json_open_array(l->out, NULL);
	for (uint64_t n = 0; json_walk_next(&w); n++) {
		bool gone = false;
		uint32_t deeper = sort_out(l, set, at, &w, n, &gone);
		if (gone)
			continue;
		if (w.in_object)
			json_write_name(l->out, w.key);
		leave_out(l, deeper, at + 1, w.value);
	}
	json_close(l->out);
}

void json_pointer_leave_out(struct json_pointer *const patterns[], size_t count,
    struct slice value, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);
	const struct leaving l = {patterns, count, &w};
	uint32_t set = 0;
	panic_if(count > JSON_POINTER_PATTERNS, "more patterns than a set holds");
	for (size_t i = 0; i < count; i++) {
		if (patterns[i]->count == 0)
			return; /* the whole */
		set |= UINT32_C(1) << i;
	}
	leave_out(&l, set, 0, value);
}
