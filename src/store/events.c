/*
 * Events in pieces. The record of piece 0: version (1), created_ms (8), for_all (2),
 * deliveries (2), body_bytes (4), session (2 + n), name (2 + n), then body bytes up to
 * the piece's limit; of the others: body bytes alone. Each is sealed (record.h). To change it:
 * raise VERSION and decode the old form as well. Where bytes are attached it is version 4, with
 * their number (4) behind body_bytes; they lie behind those of the body. Where a trace is kept
 * it is version 5, with the number of its bytes (2) behind that of the attached, which may be
 * 0; it lies behind these.
 *
 * Version 2 has settled_ms (8) behind created_ms, then deliveries (4), open_all (2) and
 * open (2); version 1 the same without settled_ms: then these count, and neither DB_OPEN nor
 * the delivery. The first change makes it a record of this version. Where open_all was not
 * kept yet there is a 0: the session pays.
 */
#include "store/events.h"

#include "base/log.h"
#include "base/record.h"
#include "store/migration.h"
#include "store/usage.h"

#define VERSION_TRACED 5
#define VERSION_ATTACHED 4
#define VERSION 3
#define VERSION_WITH_STATE 2
#define VERSION_WITHOUT_SETTLED 1
#define PIECE_MAX 4000 /* bytes with the checksum; see events.h */
#define KEY_SIZE (UUID_SIZE + 2)
#define EVENT_COST 256    /* bytes that an event takes beside its body */
#define DELIVERY_COST 160 /* bytes that the record of a delivery takes */

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
	uint8_t version = e->trace_bytes > 0 ? VERSION_TRACED
	    : e->attached_bytes > 0          ? VERSION_ATTACHED
					     : VERSION;
	put_u8(out, version);
	put_i64(out, e->created_ms);
	put_u16(out, (uint16_t)e->for_all);
	put_u16(out, (uint16_t)e->deliveries);
	put_u32(out, e->body_bytes);
	if (version >= VERSION_ATTACHED)
		put_u32(out, e->attached_bytes);
	if (version >= VERSION_TRACED)
		put_u16(out, e->trace_bytes);
	put_text(out, slice_of(e->session));
	put_text(out, slice_of(e->name));
}

/* Most come in the order of their keys, whose pages are then filled to the full. */
static enum err put_piece(struct db_txn *txn, const struct uuid *id, uint16_t piece,
    struct buf *value)
{
	unsigned char key[KEY_SIZE];
	struct slice at = make_key(id, piece, key);
	record_seal(value, record_at(DB_EVENTS, at));
	enum err err = db_append(txn, DB_EVENTS, at, buf_view(value));
	return err == ERR_EXISTS ? db_put(txn, DB_EVENTS, at, buf_view(value)) : err;
}

/* Appends the first of `from`'s bytes, as far as there is room in a piece. */
static void fill_piece(struct slice *from, struct buf *value)
{
	size_t room = PIECE_MAX - RECORD_CHECKSUM - value->len;
	size_t n = from->len < room ? from->len : room;
	buf_append(value, from->ptr, n);
	from->ptr += n;
	from->len -= n;
}

enum err events_put(struct db_txn *txn, const struct event *e, struct slice body)
{
	return events_put_attached(txn, e, body, SLICE(""));
}

enum err events_put_attached(struct db_txn *txn, const struct event *e, struct slice body,
    struct slice attached)
{
	return events_put_traced(txn, e, body, attached, SLICE(""));
}

enum err events_put_traced(struct db_txn *txn, const struct event *e, struct slice body,
    struct slice attached, struct slice trace)
{
	struct buf value = BUF_INIT(PIECE_MAX);
	if (body.len > EVENT_BODY_MAX || attached.len > EVENT_ATTACHED_MAX ||
	    trace.len > TRACE_MAX)
		return db_txn_fail(txn, ERR_TOOBIG);
	encode_head(e, &value);
	enum err err = OK;
	for (uint16_t piece = 0; err == OK; piece++) {
		fill_piece(&body, &value);
		fill_piece(&attached, &value);
		fill_piece(&trace, &value);
		err = put_piece(txn, &e->id, piece, &value);
		buf_reset(&value);
		if (body.len + attached.len + trace.len == 0)
			break;
	}
	buf_fini(&value);
	return err;
}

/* Opens a piece of an event, the first or a later one. */
static enum err open_piece(const struct uuid *id, uint16_t piece, struct slice value,
    struct reader *r)
{
	unsigned char key[KEY_SIZE];
	return record_open(value, record_at(DB_EVENTS, make_key(id, piece, key)), r);
}

