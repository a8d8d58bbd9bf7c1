/*
 * When to try again (docs/api.md): the schedule, its jitter, and what a status
 * means. Pure: time and randomness are parameters.
 */
#ifndef DOMAIN_RETRY_H
#define DOMAIN_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

#define RETRY_STEPS_MAX 32
#define RETRY_WAIT_MAX_MS (7LL * 24 * 3600 * 1000) /* longest wait that a schedule may name */
#define RETRY_AFTER_MAX_MS (24LL * 3600 * 1000)    /* longest that a receiver may ask for */

struct retry_schedule {
	uint32_t count;                   /* waits; attempts are one more */
	int64_t wait_ms[RETRY_STEPS_MAX]; /* wait after attempt 1, 2, … */
};

/* 5 s, 30 s, 2 m, 10 m, 30 m, 2 h, 5 h, 10 h, 10 h: ten attempts in about 28 hours. */
extern const struct retry_schedule RETRY_DEFAULT;

/*
 * Parses "5s,30s,2m": 1 to RETRY_STEPS_MAX waits of 1 ms to RETRY_WAIT_MAX_MS, spaces
 * around each allowed. ERR_INVALID with the problem in words, `field` named in it.
 */
MUST_CHECK enum err retry_parse(struct slice text, const char *field,
    struct retry_schedule *out, struct problem *p);

/* Appends one wait given as text ("30s") to a schedule; errors as retry_parse. */
MUST_CHECK enum err retry_add(struct retry_schedule *s, struct slice text, const char *field,
    struct problem *p);

/*
 * The wait after `attempts` failed attempts (1 or more) with ±20 % jitter from
 * `random` (any 64 bits), in milliseconds; -1 when the schedule is exhausted.
 */
int64_t retry_wait(const struct retry_schedule *s, uint32_t attempts, uint64_t random);

enum outcome {
	OUTCOME_DELIVERED, /* 2xx */
	OUTCOME_RETRY,     /* everything else, and no status at all */
	OUTCOME_GONE,      /* 410: the webhook is to be disabled */
};

/* What final status `status` means; 0 stands for "no final status line came". */
enum outcome retry_outcome(int status);

/* Whether `status` asks us to slow down at once: 429, 502, 503, 504. */
bool retry_is_overload(int status);

#endif
