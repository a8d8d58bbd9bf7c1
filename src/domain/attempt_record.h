/*
 * The record of an attempt: what was sent where, when, how long each part of it took, and
 * what the receiver said. It is kept as it was, whatever becomes of the webhook.
 */
#ifndef DOMAIN_ATTEMPT_RECORD_H
#define DOMAIN_ATTEMPT_RECORD_H

#include "base/codec.h"
#include "domain/id.h"
#include "domain/url.h"

#define ATTEMPT_ADDRESS_MAX 64  /* bytes: an IPv6 address with its scope, and a port */
#define ATTEMPT_ERROR_MAX 400   /* bytes of the error in words */
#define ATTEMPT_ANSWER_MAX 1024 /* bytes of the answer's body that are kept */
#define ATTEMPT_RECORD_MAX 4000 /* bytes: all of them at their longest, and a checksum */

struct attempt_record {
	int64_t at_ms;       /* wall; when it began */
	int64_t duration_us; /* times in the record are at most 2^32 - 1 µs */
	int64_t dns_us;      /* this and the next: own durations; 0: it did not happen */
	int64_t connect_us;
	int64_t tls_us;
	int64_t first_byte_us; /* from the request's start on a connection that stands */
	int status;            /* HTTP; 0: none came */
	struct uuid webhook_id;
	struct slice url;     /* this and the next: borrowed, cut off at their longest */
	struct slice address; /* connected to, or tried: "127.0.0.1:9000"; "": none */
	struct slice error;   /* why no status came, in words; "" where one did */
	struct slice answer;  /* the body's first bytes; they may be anything */
};

/* Appends the record of `a`. */
void attempt_record_encode(const struct attempt_record *a, struct buf *out);

/* Reads a record into *a, whose slices borrow from what the reader reads. ERR_CORRUPT. */
MUST_CHECK enum err attempt_record_decode(struct reader *r, struct attempt_record *a);

#endif
