/*
 * How a sender proves that it knows a secret: by an HMAC over what it sends, a token in a
 * header, a user with a password, or not at all. The names of members are those of AWS
 * EventBridge's webhook sources where it has any (docs/sources.md).
 *
 * It never: says which secret was right, or how far a wrong one was; compares in a time that
 * depends on a secret.
 */
#ifndef DOMAIN_VERIFY_H
#define DOMAIN_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json_write.h"
#include "domain/arrival.h"
#include "domain/problem.h"

#define VERIFY_SECRETS_MAX 8   /* of one source: for rotations */
#define VERIFY_SECRET_MAX 1024 /* bytes */
/* bytes that a wrong proof hashes: 16 MiB, the longest body, for both secrets of a rotation */
#define VERIFY_HASHED_MAX (32u << 20)
#define VERIFY_TOLERANCE_DEFAULT_MS (5LL * 60 * 1000)

struct verify;

/*
 * Makes one of the object `conf` in canonical JSON; verify_free() it. ERR_INVALID with the
 * problem in words, its field behind "verify.".
 */
MUST_CHECK enum err verify_new(struct slice conf, struct verify **out, struct problem *p);

/* Wipes and frees; NULL is fine. */
void verify_free(struct verify *v);

/* Whether a head alone may be a sender's: it has the header that a proof stands in. */
bool verify_may(const struct verify *v, const struct arrival *a);

/* Whether a sender's secret itself is what a request has in this header, and no code of it. */
bool verify_has_secret_in(const struct verify *v, const char *header);

/* How long a body may be, so that its proof hashes no more than VERIFY_HASHED_MAX. */
size_t verify_body_max(const struct verify *v);

/*
 * Whether `a` is proven at `now_ms`, wall. False: *why says what is wrong, a constant that
 * holds nothing of the request.
 */
bool verify_arrival(const struct verify *v, const struct arrival *a, int64_t now_ms,
    const char **why);

/* Writes `conf` as the value of `name`, each secret as a mask. */
void verify_write_masked(struct slice conf, const char *name, struct json_writer *json);

#endif
