/*
 * Text of others as printable characters of one line: nothing in it tells a terminal to do
 * anything, turns what stands beside it, or cannot be seen.
 */
#ifndef BASE_PRINTABLE_H
#define BASE_PRINTABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define PRINTABLE_GROWTH 6 /* what is put is at most so many times as long */

/*
 * Appends `text`, in UTF-8. Controls and characters that format, part lines or are drawn as
 * nothing are written as JSON would escape them (\u202e), a byte that is no UTF-8 as \xff: JSON
 * stays the JSON that it was. `is_word`: spaces are escaped too.
 */
void printable_put(struct buf *out, struct slice text, bool is_word);

/* Whether character `c` is one that is not put as it is. */
bool printable_hides(uint32_t c);

#endif
