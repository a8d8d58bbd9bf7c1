/*
 * Steps over canonical JSON, as json.h has written it: finds where values begin and end, and
 * decodes strings. Nothing is checked and nothing is copied: text that is no JSON gives slices
 * of it without a meaning, never one outside of it, and every walk over it ends.
 */
#ifndef DOMAIN_JSON_SCAN_H
#define DOMAIN_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

/* A place in a text: in front of a value, of a comma, or of the end of an object or array. */
struct json_scan {
	struct slice text; /* borrowed */
	size_t pos;
};

enum json_type {
	JSON_STRING,
	JSON_NUMBER,
	JSON_WORD, /* true, false, null */
	JSON_ARRAY,
	JSON_OBJECT,
};

/* What the value that begins with this byte is. */
enum json_type json_type_of(struct slice value);

/* Steps over the value at the place, and returns it. O(its bytes). */
struct slice json_scan_value(struct json_scan *s);

/* Steps into the object or array at the place. */
void json_scan_enter(struct json_scan *s);

/*
 * Steps to the value of the next member; *key is its name as it is written, without the quotes.
 * False at the end of the object, which it has stepped over then.
 */
bool json_scan_member(struct json_scan *s, struct slice *key);

/* Steps to the next item. False at the end of the array, which it has stepped over then. */
bool json_scan_item(struct json_scan *s);

/* What is between the quotes of a string. */
struct slice json_inside(struct slice string);

/*
 * Appends what `inside`, the inside of a string, stands for: UTF-8, and a lone surrogate as
 * three bytes, as if it were a character. That is no longer than `inside`.
 */
void json_decode(struct slice inside, struct buf *out);

#endif
