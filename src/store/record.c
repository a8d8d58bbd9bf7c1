/* Checksums of records; the one user of xxHash. */
#include "store/record.h"

#include <xxhash.h>

void record_seal(struct buf *b)
{
	put_u64(b, XXH3_64bits(b->data, b->len));
}

enum err record_open(struct slice value, struct reader *r)
{
	if (value.len < RECORD_CHECKSUM)
		return ERR_CORRUPT;
	struct slice bytes = {.ptr = value.ptr, .len = value.len - RECORD_CHECKSUM};
	struct reader tail = reader_of((struct slice){bytes.ptr + bytes.len, RECORD_CHECKSUM});
	if (get_u64(&tail) != XXH3_64bits(bytes.ptr, bytes.len))
		return ERR_CORRUPT;
	*r = reader_of(bytes);
	return OK;
}

void record_digest(struct slice a, struct slice b, unsigned char out[RECORD_DIGEST])
{
	struct buf joined = BUF_INIT(a.len + b.len + 1);
	buf_slice(&joined, a);
	buf_putc(&joined, '\0');
	buf_slice(&joined, b);
	XXH128_hash_t hash = XXH3_128bits(joined.data, joined.len);
	codec_store_u64(out, hash.high64);
	codec_store_u64(out + 8, hash.low64);
	buf_fini(&joined);
}
