/*
 * What the files of the JSON reader share: json.c (values, strings), json_number.c and
 * json_order.c (the order of members).
 * For nobody else; json.h is the interface.
 */
#ifndef DOMAIN_JSON_INNER_H
#define DOMAIN_JSON_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "domain/json.h"

/*
 * A member as it lies in the output: KEY":VALUE, nothing in between. A body may be nothing but
 * members, so that they are small; no output has 4 GiB.
 */
struct json_span {
	uint32_t key; /* offset of the byte behind the opening quote */
	uint32_t key_len;
	uint32_t value_len;
	uint32_t note; /* the first of those for objects in the value, if there is one */
};

/* Returns the offset behind the member's value. */
static inline size_t json_span_end(const struct json_span *span)
{
	return (size_t)span->key + span->key_len + 2 + span->value_len;
}

/*
 * Says that an object is to be written in another order. Kept small: a text of very small
 * objects may need one for each.
 */
struct json_note {
	uint32_t start; /* the object's offset in the output */
	uint32_t end;   /* the one behind it */
	uint32_t first; /* of its members' places, as they are to stand */
	uint32_t count; /* of them; 0: its own are in order, some within it are not */
	uint32_t next;  /* the note behind those of the objects in it */
};

/* Where a member of such an object lies. */
struct json_place {
	uint32_t start; /* the offset of the key's quote in the output */
	uint32_t end;   /* the one behind the value */
	uint32_t note;  /* as a span's */
};

/* Memory that outlives one value, so that thousands of values allocate once. */
struct json_scratch {
	struct json_span *spans; /* stack: the members of all objects that are open */
	size_t used;
	size_t cap;
	uint32_t *sorted; /* numbers of one object's members, by key */
	size_t sorted_cap;
	struct json_note *notes; /* in the order in which their objects begin */
	size_t notes_used;
	size_t notes_cap;
	struct json_place *places;
	size_t places_used;
	size_t places_cap;
	struct json_member *members; /* what json_read_members() hands out */
	size_t members_cap;
	struct buf bytes; /* the value while it is written in order */
};

/* Returns the byte at `pos`, or -1 at the end of the text. */
static inline int json_next(const struct json_reader *r)
{
	return r->pos < r->text.len ? (unsigned char)r->text.ptr[r->pos] : -1;
}

/* Sets the error of the byte at `pos`. */
static inline enum err json_fail(struct json_reader *r, const char *error)
{
	r->error = error;
	return ERR_SYNTAX;
}

/* Returns where in the output the byte at `pos` will lie. */
static inline size_t json_out_pos(const struct json_reader *r)
{
	return r->out->len + (r->pos - r->copied);
}

/* Leaves the text from `from` to `pos` out of the output; what precedes it is appended. */
static inline void json_cut(struct json_reader *r, size_t from)
{
	if (from > r->copied)
		buf_append(r->out, r->text.ptr + r->copied, from - r->copied);
	r->copied = r->pos;
}

/* Reads the string whose opening quote is at `pos`. ERR_SYNTAX. */
MUST_CHECK enum err json_read_string(struct json_reader *r);

/* Reads the number that starts at `pos`. ERR_SYNTAX. */
MUST_CHECK enum err json_read_number(struct json_reader *r);

/* Pushes a member onto the scratch stack. */
void json_push_span(struct json_scratch *s, struct json_span span);

/*
 * Brings the members of a complete object whose bytes are all in the output, and which end the
 * scratch stack, into canonical order, and drops duplicates. The bytes stay as they are until
 * json_reorder(). `note`: the object's own. `first`: its first span. O(n log n) for n members.
 */
void json_order_members(struct json_reader *r, size_t note, size_t first);

/*
 * Writes the value that begins at `start` in the output in the order that was noted: there is a
 * note. `has_spans`: it is an object whose spans are on the stack, and they follow. O(bytes).
 */
void json_reorder(struct json_reader *r, size_t start, bool has_spans);

#endif
