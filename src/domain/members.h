/*
 * Members of an object of settings in canonical JSON: each read by its name and kind, with a
 * problem that names it where it is not what it must be. A null is as good as missing.
 */
#ifndef DOMAIN_MEMBERS_H
#define DOMAIN_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

struct members {
	struct slice object;
	const char *where; /* put before names in problems: "verify.", or "" */
	struct problem *p;
	enum err err; /* sticky: what is read behind an error is the default */
};

/* Says that `name` must be `allowed`, unless there was a problem before. */
void members_refuse(struct members *m, const char *name, const char *allowed);

/* Refuses a member that is none of `names`, which are separated by spaces. */
void members_allow(struct members *m, const char *names);

/* The value of `name`; ptr is NULL where it is missing. */
struct slice members_get(const struct members *m, const char *name);

/* A copy of the string `name`, 1 to `max` bytes of UTF-8, to be freed; NULL where missing. */
char *members_text(struct members *m, const char *name, size_t max);

/* Which of `names`, separated by spaces, the string `name` is; 0, the first, where missing. */
size_t members_choice(struct members *m, const char *name, const char *names);

/* The duration `name`, "5m", from 0 to `max_ms`; `missing` where there is none. */
int64_t members_duration(struct members *m, const char *name, int64_t max_ms, int64_t missing);

/* The boolean `name`. */
bool members_bool(struct members *m, const char *name, bool missing);

/*
 * Copies of the strings in the array `name`, at most `count_max` of 1 to `max` bytes, the first
 * *count of `out`. To be freed each.
 */
void members_texts(struct members *m, const char *name, size_t count_max, size_t max,
    char *out[], size_t *count);

#endif
