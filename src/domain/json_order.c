/*
 * The order of members: array indices first, or all sorted, and of duplicates one; json_inner.h
 * has the contract.
 *
 * No byte moves while objects are read: one within another would move with each that it is in.
 * An object that is not in order leaves a note, in the order of their '{', of where its members
 * lie and how they are to stand. In the end json_reorder() writes them, each byte once:
 *
 *     output   {"b":[{"z":1,"y":2}],"a":3}
 *     notes    0: "a" at 21, "b" at 1, from note 1 on      1: "y" at 13, "z" at 7
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "domain/json_inner.h"

#define DROPPED UINT32_MAX /* the length of the key of a member that goes */

/* The members of the object in hand. */
struct members {
	const char *data; /* the output */
	struct json_span *spans;
	size_t count;
};

static bool has_index(const struct members *m, size_t i)
{
	return json_is_index((struct slice){m->data + m->spans[i].key, m->spans[i].key_len});
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
	sort_members(s, m);
	for (size_t i = 1; i < m->count; i++) {
		if (compare_keys(m, s->sorted[i - 1], s->sorted[i]) == 0)
			return true;
	}
	return false;
}

/* Whether all are sorted, and none comes twice. */
static bool are_sorted(const struct members *m)
{
	for (size_t i = 1; i < m->count; i++) {
		if (compare_keys(m, i - 1, i) >= 0)
			return false;
	}
	return true;
}

/*
 * Puts the spans in order: array indices, or `all`, sorted, then the others as they came; of
 * duplicates the first stays, with the value of the last.
 */
static void arrange_spans(struct json_scratch *s, struct members *m, size_t first, bool all)
{
	size_t top = s->used;
	size_t end = 0;
	sort_members(s, m);
	for (size_t i = 0; i < m->count; i = end) {
		size_t head = s->sorted[i];
		for (end = i + 1; end < m->count; end++) {
			if (compare_keys(m, head, s->sorted[end]) != 0)
				break;
		}
		struct json_span winner = m->spans[s->sorted[end - 1]];
		bool moves = all || has_index(m, head);
		if (moves) {
			json_push_span(s, winner);
			m->spans = s->spans + first; /* the push may have moved the stack */
		}
		for (size_t k = i; k < end; k++)
			m->spans[s->sorted[k]].key_len = DROPPED;
		if (!moves)
			m->spans[head] = winner;
	}
	for (size_t i = first; i < top; i++) {
		if (s->spans[i].key_len != DROPPED)
			json_push_span(s, s->spans[i]);
	}
	size_t kept = s->used - top;
	memmove(s->spans + first, s->spans + top, kept * sizeof(*s->spans));
	s->used = first + kept;
}

/* Notes how the members from span `first` on are to stand. */
static void keep_places(struct json_scratch *s, struct json_note *note, size_t first)
{
	size_t count = s->used - first;
	note->first = (uint32_t)s->places_used;
	note->count = (uint32_t)count;
	if (s->places_used + count > s->places_cap) {
		s->places_cap = 2 * s->places_cap + count;
		s->places = mem_resize(s->places, s->places_cap, sizeof(*s->places));
	}
	for (size_t i = 0; i < count; i++) {
		const struct json_span *span = &s->spans[first + i];
		s->places[s->places_used++] = (struct json_place){.start = (uint32_t)span->key -
			1,
		    .end = (uint32_t)json_span_end(span),
		    .note = span->note};
	}
}

/* Orders the spans of an object whose bytes are all in the output. Whether it changed any. */
static bool order_spans(struct json_reader *r, size_t first)
{
	struct json_scratch *s = r->scratch;
	struct members m = {r->out->data, s->spans + first, s->used - first};
	bool is_fine = r->sorts ? are_sorted(&m)
				: are_indices_in_place(&m) && !has_duplicates(s, &m);
	if (!is_fine)
		arrange_spans(s, &m, first, r->sorts);
	return !is_fine;
}

void json_order_members(struct json_reader *r, size_t note, size_t first)
{
	struct json_scratch *s = r->scratch;
	bool moves = s->used - first >= 2 && order_spans(r, first);
	if (!moves && s->notes_used == note + 1) {
		s->notes_used--; /* neither it nor any within it */
		return;
	}
	struct json_note *n = &s->notes[note];
	n->end = (uint32_t)json_out_pos(r);
	n->next = (uint32_t)s->notes_used;
	if (moves)
		keep_places(s, n, first);
}

static void put_object(struct json_scratch *s, const char *data, const struct json_note *n);

/* Writes what lies from `from` up to `to`; the first note in there is `note`, or behind it. */
static void put_range(struct json_scratch *s, const char *data, size_t from, size_t to,
    size_t note)
{
	while (note < s->notes_used && s->notes[note].start < to) {
		const struct json_note *n = &s->notes[note++];
		if (n->count == 0)
			continue; /* only some within it are moved */
		buf_append(&s->bytes, data + from, n->start - from);
		put_object(s, data, n);
		from = n->end;
		note = n->next;
	}
	buf_append(&s->bytes, data + from, to - from);
}

static void put_object(struct json_scratch *s, const char *data, const struct json_note *n)
{
	for (size_t i = 0; i < n->count; i++) {
		const struct json_place *p = &s->places[n->first + i];
		buf_putc(&s->bytes, i == 0 ? '{' : ',');
		put_range(s, data, p->start, p->end, p->note);
	}
	buf_putc(&s->bytes, '}');
}

/* The same for the object that json_read_members() reads; its spans follow. */
static void put_members(struct json_scratch *s, const char *data, size_t start)
{
	for (size_t i = 0; i < s->used; i++) {
		struct json_span *span = &s->spans[i];
		buf_putc(&s->bytes, i == 0 ? '{' : ',');
		size_t at = s->bytes.len;
		put_range(s, data, span->key - 1, json_span_end(span), span->note);
		span->key = start + at + 1;
		span->value_len += start + s->bytes.len - json_span_end(span);
	}
	buf_putc(&s->bytes, '}');
}

void json_reorder(struct json_reader *r, size_t start, bool has_spans)
{
	struct json_scratch *s = r->scratch;
	struct buf *out = r->out;
	panic_if(out->len > UINT32_MAX, "a value of more than 4 GiB");
	s->bytes.max = out->max;
	buf_reset(&s->bytes);
	if (has_spans)
		put_members(s, out->data, start);
	else
		put_range(s, out->data, start, out->len, 0);
	memcpy(out->data + start, s->bytes.data, s->bytes.len);
	out->len = start + s->bytes.len;
}
