/*
 * Big-endian fields in and out of byte runs: for keys that sort as numbers do
 * and for records on disk. Writers append to a struct buf (its failure is
 * sticky); the reader is bounds-checked with a sticky failure of its own, so
 * that a decoder reads all fields and asks once at the end.
 */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/slice.h"

struct reader {
	const unsigned char *ptr;
	size_t left;
	bool failed;
};

static inline struct reader reader_of(struct slice s)
{
	return (struct reader){.ptr = (const unsigned char *)s.ptr, .left = s.len};
}

static inline void codec_store_u64(unsigned char *out, uint64_t n)
{
	for (int i = 7; i >= 0; i--) {
		out[i] = (unsigned char)n;
		n >>= 8;
	}
}

static inline void put_uint(struct buf *b, uint64_t n, size_t bytes)
{
	unsigned char raw[8];
	codec_store_u64(raw, n);
	buf_append(b, raw + 8 - bytes, bytes);
}

static inline void put_u8(struct buf *b, uint8_t n)
{
	put_uint(b, n, 1);
}

static inline void put_u16(struct buf *b, uint16_t n)
{
	put_uint(b, n, 2);
}

static inline void put_u32(struct buf *b, uint32_t n)
{
	put_uint(b, n, 4);
}

static inline void put_u64(struct buf *b, uint64_t n)
{
	put_uint(b, n, 8);
}

static inline void put_i64(struct buf *b, int64_t n)
{
	put_uint(b, (uint64_t)n, 8);
}

/* A length in 16 bits, then the bytes; longer than that fails the buffer. */
static inline void put_text(struct buf *b, struct slice s)
{
	if (s.len > UINT16_MAX)
		b->failed = true;
	put_u16(b, (uint16_t)s.len);
	buf_slice(b, s);
}

/* Takes `n` bytes; an empty slice and a failed reader where they are not there. */
static inline struct slice get_bytes(struct reader *r, size_t n)
{
	if (r->failed || n > r->left) {
		r->failed = true;
		return (struct slice){.ptr = "", .len = 0};
	}
	struct slice s = {.ptr = (const char *)r->ptr, .len = n};
	r->ptr += n;
	r->left -= n;
	return s;
}

static inline uint64_t get_uint(struct reader *r, size_t bytes)
{
	struct slice s = get_bytes(r, bytes);
	uint64_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n = n << 8 | (unsigned char)s.ptr[i];
	return n;
}

static inline uint8_t get_u8(struct reader *r)
{
	return (uint8_t)get_uint(r, 1);
}

static inline uint16_t get_u16(struct reader *r)
{
	return (uint16_t)get_uint(r, 2);
}

static inline uint32_t get_u32(struct reader *r)
{
	return (uint32_t)get_uint(r, 4);
}

static inline uint64_t get_u64(struct reader *r)
{
	return get_uint(r, 8);
}

static inline int64_t get_i64(struct reader *r)
{
	return (int64_t)get_uint(r, 8);
}

static inline struct slice get_text(struct reader *r)
{
	return get_bytes(r, get_u16(r));
}

/*
 * Takes a text of at most `max` bytes into `out`, NUL-terminated: room for max + 1. One that
 * holds a NUL itself fails the reader: no string of ours does.
 */
static inline void get_cstr(struct reader *r, char *out, size_t max)
{
	struct slice s = get_text(r);
	if (s.len > max || memchr(s.ptr, '\0', s.len) != NULL) {
		r->failed = true;
		s.len = 0;
	}
	memcpy(out, s.ptr, s.len);
	out[s.len] = '\0';
}

#endif
