/*
 * Filters (docs/filters.md): conditions over events, compiled from their JSON once and asked
 * of each event that a webhook would get by its name. Bounded in what they take to compile,
 * to keep and to ask; how many steps a filter takes at most is known when it is compiled.
 *
 * A filter looks at what pointers.h has found: filters of one session share one walk over the
 * event.
 */
#ifndef DOMAIN_FILTER_H
#define DOMAIN_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json_write.h"
#include "domain/pointers.h"
#include "domain/problem.h"

#define FILTER_BYTES_MAX 16384 /* of its JSON */
#define FILTER_LEAVES_MAX 64
#define FILTER_DEPTH_MAX 8     /* conditions in each other */
#define FILTER_VALUES_MAX 1024 /* of an `in` */
#define FILTER_LOOK_MAX 4096   /* bytes of a string or array that contains and matches see */
#define FILTER_STEP_BYTES 64   /* that a step compares */
#define FILTER_SHOWN_MAX 256   /* bytes of a string that filter_explain() shows */

struct filter;

/*
 * Compiles `json`, which is canonical and without lone surrogates; *out is the caller's to
 * free. ERR_INVALID with the problem in words: its field is `field`, or the condition below
 * it.
 */
MUST_CHECK enum err filter_compile(struct slice json, const char *field, struct filter **out,
    struct problem *p);

/*
 * Keeps one of a record that this version does not take: it has its JSON, asks nothing and lets
 * nothing through. The caller's to free.
 */
struct filter *filter_keep(struct slice json);

/* Whether it is such a one; NULL: no. */
bool filter_is_kept(const struct filter *f);

/* Frees it, which is in no use any more; NULL is fine. */
void filter_free(struct filter *f);

/* The JSON that it was compiled from. Borrowed. */
struct slice filter_json(const struct filter *f);

/* How many steps asking it takes at most: 1 for a leaf, one more for FILTER_STEP_BYTES. */
uint32_t filter_steps(const struct filter *f);

/*
 * Puts its pointers among `ps`, of which it then asks, until filter_leave(). It is among one
 * `ps` at a time.
 */
void filter_enter(struct filter *f, struct pointers *ps);
void filter_leave(struct filter *f, struct pointers *ps);

/*
 * Whether the event that `ps` has looked at matches. *steps grows by those that it took.
 */
bool filter_matches(const struct filter *f, struct pointers *ps, uint64_t *steps);

/*
 * Writes an object for each leaf, into the array that is open: its place, what it looks at,
 * what is there and whether it matches.
 */
void filter_explain(const struct filter *f, struct pointers *ps, struct json_writer *json);

#endif
