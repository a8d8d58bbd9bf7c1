/*
 * Whether a webhook's endpoint has shown that it wants what it is sent: by repeating a
 * challenge. What the record keeps of that, and what changes it. Nothing is delivered until it
 * has, where it is asked.
 *
 *   UNASKED ──verify set──▶ PENDING ──repeats it──▶ VERIFIED
 *                            ▲  │                      │ another url or proxy, asked again
 *      enabled, asked again, │  └─does not─▶ FAILED    │
 *      another url or proxy  └─────────────────┴───────┘
 *
 * jobs/ownership.h asks. Nothing here knows a clock or a socket.
 */
#ifndef DOMAIN_OWNERSHIP_H
#define DOMAIN_OWNERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/codec.h"
#include "base/json_write.h"

#define OWNERSHIP_ERROR_MAX 320 /* bytes of why it failed, its NUL included */
#define OWNERSHIP_EVENT "webhook.challenge"
#define WEBHOOK_DISABLED_BY_OWNERSHIP "its endpoint did not repeat the challenge"

/* How it is asked; codes on disk. */
enum ownership_way { OWNERSHIP_NOT_ASKED, OWNERSHIP_BY_GET, OWNERSHIP_BY_POST };

/* Codes on disk. UNASKED exactly where the way is NOT_ASKED. */
enum ownership_state {
	OWNERSHIP_UNASKED,
	OWNERSHIP_PENDING,
	OWNERSHIP_VERIFIED,
	OWNERSHIP_FAILED
};

struct ownership {
	enum ownership_way way;
	enum ownership_state state;
	int64_t since_ms; /* wall, of the state; no two askings of a webhook have the same */
	char *error;      /* why it failed, owned; else NULL */
};

struct webhook;

/* Frees what it owns. */
void ownership_fini(struct ownership *o);

/* Reads "get" or "post"; false where it is neither. */
bool ownership_read_way(const char *text, enum ownership_way *out);

/*
 * Takes over what a change of the webhook means for it: `old` is what `w` replaces, NULL where
 * it is new. `wants`: who names no way is asked by GET. `asks`: it is asked again in any case.
 * One that is PENDING thereby, and was disabled since it had failed, is enabled.
 */
void ownership_follow(struct webhook *w, const struct webhook *old, bool wants, bool asks,
    int64_t now_ms);

/*
 * Writes down what became of the asking; `why` is NULL where the endpoint is verified. One
 * that failed is disabled.
 */
void ownership_conclude(struct webhook *w, const char *why, int64_t now_ms);

/* Why nothing is delivered, in words; NULL: it is not in the way. */
const char *ownership_hold(const struct ownership *o);

/* Writes the members `verify` and `ownership`. */
void ownership_write(const struct ownership *o, struct json_writer *json);

/* Appends it to a record, and reads it; a form that is never written fails the reader. */
void ownership_encode(const struct ownership *o, struct buf *out);
void ownership_decode(struct reader *r, struct ownership *out);

#endif
