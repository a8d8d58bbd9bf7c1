/*
 * What a source of body "raw" keeps of a request beside its event (docs/sources.md): the
 * sender's bytes as they came, their type, and some of the headers. It lies in the store behind
 * the event's body, and is sent in the place of the envelope.
 *
 * Its form: version (1), type (2 + n), number of headers (1), of each whether it is a secret
 * (1), name and value (2 + n each), then the bytes, up to the end.
 */
#ifndef DOMAIN_ATTACHMENT_H
#define DOMAIN_ATTACHMENT_H

#include "base/buf.h"
#include "base/err.h"
#include "domain/header.h"

#define ATTACHMENT_HEADERS_MAX 16
/* Bytes that stand before its body, at most. */
#define ATTACHMENT_FRONT_MAX                                                                   \
	(1 + (2 + HEADER_VALUE_MAX) + 1 +                                                      \
	    ATTACHMENT_HEADERS_MAX * (1 + 2 + HEADER_NAME_MAX + 2 + HEADER_VALUE_MAX))

struct attachment_header {
	struct slice name;
	struct slice value;
	bool is_secret; /* sent and stored as it came, shown as a mask */
};

struct attachment {
	struct slice type; /* its Content-Type */
	struct attachment_header headers[ATTACHMENT_HEADERS_MAX];
	size_t header_count;
	struct slice body;
};

/* Appends it. Type, names and values are what header.h takes for such. */
void attachment_encode(const struct attachment *a, struct buf *out);

/*
 * Reads one; *out borrows from `bytes`. Of the first ATTACHMENT_FRONT_MAX bytes of one all but
 * the body can be read: out->body is then the part of it that they hold. ERR_CORRUPT.
 */
MUST_CHECK enum err attachment_decode(struct slice bytes, struct attachment *out);

#endif
