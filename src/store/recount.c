/*
 * Counting from the rows; see recount.h. Two tables name all that there is by session, in the
 * order of sessions: DB_HISTORY the events, DB_DEAD the dead letters.
 */
#include "store/recount.h"

#include "base/log.h"
#include "base/mem.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/migration.h"
#include "store/retention.h"

#define COUNTED_KEY SLICE("usage_counted") /* in DB_META, while the migration is under way */
#define BYTES_KEY SLICE("settled_bytes")   /* what versions before kept in its place */
#define SLICE_MAX 5000                     /* rows a transaction */

/* The tables that are counted, in this order. */
static const enum db_table TABLES[] = {DB_HISTORY, DB_DEAD};
#define TABLE_COUNT (sizeof(TABLES) / sizeof(TABLES[0]))

/*
 * Adds what one event counts for: for its session, or (for_all) for SESSION_ALL, as one that
 * waits for a webhook for all sessions. ERR_NOTFOUND, ERR_CORRUPT.
 */
static enum err add_event(struct db_txn *txn, const struct uuid *id, bool for_all,
    struct holding *h)
{
	struct event e = {.id = *id};
	struct event_state now;
	uint64_t cost = 0;
	enum err err = events_get(txn, id, &e, NULL);
	if (err == OK)
		err = events_state(txn, &e, &now);
	if (err == OK)
		err = retention_cost(txn, &e, &cost);
	if (err != OK)
		return err;
	if (for_all)
		h->n[USAGE_OPEN] += now.open_all > 0 ? cost : 0;
	else if (now.open == 0)
		h->n[USAGE_HISTORY] += cost;
	else
		h->n[USAGE_OPEN] += now.open > now.open_all ? cost : 0;
	return OK;
}

/* The session that a row of one of the tables belongs to; false for a malformed one. */
static bool parse_row(struct slice key, struct slice *session, struct uuid *id)
{
	return history_parse_key(key, session, id); /* keys of DB_DEAD have the same form */
}

/* Adds what one row counts for. ERR_NOTFOUND and ERR_CORRUPT where its event cannot be read. */
static enum err add_row(struct db_txn *txn, enum db_table t, struct slice session,
    const struct uuid *id, struct slice value, struct holding *h)
{
	if (t == DB_HISTORY)
		return add_event(txn, id, false, h);
	h->n[USAGE_OPEN] += dead_letters_cost(session, value.len);
	h->n[USAGE_LETTERS]++;
	return OK;
}

