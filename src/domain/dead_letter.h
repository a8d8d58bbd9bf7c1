/*
 * A dead letter: a delivery whose schedule is exhausted, with what its reader
 * needs to know even after the webhook is gone. The body stays with the event.
 */
#ifndef DOMAIN_DEAD_LETTER_H
#define DOMAIN_DEAD_LETTER_H

#include "base/codec.h"
#include "domain/id.h"
#include "domain/name.h"
#include "domain/url.h"

#define DEAD_ERROR_MAX 400 /* bytes of the last error in words */

struct dead_letter {
	struct uuid id; /* the key, made when it died: newest last */
	struct uuid delivery_id;
	struct uuid event_id;
	struct uuid webhook_id;
	char webhook_url[URL_MAX + 1];
	char event[EVENT_MAX + 1];
	char last_error[DEAD_ERROR_MAX + 1];
	uint32_t attempts;
	int64_t failed_ms; /* wall */
};

/* Appends the record of `d`, without its id. */
void dead_letter_encode(const struct dead_letter *d, struct buf *out);

/* Reads a record into *d, whose id the caller sets. ERR_CORRUPT. */
MUST_CHECK enum err dead_letter_decode(struct reader *r, struct dead_letter *d);

#endif
