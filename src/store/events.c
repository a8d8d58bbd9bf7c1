/*
 * Events in pieces. The record of piece 0: version (1), created_ms (8), settled_ms (8),
 * deliveries (4), open (4), body_bytes (4), session (2 + n), name (2 + n), then
 * body bytes up to the piece's limit; of the others: body bytes alone. Each is
 * sealed (record.h). To change it: raise VERSION and decode the old form as well;
 * version 1 has no settled_ms.
 */
#include "store/events.h"

#include "base/log.h"
#include "store/record.h"

#define VERSION 2
#define VERSION_WITHOUT_SETTLED 1
#define PIECE_MAX 4000 /* bytes with the checksum; see events.h */
#define KEY_SIZE (UUID_SIZE + 2)

/* What a piece's number can count; and so what dropping a record that lies may cost. */
#define STORED_BODY_MAX ((uint32_t)UINT16_MAX * (PIECE_MAX - RECORD_CHECKSUM))

static struct slice make_key(const struct uuid *id, uint16_t piece, unsigned char out[KEY_SIZE])
{
	memcpy(out, id->bytes, UUID_SIZE);
	out[UUID_SIZE] = (unsigned char)(piece >> 8);
	out[UUID_SIZE + 1] = (unsigned char)piece;
	return (struct slice){.ptr = (const char *)out, .len = KEY_SIZE};
}

bool events_parse_key(struct slice key, struct uuid *id, uint16_t *piece)
{
	struct reader r = reader_of(key);
	struct slice bytes = get_bytes(&r, UUID_SIZE);
	memcpy(id->bytes, bytes.ptr, bytes.len);
	*piece = get_u16(&r);
	return !r.failed && r.left == 0;
}

static void encode_head(const struct event *e, struct buf *out)
{
	put_u8(out, VERSION);
	put_i64(out, e->created_ms);
	put_i64(out, e->settled_ms);
	put_u32(out, e->deliveries);
	put_u32(out, e->open);
	put_u32(out, e->body_bytes);
	put_text(out, slice_of(e->session));
	put_text(out, slice_of(e->name));
}

static enum err put_piece(struct db_txn *txn, const struct uuid *id, uint16_t piece,
    struct buf *value)
{
	unsigned char key[KEY_SIZE];
	record_seal(value);
	return db_put(txn, DB_EVENTS, make_key(id, piece, key), buf_view(value));
}

enum err events_put(struct db_txn *txn, const struct event *e, struct slice body)
{
	struct buf value = BUF_INIT(PIECE_MAX);
	encode_head(e, &value);
	enum err err = OK;
	for (uint16_t piece = 0; err == OK; piece++) {
		size_t room = PIECE_MAX - RECORD_CHECKSUM - value.len;
		size_t n = body.len < room ? body.len : room;
		buf_append(&value, body.ptr, n);
		body.ptr += n;
		body.len -= n;
		err = put_piece(txn, &e->id, piece, &value);
		buf_reset(&value);
		if (body.len == 0)
			break;
	}
	buf_fini(&value);
	return err;
}

enum err events_decode_head(struct slice value, struct event *e, struct reader *r)
{
	struct event head = {0};
	enum err err = record_open(value, r);
	if (err != OK)
		return err;
	uint8_t version = get_u8(r);
	if (version != VERSION && version != VERSION_WITHOUT_SETTLED)
		return ERR_CORRUPT;
	head.created_ms = get_i64(r);
	head.settled_ms = version == VERSION ? get_i64(r) : 0;
	head.deliveries = get_u32(r);
	head.open = get_u32(r);
	head.body_bytes = get_u32(r);
	get_cstr(r, head.session, SESSION_MAX);
	get_cstr(r, head.name, EVENT_MAX);
	if (r->failed || head.deliveries > EVENT_DELIVERIES_MAX ||
	    head.body_bytes > STORED_BODY_MAX)
		return ERR_CORRUPT;
	head.id = e->id; /* is the key's */
	*e = head;
	return OK;
}

static enum err get_piece(struct db_txn *txn, const struct uuid *id, uint16_t piece,
    struct slice *value)
{
	unsigned char key[KEY_SIZE];
	return db_get(txn, DB_EVENTS, make_key(id, piece, key), value);
}

