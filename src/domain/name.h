/* Names that clients choose: sessions and events (docs/api.md). */
#ifndef DOMAIN_NAME_H
#define DOMAIN_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define SESSION_MAX 128 /* bytes */
#define EVENT_MAX 64    /* bytes */

/* Whether `s` is a session id: [A-Za-z0-9._~-]{1,128}. */
bool name_is_session(struct slice s);

/*
 * Whether a session id may not begin to be used: "." and "..", which browsers, proxies and URL
 * libraries take out of a path (RFC 3986 section 5.2.4), percent-encoded too. Sessions of old
 * that are named so can be read and emptied.
 */
bool name_is_folded(struct slice s);

#define NAME_FOLDED "a session id cannot be . or ..: they are folded away in URLs"

/* Whether `s` is a well-formed event name: [a-z0-9_.]{1,64}. */
bool name_is_event(struct slice s);

/*
 * Makes names of ours of what others call their sessions and events: bytes that a session's id
 * cannot have become "_". Of an event's name A-Z are lowered and each run of what it cannot
 * have becomes one ".", but none at an end. What is too long is cut. False where nothing is
 * left, or an event would be "all"; `out` is then empty.
 */
bool name_put_session(struct slice s, char out[SESSION_MAX + 1]);
bool name_put_event(struct slice s, char out[EVENT_MAX + 1]);

/* The events that may be subscribed to without configuration, in the contract's order. */
extern const char *const NAME_EVENTS[];
extern const size_t NAME_EVENTS_COUNT;

/* Whether `s` can be asked for at all: an event's name, or how one begins and a *. */
bool name_is_pattern(struct slice s);

/* Whether `pattern`, as name_is_pattern() has it, is for `event`: "all" is for each. */
bool name_covers(struct slice pattern, struct slice event);

/*
 * Whether a webhook may ask for `s` without saying that it means it: one of NAME_EVENTS or of
 * the `n` configured `extra`, or the beginning of one and a *.
 */
bool name_is_subscribable(struct slice s, char *const extra[], size_t n);

#endif
