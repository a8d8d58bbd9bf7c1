/*
 * Purging: drops the queues of retired webhooks, a slice a turn, and then their
 * records, their replays among them. A queue of a million deliveries must not hold up one turn.
 */
#ifndef JOBS_PURGE_H
#define JOBS_PURGE_H

#include <stdint.h>

#include "store/turn.h"

struct purge;

/* `gone` is called after the commit that removed a retired webhook's record. */
struct purge *purge_new(struct turn *turn, void (*gone)(void *arg, uint64_t webhook),
    void *arg);

/* Frees it, after the turn where it is staged. NULL is fine. */
void purge_free(struct purge *p);

/* Adds a retired webhook. */
void purge_add(struct purge *p, uint64_t webhook);

/* Stages the next slice, unless one is staged already or there is nothing to purge. */
void purge_step(struct purge *p);

/* Deliveries that were cancelled so, since the start. */
uint64_t purge_cancelled(const struct purge *p);

#endif
