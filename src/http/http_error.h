/*
 * What the server says of itself: the phrases of statuses, and errors as whole answers,
 * for connections that evhttp is not to answer on.
 */
#ifndef HTTP_HTTP_ERROR_H
#define HTTP_HTTP_ERROR_H

#include "base/buf.h"

/* The standard phrase of a status (RFC 9110 section 15); "" for one that is not known. */
const char *http_phrase(int status);

/*
 * Appends an answer with the JSON `body` that ends its connection; 429 and 503 say when to
 * come again.
 */
void http_error_put(struct buf *out, int status, struct slice body);

#endif
