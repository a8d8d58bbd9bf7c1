/*
 * Deliveries of another WA-RS or waxum that come in: they carry no token, their signature
 * takes its place (docs/api.md, webhook-in).
 */
#ifndef API_INBOUND_H
#define API_INBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "domain/sign.h"

#define INBOUND_WINDOW_S 300 /* how far the time of a signature may be off */

struct inbound;

/* Makes an empty set: nothing verifies. */
struct inbound *inbound_new(void);

/* Wipes and frees; NULL is fine. */
void inbound_free(struct inbound *in);

/* Adds the secret of `session`, or with an empty session that of all which have none. */
void inbound_add(struct inbound *in, struct slice session, struct slice secret);

/* Whether a request for `session` could prove anything: it is signed, and we have a secret. */
bool inbound_may_verify(const struct inbound *in, struct slice session, bool is_signed);

/* Whether the claim proves the session's secret; its window is to be INBOUND_WINDOW_S. */
bool inbound_verify(const struct inbound *in, struct slice session,
    const struct sign_claim *claim);

#endif
