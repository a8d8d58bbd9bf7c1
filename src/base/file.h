/* Small files read in one piece: settings, tokens, certificates. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Appends all that the file at `path` holds to `out`, a pipe's to its end. ERR_IO with the
 * reason in errno, ERR_TOOBIG past the limit of `out`, which then has what fitted. It waits
 * for the disk: for the start, not for the loop.
 */
MUST_CHECK enum err file_read(const char *path, struct buf *out);

#endif
