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

struct slice record_seal_number(uint64_t n, unsigned char out[RECORD_NUMBER])
{
	codec_store_u64(out, n);
	codec_store_u64(out + 8, XXH3_64bits(out, 8));
	return (struct slice){.ptr = (const char *)out, .len = RECORD_NUMBER};
}

enum err record_open_number(struct slice value, uint64_t *out)
{
	struct reader r;
	enum err err = record_open(value, &r);
	if (err == OK && r.left != 8)
		err = ERR_CORRUPT;
	if (err == OK)
		*out = get_u64(&r);
	return err;
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
