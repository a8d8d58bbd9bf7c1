/*
 * Keys with what was answered; see idempotency.h. The record: version (1), digest of the
 * request (16), expiry (8), session (2 + n), pieces behind the first (2), form (1: 1 is a
 * batch), then runs up to the piece's limit. Each piece is sealed. A run: flags (1), events
 * (2), deliveries of each (2), where RUN_ID says so the id of its first event (16), else that
 * is the one behind the last delivery of the run before; where RUN_TIME says so their time (8).
 * To change it: raise VERSION and decode the old form as well.
 */
#include "store/idempotency.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/events.h"
#include "store/usage.h"

#define VERSION 2
#define VERSION_WITH_TEXT 1
#define PIECE_MAX 4000 /* bytes with the checksum; see events.h */
#define PIECE_KEY (RECORD_DIGEST + 2)
#define RUNS_MAX (4u << 20)     /* bytes of all runs: more than a request's events can have */
#define EVENTS_MAX 1000000      /* of one key: more than a request can have */
#define LOOK_MAX 2000           /* rows that one walk looks at */
#define TEXT_MAX EVENT_BODY_MAX /* bytes of an answer of version 1 */
#define KEY_COST 96             /* bytes that a key takes beside its record */
#define PIECE_COST 34           /* the same for each piece behind the first */

#define FORM_BATCH 1
#define RUN_ID 1
#define RUN_TIME 2

static struct slice digest_slice(const unsigned char digest[RECORD_DIGEST])
{
	return (struct slice){.ptr = (const char *)digest, .len = RECORD_DIGEST};
}

struct slice idempotency_age_key(int64_t expires_ms, const unsigned char digest[RECORD_DIGEST],
    unsigned char out[IDEMPOTENCY_AGE_KEY_SIZE])
{
	codec_store_u64(out, (uint64_t)expires_ms);
	memcpy(out + 8, digest, RECORD_DIGEST);
	return (struct slice){.ptr = (const char *)out, .len = IDEMPOTENCY_AGE_KEY_SIZE};
}

static struct slice piece_key(const unsigned char digest[RECORD_DIGEST], uint16_t piece,
    unsigned char out[PIECE_KEY])
{
	memcpy(out, digest, RECORD_DIGEST);
	out[RECORD_DIGEST] = (unsigned char)(piece >> 8);
	out[RECORD_DIGEST + 1] = (unsigned char)piece;
	return (struct slice){.ptr = (const char *)out, .len = PIECE_KEY};
}

bool idempotency_parse_piece(struct slice key, unsigned char digest[RECORD_DIGEST],
    uint16_t *piece)
{
	struct reader r = reader_of(key);
	struct slice found = get_bytes(&r, RECORD_DIGEST);
	*piece = get_u16(&r);
	memcpy(digest, found.ptr, found.len);
	return !r.failed && r.left == 0 && *piece > 0;
}

void idempotency_set(struct idempotency *k, struct slice scope, struct slice name,
    struct slice request, struct slice bytes, int64_t expires_ms)
{
	record_digest(scope, name, k->key);
	record_digest(SLICE("request"), request, k->request);
	record_digest(SLICE("request"), bytes, k->bytes);
	k->expires_ms = expires_ms;
}

void idempotency_set_own(struct idempotency *k, const char *session, struct slice id,
    struct slice request, struct slice bytes, int64_t expires_ms)
{
	struct buf scope = BUF_INIT(SESSION_MAX + 8);
	buf_printf(&scope, "id:%s", session);
	idempotency_set(k, buf_view(&scope), id, request, bytes, expires_ms);
	buf_fini(&scope);
}

void answer_fini(struct answer *a)
{
	free(a->events);
	buf_fini(&a->text);
	*a = (struct answer){0};
}

/* Runs */

static bool is_alike(const struct answered *a, const struct answered *b)
{
	return a->deliveries == b->deliveries && a->has_timestamp == b->has_timestamp &&
	    (!a->has_timestamp || a->timestamp_s == b->timestamp_s);
}

