/* LZ4's block functions; see compress.h. */
#include "base/compress.h"

#include <lz4.h>

bool compress_append(struct slice bytes, struct buf *out)
{
	if (bytes.len == 0 || bytes.len > LZ4_MAX_INPUT_SIZE || out->failed)
		return false;
	size_t room = bytes.len - 1; /* else it is no gain */
	if (room > out->max - out->len)
		room = out->max - out->len;
	if (room == 0 || !buf_reserve(out, room))
		return false;
	int n = LZ4_compress_default(bytes.ptr, out->data + out->len, (int)bytes.len,
	    (int)room);
	if (n <= 0)
		return false;
	out->len += (size_t)n;
	return true;
}

enum err compress_unpack(struct slice packed, size_t len, struct buf *out)
{
	if (len > LZ4_MAX_INPUT_SIZE || packed.len > LZ4_MAX_INPUT_SIZE ||
	    !buf_reserve(out, len))
		return ERR_TOOBIG;
	int n = LZ4_decompress_safe(packed.ptr, out->data + out->len, (int)packed.len,
	    (int)len);
	if (n < 0 || (size_t)n != len)
		return ERR_CORRUPT;
	out->len += len;
	return OK;
}
