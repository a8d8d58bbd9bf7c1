/* URLs as people write them, made such as can be sent: the one user of libidn2. Pure. */
#ifndef DOMAIN_URL_GIVEN_H
#define DOMAIN_URL_GIVEN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "domain/problem.h"

/*
 * Appends to `out` what browsers and curl would make of `given` in UTF-8, for url_check(),
 * which has let it through then: an international host name in its ASCII form (UTS 46, as
 * WHATWG has it), %XX in a host undone, what RFC 3986 has no place for in path and query as
 * %XX, a '%' that begins no %XX as %25. All else stays as it was written, dot segments too.
 * What the two read differently is refused: ERR_INVALID with the problem on `field`.
 */
MUST_CHECK enum err url_take(struct slice given, struct buf *out, const char *field,
    struct problem *p);

#endif
