/* The table of dead letters; see dead_letters.h. */
#include "store/dead_letters.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"
#include "store/usage.h"

#define KEY_MAX (SESSION_MAX + 1 + UUID_SIZE)
#define RECORD_MAX 8192 /* bytes: all texts at their longest */
#define ROW_COST 80     /* bytes that its two rows take beside the record and the session */
#define SHORT_URL 144   /* bytes: what is left of a URL… */
#define SHORT_ERROR 80  /* …and of an error, where there is no room for more */
#define FIXED 67        /* bytes of a record's fields but texts, with the lengths of those */

_Static_assert(FIXED + RECORD_CHECKSUM + EVENT_MAX + SHORT_URL + SHORT_ERROR + ROW_COST +
	    2 * SESSION_MAX <=
	USAGE_LETTER,
    "a short dead letter takes no more than was counted for it");

static struct slice make_key(struct slice session, const struct uuid *id, char out[KEY_MAX])
{
	panic_if(session.len > SESSION_MAX, "session too long for a key");
	memcpy(out, session.ptr, session.len);
	out[session.len] = '\0';
	memcpy(out + session.len + 1, id->bytes, UUID_SIZE);
	return (struct slice){.ptr = out, .len = session.len + 1 + UUID_SIZE};
}

uint64_t dead_letters_cost(struct slice session, size_t record_bytes)
{
	return record_bytes + ROW_COST + 2 * session.len;
}

/* A dead letter more or less that counts for so many bytes. */
static void count(struct db_txn *txn, struct slice session, int64_t bytes, int64_t letters)
{
	usage_change(txn, session, USAGE_OPEN, bytes);
	usage_change(txn, session, USAGE_LETTERS, letters);
}

bool dead_letters_has_room(struct db_txn *txn, struct slice session,
    const struct dead_letter *d)
{
	size_t texts = strlen(d->webhook_url) + strlen(d->event) + strlen(d->last_error);
	uint64_t cost = dead_letters_cost(session, FIXED + texts + RECORD_CHECKSUM);
	return cost <= USAGE_LETTER || usage_admits(txn, session, cost);
}

void dead_letter_shorten(struct dead_letter *d)
{
	d->webhook_url[SHORT_URL] = '\0';
	d->last_error[SHORT_ERROR] = '\0';
}

enum err dead_letters_put(struct db_txn *txn, struct slice session, const struct dead_letter *d)
{
	char key[KEY_MAX];
	struct buf value = BUF_INIT(RECORD_MAX);
	dead_letter_encode(d, &value);
	struct slice at = make_key(session, &d->id, key);
	record_seal(&value, record_at(DB_DEAD, at));
	uint64_t cost = dead_letters_cost(session, value.len);
	enum err err = db_put(txn, DB_DEAD, at, buf_view(&value));
	buf_fini(&value);
	if (err == OK)
		err = db_put(txn, DB_DEAD_BY_AGE, uuid_slice(&d->id), session);
	if (err == OK)
		count(txn, session, (int64_t)cost, 1);
	return err;
}

static enum err decode(struct slice key, struct slice value, struct dead_letter *out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_DEAD, key), &r);
	return err == OK ? dead_letter_decode(&r, out) : err;
}

enum err dead_letters_get(struct db_txn *txn, struct slice session, const struct uuid *id,
    struct dead_letter *out)
{
	char key[KEY_MAX];
	struct slice value;
	struct slice at = make_key(session, id, key);
	enum err err = db_get(txn, DB_DEAD, at, &value);
	if (err == OK)
		err = decode(at, value, out);
	out->id = *id;
	return err;
}

enum err dead_letters_del(struct db_txn *txn, struct slice session, const struct uuid *id)
{
	char key[KEY_MAX];
	struct slice value = {.ptr = "", .len = 0};
	struct slice at = make_key(session, id, key);
	enum err err = db_del(txn, DB_DEAD_BY_AGE, uuid_slice(id));
	if (err == OK || err == ERR_NOTFOUND)
		err = db_get(txn, DB_DEAD, at, &value);
	uint64_t cost = dead_letters_cost(session, value.len);
	if (err == OK)
		err = db_del(txn, DB_DEAD, at);
	if (err == OK)
		count(txn, session, -(int64_t)cost, -1);
	return err;
}

/* Takes a row of the index by age apart; false for one of another form. */
static bool parse_aged(struct slice key, struct slice value, struct uuid *id,
    char session[SESSION_MAX + 1])
{
	if (key.len != UUID_SIZE || value.len > SESSION_MAX)
		return false;
	memcpy(id->bytes, key.ptr, UUID_SIZE);
	memcpy(session, value.ptr, value.len);
	session[value.len] = '\0';
	return true;
}

enum err dead_letters_find(struct db_txn *txn, const struct uuid *id,
    char session[SESSION_MAX + 1])
{
	struct uuid same;
	struct slice value;
	enum err err = db_get(txn, DB_DEAD_BY_AGE, uuid_slice(id), &value);
	if (err == OK && !parse_aged(uuid_slice(id), value, &same, session))
		err = ERR_NOTFOUND;
	return err;
}

