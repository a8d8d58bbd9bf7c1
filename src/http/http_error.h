/*
 * What the server says of itself: the phrases of statuses, and errors as whole answers,
 * for connections that evhttp is not to answer on.
 */
#ifndef HTTP_HTTP_ERROR_H
#define HTTP_HTTP_ERROR_H

#include "base/buf.h"

#define HTTP_RETRY_AFTER_S "5" /* of 429 and 503 */

/* The standard phrase of a status (RFC 9110 section 15); "" for one that is not known. */
const char *http_phrase(int status);

/*
 * Appends an answer that ends its connection. `lines`: further headers, each with its CR LF.
 */
void http_error_put(struct buf *out, int status, const char *content_type, struct slice lines,
    struct slice body);

/* The further headers of an error of `status`: 429 and 503 say when to come again. */
struct slice http_error_lines(int status);

#endif