/* Whether the id of `b` is the one behind the last delivery of `a`. */
static bool is_next(const struct answered *a, const struct answered *b)
{
	struct uuid next;
	uuid_step(&a->event, a->deliveries + 1, &next);
	return uuid_eq(&next, &b->event);
}

/* How many events from the first on are one run. */
static size_t run_length(const struct answered *events, size_t count)
{
	size_t n = 1;
	while (n < count && n < UINT16_MAX && is_alike(&events[0], &events[n]) &&
	    is_next(&events[n - 1], &events[n]))
		n++;
	return n;
}

static void encode_runs(const struct answer *a, struct buf *out)
{
	for (size_t at = 0; at < a->count;) {
		const struct answered *first = &a->events[at];
		size_t n = run_length(first, a->count - at);
		bool follows = at > 0 && is_next(first - 1, first);
		put_u8(out,
		    (uint8_t)((follows ? 0 : RUN_ID) | (first->has_timestamp ? RUN_TIME : 0)));
		put_u16(out, (uint16_t)n);
		put_u16(out, (uint16_t)first->deliveries);
		if (!follows)
			buf_slice(out, uuid_slice(&first->event));
		if (first->has_timestamp)
			put_i64(out, first->timestamp_s);
		at += n;
	}
}

/* Reads one run: its first event, behind event `last` (NULL: there is none), and how many. */
static size_t read_run(struct reader *r, const struct answered *last, struct answered *e)
{
	uint8_t flags = get_u8(r);
	size_t count = get_u16(r);
	*e = (struct answered){.deliveries = get_u16(r),
	    .has_timestamp = (flags & RUN_TIME) != 0};
	if ((flags & RUN_ID) != 0) {
		struct slice id = get_bytes(r, UUID_SIZE);
		memcpy(e->event.bytes, id.ptr, id.len);
	} else if (last != NULL) {
		uuid_step(&last->event, last->deliveries + 1, &e->event);
	}
	if (e->has_timestamp)
		e->timestamp_s = get_i64(r);
	return count;
}

/* How many events the runs have; 0 where they are malformed. */
static size_t count_events(struct slice runs)
{
	struct reader r = reader_of(runs);
	struct answered e;
	size_t count = 0;
	if (r.left == 0 || (r.ptr[0] & RUN_ID) == 0)
		return 0;
	while (r.left > 0 && !r.failed && count <= EVENTS_MAX)
		count += read_run(&r, NULL, &e);
	return r.failed || count > EVENTS_MAX ? 0 : count;
}

static enum err decode_runs(struct slice runs, struct answer *a)
{
	struct reader r = reader_of(runs);
	size_t count = count_events(runs);
	if (count == 0)
		return ERR_CORRUPT;
	a->events = mem_array(count, sizeof(*a->events));
	while (a->count < count) {
		const struct answered *last = a->count == 0 ? NULL : &a->events[a->count - 1];
		struct answered e;
		for (size_t n = read_run(&r, last, &e); n > 0; n--) {
			a->events[a->count++] = e;
			uuid_step(&e.event, e.deliveries + 1, &e.event);
		}
	}
	return OK;
}

/* Records */

static enum err decode_body(struct reader *r, struct repeat *out)
{
	if (out->is_text) {
		struct slice text = get_bytes(r, UUID_SIZE);
		memcpy(out->text.bytes, text.ptr, text.len);
		return r->failed || r->left != 0 ? ERR_CORRUPT : OK;
	}
	get_cstr(r, out->session, SESSION_MAX);
	out->pieces = get_u16(r);
	out->is_batch = get_u8(r) == FORM_BATCH;
	out->runs = get_bytes(r, r->left);
	return r->failed || out->session[0] == '\0' ? ERR_CORRUPT : OK;
}

enum err idempotency_decode(struct slice key, struct slice value, struct repeat *out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_REPEATS, key), &r);
	if (err != OK)
		return err;
	*out = (struct repeat){0};
	uint8_t version = get_u8(&r);
	struct slice request = get_bytes(&r, RECORD_DIGEST);
	out->expires_ms = get_i64(&r);
	if (r.failed || (version != VERSION && version != VERSION_WITH_TEXT))
		return ERR_CORRUPT;
	memcpy(out->request, request.ptr, RECORD_DIGEST);
	out->is_text = version == VERSION_WITH_TEXT;
	return decode_body(&r, out);
}

