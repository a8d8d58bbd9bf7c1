/*
 * The lanes of one endpoint whose webhook has a key (domain/lane.h): when the first of each is
 * due, as far as is known, and whose turn it is. Pure. What waits is on disk; a lane is looked
 * at there when something of it may have changed, so that those that wait for a retry cost
 * nothing meanwhile.
 */
#ifndef DISPATCH_LANES_H
#define DISPATCH_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "domain/lane.h"

#define LANES_LOOK INT64_MIN  /* due time of a lane that is to be looked at */
#define LANES_NEVER INT64_MAX /* of an empty one */

struct lanes;

/* Makes them, all to be looked at; lanes_free() them. */
struct lanes *lanes_new(void);
void lanes_free(struct lanes *l); /* NULL is fine */

/* Something of `lane`, or of any, may have changed: it is to be looked at. */
void lanes_look(struct lanes *l, uint16_t lane);
void lanes_look_all(struct lanes *l);

/* The first of `lane` is due at `due_ms`, wall. */
void lanes_set_due(struct lanes *l, uint16_t lane, int64_t due_ms);

/* The lanes from `from` to before `to`, at most LANES, are empty. */
void lanes_set_empty(struct lanes *l, uint16_t from, uint16_t to);

/*
 * The lane that is due at `now_ms`, or to be looked at, and not busy, next behind the one that
 * was taken last: each comes round. LANES: there is none.
 */
uint16_t lanes_next(const struct lanes *l, const bool busy[LANES], int64_t now_ms);

/* The first of `lane` is under way; it is to be looked at when it is busy no more. */
void lanes_take(struct lanes *l, uint16_t lane);

/* When the first of those that are not busy is due; LANES_NEVER: none is. */
int64_t lanes_wake(const struct lanes *l, const bool busy[LANES]);

#endif
