/*
 * JSON Pointers (RFC 6901) into canonical JSON: "/data/chat", "/items/0/id"; "" is the whole.
 * In a pattern a token that is "*" alone stands for every member or item.
 */
#ifndef DOMAIN_JSON_POINTER_H
#define DOMAIN_JSON_POINTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define JSON_POINTER_MAX 512     /* bytes of a pointer */
#define JSON_POINTER_TOKENS 16   /* of a pointer */
#define JSON_POINTER_PATTERNS 32 /* that are left out at once */

struct json_pointer;

/* Makes one of its text; NULL where that is none, or too long. json_pointer_free() it. */
struct json_pointer *json_pointer_new(struct slice text);
void json_pointer_free(struct json_pointer *p); /* NULL is fine */

/* The value that it points at; ptr is NULL where there is none. O(bytes of `value`). */
struct slice json_pointer_find(const struct json_pointer *p, struct slice value);

/*
 * Calls `fn` for each value that the pattern `p` means, in their order, until it returns false.
 * O(bytes of `value` for each token).
 */
void json_pointer_each(const struct json_pointer *p, struct slice value,
    bool (*fn)(void *arg, struct slice found), void *arg);

/*
 * Appends `value` without the members and items that any of the patterns means: an index is
 * the one that an item has in `value`. Nothing where one of them is "". At most
 * JSON_POINTER_PATTERNS; O(bytes of `value` for each token, and for a member that may be meant
 * the patterns).
 */
void json_pointer_leave_out(struct json_pointer *const patterns[], size_t count,
    struct slice value, struct buf *out);

#endif