static enum err read_repeat(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    struct repeat *out)
{
	struct slice value;
	enum err err = db_get(txn, DB_REPEATS, digest_slice(key), &value);
	return err == OK ? idempotency_decode(digest_slice(key), value, out) : err;
}

/* Appends the runs of all pieces. ERR_CORRUPT also where one is missing. */
static enum err read_runs(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    const struct repeat *known, struct buf *out)
{
	unsigned char at[PIECE_KEY];
	struct slice value;
	struct reader r;
	enum err err = OK;
	buf_slice(out, known->runs);
	for (uint16_t piece = 1; err == OK && piece <= known->pieces; piece++) {
		struct slice row = piece_key(key, piece, at);
		err = db_get(txn, DB_REPEATS, row, &value);
		if (err == OK)
			err = record_open(value, record_at(DB_REPEATS, row), &r);
		if (err == OK)
			buf_slice(out, get_bytes(&r, r.left));
	}
	return err == ERR_NOTFOUND || out->failed ? ERR_CORRUPT : err;
}

static enum err read_text(struct db_txn *txn, const struct repeat *known, struct answer *out)
{
	struct event e;
	out->text = BUF_INIT(TEXT_MAX);
	enum err err = events_get(txn, &known->text, &e, &out->text);
	return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
}

static enum err read_answer(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    const struct repeat *known, struct answer *out)
{
	struct buf runs = BUF_INIT(RUNS_MAX);
	*out = (struct answer){.is_batch = known->is_batch};
	enum err err = known->is_text ? read_text(txn, known, out)
				      : read_runs(txn, key, known, &runs);
	if (err == OK && !known->is_text)
		err = decode_runs(buf_view(&runs), out);
	buf_fini(&runs);
	if (err != OK)
		answer_fini(out); /* of its pieces some may have been whole */
	return err;
}

enum err idempotency_get(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    struct repeat *known, struct answer *out)
{
	enum err err = read_repeat(txn, key, known);
	return err == OK ? read_answer(txn, key, known, out) : err;
}

enum err idempotency_find(struct db_txn *txn, const struct idempotency *k, int64_t now_ms,
    struct answer *out)
{
	struct repeat known;
	enum err err = read_repeat(txn, k->key, &known);
	if (err != OK)
		return err == ERR_CORRUPT ? ERR_NOTFOUND : err;
	if (known.expires_ms <= now_ms)
		return ERR_NOTFOUND;
	if (memcmp(known.request, known.is_text ? k->bytes : k->request, RECORD_DIGEST) != 0)
		return ERR_CONFLICT;
	err = read_answer(txn, k->key, &known, out);
	if (err != OK)
		answer_fini(out);
	return err == ERR_CORRUPT ? ERR_NOTFOUND : err;
}

enum err idempotency_cost(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    const struct repeat *known, uint64_t *out)
{
	unsigned char at[PIECE_KEY];
	struct slice value;
	enum err err = db_get(txn, DB_REPEATS, digest_slice(key), &value);
	uint64_t cost = known->is_text ? 0 : KEY_COST + value.len;
	for (uint16_t piece = 1; err == OK && piece <= known->pieces; piece++) {
		err = db_get(txn, DB_REPEATS, piece_key(key, piece, at), &value);
		cost += PIECE_COST + value.len;
	}
	if (err == OK)
		*out = cost;
	return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
}

