/*
 * Webhooks as clients write and read them (docs/api.md): the rules of
 * each field, once, for POST and PATCH alike, and how answers show them.
 */
#ifndef DOMAIN_WEBHOOK_JSON_H
#define DOMAIN_WEBHOOK_JSON_H

#include "base/json_write.h"
#include "domain/problem.h"
#include "domain/webhook.h"

#define WEBHOOK_HTTP2_LIBCURL "8.5" /* the first whose HTTP/2 is good enough */

/* What the configuration and the machine say about webhooks. Borrowed. */
struct webhook_rules {
	char *const
	    *extra_events; /* event names beyond the contract's that may be subscribed to */
	size_t extra_event_count;
	uint32_t timeout_ms;     /* of a new webhook that does not name its own */
	unsigned signature;      /* the same, a set; 0: the first of SIGN_SCHEMES */
	bool ignores_unknown;    /* what no field is called is passed over */
	bool any_event;          /* names that nobody knows may be subscribed to */
	bool own_proxies;        /* webhooks may choose their proxy */
	const char *old_libcurl; /* its version, where it lacks HTTP/2; NULL: it has it */
	bool verifies;           /* endpoints are asked, also where nobody says so */
};

/* Gives a new webhook what the rules have for one that says nothing. */
void webhook_set_defaults(struct webhook *w, const struct webhook_rules *rules);

/*
 * Applies the members of the JSON object `body` to `w`: for a new webhook as for a
 * change; members that are not there leave their field as it is. A new one must
 * have a url afterwards, which the caller checks with webhook_check().
 * ERR_SYNTAX for malformed JSON, ERR_TOOBIG where its canonical form is over
 * WEBHOOK_RECORD_MAX, ERR_INVALID for a field; the problem says which and what is allowed.
 * After an error `w` is partly changed: throw it away.
 */
MUST_CHECK enum err webhook_apply(struct webhook *w, struct slice body,
    const struct webhook_rules *rules, struct problem *p);

/*
 * The same where `body` is the whole webhook: members that are not there get their defaults.
 * Only what answers do not show stays then, as its owner need not have it at hand: secret,
 * private_key, client_cert_pem, client_key_pem, what is secret in auth, and values of headers
 * that are WEBHOOK_MASK; which stands for what there is in the others, too. So do `enabled`,
 * which an outage changes, and `name`.
 */
MUST_CHECK enum err webhook_apply_whole(struct webhook *w, struct slice body,
    const struct webhook_rules *rules, struct problem *p);

/*
 * Applies the body of a rotate-secret call, {"secret"?,"overlap_seconds"?}, or an empty one:
 * `w` then has a new secret, given or made. ERR_SYNTAX, ERR_INVALID with the problem in words.
 */
MUST_CHECK enum err webhook_apply_rotation(struct webhook *w, struct slice body,
    const struct webhook_rules *rules, int64_t now_ms, struct problem *p);

/* The same of a rotate-key call, {"private_key"?,"overlap_seconds"?}, for its key pair. */
MUST_CHECK enum err webhook_apply_key_rotation(struct webhook *w, struct slice body,
    const struct webhook_rules *rules, int64_t now_ms, struct problem *p);

/* Checks what no single field shows: that there is a url. ERR_INVALID. */
MUST_CHECK enum err webhook_check(const struct webhook *w, struct problem *p);

/*
 * Checks, of a webhook whose endpoint is asked whether it wants what it gets, that nothing goes
 * to another one that is not: a fallback_url has the origin of url. ERR_INVALID.
 */
MUST_CHECK enum err webhook_check_asked(const struct webhook *w, struct problem *p);

/* How much of a webhook is written. */
enum webhook_form {
	WEBHOOK_WHOLE,
	WEBHOOK_LISTED, /* without `ca_pem`, which may be most of it */
};

/*
 * Writes the members that the API shows of what is written so, from "id" on, as they are at
 * `now_ms`, wall: the secret only ever as a mask, the previous one's end only while it lasts.
 */
void webhook_write(const struct webhook *w, enum webhook_form form, int64_t now_ms,
    struct json_writer *json);

/* Writes "public_key" and, while it lasts at `now_ms`, wall, what is known of the previous. */
void webhook_write_public(const struct webhook *w, int64_t now_ms, struct json_writer *json);

#endif
