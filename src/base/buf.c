/* Growable bytes with a limit; the interface and its invariants are in buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/spare.h"

#define BUF_FIRST 256 /* bytes: one typical answer or record */

void buf_fini(struct buf *b)
{
	spare_give(b->data, b->cap);
	*b = BUF_INIT(b->max);
}

/* Moves to a block that somebody has left; false: there is none of so many bytes. */
static bool move_to_spare(struct buf *b, size_t bytes)
{
	size_t size = 0;
	char *block = bytes < SPARE_MIN ? NULL : spare_take(bytes, &size);
	if (block == NULL)
		return false;
	if (b->len > 0)
		memcpy(block, b->data, b->len);
	spare_give(b->data, b->cap);
	b->data = block;
	b->cap = size;
	return true;
}

/* Makes `n` bytes behind len writable, the limit notwithstanding; doubles, up to the limit. */
static void make_room(struct buf *b, size_t n)
{
	size_t need = b->len + n;
	if (need <= b->cap)
		return;
	size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : 2 * b->cap;
	if (cap > b->max)
		cap = b->max;
	if (cap < need)
		cap = need;
	if (move_to_spare(b, cap))
		return;
	b->data = mem_resize(b->data, cap, 1);
	b->cap = cap;
}

bool buf_grow(struct buf *b, size_t n)
{
	if (b->failed || n > b->max - b->len) {
		b->failed = true;
		return false;
	}
	make_room(b, n);
	return true;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	va_list again;
	va_copy(again, args);
	size_t room = b->cap - b->len;
	int n = vsnprintf(room > 0 ? b->data + b->len : NULL, room, fmt, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
	} else if (buf_reserve(b, (size_t)n)) {
		make_room(b, (size_t)n + 1); /* vsnprintf() adds a NUL */
		if ((size_t)n >= room)
			(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

const char *buf_cstr(struct buf *b)
{
	if (b->failed)
		return "";
	make_room(b, 1);
	b->data[b->len] = '\0';
	return b->data;
}
