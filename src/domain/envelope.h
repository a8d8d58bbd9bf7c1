/*
 * The envelope of an event: what publishers send and receivers get
 * (docs/api.md). Reads one from a JSON text and writes the exact
 * bytes that are stored, signed and sent.
 */
#ifndef DOMAIN_ENVELOPE_H
#define DOMAIN_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "domain/json.h"
#include "domain/name.h"
#include "domain/problem.h"

#define ENVELOPE_ID_MAX 128              /* bytes of a client's own id */
#define ENVELOPE_TIME_MAX 253402300799LL /* 9999-12-31T23:59:59Z, unix seconds */

struct envelope {
	char session[SESSION_MAX + 1];
	char event[EVENT_MAX + 1];
	char id[ENVELOPE_ID_MAX + 1]; /* the client's idempotency id; empty for none */
	int64_t timestamp_s;          /* unix seconds */
	bool has_timestamp;           /* it was named; else it is the present time */
	struct slice body;            /* canonical bytes, into the buffer given */
};

/* Whether a client may call an event, or a request, so: ENVELOPE_ID_MAX printable ASCII. */
bool envelope_is_id(struct slice id);

/*
 * Reads one envelope object from `r` and appends its canonical bytes to `body`:
 * {"session_id","event","timestamp",…unknown members…,"data"}, where unknown
 * members keep their order and array-index names come first of all, so that the
 * whole is what JSON.stringify(JSON.parse(it)) prints. "id" is taken out. A null is as good as
 * a member that is missing, but in "data" and in the unknown ones, where it is a value.
 *
 * `session`: the session of the request's path; empty where the envelope must name
 * it itself. A different "session_id" in the envelope is a problem.
 * `now_s`: unix seconds, for a missing timestamp.
 * `where`: put before field names in problems ("" or "[3]." for a batch item).
 * Owns: out->body points into `body`: valid until more is appended there.
 * Errors: ERR_SYNTAX (malformed JSON; r->pos is the offset), ERR_TOOBIG
 * (a limit of `scratch` or `body`), ERR_INVALID (a value, or the whole, breaks a rule);
 * all with the problem in words, and `body` as it was before. `scratch` is overwritten.
 */
MUST_CHECK enum err envelope_read(struct json_reader *r, struct slice session, int64_t now_s,
    const char *where, struct buf *scratch, struct buf *body, struct envelope *out,
    struct problem *p);

/*
 * The same for a gateway that turns its feed off at a 4xx: an object that is no envelope is
 * taken as the "data" of one for `session`. Its event is the one that it names, else what its
 * members tell: `schedule_id` scheduled_sent, or scheduled_failed with an `error`; `job_id` and
 * `counters` blast_progress, or blast_completed once `status` says so or none is pending; else
 * unknown. An envelope for another session stays a problem, as does what is no object.
 */
MUST_CHECK enum err envelope_read_any(struct json_reader *r, struct slice session,
    int64_t now_s, const char *where, struct buf *scratch, struct buf *body,
    struct envelope *out, struct problem *p);

#endif