enum err events_get(struct db_txn *txn, const struct uuid *id, struct event *e,
    struct buf *body)
{
	struct slice value;
	struct reader r;
	e->id = *id;
	enum err err = get_piece(txn, id, 0, &value);
	if (err == OK)
		err = events_decode_head(value, e, &r);
	if (err != OK || body == NULL)
		return err;
	buf_reset(body);
	buf_slice(body, get_bytes(&r, r.left));
	for (uint16_t piece = 1; body->len < e->body_bytes && !body->failed; piece++) {
		err = get_piece(txn, id, piece, &value);
		if (err == OK)
			err = record_open(value, &r);
		if (err != OK)
			return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
		buf_slice(body, get_bytes(&r, r.left));
	}
	return body->failed || body->len != e->body_bytes ? ERR_CORRUPT : OK;
}

/* Reads piece 0 for a change; what is left in *r is the body's first bytes. */
static enum err read_head(struct db_txn *txn, const struct uuid *id, struct event *e,
    struct reader *r)
{
	struct slice value;
	enum err err = get_piece(txn, id, 0, &value);
	if (err == OK)
		err = events_decode_head(value, e, r);
	e->id = *id;
	return err;
}

/* Reads piece 0 for a change that an operation of its own can do without. */
static enum err read_for_change(struct db_txn *txn, const struct uuid *id, struct event *e,
    struct reader *r)
{
	enum err err = read_head(txn, id, e, r);
	if (err != ERR_CORRUPT)
		return err;
	/* left where it is: the others of this turn must go on */
	log_error("event record is corrupt", LOG_S("table", "events"));
	return ERR_NOTFOUND;
}

/* Writes piece 0 anew, with the body's first bytes that are left in *r. */
static enum err write_head(struct db_txn *txn, const struct event *e, struct reader *r)
{
	struct buf changed = BUF_INIT(PIECE_MAX + 8); /* one of version 1 grows by so much */
	encode_head(e, &changed);
	buf_slice(&changed, get_bytes(r, r->left));
	enum err err = put_piece(txn, &e->id, 0, &changed);
	buf_fini(&changed);
	return err;
}

enum err events_release(struct db_txn *txn, const struct uuid *id, int64_t now_ms,
    struct event *left)
{
	struct reader r;
	enum err err = read_for_change(txn, id, left, &r);
	if (err != OK)
		return err;
	left->open -= left->open > 0 ? 1 : 0;
	if (left->open == 0) /* later than any time before: each has an entry of its own */
		left->settled_ms = now_ms > left->settled_ms ? now_ms : left->settled_ms + 1;
	return write_head(txn, left, &r);
}

enum err events_reopen(struct db_txn *txn, const struct uuid *id, struct event *before)
{
	struct reader r;
	enum err err = read_for_change(txn, id, before, &r);
	if (err != OK)
		return err;
	struct event open = *before;
	open.open++;
	return write_head(txn, &open, &r);
}

enum err events_drop(struct db_txn *txn, const struct uuid *id)
{
	const size_t each = PIECE_MAX - RECORD_CHECKSUM;
	struct event e = {0};
	struct reader r = {0};
	enum err err = read_head(txn, id, &e, &r);
	if (err != OK && err != ERR_CORRUPT)
		return err;
	size_t rest = e.body_bytes > r.left ? e.body_bytes - r.left : 0;
	size_t pieces = 1 + (rest + each - 1) / each;
	err = OK;
	for (size_t piece = 0; piece < pieces && (err == OK || err == ERR_NOTFOUND); piece++) {
		unsigned char key[KEY_SIZE];
		err = db_del(txn, DB_EVENTS, make_key(id, (uint16_t)piece, key));
	}
	return err == ERR_NOTFOUND ? OK : err;
}

enum err events_newest_id(struct db_txn *txn, struct uuid *id)
{
	static const enum db_table TABLES[] = {DB_EVENTS, DB_DEAD_BY_AGE};
	*id = (struct uuid){0};
	for (size_t i = 0; i < sizeof(TABLES) / sizeof(TABLES[0]); i++) {
		struct slice key;
		enum err err = db_last(txn, TABLES[i], &key); /* both keys begin with the id */
		if (err == OK && key.len >= UUID_SIZE &&
		    memcmp(key.ptr, id->bytes, UUID_SIZE) > 0)
			memcpy(id->bytes, key.ptr, UUID_SIZE);
		if (err != OK && err != ERR_NOTFOUND)
			return err;
	}
	return OK;
}
