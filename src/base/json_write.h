/*
 * JSON out: the one place where it is made. Objects, arrays and values come one after the
 * other, commas by themselves, without a space in between; domain/json.h reads.
 *
 *	struct json_writer w = JSON_WRITER(&buf);
 *	json_open_object(&w, NULL);
 *	json_write_cstr(&w, "url", hook->url);
 *	json_open_array(&w, "waits");
 *	json_write_i64(&w, NULL, 5);
 *	json_close(&w);
 *	json_close(&w);
 *	if (json_is_whole(&w)) …                     {"url":"http://…","waits":[5]}
 *
 * Every call takes the `name` of a member, as it stands between its quotes: a constant of
 * ours, nothing in it is escaped. NULL: an item of an array, a text that is one value, or a
 * value behind json_write_name().
 *
 * A text that passes the limit of its buffer fails it: write all, look at json_is_whole()
 * once at the end. What would be no JSON ends the process: a member without a name, an item
 * with one, a second value behind the first, a text that is not closed.
 */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define JSON_WRITE_DEPTH 32 /* objects and arrays in each other: more than any text of ours */

struct json_writer {
	struct buf *out;  /* borrowed; what it holds already stays before the text */
	uint64_t objects; /* private, as all below: bit n says that level n is an object */
	unsigned depth;   /* open levels; level 0 is around the text */
	bool follows;     /* a comma is needed before what comes next */
	bool named;       /* the name of the next value is written */
};

#define JSON_WRITER(buf) ((struct json_writer){.out = (buf)})

void json_open_object(struct json_writer *w, const char *name);
void json_open_array(struct json_writer *w, const char *name);

/* Closes what was opened last. */
void json_close(struct json_writer *w);

/* Writes the name of the next member, escaped already, where it is no constant. */
void json_write_name(struct json_writer *w, struct slice escaped);

/*
 * Writes UTF-8 as a string, escaped as JSON.stringify does: \" \\ \b \f \n \r \t short, other
 * controls \u00xx.
 */
void json_write_text(struct json_writer *w, const char *name, struct slice utf8);

/* The same; null where `utf8` is NULL. */
void json_write_cstr(struct json_writer *w, const char *name, const char *utf8);

/* Writes any bytes as a string: of what is not UTF-8 each byte becomes U+FFFD. */
void json_write_bytes(struct json_writer *w, const char *name, struct slice bytes);

/* The same; null where there are none. */
void json_write_bytes_or_null(struct json_writer *w, const char *name, struct slice bytes);

void json_write_i64(struct json_writer *w, const char *name, int64_t n);
void json_write_u64(struct json_writer *w, const char *name, uint64_t n);

/* Writes a finite number with up to 15 digits: as short as it can be, 2.5. */
void json_write_double(struct json_writer *w, const char *name, double n);

/* Writes a finite number with three decimals: seconds or milliseconds that were measured. */
void json_write_thousandths(struct json_writer *w, const char *name, double n);

void json_write_bool(struct json_writer *w, const char *name, bool b);
void json_write_null(struct json_writer *w, const char *name);

/* Writes wall milliseconds as RFC 3339, as str_time() has it. */
void json_write_time(struct json_writer *w, const char *name, int64_t wall_ms);

/* The same; null where it is 0. */
void json_write_time_or_null(struct json_writer *w, const char *name, int64_t wall_ms);

/* Writes a value that is JSON already. */
void json_write_raw(struct json_writer *w, const char *name, struct slice json);

/*
 * Whether the text is whole: all of it has fitted. False: it was cut off by the buffer's
 * limit, and is of no use. Ends the process where something is open or nothing was written.
 */
MUST_CHECK bool json_is_whole(const struct json_writer *w);

/* Ends the process unless the text is whole: for one that is always below its limit. */
void json_expect_whole(const struct json_writer *w);

#endif
