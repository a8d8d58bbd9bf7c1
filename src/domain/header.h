/* What a webhook's own headers may be called and hold (docs/api.md). Pure. */
#ifndef DOMAIN_HEADER_H
#define DOMAIN_HEADER_H

#include <stdbool.h>

#define HEADER_NAME_MAX 128   /* bytes */
#define HEADER_VALUE_MAX 8192 /* bytes: a bearer's JWT with many claims */

/* Whether `name` is a token of RFC 9110 of at most HEADER_NAME_MAX bytes. */
bool header_is_name(const char *name);

/*
 * Whether waybill sets a header of this name, or it frames the request, or something on the way
 * reads it as such a name. CGI, WSGI, FastCGI and proxies that write "_" for "-" do not tell
 * X-Webhook-Id from X_Webhook_Id, and some take any mark for another.
 */
bool header_is_reserved(const char *name);

/* Whether a header of this name is there to say who sends: Authorization, Cookie. */
bool header_is_credential(const char *name);

/* Whether `value` is printable ASCII, spaces included, of at most HEADER_VALUE_MAX bytes. */
bool header_is_value(const char *value);

#endif
