/*
 * The trace that an event belongs to, as its publisher has said it (W3C Trace Context,
 * https://www.w3.org/TR/trace-context/): kept with the event, and sent on as it came. Of the
 * event nothing depends on it: what is no trace is as none.
 */
#ifndef DOMAIN_TRACE_H
#define DOMAIN_TRACE_H

#include "base/slice.h"

#define TRACE_PARENT_MAX 128 /* bytes; version 00 has 55, later ones may have more */
#define TRACE_STATE_MAX 512  /* bytes; what the specification wants passed on */
#define TRACE_MEMBERS_MAX 32 /* of tracestate, by the specification */
#define TRACE_MAX (TRACE_PARENT_MAX + 1 + TRACE_STATE_MAX)

/*
 * Writes what is kept of the headers traceparent and tracestate, either of which may be empty,
 * and returns how many bytes that are: 0 where traceparent is none. A tracestate that is
 * none, or too long, is left out.
 */
size_t trace_keep(struct slice parent, struct slice state, char out[TRACE_MAX]);

/* Takes what is kept apart; both borrow from it, *state is empty where there is none. */
void trace_split(struct slice kept, struct slice *parent, struct slice *state);

#endif
