/*
 * The query of a call, parameter by parameter: decoded and checked.
 *
 * The first one that is not as it must be answers the call with a 400 that names it; the
 * reader is then `answered` and reads nothing more. So: read them all, look once.
 */
#ifndef API_QUERY_H
#define API_QUERY_H

#include "api/call.h"

/*
 * Whether the query has nothing but parameters of the call's row in the table, each once; else
 * the call has been answered. A name that the API's JSON has now, webhook_id and session_id,
 * may also be written as it was, without "_id".
 */
bool query_admit(struct call *c);

#define QUERY_TEXT_MAX 128 /* bytes of a decoded value; a longer one is a 400 */

struct query {
	struct call *call; /* borrowed, and gone once it is answered */
	bool answered;
};

/* Answers the call: parameter `name` must be what `allowed` says. */
void query_refuse(struct query *q, const char *name, const char *allowed);

/*
 * Each reads parameter `name` and returns whether it is there and good; else its output is
 * untouched. A '+' is a '+', as in RFC 3986.
 */
bool query_text(struct query *q, const char *name, char out[QUERY_TEXT_MAX + 1]);
bool query_number(struct query *q, const char *name, uint64_t min, uint64_t max, uint64_t *out);
bool query_uuid(struct query *q, const char *name, struct uuid *out);

_Static_assert(QUERY_TEXT_MAX >= SESSION_MAX, "a session id fits");

/*
 * Reads a session id the same way, but that `out` is of no use without one, and that a '+' is a
 * space: forms, URLSearchParams and Python's urlencode() write a space so, and no client leaves
 * a '+' as it is but by hand. `allowed`: what it must be.
 */
bool query_session(struct query *q, const char *name, const char *allowed,
    char out[QUERY_TEXT_MAX + 1]);

/* Reads the name of an event. */
bool query_event(struct query *q, const char *name, char out[EVENT_MAX + 1]);

/* A moment, as instant_parse() reads it, in wall milliseconds. */
bool query_time(struct query *q, const char *name, int64_t *out_ms);

#endif
