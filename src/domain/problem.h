/*
 * What is wrong with somebody's input, in words for them: the field it is
 * about and what is allowed. The api turns it into the contract's error shape,
 * the configuration reader into a line on standard error.
 */
#ifndef DOMAIN_PROBLEM_H
#define DOMAIN_PROBLEM_H

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

struct problem {
	char field[96];     /* "events[1]"; empty where the input as a whole is meant */
	char message[1024]; /* names what is allowed; no secret, no raw input bytes */
};

/* Fills `p` and returns `code`, so that a check can end with `return problem_set(…)`. */
PRINTF_LIKE(4, 5)
static inline enum err problem_set(struct problem *p, enum err code, const char *field,
    const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)snprintf(p->field, sizeof(p->field), "%s", field);
	(void)vsnprintf(p->message, sizeof(p->message), fmt, args);
	va_end(args);
	return code;
}

#endif
