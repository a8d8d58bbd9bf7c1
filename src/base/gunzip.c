/* gzip by zlib, and back; see gunzip.h. */
#include "base/gunzip.h"

#define ZLIB_CONST /* its input is const */
#include <stdlib.h>
#include <zlib.h>

#include "base/log.h"
#include "base/mem.h"

#define GZIP_ONLY (15 + 16) /* windowBits: the largest window, and no other format */
#define STEP_SIZE 16384     /* bytes of output at once */
#define MEMORY_LEVEL 8      /* zlib's own default */

/*
 * What may be inflated in so many calls, each of which ends with a block: a block's tables take
 * some 10 us to build, be it for a byte. Compressors make blocks of many KiB, but where they
 * are flushed.
 */
#define BYTES_PER_CALL 1024

/* Inflates up to a block's end, or by a step; it is `out` that says when that is too much. */
static int inflate_block(z_stream *z, struct buf *out)
{
	unsigned char step[STEP_SIZE];
	/* cppcheck-suppress autoVariables ; nobody reads it again */
	z->next_out = step;
	z->avail_out = sizeof(step);
	int result = inflate(z, Z_BLOCK);
	panic_if(result == Z_MEM_ERROR, "out of memory");
	buf_slice(out, (struct slice){(const char *)step, sizeof(step) - z->avail_out});
	return result;
}

/* One member after the other, until nothing is left of the text. */
static enum err inflate_all(z_stream *z, struct buf *out)
{
	for (size_t calls = 0; calls < GUNZIP_BLOCKS + out->len / BYTES_PER_CALL; calls++) {
		int result = inflate_block(z, out);
		if (out->failed)
			return ERR_TOOBIG;
		if (result == Z_STREAM_END && z->avail_in == 0)
			return OK;
		if (result == Z_STREAM_END)
			result = inflateReset(z);
		if (result != Z_OK) /* damaged, or Z_BUF_ERROR: there is no more of it */
			return ERR_SYNTAX;
	}
	return ERR_INVALID;
}

enum err gunzip(struct slice text, struct buf *out)
{
	z_stream z = {0};
	if (text.len > UINT32_MAX)
		return ERR_TOOBIG;
	z.next_in = (const unsigned char *)text.ptr;
	z.avail_in = (uInt)text.len;
	int result = inflateInit2(&z, GZIP_ONLY);
	panic_if(result != Z_OK, "zlib: %d", result);
	enum err err = inflate_all(&z, out);
	(void)inflateEnd(&z); /* fails only for a stream that was never made */
	return err;
}

bool gunzip_pack(struct slice text, struct buf *out)
{
	z_stream z = {0};
	size_t room = out->failed ? 0 : out->max - out->len;
	room = room < text.len ? room : text.len - 1; /* else it is no gain */
	if (text.len == 0 || text.len > UINT32_MAX || room == 0)
		return false;
	char *packed = mem_array(room, 1); /* `out` is to have no more than it needs */
	z.next_in = (const unsigned char *)text.ptr;
	z.avail_in = (uInt)text.len;
	z.next_out = (unsigned char *)packed;
	z.avail_out = (uInt)room;
	int result = deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_ONLY, MEMORY_LEVEL,
	    Z_DEFAULT_STRATEGY);
	panic_if(result != Z_OK, "zlib: %d", result);
	bool fits = deflate(&z, Z_FINISH) == Z_STREAM_END;
	if (fits)
		buf_append(out, packed, room - z.avail_out);
	(void)deflateEnd(&z); /* says no more than that it was not finished */
	free(packed);
	return fits && !out->failed;
}
