/* Checksums and digests of records; see record.h. */
#include "base/record.h"

#include "base/digest.h"
#include "base/hash.h"

uint64_t record_at(unsigned table, struct slice key)
{
	return hash_seeded(table, key.ptr, key.len);
}

void record_seal(struct buf *b, uint64_t at)
{
	put_u64(b, hash_checksum(b->data, b->len) ^ at);
}

enum err record_open(struct slice value, uint64_t at, struct reader *r)
{
	if (value.len < RECORD_CHECKSUM)
		return ERR_CORRUPT;
	struct slice bytes = {.ptr = value.ptr, .len = value.len - RECORD_CHECKSUM};
	struct reader tail = reader_of((struct slice){bytes.ptr + bytes.len, RECORD_CHECKSUM});
	uint64_t found = get_u64(&tail) ^ hash_checksum(bytes.ptr, bytes.len);
	if (found != at && found != RECORD_ANYWHERE)
		return ERR_CORRUPT;
	*r = reader_of(bytes);
	return OK;
}

struct slice record_seal_number(uint64_t n, uint64_t at, unsigned char out[RECORD_NUMBER])
{
	codec_store_u64(out, n);
	codec_store_u64(out + 8, hash_checksum(out, 8) ^ at);
	return (struct slice){.ptr = (const char *)out, .len = RECORD_NUMBER};
}

enum err record_open_number(struct slice value, uint64_t at, uint64_t *out)
{
	struct reader r;
	enum err err = record_open(value, at, &r);
	if (err == OK && r.left != 8)
		err = ERR_CORRUPT;
	if (err == OK)
		*out = get_u64(&r);
	return err;
}

void record_digest(struct slice a, struct slice b, unsigned char out[RECORD_DIGEST])
{
	const struct slice parts[] = {a, {"", 1}, b};
	unsigned char whole[DIGEST_SIZE];
	digest_of(parts, sizeof(parts) / sizeof(parts[0]), whole);
	memcpy(out, whole, RECORD_DIGEST);
}
