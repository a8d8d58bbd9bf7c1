/* Names that clients choose: sessions and events (docs/api.md). */
#ifndef DOMAIN_NAME_H
#define DOMAIN_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

#define SESSION_MAX 128 /* bytes */
#define EVENT_MAX 64    /* bytes */

/* What a session id must be, in words. */
#define SESSION_ALLOWED "1 to 128 bytes of UTF-8 without control characters, and none of . .. *"

/* Stands where a session is named for all of them: the owner of webhooks for all sessions. */
#define SESSION_ALL "*"

/*
 * Whether `s` is a session id: SESSION_MAX bytes of UTF-8 at most, without the controls of
 * Unicode's category Cc. "." and ".." are none: what is on the way takes them out of a path,
 * however they are written there (WHATWG URL, "dot segments"). Nor is SESSION_ALL. Bytes are
 * compared, nothing is normalised.
 */
bool name_is_session(struct slice s);

/*
 * Whether a store may have `s` where a session is named: an id, SESSION_ALL, or what was an id
 * once, "." and "..".
 */
bool name_is_kept(struct slice s);

/* What one must be in a list of ours. */
#define SESSION_LISTED                                                                         \
	SESSION_ALLOWED ", percent-encoded but for letters, digits and . _ ~ - @ : +"

/*
 * Reads a session id out of such a list. Letters, digits, . _ ~ - @ : + and what is not ASCII
 * stand there as they are, all else percent-encoded: some of it parts what lists hold, and a
 * "*" in a name reads as more than one. ERR_INVALID for what is none; `out` is of no use then.
 */
MUST_CHECK enum err name_read_session(struct slice written, char out[SESSION_MAX + 1]);

/* Whether `s` is a well-formed event name: [a-z0-9_.]{1,64}. */
bool name_is_event(struct slice s);

/* The events that may be subscribed to without configuration, in the contract's order. */
extern const char *const NAME_EVENTS[];
extern const size_t NAME_EVENTS_COUNT;

/* Whether a webhook may name event `s`: one of NAME_EVENTS or of the `n` configured `extra`. */
bool name_is_subscribable(struct slice s, char *const extra[], size_t n);

#endif
