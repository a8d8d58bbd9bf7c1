/*
 * What the body of a delivery is (docs/filters.md): the envelope, its data, or a CloudEvent.
 * The store has envelopes alone; the others are a piece of one with something before and
 * behind it.
 */
#ifndef DOMAIN_PAYLOAD_H
#define DOMAIN_PAYLOAD_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

/* Their numbers are those of the store. */
enum payload {
	PAYLOAD_ENVELOPE,
	PAYLOAD_DATA,
	PAYLOAD_CLOUDEVENTS,
	PAYLOADS,
};

/* As webhooks name them, and the Content-Type of each. */
extern const char *const PAYLOAD_NAMES[PAYLOADS];
extern const char *const PAYLOAD_TYPES[PAYLOADS];

/* The body of one delivery: `head`, a piece of the envelope, `tail`. */
struct payload_body {
	struct buf head;
	size_t at, len;    /* of the envelope's bytes */
	struct slice tail; /* a constant */
};

/* An event as far as a body says anything of it. */
struct payload_event {
	const struct uuid *id;
	struct slice session;
	struct slice name;
	struct slice envelope; /* canonical */
};

/*
 * Says what the body of this form is; payload_fini() it. O(bytes of the envelope), but for
 * PAYLOAD_ENVELOPE.
 */
void payload_make(enum payload form, const struct payload_event *e, struct payload_body *out);
void payload_fini(struct payload_body *b);

/* How many bytes it has. */
size_t payload_bytes(const struct payload_body *b);

#endif