static enum err count_table(struct db_txn *txn, enum db_table t, struct slice session,
    struct holding *h)
{
	struct buf from = BUF_INIT(DB_KEY_MAX);
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct slice found;
	struct uuid id;
	buf_slice(&from, session);
	buf_putc(&from, '\0');
	enum err err = db_cursor(txn, t, &cursor);
	if (err == OK)
		err = db_seek(cursor, buf_view(&from), &key, &value);
	while (err == OK && parse_row(key, &found, &id) && slice_eq(found, session)) {
		err = add_row(txn, t, session, &id, value, h);
		if (err == ERR_NOTFOUND)
			err = ERR_CORRUPT;
		if (err == OK)
			err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	buf_fini(&from);
	return err == ERR_NOTFOUND ? OK : err;
}

/* Adds what waits for the webhooks for all sessions, of all events. */
static enum err count_for_all(struct db_txn *txn, struct holding *h)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct slice session;
	struct uuid id;
	enum err err = db_cursor(txn, DB_HISTORY, &cursor);
	while (err == OK) {
		err = db_next(cursor, &key, &value);
		if (err == OK && parse_row(key, &session, &id)) {
			err = add_event(txn, &id, true, h);
			if (err == ERR_NOTFOUND)
				err = ERR_CORRUPT;
		}
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err recount_session(struct db_txn *txn, struct slice session, struct holding *out)
{
	struct holding h = {0};
	enum err err = OK;
	for (size_t i = 0; err == OK && i < TABLE_COUNT; i++)
		err = count_table(txn, TABLES[i], session, &h);
	if (err == OK && slice_eq(session, SLICE(SESSION_ALL)))
		err = count_for_all(txn, &h);
	if (err == OK)
		*out = h;
	return err;
}

/* Filling */

/* Where the migration is: behind this key of this table; an empty one: before the first. */
struct position {
	size_t table; /* in TABLES */
	char key[DB_KEY_MAX];
	size_t len;
};

static enum err read_position(struct db_txn *txn, struct position *p, bool *begun)
{
	struct migration_position kept;
	*p = (struct position){0};
	enum err err = migration_read(txn, COUNTED_KEY, &kept);
	*begun = err == OK && kept.len > 0;
	if (!*begun)
		return err;
	p->table = (unsigned char)kept.bytes[0];
	p->len = kept.len - 1;
	if (p->table >= TABLE_COUNT || p->len > sizeof(p->key))
		return ERR_CORRUPT;
	memcpy(p->key, kept.bytes + 1, p->len);
	return OK;
}

static enum err write_position(struct db_txn *txn, const struct position *p)
{
	struct migration_position kept = {.len = 1 + p->len};
	kept.bytes[0] = (char)p->table;
	memcpy(kept.bytes + 1, p->key, p->len);
	return migration_write(txn, COUNTED_KEY, &kept);
}

/* Removes what a count of before has left. */
static enum err clear(struct db_txn *txn)
{
	struct slice key;
	struct slice value;
	enum err err = OK;
	while (err == OK) {
		char copy[DB_KEY_MAX];
		err = db_first(txn, DB_USAGE, &key, &value);
		if (err != OK)
			break;
		memcpy(copy, key.ptr, key.len); /* it dies with the next write */
		err = db_del(txn, DB_USAGE, (struct slice){copy, key.len});
	}
	return err == ERR_NOTFOUND ? OK : err;
}

/* What the slice has counted of the session whose rows it is at. */
struct sum {
	char session[SESSION_MAX + 1];
	struct holding h;
};

/* Adds a sum to its session's row. */
static enum err flush(struct db_txn *txn, struct sum *s)
{
	struct holding before = {0};
	if (s->session[0] == '\0')
		return OK;
	enum err err = usage_get(txn, slice_of(s->session), &before);
	if (err != OK && err != ERR_NOTFOUND && err != ERR_CORRUPT)
		return err;
	for (int k = 0; k < USAGE_KINDS; k++)
		before.n[k] += s->h.n[k];
	err = usage_put(txn, slice_of(s->session), &before);
	*s = (struct sum){0};
	return err;
}

static enum err take_row(struct db_txn *txn, enum db_table t, struct slice key,
    struct slice value, struct sum *s)
{
	struct slice session;
	struct uuid id;
	if (!parse_row(key, &session, &id))
		return OK;
	enum err err = slice_eq(session, slice_of(s->session)) ? OK : flush(txn, s);
	if (err != OK)
		return err;
	memcpy(s->session, session.ptr, session.len);
	s->session[session.len] = '\0';
	err = add_row(txn, t, slice_of(s->session), &id, value, &s->h);
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}

/* Counts a slice of one table. ERR_NOTFOUND at its end. */
static enum err fill_table(struct db_txn *txn, struct position *p, size_t *left)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct sum sum = {0};
	enum err err = db_cursor(txn, TABLES[p->table], &cursor);
	if (err == OK)
		err = db_seek_behind(cursor, (struct slice){p->key, p->len}, &key, &value);
	for (; err == OK && *left > 0; (*left)--) {
		memcpy(p->key, key.ptr, key.len);
		p->len = key.len;
		err = take_row(txn, TABLES[p->table], (struct slice){p->key, p->len}, value,
		    &sum);
		if (err == OK)
			err = db_next(cursor, &key, &value);
	}
	db_cursor_close(cursor);
	enum err end = err == OK || err == ERR_NOTFOUND ? flush(txn, &sum) : err;
	return end == OK ? err : end;
}

enum err recount_fill(struct db_txn *txn, bool *more)
{
	struct position p;
	bool begun = false;
	size_t left = SLICE_MAX;
	enum err err = read_position(txn, &p, &begun);
	if (err == OK && !begun)
		err = clear(txn);
	while (err == OK && p.table < TABLE_COUNT && left > 0) {
		err = fill_table(txn, &p, &left);
		if (err == ERR_NOTFOUND) { /* on with the next table */
			p.table++;
			p.len = 0;
			err = OK;
		}
	}
	*more = p.table < TABLE_COUNT;
	if (err == OK && *more)
		return write_position(txn, &p);
	if (err == OK)
		err = db_del(txn, DB_META, BYTES_KEY);
	if (err == OK || err == ERR_NOTFOUND)
		err = migration_end(txn, COUNTED_KEY);
	return err;
}
