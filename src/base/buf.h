/*
 * Growable bytes with a limit that must be named, and a sticky error: do all
 * the appends, look at `failed` once at the end. After a failure the content
 * is what fitted and later appends do nothing. What is appended must not lie in
 * the buffer itself: its memory moves when it grows.
 *
 * Invariants: len <= cap, len <= max; data is NULL only while cap is 0.
 * The bytes are not NUL-terminated (buf_cstr() does that on request).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/slice.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max; /* bytes; an append that would pass it fails the buffer */
	bool failed;
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

/* Frees the bytes; `b` is empty again, with the same limit. */
void buf_fini(struct buf *b);

/* Forgets content and failure, keeps the memory. */
static inline void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

/* buf_reserve() where there is no room yet. */
bool buf_grow(struct buf *b, size_t n);

/* Makes room for `n` more bytes; false (and failed) when that passes the limit. */
static inline bool buf_reserve(struct buf *b, size_t n)
{
	bool fits = n <= b->cap - b->len && n <= b->max - b->len && !b->failed;
	return fits || buf_grow(b, n);
}

/* Here, since most are a few bytes of a record, and the compiler knows how many. */
static inline void buf_append(struct buf *b, const void *bytes, size_t n)
{
	if (n == 0 || !buf_reserve(b, n))
		return;
	memcpy(b->data + b->len, bytes, n);
	b->len += n;
}

static inline void buf_putc(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

static inline void buf_slice(struct buf *b, struct slice s)
{
	buf_append(b, s.ptr, s.len);
}

static inline void buf_puts(struct buf *b, const char *cstr)
{
	buf_slice(b, slice_of(cstr));
}

void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Terminates with a NUL beyond len and returns the bytes; "" after a failure. Borrowed. */
const char *buf_cstr(struct buf *b);

static inline struct slice buf_view(const struct buf *b)
{
	return (struct slice){.ptr = b->data, .len = b->len};
}

#endif
