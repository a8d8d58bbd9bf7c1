/* gzip, RFC 1952, and back, within limits: the one user of zlib. */
#ifndef BASE_GUNZIP_H
#define BASE_GUNZIP_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define GUNZIP_BLOCKS 1000 /* that are taken of any text */

/*
 * Appends what `text` holds, one member of gzip or several, to `out`. The work is bounded by
 * the limit of `out`, however the text is made. ERR_TOOBIG: it holds more than that.
 * ERR_SYNTAX: it is no gzip, is damaged, or ends too early. ERR_INVALID: it is of very many
 * tiny blocks, more than about GUNZIP_BLOCKS and one for each KiB that it holds. `out` is then
 * good for nothing.
 */
MUST_CHECK enum err gunzip(struct slice text, struct buf *out);

/*
 * Appends `text` as one member of gzip, quickly rather than as short as can be, where that is
 * shorter and `out` has room; else appends nothing and returns false, before it has worked for
 * more of it than would fit.
 */
bool gunzip_pack(struct slice text, struct buf *out);

#endif
