/* Checksums and digests of records; see record.h. */
#include "store/record.h"

#include "base/hash.h"
#include "domain/digest.h"

void record_seal(struct buf *b)
{
	put_u64(b, hash_checksum(b->data, b->len));
}

enum err record_open(struct slice value, struct reader *r)
{
	if (value.len < RECORD_CHECKSUM)
		return ERR_CORRUPT;
	struct slice bytes = {.ptr = value.ptr, .len = value.len - RECORD_CHECKSUM};
	struct reader tail = reader_of((struct slice){bytes.ptr + bytes.len, RECORD_CHECKSUM});
	if (get_u64(&tail) != hash_checksum(bytes.ptr, bytes.len))
		return ERR_CORRUPT;
	*r = reader_of(bytes);
	return OK;
}

void record_digest(struct slice a, struct slice b, unsigned char out[RECORD_DIGEST])
{
	const struct slice parts[] = {a, {"", 1}, b};
	unsigned char whole[DIGEST_SIZE];
	digest_of(parts, sizeof(parts) / sizeof(parts[0]), whole);
	memcpy(out, whole, RECORD_DIGEST);
}