/* Removes what a key that was read has beside its own row, and counts these rows. */
static enum err forget_rest(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    const struct repeat *known, size_t *dropped)
{
	unsigned char at[PIECE_KEY];
	unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
	uint64_t cost = 0;
	enum err err = idempotency_cost(txn, key, known, &cost);
	*dropped += known->pieces;
	if (err == OK)
		usage_change(txn, slice_of(known->session), USAGE_KEYS, -(int64_t)cost);
	if (err == OK || err == ERR_CORRUPT)
		err = known->is_text ? events_drop(txn, &known->text) : OK;
	for (uint16_t piece = 1; (err == OK || err == ERR_NOTFOUND) && piece <= known->pieces;
	     piece++)
		err = db_del(txn, DB_REPEATS, piece_key(key, piece, at));
	if (err == OK || err == ERR_NOTFOUND)
		err = db_del(txn, DB_REPEATS_BY_AGE,
		    idempotency_age_key(known->expires_ms, key, age));
	return err;
}

/* Removes a key with its answer, and counts the rows; one that is not there is OK. */
static enum err forget(struct db_txn *txn, const unsigned char key[RECORD_DIGEST],
    size_t *dropped)
{
	struct repeat known;
	enum err err = read_repeat(txn, key, &known);
	(*dropped)++;
	if (err == ERR_NOTFOUND)
		return OK;
	if (err == OK)
		err = forget_rest(txn, key, &known, dropped);
	if (err == OK || err == ERR_NOTFOUND || err == ERR_CORRUPT)
		err = db_del(txn, DB_REPEATS, digest_slice(key));
	return err == ERR_NOTFOUND ? OK : err;
}

static void encode_head(const struct idempotency *k, struct slice session,
    const struct answer *a, uint16_t pieces, struct buf *out)
{
	put_u8(out, VERSION);
	buf_append(out, k->request, RECORD_DIGEST);
	put_i64(out, k->expires_ms);
	put_text(out, session);
	put_u16(out, pieces);
	put_u8(out, a->is_batch ? FORM_BATCH : 0);
}

/* Writes one piece: what `value` holds and as many of the runs as it has room for. */
static enum err put_piece(struct db_txn *txn, struct slice key, struct buf *value,
    struct slice *runs, uint64_t *cost)
{
	size_t room = PIECE_MAX - RECORD_CHECKSUM - value->len;
	size_t n = runs->len < room ? runs->len : room;
	buf_append(value, runs->ptr, n);
	runs->ptr += n;
	runs->len -= n;
	record_seal(value, record_at(DB_REPEATS, key));
	*cost += value->len;
	enum err err = db_put(txn, DB_REPEATS, key, buf_view(value));
	buf_reset(value);
	return err;
}

/* Most expire in the order in which they come: the index is then filled to the full. */
static enum err put_age(struct db_txn *txn, const struct idempotency *k)
{
	unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
	struct slice key = idempotency_age_key(k->expires_ms, k->key, age);
	enum err err = db_append(txn, DB_REPEATS_BY_AGE, key, SLICE(""));
	return err == ERR_EXISTS ? db_put(txn, DB_REPEATS_BY_AGE, key, SLICE("")) : err;
}

/* Writes the record in its pieces; *cost is what it counts for. */
static enum err put_pieces(struct db_txn *txn, const struct idempotency *k,
    struct slice session, const struct answer *a, uint64_t *cost)
{
	const size_t each = PIECE_MAX - RECORD_CHECKSUM;
	unsigned char at[PIECE_KEY];
	struct buf encoded = BUF_INIT(RUNS_MAX);
	struct buf value = BUF_INIT(PIECE_MAX);
	encode_runs(a, &encoded);
	struct slice runs = buf_view(&encoded);
	encode_head(k, session, a, 0, &value);
	size_t first = each - value.len;
	size_t rest = runs.len > first ? runs.len - first : 0;
	uint16_t pieces = (uint16_t)((rest + each - 1) / each);
	buf_reset(&value);
	encode_head(k, session, a, pieces, &value);
	*cost = KEY_COST + (uint64_t)pieces * PIECE_COST;
	enum err err = put_piece(txn, digest_slice(k->key), &value, &runs, cost);
	for (uint16_t piece = 1; err == OK && piece <= pieces; piece++)
		err = put_piece(txn, piece_key(k->key, piece, at), &value, &runs, cost);
	buf_fini(&encoded);
	buf_fini(&value);
	return err;
}

