/* Percent-encoding: %XX stands for a byte. Source: RFC 3986 sections 2.1 and 2.3. */
#ifndef BASE_PERCENT_H
#define BASE_PERCENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/str.h"

#define PERCENT_GROWTH 3 /* what is encoded is at most so many times as long */

/* The byte that the '%' at s.ptr[at] and two digits behind it stand for; -1: they are none. */
static inline int percent_byte(struct slice s, size_t at)
{
	int high = at + 2 < s.len ? str_hex_digit(s.ptr[at + 1]) : -1;
	int low = high < 0 ? -1 : str_hex_digit(s.ptr[at + 2]);
	return low < 0 ? -1 : high * 16 + low;
}

/*
 * Decodes `s` once into at most `max` bytes at `out`, and their number into *len; no NUL
 * follows. ERR_SYNTAX for a '%' without two digits, ERR_TOOBIG; then *len is untouched.
 */
MUST_CHECK enum err percent_decode(struct slice s, size_t max, char *out, size_t *len);

/*
 * Appends `s` for a segment of a path or a value of a query: all but unreserved characters, the
 * letters, the digits and - . _ ~, are encoded.
 */
void percent_put(struct buf *out, struct slice s);

/* Appends `s` for a header's value: only '%' and what is not visible ASCII is encoded. */
void percent_put_visible(struct buf *out, struct slice s);

/* Whether that would encode nothing. */
bool percent_is_visible(struct slice s);

#endif
