/* Checksums of records; the one user of xxHash. */
#include "store/record.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"

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

struct record_sum {
	XXH3_state_t *state;
};

struct record_sum *record_sum_new(void)
{
	struct record_sum *s = mem_new(sizeof(*s));
	s->state = XXH3_createState();
	panic_if(s->state == NULL || XXH3_64bits_reset(s->state) != XXH_OK, "no checksum");
	return s;
}

void record_sum_free(struct record_sum *s)
{
	if (s == NULL)
		return;
	(void)XXH3_freeState(s->state); /* cannot fail */
	free(s);
}

void record_sum_add(struct record_sum *s, struct slice bytes)
{
	panic_if(XXH3_64bits_update(s->state, bytes.ptr, bytes.len) != XXH_OK, "no checksum");
}

uint64_t record_sum_get(const struct record_sum *s)
{
	return XXH3_64bits_digest(s->state);
}