enum err dead_letters_oldest(struct db_txn *txn, struct uuid *id, char session[SESSION_MAX + 1])
{
	struct slice key;
	struct slice value;
	enum err err = db_first(txn, DB_DEAD_BY_AGE, &key, &value);
	if (err != OK)
		return err;
	if (!parse_aged(key, value, id, session)) {
		log_error("key is corrupt, the sweep stops", LOG_S("table", "dead_by_age"));
		return ERR_NOTFOUND; /* the others of this turn must go on */
	}
	return OK;
}

/* Whether `key` is one of `session`, and which entry's. */
static bool parse_key(struct slice key, struct slice session, struct uuid *id)
{
	if (key.len != session.len + 1 + UUID_SIZE || !slice_starts(key, session) ||
	    key.ptr[session.len] != '\0')
		return false;
	memcpy(id->bytes, key.ptr + session.len + 1, UUID_SIZE);
	return true;
}

enum err dead_letters_decode(struct slice key, struct slice value, struct slice *session,
    struct dead_letter *d)
{
	*session = (struct slice){.ptr = key.ptr, .len = 0};
	if (key.len <= 1 + UUID_SIZE)
		return ERR_CORRUPT;
	struct slice name = {.ptr = key.ptr, .len = key.len - 1 - UUID_SIZE};
	if (!name_is_kept(name) || !parse_key(key, name, &d->id))
		return ERR_CORRUPT;
	*session = name;
	return decode(key, value, d);
}

enum err dead_letters_below(struct db_txn *txn, struct slice session, const struct uuid *below,
    struct uuid *id)
{
	char from[KEY_MAX];
	struct slice key;
	struct slice value;
	struct db_cursor *cursor = NULL;
	enum err err = db_cursor(txn, DB_DEAD, &cursor);
	if (err == OK)
		err = db_seek_below(cursor, make_key(session, below, from), &key, &value);
	if (err == OK && !parse_key(key, session, id))
		err = ERR_NOTFOUND;
	db_cursor_close(cursor);
	return err;
}

enum err dead_letters_below_in_all(struct db_txn *txn, const struct uuid *below,
    struct uuid *id, char session[SESSION_MAX + 1])
{
	struct slice key;
	struct slice value;
	struct db_cursor *cursor = NULL;
	enum err err = db_cursor(txn, DB_DEAD_BY_AGE, &cursor);
	if (err == OK)
		err = db_seek_below(cursor, uuid_slice(below), &key, &value);
	if (err == OK && !parse_aged(key, value, id, session))
		err = ERR_NOTFOUND;
	db_cursor_close(cursor);
	return err;
}

enum err dead_letters_next_session(struct db_txn *txn, struct slice passed,
    char session[SESSION_MAX + 1])
{
	struct uuid top;
	char from[KEY_MAX];
	struct slice key;
	struct slice value;
	struct db_cursor *cursor = NULL;
	memset(top.bytes, 0xff, UUID_SIZE); /* above every id */
	enum err err = db_cursor(txn, DB_DEAD, &cursor);
	if (err == OK)
		err = db_seek_behind(cursor, make_key(passed, &top, from), &key, &value);
	size_t len = err == OK ? strnlen(key.ptr, key.len) : 0;
	if (err == OK && (key.len != len + 1 + UUID_SIZE || len > SESSION_MAX))
		err = ERR_NOTFOUND; /* a key of another form: fsck tells of it */
	if (err == OK)
		memcpy(session, key.ptr, len + 1);
	db_cursor_close(cursor);
	return err;
}

#define VERSION 1

void dead_letter_encode(const struct dead_letter *d, struct buf *out)
{
	put_u8(out, VERSION);
	buf_append(out, d->delivery_id.bytes, UUID_SIZE);
	buf_append(out, d->event_id.bytes, UUID_SIZE);
	buf_append(out, d->webhook_id.bytes, UUID_SIZE);
	put_u32(out, d->attempts);
	put_i64(out, d->failed_ms);
	put_text(out, slice_of(d->webhook_url));
	put_text(out, slice_of(d->event));
	put_text(out, slice_of(d->last_error));
}

static void decode_id(struct reader *r, struct uuid *id)
{
	struct slice s = get_bytes(r, UUID_SIZE);
	memcpy(id->bytes, s.ptr, s.len);
}

enum err dead_letter_decode(struct reader *r, struct dead_letter *d)
{
	if (get_u8(r) != VERSION)
		return ERR_CORRUPT;
	decode_id(r, &d->delivery_id);
	decode_id(r, &d->event_id);
	decode_id(r, &d->webhook_id);
	d->attempts = get_u32(r);
	d->failed_ms = get_i64(r);
	get_cstr(r, d->webhook_url, URL_MAX);
	get_cstr(r, d->event, EVENT_MAX);
	get_cstr(r, d->last_error, DEAD_ERROR_MAX);
	return r->failed || r->left != 0 ? ERR_CORRUPT : OK;
}
