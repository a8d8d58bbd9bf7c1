/*
 * Memory for our own fixed-size objects. These calls succeed or the process
 * ends: everything answered with 2xx is on disk, so a restart is safe.
 * Whatever a peer sizes goes through a limited struct buf instead.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Returns `size` zeroed bytes; the caller frees them with free(). */
void *mem_new(size_t size);

/* Returns `count` zeroed objects of `size` bytes; overflow ends the process. */
void *mem_array(size_t count, size_t size);

/* Resizes `old` (or NULL) to `count` objects of `size` bytes; new bytes are not zeroed. */
void *mem_resize(void *old, size_t count, size_t size);

/*
 * Resizes `old` (or NULL) from `*count` objects of `size` bytes where it has none at `index`:
 * up to that, and those that are new are zeroed.
 */
void *mem_reach(void *old, size_t *count, size_t index, size_t size);

/* Returns a NUL-terminated copy of `len` bytes at `ptr`; the caller frees it. */
char *mem_copy(const char *ptr, size_t len);

/* Overwrites `len` bytes in a way that the compiler keeps: for secrets. */
void mem_wipe(void *ptr, size_t len);

/* Wipes and frees a NUL-terminated text; NULL is fine. */
void mem_forget(char *text);

#endif
