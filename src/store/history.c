/* The table of history; see history.h. */
#include "store/history.h"

#include "base/log.h"
#include "store/events.h"
#include "store/record.h"

#define KEY_MAX (SESSION_MAX + 1 + UUID_SIZE)
#define FILLED_KEY SLICE("history_filled") /* only while a migration is under way */
#define FILL_MAX 10000                     /* rows of events a transaction */

static struct slice make_key(struct slice session, const struct uuid *event, char out[KEY_MAX])
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
	if (key.ptr[name.len] != '\0' || !name_is_session(name))
		return false;
	*session = name;
	memcpy(event->bytes, key.ptr + name.len + 1, UUID_SIZE);
	return true;
}

enum err history_put(struct db_txn *txn, struct slice session, const struct uuid *event)
{
	char key[KEY_MAX];
	return db_put(txn, DB_HISTORY, make_key(session, event, key), SLICE(""));
}

enum err history_del(struct db_txn *txn, struct slice session, const struct uuid *event)
{
	char key[KEY_MAX];
	return db_del(txn, DB_HISTORY, make_key(session, event, key));
}

enum err history_find(struct db_txn *txn, struct slice session, const struct uuid *event)
{
	char key[KEY_MAX];
	struct slice nothing;
	return db_get(txn, DB_HISTORY, make_key(session, event, key), &nothing);
}

enum err history_list(struct db_txn *txn, struct slice session, const struct uuid *before,
    bool (*fn)(void *arg, const struct uuid *event), void *arg)
{
	struct uuid top;
	char from[KEY_MAX];
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct slice name;
	struct uuid event;
	memset(top.bytes, 0xff, UUID_SIZE); /* above every id */
	enum err err = db_cursor(txn, DB_HISTORY, &cursor);
	if (err == OK)
		err = db_seek_below(cursor,
		    make_key(session, before == NULL ? &top : before, from), &key, &value);
	while (err == OK && history_parse_key(key, &name, &event) && slice_eq(name, session) &&
	    fn(arg, &event))
		err = db_prev(cursor, &key, &value);
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err history_next_session(struct db_txn *txn, struct slice session,
    char out[SESSION_MAX + 1])
{
	char from[KEY_MAX];
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct slice name;
	struct uuid event;
	memset(event.bytes, 0xff, UUID_SIZE);
	enum err err = db_cursor(txn, DB_HISTORY, &cursor);
	if (err == OK)
		err = db_seek(cursor, make_key(session, &event, from), &key, &value);
	while (err == OK && !history_parse_key(key, &name, &event))
		err = db_next(cursor, &key, &value); /* a damaged one */
	if (err == OK) {
		memcpy(out, name.ptr, name.len);
		out[name.len] = '\0';
	}
	db_cursor_close(cursor);
	return err;
}

/* Filling */

/* The last key of DB_EVENTS that was looked at; empty: none yet. */
struct place {
	char bytes[DB_KEY_MAX];
	size_t len;
};

static enum err read_place(struct db_txn *txn, struct place *p)
{
	struct slice value;
	struct reader r;
	p->len = 0;
	enum err err = db_get(txn, DB_META, FILLED_KEY, &value);
	if (err == ERR_NOTFOUND)
		return OK;
	if (err == OK)
		err = record_open(value, &r);
	if (err != OK || r.left > sizeof(p->bytes))
		return err == OK ? ERR_CORRUPT : err;
	p->len = r.left;
	memcpy(p->bytes, r.ptr, r.left);
	return OK;
}

static enum err write_place(struct db_txn *txn, const struct place *p, bool more)
{
	struct buf value = BUF_INIT(DB_KEY_MAX + RECORD_CHECKSUM);
	if (!more) {
		enum err err = db_del(txn, DB_META, FILLED_KEY);
		return err == ERR_NOTFOUND ? OK : err;
	}
	buf_append(&value, p->bytes, p->len);
	record_seal(&value);
	enum err err = db_put(txn, DB_META, FILLED_KEY, buf_view(&value));
	buf_fini(&value);
	return err;
}

/* Enters the event whose first piece this row is; one that cannot be read stays out. */
static enum err enter(struct db_txn *txn, struct slice key, struct slice value)
{
	struct reader r;
	struct event e = {0};
	struct uuid id;
	uint16_t piece = 0;
	if (!events_parse_key(key, &id, &piece) || piece != 0 ||
	    events_decode_head(value, &e, &r) != OK || e.deliveries == 0 ||
	    !name_is_session(slice_of(e.session)))
		return OK;
	return history_put(txn, slice_of(e.session), &id);
}

/* Goes to the first row behind `p`. */
static enum err go_behind(struct db_cursor *cursor, const struct place *p, struct slice *key,
    struct slice *value)
{
	const struct slice last = {p->bytes, p->len};
	if (p->len == 0)
		return db_next(cursor, key, value);
	enum err err = db_seek(cursor, last, key, value);
	return err == OK && slice_eq(*key, last) ? db_next(cursor, key, value) : err;
}

enum err history_fill(struct db_txn *txn, bool *more)
{
	struct db_cursor *cursor = NULL;
	struct place place;
	struct slice key;
	struct slice value;
	enum err err = read_place(txn, &place);
	if (err == OK)
		err = db_cursor(txn, DB_EVENTS, &cursor);
	if (err == OK)
		err = go_behind(cursor, &place, &key, &value);
	for (size_t n = 0; err == OK && n < FILL_MAX; n++) {
		memcpy(place.bytes, key.ptr, key.len);
		place.len = key.len;
		err = enter(txn, key, value);
		if (err == OK)
			err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	*more = err == OK;
	return err == OK || err == ERR_NOTFOUND ? write_place(txn, &place, *more) : err;
}
