/*
 * Links for tenants: tokens of one session that expire (domain/portal.h), beside those of the
 * configuration (auth.h). One is void once it has expired, once those of its session are
 * revoked, which deleting the session does too, and once the store's key for them is another.
 */
#ifndef API_PORTAL_H
#define API_PORTAL_H

#include "api/auth.h"
#include "domain/portal.h"
#include "domain/vault.h"
#include "store/db.h"

struct portal;

/* Reads the key of the store, if there is one that can be read. Both are borrowed. */
struct portal *portal_new(struct db *db, const struct vault *vault);

/* Wipes and frees; NULL is fine. */
void portal_free(struct portal *p);

enum portal_verdict {
	PORTAL_NONE, /* no token of ours */
	PORTAL_OVER, /* it was one, and is void now */
	PORTAL_STANDS,
	PORTAL_UNKNOWN, /* it may be one: the store does not say */
};

/*
 * Looks at an Authorization header. PORTAL_STANDS: *token is what it may do, to be freed by
 * auth_token_free().
 */
enum portal_verdict portal_check(const struct portal *p, struct slice header,
    struct auth_token **token);

/* Whether a token that stood once still does. */
bool portal_stands(const struct portal *p, const struct auth_token *token);

#endif
