/*
 * A walk over canonical JSON, the texts that json_read_value() makes: members and items one by
 * one, strings decoded, nothing checked again (json_scan.h).
 *
 *	struct json_walk w = json_walk_in(value);
 *	while (json_walk_next(&w)) … w.key, w.value …
 */
#ifndef DOMAIN_JSON_WALK_H
#define DOMAIN_JSON_WALK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"
#include "domain/json_scan.h"

struct json_walk {
	struct json_scan scan; /* private, as the next two */
	bool in_object;
	bool has_more;
	struct slice key;   /* escaped, without quotes; empty in an array */
	struct slice value; /* as all slices: into the text */
};

/* Starts in front of the first member or item of `value`; in any other value there is none. */
struct json_walk json_walk_in(struct slice value);

/* Steps to the next one; false at the end. O(its bytes). */
bool json_walk_next(struct json_walk *w);

/* The member `key`, as it stands between its quotes; ptr is NULL where there is none. */
struct slice json_walk_find(struct slice object, struct slice key);

/* Whether the value is a string, an object, an array. */
static inline bool json_is_string(struct slice value)
{
	return json_type_of(value) == JSON_STRING;
}

static inline bool json_is_object(struct slice value)
{
	return json_type_of(value) == JSON_OBJECT;
}

static inline bool json_is_array(struct slice value)
{
	return json_type_of(value) == JSON_ARRAY;
}

/*
 * Appends what the string `value` stands for, as json_decode() does. False
 * where it is no string: nothing is appended.
 */
bool json_text_of(struct slice value, struct buf *out);

#endif
