/* Moments as clients write them. */
#ifndef DOMAIN_INSTANT_H
#define DOMAIN_INSTANT_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* What is allowed, for messages. */
#define INSTANT_ALLOWED "a time such as 2026-01-31T12:00:00Z, or whole unix seconds"

/*
 * Reads RFC 3339 (section 5.6: an offset or Z, any fraction, of which the milliseconds count)
 * or whole unix seconds, into wall milliseconds since 1970. ERR_SYNTAX, also for what is before
 * 1970 or behind the year 9999.
 */
MUST_CHECK enum err instant_parse(struct slice text, int64_t *out_ms);

#endif
