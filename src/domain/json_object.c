/*
 * Order of the members of an object, as JavaScript keeps them: array indices
 * first, ascending, then the other keys in order of appearance; of duplicates the
 * last value at the first one's place. Nearly every object comes that way
 * already and is only looked at; one that does not is put together anew.
 *
 * Keys are sorted by length, then bytes: for array indices, which have no leading
 * zeros, that is their numeric order.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "domain/json_inner.h"

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
	size_t x = *(const size_t *)a;
	size_t y = *(const size_t *)b;
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
		s->sorted[i] = i;
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
 * Moves array indices, in order, and marks them as dropped, as all but the first
 * of duplicates, which gets the value of the last.
 */
static void settle_members(struct json_scratch *s, struct members *m, size_t first)
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
		bool indexed = has_index(m, head);
		if (indexed) {
			move_member(s, m->data, winner);
			m->spans = s->spans + first; /* the push may have moved the stack */
		}
		for (size_t k = i; k < end; k++)
			m->spans[s->sorted[k]].key = 0;
		if (!indexed)
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
	settle_members(s, m, first);
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
	if (!are_indices_in_place(&m) || has_duplicates(s, &m))
		rebuild(r, &m, start, first);
	return OK;
}
