/*
 * Strict JSON in, canonical JSON out, in one pass and without a DOM.
 *
 * In: RFC 8259, UTF-8 checked (no overlong forms, no surrogates, at most
 * U+10FFFF), nesting at most JSON_DEPTH_MAX, no byte order mark, nothing after
 * the text. Out: the bytes that JavaScript's JSON.stringify(JSON.parse(text))
 * prints (ECMA-262 25.5), except that a number whose ECMAScript form is not the
 * same decimal value keeps its literal (docs/api.md has every rule).
 *
 * A reader walks over one text; what it makes is appended to a buffer that the
 * caller gives, so that thousands of values share one. After an error the
 * reader is done with: only json_problem() and json_fini() make sense.
 */
#ifndef DOMAIN_JSON_H
#define DOMAIN_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

#define JSON_DEPTH_MAX 64 /* docs/api.md; an object or array in nothing is depth 1 */

struct json_reader {
	struct slice text;            /* borrowed */
	size_t pos;                   /* byte offset of the next byte to read */
	const char *error;            /* after an error: what was wrong at `pos`, a constant */
	bool has_nul;                 /* a string held \u0000: cJSON would cut it there */
	bool sorts;                   /* set by json_sort() */
	unsigned depth;               /* private, as all below: open objects and arrays */
	size_t copied;                /* text before it is in `out` or was cut, see json.c */
	struct buf *out;              /* borrowed during one call */
	struct json_scratch *scratch; /* owned; kept between values */
};

/* One member of the object that json_read_members() read. */
struct json_member {
	struct slice key;   /* canonical, escaped, without quotes; into the output buffer */
	struct slice value; /* canonical; into the output buffer */
};

/* Starts at the beginning of `text`; the reader is freed with json_fini(). */
void json_init(struct json_reader *r, struct slice text);
void json_fini(struct json_reader *r);

/*
 * Reads one value, with white space around it, and appends it to `out`.
 *
 * Errors: ERR_SYNTAX with r->error and r->pos, the offset of the offending byte, also for
 * nesting that passes JSON_DEPTH_MAX; ERR_TOOBIG when `out` passes its limit
 * (out->failed); out->len is then what it was.
 */
MUST_CHECK enum err json_read_value(struct json_reader *r, struct buf *out);

/*
 * Reads one object, with white space around it, and appends its canonical form to
 * `out`. *members and *count are its members in canonical order, valid until the
 * reader reads on or `out` changes.
 *
 * Errors: as json_read_value(); ERR_SYNTAX also where the value is no object.
 */
MUST_CHECK enum err json_read_members(struct json_reader *r, struct buf *out,
    const struct json_member **members, size_t *count);

/*
 * Appends the value that `text` is, canonical but for the order of members: those of each
 * object are sorted by key, the shorter one first, so that equal values become equal bytes.
 * Digests of these bytes lie in stores. The error is json_read_value()'s; `out` is then as it
 * was.
 */
MUST_CHECK enum err json_sort(struct slice text, struct buf *out);

/* Whether `key` is an array index (0 to 4294967294, no leading 0): these come first. */
bool json_is_index(struct slice key);

/* Returns the next byte that is not white space without reading it, or -1 at the end. */
int json_peek(struct json_reader *r);

/*
 * Reads the '[' of an array whose items the caller reads one by one. This array
 * does not count as depth: an item nests as deep as it could alone. ERR_SYNTAX.
 */
MUST_CHECK enum err json_read_array(struct json_reader *r);

/*
 * Steps to the array's next item: *more says whether one follows (then the caller
 * reads it) or the array has ended. `first` is true for the first step. ERR_SYNTAX.
 */
MUST_CHECK enum err json_read_item(struct json_reader *r, bool first, bool *more);

/* Checks that nothing but white space is left. ERR_SYNTAX. */
MUST_CHECK enum err json_read_end(struct json_reader *r);

/*
 * Says in `p` what error `err` of the reader was and where ("malformed JSON at byte
 * 17: a comma or } expected"), about no field in particular. Returns `err`.
 */
enum err json_problem(const struct json_reader *r, enum err err, struct problem *p);

/*
 * Reads a text that is one value and nothing else, and appends it to `out`. The errors are
 * json_read_value()'s, with the problem in words; `out` may then hold some of it.
 */
MUST_CHECK enum err json_read_whole(struct slice text, struct buf *out, struct problem *p);

/*
 * Appends number literal `text` (valid JSON) in its canonical form: as
 * Number.prototype.toString prints the double, or as it came where that would be
 * another decimal value. -0 becomes 0. Independent of the locale.
 */
void json_put_number(struct slice text, struct buf *out);

/*
 * Returns the double next to number literal `text` (valid JSON), 0 or infinite where it is
 * beyond all; of one with more than 17 digits, next to what the first 17 say. O(its bytes).
 */
double json_to_double(struct slice text);

/*
 * An integer as canonical JSON writes it: digits, perhaps a point among them, then zeros up to
 * `len`; e+21 stands where it has more than 21 digits and most are zeros.
 */
struct json_integer {
	bool is_below;       /* 0 */
	struct slice digits; /* into the number */
	size_t len;
};

/* Whether a number is an integer, and which. O(its bytes). */
bool json_integer_of(struct slice number, struct json_integer *out);

/* Orders two: < 0, 0, > 0. O(the digits of one), and only where both have as many. */
int json_integer_compare(const struct json_integer *a, const struct json_integer *b);

#endif
