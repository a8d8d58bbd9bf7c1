/*
 * What of an answer counts as success (docs/api.md): its status, and where that is asked for
 * what its body says, by a condition as filters have them. Of a webhook that has none of this
 * 2xx counts.
 */
#ifndef DOMAIN_SUCCESS_H
#define DOMAIN_SUCCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "domain/filter.h"
#include "domain/problem.h"

#define SUCCESS_STATUSES_MAX 32
#define SUCCESS_BYTES_MAX (FILTER_BYTES_MAX + 1024) /* of its JSON */
#define SUCCESS_STEPS_MAX 4096 /* of its condition, for each answer; docs/filters.md */

struct success;

/*
 * Compiles {"statuses"?,"answer"?}, canonical and without lone surrogates; *out is the caller's
 * to free. ERR_INVALID with the problem in words: its field is `field`, or what is below it.
 */
MUST_CHECK enum err success_compile(struct slice json, const char *field, struct success **out,
    struct problem *p);

/* Frees it; NULL is fine. */
void success_free(struct success *s);

/* The JSON that it was compiled from. Borrowed. */
struct slice success_json(const struct success *s);

/* Whether it looks at the body of an answer, of which it then needs all. */
bool success_reads(const struct success *s);

/* Whether that status counts; 0, no status at all, does not, nor does 410. */
bool success_has_status(const struct success *s, int status);

/*
 * Looks at the body of an answer whose status counts: NULL where that counts too, else why not,
 * in words that hold nothing of it. O(its bytes).
 */
const char *success_check(struct success *s, struct slice body);

#endif
