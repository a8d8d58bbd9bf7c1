/* Whether a text may be a webhook's URL (docs/api.md). Pure: no lookup is made. */
#ifndef DOMAIN_URL_H
#define DOMAIN_URL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

#define URL_MAX 2048 /* bytes */

/*
 * Checks that `url` is an absolute RFC 3986 URL that can be sent as it is: http or
 * https, a host, port 1–65535 if any, no credentials, no fragment, no control or
 * non-ASCII byte, at most URL_MAX bytes. ERR_INVALID with the problem on `field`.
 */
MUST_CHECK enum err url_check(struct slice url, const char *field, struct problem *p);

/*
 * Appends where such a URL leads, "example.org:443": two that have the same lead to the same
 * place; a port written in another way is another one.
 */
void url_put_host(const char *url, struct buf *out);

/* Whether both, of which url_check() let each through, have the same scheme, host and port. */
bool url_is_same_origin(const char *a, const char *b);

#endif
