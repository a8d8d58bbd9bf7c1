/* Small text conversions that know nothing of the project: numbers, durations, sizes, hex. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* Parses decimal digits only, no sign, no spaces. ERR_SYNTAX, or ERR_TOOBIG past UINT64_MAX. */
MUST_CHECK enum err str_u64(struct slice s, uint64_t *out);

#define STR_I64_SIZE 21 /* a sign, 19 digits, a NUL */

/* Writes `n` in decimal and a NUL, and returns the digits: what snprintf() takes long for. */
struct slice str_put_i64(int64_t n, char out[STR_I64_SIZE]);

/*
 * Parses a duration as docs/api.md writes it: digits and one of
 * ms s m h d ("300ms", "5s", "2m", "2h", "5d"), into milliseconds.
 * ERR_SYNTAX, or ERR_TOOBIG past ten years.
 */
MUST_CHECK enum err str_duration(struct slice s, int64_t *out_ms);

#define STR_DURATION_SIZE 24 /* 19 digits, a unit, a NUL */

/* Writes `ms` (0 or more) in the largest unit that keeps it whole: 120000 as "2m". */
void str_put_duration(int64_t ms, char out[STR_DURATION_SIZE]);

/* Parses bytes: digits and perhaps KiB, MiB or GiB ("4096", "1MiB"). ERR_SYNTAX, ERR_TOOBIG. */
MUST_CHECK enum err str_size(struct slice s, uint64_t *out_bytes);

/* Writes 2*n lower-case hex digits and a NUL. */
void str_hex(const void *bytes, size_t n, char *out);

/* The value of a hex digit of either case; -1 for any other byte, and for -1. */
static inline int str_hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Compares in time that depends on the lengths alone: for tokens and signatures. */
bool str_same_secret(struct slice a, struct slice b);

#define STR_TIME_SIZE 25 /* "2026-01-31T12:00:00.000Z" and a NUL */

/*
 * Writes wall milliseconds since 1970 as RFC 3339 UTC with milliseconds. Times
 * that this form cannot hold become the nearest one: 1970 or the end of 9999.
 */
void str_time(int64_t wall_ms, char out[STR_TIME_SIZE]);

#define STR_HTTP_DATE_SIZE 30 /* "Sat, 31 Jan 2026 12:00:00 GMT" and a NUL */

/* The same as a header of HTTP has it (RFC 9110 section 5.6.7), in whole seconds. */
void str_http_date(int64_t wall_ms, char out[STR_HTTP_DATE_SIZE]);

#endif