enum err events_decode_head(struct slice value, struct event *e, struct reader *r)
{
	struct event head = {0};
	enum err err = open_piece(&e->id, 0, value, r);
	if (err != OK)
		return err;
	uint8_t version = get_u8(r);
	if (version < VERSION_WITHOUT_SETTLED || version > VERSION_TRACED)
		return ERR_CORRUPT;
	head.has_state = version < VERSION;
	head.created_ms = get_i64(r);
	head.state.settled_ms = version == VERSION_WITH_STATE ? get_i64(r) : 0;
	head.for_all = head.has_state ? 0 : get_u16(r);
	head.deliveries = head.has_state ? get_u32(r) : get_u16(r);
	head.state.open_all = head.has_state ? get_u16(r) : 0;
	head.state.open = head.has_state ? get_u16(r) : 0;
	head.body_bytes = get_u32(r);
	head.attached_bytes = version >= VERSION_ATTACHED ? get_u32(r) : 0;
	head.trace_bytes = version >= VERSION_TRACED ? get_u16(r) : 0;
	get_cstr(r, head.session, SESSION_MAX);
	get_cstr(r, head.name, EVENT_MAX);
	if (r->failed || head.deliveries > EVENT_DELIVERIES_MAX ||
	    head.for_all > head.deliveries || head.state.open_all > head.state.open ||
	    head.body_bytes > STORED_BODY_MAX ||
	    head.attached_bytes > STORED_BODY_MAX - head.body_bytes ||
	    head.trace_bytes > TRACE_MAX)
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

/* Appends what a piece has of the body: what is attached may begin in it. */
static void take_body(const struct event *e, struct reader *r, struct buf *body)
{
	size_t lacks = e->body_bytes - body->len;
	bool ends = e->attached_bytes + e->trace_bytes > 0 && r->left > lacks;
	buf_slice(body, get_bytes(r, ends ? lacks : r->left));
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
	(void)buf_reserve(body, e->body_bytes); /* at once, not by doubling */
	take_body(e, &r, body);
	for (uint16_t piece = 1; body->len < e->body_bytes && !body->failed; piece++) {
		err = get_piece(txn, id, piece, &value);
		if (err == OK)
			err = open_piece(id, piece, value, &r);
		if (err != OK)
			return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
		take_body(e, &r, body);
	}
	return body->failed || body->len != e->body_bytes ? ERR_CORRUPT : OK;
}

enum err events_read_trace(struct db_txn *txn, const struct event *e, char out[TRACE_MAX])
{
	size_t n = 0;
	enum err err = events_read_body(txn, &e->id, (size_t)e->body_bytes + e->attached_bytes,
	    out, e->trace_bytes, &n);
	return err == OK && n != e->trace_bytes ? ERR_CORRUPT : err;
}

/* Finds the last key below `key`, borrowed until the next write. ERR_NOTFOUND. */
static enum err find_below(struct db_txn *txn, enum db_table t, struct slice key,
    struct slice *found)
{
	struct db_cursor *cursor = NULL;
	struct slice value;
	enum err err = db_cursor(txn, t, &cursor);
	if (err == OK)
		err = db_seek_below(cursor, key, found, &value);
	db_cursor_close(cursor);
	return err;
}

enum err events_below(struct db_txn *txn, const struct uuid *below, struct uuid *event)
{
	unsigned char key[KEY_SIZE];
	struct slice found;
	uint16_t piece = 0;
	enum err err = find_below(txn, DB_EVENTS, make_key(below, 0, key), &found);
	if (err == OK && !events_parse_key(found, event, &piece))
		err = ERR_NOTFOUND;
	return err;
}

enum err events_find_of(struct db_txn *txn, const struct uuid *delivery, struct uuid *event)
{
	struct event e;
	struct uuid id;
	enum err err = events_below(txn, delivery, &id); /* its deliveries are behind its id */
	if (err != OK)
		return err;
	err = events_get(txn, &id, &e, NULL);
	for (uint32_t n = 1; err == OK && n <= e.deliveries; n++) {
		struct uuid other;
		uuid_step(&id, n, &other);
		if (uuid_eq(&other, delivery)) {
			*event = id;
			return OK;
		}
	}
	return err == OK || err == ERR_CORRUPT ? ERR_NOTFOUND : err;
}

/* Reads piece 0 for a change; what is left in *r is the body's first bytes. */
static enum err read_head(struct db_txn *txn, const struct uuid *id, struct event *e,
    struct reader *r)
{
	struct slice value;
	e->id = *id;
	enum err err = get_piece(txn, id, 0, &value);
	return err == OK ? events_decode_head(value, e, r) : err;
}

/* How many bytes its pieces have, heads apart. */
static size_t bytes_of(const struct event *e)
{
	return (size_t)e->body_bytes + e->attached_bytes + e->trace_bytes;
}

/* Where in a body a piece begins, and at which of its bytes `offset` is. */
static uint16_t piece_of(size_t first, size_t offset, size_t *at)
{
	const size_t each = PIECE_MAX - RECORD_CHECKSUM;
	*at = offset < first ? offset : (offset - first) % each;
	return offset < first ? 0 : (uint16_t)(1 + (offset - first) / each);
}

enum err events_read_body(struct db_txn *txn, const struct uuid *id, size_t offset, char *out,
    size_t max, size_t *n)
{
	struct event e;
	struct reader r;
	*n = 0;
	enum err err = read_head(txn, id, &e, &r);
	size_t first = err == OK ? r.left : 0;
	size_t rest = err == OK && offset < bytes_of(&e) ? bytes_of(&e) - offset : 0;
	max = max < rest ? max : rest;
	while (err == OK && *n < max) {
		struct slice value;
		size_t at = 0;
		uint16_t piece = piece_of(first, offset + *n, &at);
		err = get_piece(txn, id, piece, &value);
		if (err == OK)
			err = piece == 0 ? events_decode_head(value, &e, &r)
					 : open_piece(id, piece, value, &r);
		if (err != OK || at >= r.left)
			return err == OK || err == ERR_NOTFOUND ? ERR_CORRUPT : err;
		(void)get_bytes(&r, at);
		struct slice bytes = get_bytes(&r, r.left < max - *n ? r.left : max - *n);
		memcpy(out + *n, bytes.ptr, bytes.len);
		*n += bytes.len;
	}
	return err;
}

/* What is open */

enum err events_decode_open(struct slice key, struct slice value, struct uuid *id,
    struct event_state *out)
{
	struct reader r = reader_of(key);
	struct slice bytes = get_bytes(&r, UUID_SIZE);
	if (r.failed || r.left != 0)
		return ERR_CORRUPT;
	memcpy(id->bytes, bytes.ptr, bytes.len);
	enum err err = record_open(value, record_at(DB_OPEN, key), &r);
	if (err != OK)
		return err;
	struct event_state s = {.open = get_u32(&r)};
	s.open_all = get_u32(&r);
	s.settled_ms = get_i64(&r);
	if (r.failed || r.left != 0 || s.open_all > s.open)
		return ERR_CORRUPT;
	*out = s;
	return OK;
}

enum err events_put_state(struct db_txn *txn, const struct event *e,
    const struct event_state *s)
{
	if (e->deliveries == 1)
		return OK;
	struct buf value = BUF_INIT(4 + 4 + 8 + RECORD_CHECKSUM);
	put_u32(&value, s->open);
	put_u32(&value, s->open_all);
	put_i64(&value, s->settled_ms);
	record_seal(&value, record_at(DB_OPEN, uuid_slice(&e->id)));
	enum err err = db_put(txn, DB_OPEN, uuid_slice(&e->id), buf_view(&value));
	buf_fini(&value);
	return err;
}

/* Whether its delivery's record tells how an event stands. */
static bool is_of_one(const struct event *e)
{
	return e->deliveries == 1 && !e->has_state;
}

/* Of an event whose only delivery is open. */
static struct event_state open_one(const struct delivery *d)
{
	return (
	    struct event_state){.open = 1, .open_all = webhook_is_for_all(d->webhook) ? 1 : 0};
}

static struct event_state state_of_one(const struct delivery *d)
{
	return d->status == DELIVERY_WAITING || d->status == DELIVERY_DEAD
	    ? open_one(d)
	    : (struct event_state){.settled_ms = d->queued_ms};
}

enum err events_state(struct db_txn *txn, const struct event *e, struct event_state *out)
{
	struct slice value;
	struct uuid id;
	struct delivery d;
	enum err err = OK;
	if (e->has_state) {
		*out = e->state;
	} else if (e->deliveries == 1) {
		uuid_step(&e->id, 1, &id);
		err = queue_get(txn, &id, &d);
		if (err == OK)
			*out = state_of_one(&d);
		return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
	} else {
		err = db_get(txn, DB_OPEN, uuid_slice(&e->id), &value);
		if (err == OK)
			return events_decode_open(uuid_slice(&e->id), value, &id, out);
		if (err == ERR_NOTFOUND)
			*out = (struct event_state){e->deliveries, e->for_all, 0};
	}
	return err == ERR_NOTFOUND ? OK : err;
}

enum err events_state_by(struct db_txn *txn, const struct event *e, const struct delivery *d,
    struct event_state *out)
{
	if (!is_of_one(e))
		return events_state(txn, e, out);
	*out = state_of_one(d);
	return OK;
}

/* Reads an event for a change that an operation of its own can do without. */
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

/* The same of how it stands; the record of an only delivery is the caller's: `of_one`. */
static enum err state_for_change(struct db_txn *txn, const struct event *e,
    struct event_state of_one, struct event_state *s)
{
	*s = of_one;
	enum err err = is_of_one(e) ? OK : events_state(txn, e, s);
	if (err != ERR_CORRUPT)
		return err;
	log_error("count of open deliveries is corrupt", LOG_S("table", "open"));
	return ERR_NOTFOUND;
}

/* Writes what is open of `e`, whose body's first bytes are left in *r. */
static enum err write_state(struct db_txn *txn, const struct event *e, struct reader *r,
    const struct event_state *s)
{
	enum err err = OK;
	if (e->has_state) {
		struct buf value = BUF_INIT(PIECE_MAX);
		encode_head(e, &value);
		buf_slice(&value, get_bytes(r, r->left));
		err = put_piece(txn, &e->id, 0, &value);
		buf_fini(&value);
	}
	return err == OK ? events_put_state(txn, e, s) : err;
}

enum err events_release(struct db_txn *txn, const struct delivery *d, int64_t now_ms,
    struct event *e, struct event_state *before, struct event_state *left)
{
	struct reader r;
	enum err err = read_for_change(txn, &d->event_id, e, &r);
	if (err == OK)
		err = state_for_change(txn, e, open_one(d), before);
	if (err != OK)
		return err;
	struct event_state s = *before;
	s.open -= s.open > 0 ? 1 : 0;
	s.open_all -= webhook_is_for_all(d->webhook) && s.open_all > 0 ? 1 : 0;
	if (s.open_all > s.open) /* damaged: what is counted of it stays possible */
		s.open_all = s.open;
	if (s.open == 0 && e->deliveries == 1)
		s.settled_ms = now_ms; /* as its record says */
	else if (s.open == 0) /* later than any time before: each has an entry of its own */
		s.settled_ms = now_ms > s.settled_ms ? now_ms : s.settled_ms + 1;
	*left = s;
	return write_state(txn, e, &r, &s);
}

enum err events_reopen(struct db_txn *txn, const struct delivery *d, struct event *e,
    struct event_state *before, struct event_state *now)
{
	struct reader r;
	struct event_state over = {.settled_ms = d->queued_ms};
	enum err err = read_for_change(txn, &d->event_id, e, &r);
	if (err == OK)
		err = state_for_change(txn, e, over, before);
	if (err != OK)
		return err;
	*now = *before;
	now->open += now->open < EVENT_DELIVERIES_MAX ? 1 : 0;
	if (webhook_is_for_all(d->webhook) && now->open_all < now->open)
		now->open_all++;
	if (e->deliveries == 1)
		now->settled_ms = 0; /* as its record will say */
	return write_state(txn, e, &r, now);
}

uint64_t event_cost(const struct event *e)
{
	return bytes_of(e) + EVENT_COST + (uint64_t)e->deliveries * DELIVERY_COST;
}

void event_charge(struct db_txn *txn, const struct event *e, const struct event_state *s,
    int64_t bytes)
{
	if (s->open == 0)
		usage_change(txn, slice_of(e->session), USAGE_HISTORY, bytes);
	if (s->open > s->open_all)
		usage_change(txn, slice_of(e->session), USAGE_OPEN, bytes);
	if (s->open_all > 0)
		usage_change(txn, SLICE(SESSION_ALL), USAGE_OPEN, bytes);
}

enum err events_drop(struct db_txn *txn, const struct uuid *id)
{
	const size_t each = PIECE_MAX - RECORD_CHECKSUM;
	struct event e = {0};
	struct reader r = {0};
	enum err err = read_head(txn, id, &e, &r);
	if (err != OK && err != ERR_CORRUPT)
		return err;
	size_t rest = bytes_of(&e) > r.left ? bytes_of(&e) - r.left : 0;
	size_t pieces = 1 + (rest + each - 1) / each;
	err = OK;
	for (size_t piece = 0; piece < pieces && (err == OK || err == ERR_NOTFOUND); piece++) {
		unsigned char key[KEY_SIZE];
		err = db_del(txn, DB_EVENTS, make_key(id, (uint16_t)piece, key));
	}
	if ((err == OK || err == ERR_NOTFOUND) && e.deliveries != 1)
		err = db_del(txn, DB_OPEN, uuid_slice(id));
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

#define KEY_MAX (SESSION_MAX + 1 + UUID_SIZE)
#define FILLED_KEY SLICE("history_filled") /* only while a migration is under way */
#define FILL_MAX 10000                     /* rows of events a transaction */

static struct slice make_history_key(struct slice session, const struct uuid *event,
    char out[KEY_MAX])
{
	panic_if(session.len > SESSION_MAX, "session too long for a key");
	memcpy(out, session.ptr, session.len);
	out[session.len] = '\0';
	memcpy(out + session.len + 1, event->bytes, UUID_SIZE);
	return (struct slice){.ptr = out, .len = session.len + 1 + UUID_SIZE};
}

bool history_parse_key(struct slice key, struct slice *session, struct uuid *event)
{
	if (key.len <= 1 + UUID_SIZE)
		return false;
	struct slice name = {.ptr = key.ptr, .len = key.len - 1 - UUID_SIZE};
	if (key.ptr[name.len] != '\0' || !name_is_kept(name))
		return false;
	*session = name;
	memcpy(event->bytes, key.ptr + name.len + 1, UUID_SIZE);
	return true;
}

enum err history_put(struct db_txn *txn, struct slice session, const struct uuid *event)
{
	char key[KEY_MAX];
	return db_put(txn, DB_HISTORY, make_history_key(session, event, key), SLICE(""));
}

enum err history_del(struct db_txn *txn, struct slice session, const struct uuid *event)
{
	char key[KEY_MAX];
	return db_del(txn, DB_HISTORY, make_history_key(session, event, key));
}

enum err history_find(struct db_txn *txn, struct slice session, const struct uuid *event)
{
	char key[KEY_MAX];
	struct slice nothing;
	return db_get(txn, DB_HISTORY, make_history_key(session, event, key), &nothing);
}

enum err history_below(struct db_txn *txn, struct slice session, const struct uuid *below,
    struct uuid *event)
{
	char key[KEY_MAX];
	struct slice found;
	struct slice name;
	enum err err = find_below(txn, DB_HISTORY, make_history_key(session, below, key),
	    &found);
	if (err == OK && (!history_parse_key(found, &name, event) || !slice_eq(name, session)))
		err = ERR_NOTFOUND;
	return err;
}

enum err history_next(struct db_txn *txn, struct slice session, const struct uuid *passed,
    struct uuid *event)
{
	char from[KEY_MAX];
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct slice name;
	enum err err = db_cursor(txn, DB_HISTORY, &cursor);
	if (err != OK)
		return err;
	err = db_seek_behind(cursor, make_history_key(session, passed, from), &key, &value);
	if (err == OK && (!history_parse_key(key, &name, event) || !slice_eq(name, session)))
		err = ERR_NOTFOUND;
	db_cursor_close(cursor);
	return err;
}

/* Filling */

/* Enters the event whose first piece this row is; one that cannot be read stays out. */
static enum err enter(struct db_txn *txn, struct slice key, struct slice value)
{
	struct reader r;
	struct event e = {0};
	uint16_t piece = 0;
	if (!events_parse_key(key, &e.id, &piece) || piece != 0 ||
	    events_decode_head(value, &e, &r) != OK || e.deliveries == 0 ||
	    !name_is_kept(slice_of(e.session)))
		return OK;
	return history_put(txn, slice_of(e.session), &e.id);
}

enum err history_fill(struct db_txn *txn, bool *more)
{
	struct db_cursor *cursor = NULL;
	struct migration_position position;
	struct slice key;
	struct slice value;
	enum err err = migration_read(txn, FILLED_KEY, &position);
	if (err == OK)
		err = db_cursor(txn, DB_EVENTS, &cursor);
	if (err == OK)
		err = db_seek_behind(cursor, (struct slice){position.bytes, position.len}, &key,
		    &value);
	for (size_t n = 0; err == OK && n < FILL_MAX; n++) {
		migration_set(&position, key);
		err = enter(txn, key, value);
		if (err == OK)
			err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	*more = err == OK;
	if (err == ERR_NOTFOUND)
		return migration_end(txn, FILLED_KEY);
	return err == OK ? migration_write(txn, FILLED_KEY, &position) : err;
}
