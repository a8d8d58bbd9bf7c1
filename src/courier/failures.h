/*
 * Which addresses of names with several took no connection of late, whoever asked: they are
 * tried last. What is known of one is forgotten after FAILURES_KEPT_MS, or when it takes one.
 */
#ifndef COURIER_FAILURES_H
#define COURIER_FAILURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "courier/lookup.h"

#define FAILURES_KEPT_MS 60000
#define FAILURES_MAX 4096 /* that are known; the oldest goes for a new one */

struct failures;

struct failures *failures_new(void);

/* NULL is fine. */
void failures_free(struct failures *f);

/* No connection to `a` came to stand, or another one did long before it. */
void failures_note(struct failures *f, const union lookup_address *a, uint16_t port);

/* A connection to `a` stood. */
void failures_forget(struct failures *f, const union lookup_address *a, uint16_t port);

bool failures_has(const struct failures *f, const union lookup_address *a, uint16_t port);

size_t failures_count(const struct failures *f);

#endif
