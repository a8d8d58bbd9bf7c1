/*
 * Lists that are newest first, of a session or of all that a call reaches: which part of one is
 * asked for, and the walk from its top down. What lies in all sessions is in one order in the
 * store; for a token of some sessions their orders are merged, so that it is told of no other,
 * by a cursor either.
 *
 * It never looks at what it names, nor bounds a walk: its callers do.
 */
#ifndef API_NEWEST_H
#define API_NEWEST_H

#include "api/query.h"

#define NEWEST_LIMIT 50         /* entries of a page that names no limit */
#define NEWEST_LIMIT_MAX 200    /* and what it may name */
#define NEWEST_SESSIONS_MAX 200 /* of a token that are looked through together */

enum newest_kind { NEWEST_EVENTS, NEWEST_LETTERS };

/* Which part of a list; ids say when what they name was made. */
struct newest {
	struct uuid below; /* only ids below it; what was passed is not looked at again */
	int64_t since_ms;  /* wall; only ids from then on */
	uint64_t limit;
};

/* Reads ?since=, ?until=, ?limit= and ?cursor=, all where they are among the call's. */
void newest_read(struct query *q, struct newest *out);

/*
 * Calls `fn` with what lies below n->below, since n->since_ms, in the call's session, or where
 * it names none in all that its token reaches, until `fn` returns false. `session` is borrowed;
 * empty where only the event itself has it. The store's error; ERR_REFUSED, in words, for a
 * token of too many sessions.
 */
MUST_CHECK enum err newest_each(struct call *c, struct db_txn *txn, enum newest_kind kind,
    const struct newest *n, bool (*fn)(void *arg, const struct uuid *id, const char *session),
    void *arg);

/* Writes the member next_cursor; NULL: there are no more. */
void newest_write_cursor(struct json_writer *json, const struct uuid *last);

#endif