enum err idempotency_keep(struct db_txn *txn, const struct idempotency *k, struct slice session,
    const struct answer *a)
{
	uint64_t cost = 0;
	size_t dropped = 0;
	if (a->count == 0)
		return OK;
	enum err err = forget(txn, k->key,
	    &dropped); /* one that has expired and was not swept yet */
	if (err == OK)
		err = put_pieces(txn, k, session, a, &cost);
	if (err == OK)
		err = put_age(txn, k);
	if (err == OK)
		usage_change(txn, session, USAGE_KEYS, (int64_t)cost);
	return err;
}

/* Keys of one session, found by a walk over those of all. */
struct found_keys {
	struct slice session;
	unsigned char (*keys)[RECORD_DIGEST];
	size_t count;
	size_t max;
};

/* Goes on behind `passed`; a key has fewer pieces than one look may take rows. */
static enum err find_keys(struct db_txn *txn, struct found_keys *f, struct uuid *passed,
    bool *ended)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	enum err err = db_cursor(txn, DB_REPEATS, &cursor);
	if (err != OK)
		return err;
	err = db_seek_behind(cursor, uuid_slice(passed), &key, &value);
	for (size_t n = 0; err == OK && n < LOOK_MAX && f->count < f->max; n++) {
		struct repeat known;
		if (key.len == RECORD_DIGEST) {
			memcpy(passed->bytes, key.ptr, RECORD_DIGEST);
			bool is_one = idempotency_decode(key, value, &known) == OK &&
			    slice_eq(slice_of(known.session), f->session);
			if (is_one)
				memcpy(f->keys[f->count++], key.ptr, RECORD_DIGEST);
		}
		err = db_next(cursor, &key, &value);
	}
	*ended = err == ERR_NOTFOUND;
	db_cursor_close(cursor);
	return *ended ? OK : err;
}

enum err idempotency_drop_of(struct db_txn *txn, struct slice session, struct uuid *passed,
    size_t max, size_t *dropped, bool *ended)
{
	struct found_keys found = {.session = session,
	    .keys = mem_array(max, RECORD_DIGEST),
	    .max = max};
	enum err err = find_keys(txn, &found, passed, ended);
	*dropped = 0;
	for (size_t i = 0; err == OK && i < found.count; i++) {
		size_t rows = 0;
		err = forget(txn, found.keys[i], &rows);
		*dropped += err == OK ? 1 : 0;
	}
	free(found.keys);
	return err;
}

/* Reads the key that expires first. ERR_NOTFOUND where none has expired at `now_ms`. */
static enum err first_expired(struct db_txn *txn, int64_t now_ms,
    unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE])
{
	struct slice key;
	struct slice value;
	enum err err = db_first(txn, DB_REPEATS_BY_AGE, &key, &value);
	if (err != OK)
		return err;
	struct reader r = reader_of(key);
	if (get_i64(&r) > now_ms)
		return ERR_NOTFOUND;
	if (r.failed || r.left != RECORD_DIGEST) {
		log_error("key is corrupt, the sweep stops", LOG_S("table", "repeats_by_age"));
		return ERR_NOTFOUND; /* the others of this turn must go on */
	}
	memcpy(age, key.ptr, IDEMPOTENCY_AGE_KEY_SIZE); /* it dies with the next write */
	return OK;
}

enum err idempotency_sweep(struct db_txn *txn, int64_t now_ms, size_t max, size_t *dropped)
{
	enum err err = OK;
	for (*dropped = 0; err == OK && *dropped < max;) {
		unsigned char age[IDEMPOTENCY_AGE_KEY_SIZE];
		err = first_expired(txn, now_ms, age);
		if (err != OK)
			break;
		err = forget(txn, age + 8, dropped);
		enum err gone = db_del(txn, DB_REPEATS_BY_AGE,
		    (struct slice){(const char *)age,
			IDEMPOTENCY_AGE_KEY_SIZE}); /* where forget() has left it */
		if (err == OK && gone != ERR_NOTFOUND)
			err = gone;
	}
	return err == ERR_NOTFOUND ? OK : err;
}
