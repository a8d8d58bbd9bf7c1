/* The record: version (1), the series (8), since when (8, wall ms); sealed. */
#include "store/portal_series.h"

#include <string.h>

#include "base/codec.h"
#include "base/record.h"
#include "base/rnd.h"
#include "store/portal_key.h"

#define PREFIX ((struct slice){"portal_series", sizeof("portal_series")}) /* with its NUL */
#define KEY_SIZE (sizeof("portal_series") + SESSION_MAX)
#define VERSION 1
#define RECORD_MAX 64

struct series {
	uint64_t number;
	int64_t since_ms;
};

static struct slice key_of(struct slice session, char out[KEY_SIZE])
{
	memcpy(out, PREFIX.ptr, PREFIX.len);
	memcpy(out + PREFIX.len, session.ptr, session.len);
	return (struct slice){out, PREFIX.len + session.len};
}

static enum err parse(struct slice key, struct slice value, struct series *out)
{
	struct reader r;
	enum err err = record_open(value, record_at(DB_META, key), &r);
	if (err != OK)
		return err;
	uint8_t version = get_u8(&r);
	out->number = get_u64(&r);
	out->since_ms = get_i64(&r);
	return r.failed || r.left != 0 || version != VERSION ? ERR_CORRUPT : OK;
}

enum err portal_series_get(struct db_txn *txn, struct slice session, uint64_t *series,
    bool *has_row)
{
	char bytes[KEY_SIZE];
	struct slice value;
	struct series s = {0};
	struct slice key = key_of(session, bytes);
	enum err err = db_get(txn, DB_META, key, &value);
	bool is_there = err == OK;
	if (is_there)
		err = parse(key, value, &s);
	if (err != OK && err != ERR_NOTFOUND)
		return err;
	*series = s.number;
	*has_row = is_there;
	return OK;
}

enum err portal_series_begin(struct db_txn *txn, struct slice session, int64_t now_ms)
{
	char bytes[KEY_SIZE];
	uint64_t number = 0;
	struct slice key = key_of(session, bytes);
	struct buf value = BUF_INIT(RECORD_MAX);
	if (!portal_key_is_there(txn))
		return db_txn_error(txn);
	rnd_secret(&number, sizeof(number));
	put_u8(&value, VERSION);
	put_u64(&value, number);
	put_i64(&value, now_ms);
	record_seal(&value, record_at(DB_META, key));
	enum err err = db_put(txn, DB_META, key, buf_view(&value));
	buf_fini(&value);
	return err;
}

/* The session of a row's key; empty: it is none of these. */
static struct slice session_of(struct slice key)
{
	if (!slice_starts(key, PREFIX))
		return SLICE("");
	return (struct slice){key.ptr + PREFIX.len, key.len - PREFIX.len};
}

/* Steps to the next row and borrows it. ERR_NOTFOUND behind the last. */
static enum err next_row(struct db_txn *txn, const struct portal_series_walk *walk,
    struct slice *key, struct slice *value)
{
	struct db_cursor *cursor = NULL;
	struct slice passed = walk->len == 0 ? PREFIX : (struct slice){walk->key, walk->len};
	enum err err = db_cursor(txn, DB_META, &cursor);
	if (err != OK)
		return err;
	err = db_seek_behind(cursor, passed, key, value);
	db_cursor_close(cursor);
	return err == OK && session_of(*key).len == 0 ? ERR_NOTFOUND : err;
}

enum err portal_series_sweep(struct db_txn *txn, struct portal_series_walk *walk,
    int64_t now_ms, size_t max, bool *ended)
{
	struct slice key;
	struct slice value;
	struct series s;
	enum err err = OK;
	for (; err == OK && max > 0; max--) {
		err = next_row(txn, walk, &key, &value);
		if (err != OK)
			break;
		bool is_stale = parse(key, value, &s) == OK &&
		    s.since_ms <= now_ms - PORTAL_SERIES_KEEP_MS;
		memcpy(walk->key, key.ptr, key.len);
		walk->len = key.len;
		if (is_stale)
			err = db_del(txn, DB_META, (struct slice){walk->key, walk->len});
	}
	*ended = err == ERR_NOTFOUND;
	if (*ended)
		walk->len = 0;
	return *ended ? OK : err;
}

bool portal_series_check(struct slice key, struct slice value, bool *sound)
{
	struct series s;
	struct slice session = session_of(key);
	if (session.len == 0)
		return false;
	*sound = name_is_session(session) && parse(key, value, &s) == OK;
	return true;
}
