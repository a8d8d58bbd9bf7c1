/* Single members of a text in JSON, by their path: for what servers answer. Pure. */
#ifndef DOMAIN_JSON_AT_H
#define DOMAIN_JSON_AT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define JSON_AT_MAX (256u << 10) /* bytes; a longer text has no members: each is looked for */

struct json_at {
	struct slice text;     /* borrowed */
	struct buf buffers[2]; /* private: an object, and the one in it */
};

#define JSON_AT(bytes)                                                                         \
	((struct json_at){.text = (bytes),                                                     \
	    .buffers = {BUF_INIT(JSON_AT_MAX), BUF_INIT(JSON_AT_MAX)}})

void json_at_fini(struct json_at *j);

/*
 * The member at `path`, "config/retention", as canonical JSON, until the next call. An empty
 * slice: there is none, or the text is no JSON.
 */
struct slice json_at(struct json_at *j, const char *path);

/* The same as a string, without its quotes, escaped as it is. */
struct slice json_at_text(struct json_at *j, const char *path);

/* The same as a number; 0 where there is none. */
uint64_t json_at_u64(struct json_at *j, const char *path);

#endif
