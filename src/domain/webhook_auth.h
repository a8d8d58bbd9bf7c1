/*
 * How a webhook shows its receiver who it is, beside signatures: the Authorization header of
 * its attempts, and what a token for that is asked for with (OAuth 2.0, RFC 6749 section 4.4).
 * Its secret is never shown again, and is in the encrypted part of the webhook's record.
 */
#ifndef DOMAIN_WEBHOOK_AUTH_H
#define DOMAIN_WEBHOOK_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/codec.h"

#define AUTH_NAME_MAX 1024    /* bytes of a username, client_id, scope or audience */
#define AUTH_SECRET_MAX 4096  /* bytes of a password, token, client_secret or key in PEM */
#define AUTH_HEADER_MAX 16384 /* bytes of a header's value that is sent */

enum auth_type { AUTH_BASIC = 1, AUTH_BEARER, AUTH_OAUTH2 }; /* codes on disk; 0: none */

struct webhook_auth {
	enum auth_type type;
	bool posts;   /* AUTH_OAUTH2: client_id and client_secret are in the body */
	bool signs;   /* AUTH_OAUTH2: it shows an assertion, see assertion.h; without `posts` */
	char *name;   /* username or client_id; "" of a bearer */
	char *secret; /* password, token, client_secret or key; NULL: it is not known */
	char *token_url; /* AUTH_OAUTH2; so the next two, NULL where there is none */
	char *scope;
	char *audience;
	char *key_id;   /* where it signs; NULL: none */
	char *header;   /* the value that is sent; NULL: a token has to be had first */
	char *replaced; /* the one of the token before, which may be under way; NULL: none */
};

/* Makes one of a type with nothing set; webhook_auth_free() it. */
struct webhook_auth *webhook_auth_new(enum auth_type type);

/* Wipes and frees; NULL is fine. */
void webhook_auth_free(struct webhook_auth *a);

/* Sets the secret, copied, and what is sent with it. `name` is set before. */
void webhook_auth_set_secret(struct webhook_auth *a, struct slice secret);

/*
 * Notes that `header`, copied, is sent for AUTH_OAUTH2 from now on: what is masked in answers
 * has to be known. The one field that changes in a webhook that is in use.
 */
void webhook_auth_grant(struct webhook_auth *a, const char *header);

/* The value of an Authorization header for Basic, RFC 7617; wipe it and free it. */
char *webhook_auth_basic(struct slice name, struct slice secret);

/* Appends what is not encrypted, of NULL too; reads it, *out the caller's, NULL for that. */
void webhook_auth_encode(const struct webhook_auth *a, struct buf *out);
struct webhook_auth *webhook_auth_decode(struct reader *r);

#endif
