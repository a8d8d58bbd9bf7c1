/*
 * How a record is kept whole: its bytes, then eight of checksum (XXH3, 64 bits, big-endian,
 * exclusive-or the hash of where it lies). A record whose checksum is wrong is never decoded,
 * and none that lies where it was not written. The checksum of older records is of the bytes
 * alone: they are read anywhere.
 */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"

#define RECORD_CHECKSUM 8 /* bytes */

#define RECORD_ANYWHERE 0 /* instead of record_at(): the record may lie anywhere */

/* Hashes where a record lies: its table's number and its key. */
uint64_t record_at(unsigned table, struct slice key);

/* Appends the checksum of what `b` holds; `at` is what record_at() gives. */
void record_seal(struct buf *b, uint64_t at);

/* Checks the checksum and sets *r to the bytes before it. ERR_CORRUPT. */
MUST_CHECK enum err record_open(struct slice value, uint64_t at, struct reader *r);

#define RECORD_NUMBER (8 + RECORD_CHECKSUM) /* bytes */

/* Makes the record of a number alone, in `out`, and borrows it. */
struct slice record_seal_number(uint64_t n, uint64_t at, unsigned char out[RECORD_NUMBER]);

/* Reads such a record. ERR_CORRUPT. */
MUST_CHECK enum err record_open_number(struct slice value, uint64_t at, uint64_t *out);

#define RECORD_DIGEST 16 /* bytes */

/*
 * Digests `a`, a NUL, `b` (SHA-256, its first 128 bits): a short key for a long pair. `a`
 * holds no NUL. Clients choose what goes in, each for its own session: to aim at the digest of
 * another's pair takes 2^128 tries, which a hash that is only fast does not promise. There is
 * no key to it, so that anybody can check a table.
 */
void record_digest(struct slice a, struct slice b, unsigned char out[RECORD_DIGEST]);

#endif
