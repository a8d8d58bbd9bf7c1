/* gzip by zlib; see gunzip.h. */
#include "base/gunzip.h"

#define ZLIB_CONST /* its input is const */
#include <zlib.h>

#include "base/log.h"

#define GZIP_ONLY (15 + 16) /* windowBits: the largest window, and no other format */
#define STEP_SIZE 16384     /* bytes of output at once */

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
