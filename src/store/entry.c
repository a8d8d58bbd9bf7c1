/* Entries of the journal, and how far a store is in it; see entry.h. */
#include "store/entry.h"

#include "base/codec.h"
#include "base/compress.h"
#include "base/hash.h"
#include "base/record.h"
#include "store/db.h"

#define FORM 1
#define POSITION_KEY SLICE("journal")
#define POSITION_BYTES 64

enum { FLAG_MORE = 1, FLAG_LZ4 = 2, FLAGS = FLAG_MORE | FLAG_LZ4 };

_Static_assert(ENTRY_DIGEST == HASH_DIGEST_SIZE, "what a digest has");

void entry_encode(struct entry *e, struct buf *out)
{
	size_t begin = out->len;
	put_u8(out, FORM);
	put_u8(out, (uint8_t)e->kind);
	size_t flags_at = out->len;
	put_u8(out, e->more ? FLAG_MORE : 0);
	put_u64(out, e->epoch);
	put_u64(out, e->turn);
	put_u32(out, e->schema);
	buf_append(out, e->before, ENTRY_DIGEST);
	put_text(out, e->member);
	put_text(out, e->url);
	put_u32(out, (uint32_t)e->rows.len);
	if (compress_append(e->rows, out))
		out->data[flags_at] |= FLAG_LZ4;
	else
		buf_slice(out, e->rows);
	if (!out->failed)
		hash_digest(out->data + begin, out->len - begin, e->digest);
	buf_append(out, e->digest, ENTRY_DIGEST);
}

/* Takes the bytes that the digest at the end is of. */
static bool check_digest(struct slice bytes, struct entry *e)
{
	if (bytes.len < ENTRY_DIGEST)
		return false;
	size_t len = bytes.len - ENTRY_DIGEST;
	hash_digest(bytes.ptr, len, e->digest);
	return memcmp(bytes.ptr + len, e->digest, ENTRY_DIGEST) == 0;
}

static enum err decode_rows(struct slice packed, bool is_packed, size_t len,
    struct buf *scratch, struct slice *rows)
{
	buf_reset(scratch);
	*rows = packed;
	if (!is_packed)
		return packed.len == len ? OK : ERR_CORRUPT;
	if (len > ENTRY_ROWS_MAX || compress_unpack(packed, len, scratch) != OK)
		return ERR_CORRUPT;
	*rows = buf_view(scratch);
	return OK;
}

static bool is_kind(uint8_t kind)
{
	return kind >= ENTRY_TURN && kind <= ENTRY_HANDOVER;
}

enum err entry_decode(struct slice bytes, struct buf *scratch, struct entry *e)
{
	struct entry read = {0};
	if (bytes.len > 0 && bytes.ptr[0] != FORM)
		return ERR_CONFLICT;
	if (!check_digest(bytes, &read))
		return ERR_CORRUPT;
	struct reader r = reader_of((struct slice){bytes.ptr, bytes.len - ENTRY_DIGEST});
	(void)get_u8(&r);
	uint8_t kind = get_u8(&r);
	uint8_t flags = get_u8(&r);
	read.kind = (enum entry_kind)kind;
	read.more = (flags & FLAG_MORE) != 0;
	read.epoch = get_u64(&r);
	read.turn = get_u64(&r);
	read.schema = get_u32(&r);
	struct slice before = get_bytes(&r, ENTRY_DIGEST);
	read.member = get_text(&r);
	read.url = get_text(&r);
	size_t len = get_u32(&r);
	if (r.failed || read.member.len > ENTRY_MEMBER_MAX || read.url.len > ENTRY_URL_MAX)
		return ERR_CORRUPT;
	if (!is_kind(kind) || (flags & ~FLAGS) != 0)
		return ERR_CONFLICT;
	memcpy(read.before, before.ptr, ENTRY_DIGEST);
	struct slice packed = get_bytes(&r, r.left);
	enum err err = decode_rows(packed, (flags & FLAG_LZ4) != 0, len, scratch, &read.rows);
	if (err == OK)
		*e = read;
	return err;
}

enum err entry_position_get(struct db_txn *txn, struct entry_position *out)
{
	struct slice value;
	struct reader r;
	*out = (struct entry_position){0};
	enum err err = db_get(txn, DB_META, POSITION_KEY, &value);
	if (err == ERR_NOTFOUND)
		return OK;
	if (err == OK)
		err = record_open(value, record_at(DB_META, POSITION_KEY), &r);
	if (err != OK)
		return err;
	struct entry_position at = {0};
	at.seq = get_u64(&r);
	at.epoch = get_u64(&r);
	at.turn = get_u64(&r);
	struct slice digest = get_bytes(&r, ENTRY_DIGEST);
	at.journal = get_u64(&r);
	if (r.failed || r.left != 0)
		return ERR_CORRUPT;
	memcpy(at.digest, digest.ptr, ENTRY_DIGEST);
	*out = at;
	return OK;
}

enum err entry_position_put(struct db_txn *txn, const struct entry_position *at)
{
	struct buf value = BUF_INIT(POSITION_BYTES);
	put_u64(&value, at->seq);
	put_u64(&value, at->epoch);
	put_u64(&value, at->turn);
	buf_append(&value, at->digest, ENTRY_DIGEST);
	put_u64(&value, at->journal);
	record_seal(&value, record_at(DB_META, POSITION_KEY));
	enum err err = db_put(txn, DB_META, POSITION_KEY, buf_view(&value));
	buf_fini(&value);
	return err;
}

enum err entry_position_del(struct db_txn *txn)
{
	enum err err = db_del(txn, DB_META, POSITION_KEY);
	return err == ERR_NOTFOUND ? OK : err;
}
