/* LZ4 (lz4.org, "Block format"): fast, for what is read again soon. The one user of it. */
#ifndef BASE_COMPRESS_H
#define BASE_COMPRESS_H

#include "base/buf.h"

/*
 * Appends `bytes`, compressed, where that is shorter and `out` has room; else appends nothing
 * and returns false.
 */
bool compress_append(struct slice bytes, struct buf *out);

/*
 * Appends what `packed` holds, which is to be exactly `len` bytes. ERR_CORRUPT: it is not;
 * ERR_TOOBIG: `out` has no room. Nothing is appended then.
 */
MUST_CHECK enum err compress_unpack(struct slice packed, size_t len, struct buf *out);

#endif
