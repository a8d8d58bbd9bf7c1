/*
 * What the files of the JSON reader share: json.c (values, strings, objects) and json_number.c.
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
	uint32_t key; /* offset of the byte behind the opening quote; 0: a dropped member */
	uint32_t key_len;
	uint32_t value_len;
};

/* Memory that outlives one value, so that thousands of values allocate once. */
struct json_scratch {
	struct json_span *spans; /* stack: the members of all objects that are open */
	size_t used;
	size_t cap;
	uint32_t *sorted; /* numbers of one object's members, by key */
	size_t sorted_cap;
	struct json_member *members; /* what json_read_members() hands out */
	size_t members_cap;
	struct buf bytes; /* an object while it is put together anew */
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
 * Brings a complete object into canonical order and drops duplicates: its bytes,
 * which end the output, and its members, which end the scratch stack.
 *
 * `start`: offset of its '{' in the output. `first`: its first span.
 * Errors: ERR_TOOBIG when the output has passed its limit.
 * O(n log n) for n members.
 */
MUST_CHECK enum err json_order_members(struct json_reader *r, size_t start, size_t first);

#endif
