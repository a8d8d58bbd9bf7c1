/* Reads a file that holds secrets, and says so where others on the machine can read it too. */
#ifndef CLI_SECRET_FILE_H
#define CLI_SECRET_FILE_H

#include "base/buf.h"
#include "domain/problem.h"

#define SECRET_FILE_MAX (1u << 20) /* bytes */

/*
 * Appends the bytes of the file that setting `name` names to `out`, whose limit is
 * SECRET_FILE_MAX; the caller forgets them with secret_file_forget(). ERR_IO, ERR_TOOBIG.
 */
MUST_CHECK enum err secret_file_read(const char *path, const char *name, struct buf *out,
    struct problem *p);

/* Wipes and frees. */
void secret_file_forget(struct buf *text);

#endif
