/*
 * Portal tokens: who has one may do for some time what a token of one session may. Nothing of
 * them is stored: a token says what it grants, and an HMAC-SHA256 under a key of the store
 * (store/portal_key.h) that it was made here.
 *
 * Text: "wbp_" and base64url, without padding, of version (1), flags (1: bit 0 is "read only"),
 * the series of the session's tokens that it belongs to (8; store/portal_series.h), expires (8,
 * wall ms), a random id (8), the session, and the code (32) over all before it, with "waybill
 * portal" and a NUL in front. Version 1, which had no series, is refused.
 *
 * It never: says whether a token has expired, or was revoked: api/portal.h does.
 */
#ifndef DOMAIN_PORTAL_H
#define DOMAIN_PORTAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mac.h"
#include "domain/name.h"

#define PORTAL_KEY_SIZE 32 /* bytes */
#define PORTAL_ID_SIZE 8
#define PORTAL_CODE_SIZE 32
#define PORTAL_BYTES_MAX (2 + 8 + 8 + PORTAL_ID_SIZE + SESSION_MAX + PORTAL_CODE_SIZE)
#define PORTAL_TEXT_SIZE (4 + BASE64_SIZE(PORTAL_BYTES_MAX)) /* with a NUL */

struct portal_grant {
	char session[SESSION_MAX + 1];
	uint64_t series;
	int64_t expires_ms;               /* wall */
	unsigned char id[PORTAL_ID_SIZE]; /* random: no two tokens are the same */
	bool only_reads;
};

/* Whether a text looks like a portal token, whoever made it. */
bool portal_is_token(struct slice text);

/* Writes the token of a grant, whose session has a name. */
void portal_write(struct mac *mac, const struct portal_grant *g, char out[PORTAL_TEXT_SIZE]);

/* Reads a token. ERR_REFUSED: it is none, or was not made under this key. */
MUST_CHECK enum err portal_read(struct mac *mac, struct slice text, struct portal_grant *out);

#endif
