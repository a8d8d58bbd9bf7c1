/* Rows of a transaction, by key and by cursor; see db.h. */
#include <lmdb.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/db_inner.h"

static MDB_val val_of(struct slice s)
{
	/* LMDB does not write through the pointers that it is given */
	return (MDB_val){.mv_size = s.len, .mv_data = (void *)(uintptr_t)s.ptr};
}

static struct slice slice_of_val(MDB_val v)
{
	return (struct slice){.ptr = v.mv_data, .len = v.mv_size};
}

enum err db_get(struct db_txn *txn, enum db_table t, struct slice key, struct slice *value)
{
	if (txn->err != OK)
		return txn->err;
	if (txn->db->tables[t] == NO_TABLE)
		return ERR_NOTFOUND;
	MDB_val k = val_of(key);
	MDB_val v = {0};
	enum err err = db_settle(txn, mdb_get(txn->mdb, txn->db->tables[t], &k, &v));
	if (err == OK)
		*value = slice_of_val(v);
	return err;
}

static enum err put(struct db_txn *txn, enum db_table t, struct slice key, struct slice value,
    unsigned flags)
{
	if (txn->err != OK)
		return txn->err;
	MDB_val k = val_of(key);
	MDB_val v = val_of(value);
	return db_settle(txn, mdb_put(txn->mdb, txn->db->tables[t], &k, &v, flags));
}

enum err db_put(struct db_txn *txn, enum db_table t, struct slice key, struct slice value)
{
	return put(txn, t, key, value, 0);
}

enum err db_append(struct db_txn *txn, enum db_table t, struct slice key, struct slice value)
{
	return put(txn, t, key, value, MDB_APPEND);
}

enum err db_del(struct db_txn *txn, enum db_table t, struct slice key)
{
	if (txn->err != OK)
		return txn->err;
	MDB_val k = val_of(key);
	return db_settle(txn, mdb_del(txn->mdb, txn->db->tables[t], &k, NULL));
}

enum err db_cursor(struct db_txn *txn, enum db_table t, struct db_cursor **out)
{
	if (txn->err != OK)
		return txn->err;
	if (txn->db->tables[t] == NO_TABLE)
		return ERR_NOTFOUND;
	MDB_cursor *mdb = NULL;
	enum err err = db_settle(txn, mdb_cursor_open(txn->mdb, txn->db->tables[t], &mdb));
	if (err != OK)
		return err;
	*out = mem_new(sizeof(**out));
	**out = (struct db_cursor){.txn = txn, .mdb = mdb};
	return OK;
}

void db_cursor_close(struct db_cursor *c)
{
	if (c == NULL)
		return;
	mdb_cursor_close(c->mdb);
	free(c);
}

static enum err move(struct db_cursor *c, MDB_cursor_op op, MDB_val key, struct slice *found,
    struct slice *value)
{
	if (c->txn->err != OK)
		return c->txn->err;
	MDB_val v = {0};
	enum err err = db_settle(c->txn, mdb_cursor_get(c->mdb, &key, &v, op));
	if (err == OK) {
		*found = slice_of_val(key);
		*value = slice_of_val(v);
	}
	return err;
}

enum err db_seek(struct db_cursor *c, struct slice key, struct slice *found,
    struct slice *value)
{
	return move(c, MDB_SET_RANGE, val_of(key), found, value);
}

enum err db_seek_below(struct db_cursor *c, struct slice key, struct slice *found,
    struct slice *value)
{
	enum err err = db_seek(c, key, found, value);
	if (err == ERR_NOTFOUND)
		return move(c, MDB_LAST, (MDB_val){0}, found, value);
	return err == OK ? db_prev(c, found, value) : err;
}

/* Reads the one row that `op` names. */
static enum err peek(struct db_txn *txn, enum db_table t, MDB_cursor_op op, struct slice *key,
    struct slice *value)
{
	struct db_cursor *c = NULL;
	enum err err = db_cursor(txn, t, &c);
	if (err != OK)
		return err;
	err = move(c, op, (MDB_val){0}, key, value);
	db_cursor_close(c);
	return err;
}

enum err db_first(struct db_txn *txn, enum db_table t, struct slice *key, struct slice *value)
{
	return peek(txn, t, MDB_FIRST, key, value);
}

enum err db_last(struct db_txn *txn, enum db_table t, struct slice *key)
{
	struct slice value;
	return peek(txn, t, MDB_LAST, key, &value);
}

enum err db_next(struct db_cursor *c, struct slice *found, struct slice *value)
{
	return move(c, MDB_NEXT, (MDB_val){0}, found, value);
}

enum err db_prev(struct db_cursor *c, struct slice *found, struct slice *value)
{
	return move(c, MDB_PREV, (MDB_val){0}, found, value);
}
