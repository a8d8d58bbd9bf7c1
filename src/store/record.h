/*
 * How a record is kept whole: its bytes, then eight of checksum (XXH3, 64 bits,
 * big-endian). A record whose checksum is wrong is never decoded.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"

#define RECORD_CHECKSUM 8 /* bytes */

/* Appends the checksum of what `b` holds. */
void record_seal(struct buf *b);

/* Checks the checksum and sets *r to the bytes before it. ERR_CORRUPT. */
MUST_CHECK enum err record_open(struct slice value, struct reader *r);

#define RECORD_DIGEST 16 /* bytes */

/* Hashes `a`, a NUL, `b` (XXH3, 128 bits): a short key for a long pair, no secret. */
void record_digest(struct slice a, struct slice b, unsigned char out[RECORD_DIGEST]);

/* A checksum of bytes that come in pieces (XXH3, 64 bits). record_sum_free() it. */
struct record_sum;

struct record_sum *record_sum_new(void);
void record_sum_free(struct record_sum *s);
void record_sum_add(struct record_sum *s, struct slice bytes);

/* The checksum of what was added so far. */
uint64_t record_sum_get(const struct record_sum *s);

#endif
