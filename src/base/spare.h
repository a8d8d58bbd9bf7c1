/*
 * Large blocks of memory that nobody uses, kept for whoever wants one next: a fresh one costs a
 * page fault for each 4 KiB, which for a body of 1 MB is more than its signatures do. It keeps
 * none under SPARE_MIN, and never more in all than it was told to: nothing at first. What is in
 * a block stays there until it is used. Blocks are malloc()'s.
 */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#include <stddef.h>

#define SPARE_MIN ((size_t)64 << 10) /* bytes */

/* Keeps up to so many bytes from now on, and frees what is beyond. */
void spare_keep(size_t bytes);

/*
 * Takes the smallest block of at least `bytes`, to be freed or given back; *size is what it
 * has. NULL: there is none.
 */
void *spare_take(size_t bytes, size_t *size);

/* Keeps a block of `size` bytes, in place of the oldest ones, or frees it; NULL is fine. */
void spare_give(void *block, size_t size);

#endif
