/* Base64 of RFC 4648 section 4: the standard alphabet, no white space. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4 + 1) /* of a text with its NUL */

/* Writes the text of `n` bytes, padded, and a NUL. */
void base64_encode(const void *bytes, size_t n, char *out);

/*
 * Decodes into `out`, which has room for 3/4 of the text. Padding is whole or absent; bits
 * behind the last byte are ignored, as most libraries do. False where the text is not that, or
 * is empty.
 */
bool base64_decode(struct slice text, unsigned char *out, size_t *len);

#endif
