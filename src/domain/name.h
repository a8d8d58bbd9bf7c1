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
#define SESSION_ALLOWED "1 to 128 bytes of UTF-8 without control characters, and not *"

/* Stands where a session is named for all of them: the owner of webhooks for all sessions. */
#define SESSION_ALL "*"

/*
 * Whether `s` is a session id: SESSION_MAX bytes of UTF-8 at most, without the controls of
 * Unicode's category Cc, and not SESSION_ALL. Bytes are compared, nothing is normalised.
 */
bool name_is_session(struct slice s);

/*
 * Whether a session id may not begin to be used: "." and "..", which browsers, proxies and URL
 * libraries take out of a path (RFC 3986 section 5.2.4), percent-encoded too. Sessions of old
 * that are named so can be read and emptied.
 */
bool name_is_folded(struct slice s);

#define NAME_FOLDED "a session id cannot be . or ..: they are folded away in URLs"

/* Whether a store may have `s` where a session is named: an id, or SESSION_ALL. */
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

#define WEBHOOK_NAME_MAX 64 /* bytes */

/* What a webhook's own name must be, in words. */
#define WEBHOOK_NAME_ALLOWED                                                                   \
	"1 to 64 of A-Z a-z 0-9 . _ -, no UUID, and none of dlq, all, . and .."

/*
 * Whether `s` can be a webhook's own name, which stands in a path where its id may: it is none,
 * and no word that means something else there.
 */
bool name_is_webhook(struct slice s);

/* Whether `s` is a well-formed event name: [a-z0-9_.]{1,64}. */
bool name_is_event(struct slice s);

/*
 * Makes names of ours of what others call their sessions and events: bytes that a session's id
 * cannot have become "_", and so does the first of what may not begin to be one, such as "..".
 * Of an event's name A-Z are lowered and each run of what it cannot have becomes one ".", but
 * none at an end. What is too long is cut, within no character. False where nothing is left,
 * or an event would be "all"; `out` is then empty.
 */
bool name_put_session(struct slice s, char out[SESSION_MAX + 1]);
bool name_put_event(struct slice s, char out[EVENT_MAX + 1]);

/* The events that may be subscribed to without configuration, in the contract's order. */
extern const char *const NAME_EVENTS[];
extern const size_t NAME_EVENTS_COUNT;

/* Whether `s` can be asked for at all: an event's name, or how one begins and a *. */
bool name_is_pattern(struct slice s);

/*
 * Whether one of the `n` patterns, as name_is_pattern() has them, is for `event`: "all" is for
 * each.
 */
bool name_is_covered(struct slice event, char *const patterns[], size_t n);

/*
 * Whether a webhook may ask for `s` without saying that it means it: one of NAME_EVENTS or of
 * the `n` configured `extra`, or the beginning of one and a *.
 */
bool name_is_subscribable(struct slice s, char *const extra[], size_t n);

#endif
