/*
 * How a webhook's requests are sent, where it says so: through which proxy, as whose, in which
 * version of HTTP, compressed or not. Most say nothing, and have none of it.
 */
#ifndef DOMAIN_WEBHOOK_OPTIONS_H
#define DOMAIN_WEBHOOK_OPTIONS_H

#include <stdbool.h>

#include "base/codec.h"
#include "domain/proxy.h"

#define OPTIONS_AGENT_MAX 256   /* bytes of a User-Agent */
#define OPTIONS_GZIP_MIN 1024   /* bytes; a body of no more is sent as it is… */
#define OPTIONS_GZIP_MAX 524288 /* …and so is one that takes long to compress */

struct webhook_options {
	struct proxy_choice proxy; /* its URL is a secret */
	char *user_agent;          /* NULL: waybill's */
	bool http2;                /* where the receiver speaks it */
	bool gzip;                 /* bodies that are worth it */
};

/* Returns *o, which is made where it is NULL; webhook_options_free() it. */
struct webhook_options *webhook_options_of(struct webhook_options **o);

/* Frees *o where it says nothing, which is then NULL. */
void webhook_options_tidy(struct webhook_options **o);

/* Wipes and frees; NULL is fine. */
void webhook_options_free(struct webhook_options *o);

/* Whether a body of so many bytes is to be compressed; `o` may be NULL. */
static inline bool webhook_options_gzip(const struct webhook_options *o, size_t bytes)
{
	return o != NULL && o->gzip && bytes > OPTIONS_GZIP_MIN && bytes <= OPTIONS_GZIP_MAX;
}

/*
 * Appends what is not encrypted, of NULL too; reads it, the caller's to free, NULL for that. A
 * form that is never written fails the reader.
 */
void webhook_options_encode(const struct webhook_options *o, struct buf *out);
struct webhook_options *webhook_options_decode(struct reader *r);

/* The same of what is secret. */
void webhook_options_encode_secret(const struct webhook_options *o, struct buf *out);
void webhook_options_decode_secret(struct reader *r, struct webhook_options *o);

/* Appends all of its proxy, in clear, or nothing: what tells one from another. */
void webhook_options_encode_proxy(const struct webhook_options *o, struct buf *out);

#endif
