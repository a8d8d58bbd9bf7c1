/*
 * Deliveries of another WA-RS or waxum that come in: they carry no token, their signature
 * takes its place (docs/api.md, webhook-in).
 */
#ifndef API_INBOUND_H
#define API_INBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define INBOUND_WINDOW_S 300 /* how far the time of a v2 signature may be off */

struct inbound;

/* Makes an empty set: nothing verifies. */
struct inbound *inbound_new(void);

/* Wipes and frees; NULL is fine. */
void inbound_free(struct inbound *in);

/* Adds the secret of `session`, or with an empty session that of all which have none. */
void inbound_add(struct inbound *in, struct slice session, struct slice secret);

/* What a request says of its body, header by header; empty where it says nothing. */
struct inbound_claim {
	struct slice version;   /* X-Webhook-Signature-Version */
	struct slice timestamp; /* X-Webhook-Timestamp */
	struct slice signature; /* X-Webhook-Signature */
};

/* Whether `claim` could prove anything for `session`: it has a signature, and we a secret. */
bool inbound_may_verify(const struct inbound *in, struct slice session,
    const struct inbound_claim *claim);

/*
 * Whether the claim proves the session's secret: a v1 signature over the body, or with version
 * "v2" one over "{timestamp}.{body}" with a time at most INBOUND_WINDOW_S off `now_s`.
 */
bool inbound_verify(const struct inbound *in, struct slice session,
    const struct inbound_claim *claim, struct slice body, int64_t now_s);

#endif
