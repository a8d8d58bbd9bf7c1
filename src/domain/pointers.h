/*
 * JSON pointers (RFC 6901) that are wanted of events, those of many filters together: each
 * event is walked over once for all of them, and what is at one pointer is decoded once for
 * all who compare it. What no pointer leads to is stepped over.
 */
#ifndef DOMAIN_POINTERS_H
#define DOMAIN_POINTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define POINTER_BYTES_MAX 512 /* as it is written */
#define POINTER_NAMES_MAX 16  /* so deep it reaches */
#define POINTER_INDEX_MAX 999 /* of the items of an array; those behind are not found */

struct pointers;
struct pointer;

struct pointers *pointers_new(void);

/* Frees it, with all pointers that are in it. */
void pointers_free(struct pointers *ps);

/* How many names a pointer has; 0: `path`, inside of a canonical string, is none of ours. */
size_t pointer_names(struct slice path);

/*
 * Adds a pointer, as pointer_names() lets it through, or counts once more one that is there:
 * pointers_leave() it as often. O(its names).
 */
struct pointer *pointers_enter(struct pointers *ps, struct slice path);
void pointers_leave(struct pointers *ps, struct pointer *p);

/* How many are in it, each counted once. */
size_t pointers_count(const struct pointers *ps);

/*
 * Finds what is at each of them in `event`, which is canonical. What the functions below return
 * is of this event, and valid until the next look. `decoded` is borrowed as long; it needs no
 * more room than `event` has bytes. O(bytes of the event).
 */
void pointers_look(struct pointers *ps, struct slice event, struct buf *decoded);

/* The canonical value at `p`; ptr is NULL where there is nothing. */
struct slice pointer_value(const struct pointers *ps, const struct pointer *p);

/* The same of a string, decoded. */
struct slice pointer_text(struct pointers *ps, struct pointer *p);

/* The same of a number, as the double that is next to it. */
double pointer_number(struct pointers *ps, struct pointer *p);

/* The same as an integer, until the next look; NULL: it is none. Read once a look. */
const struct json_integer *pointer_integer(struct pointers *ps, struct pointer *p);

#endif
