/* Rows as bytes; see rows.h. */
#include "store/rows.h"

#include "base/codec.h"

#define KEEP_BYTES (4u << 20) /* of memory between turns */

enum { ROW_PUT = 1, ROW_DEL };

struct row {
	enum db_table table;
	bool is_put;
	struct slice key;
	struct slice value;
};

void rows_fini(struct rows *r)
{
	buf_fini(&r->bytes);
	r->count = 0;
}

void rows_reset(struct rows *r)
{
	if (r->bytes.cap > KEEP_BYTES)
		buf_fini(&r->bytes);
	buf_reset(&r->bytes);
	r->count = 0;
}

size_t rows_add_put(struct rows *r, enum db_table t, struct slice key, struct slice value)
{
	size_t before = r->bytes.len;
	put_u8(&r->bytes, ROW_PUT);
	put_u8(&r->bytes, (uint8_t)t);
	put_text(&r->bytes, key);
	put_u32(&r->bytes, (uint32_t)value.len);
	buf_slice(&r->bytes, value);
	r->count++;
	return before;
}

size_t rows_add_del(struct rows *r, enum db_table t, struct slice key)
{
	size_t before = r->bytes.len;
	put_u8(&r->bytes, ROW_DEL);
	put_u8(&r->bytes, (uint8_t)t);
	put_text(&r->bytes, key);
	r->count++;
	return before;
}

void rows_take_back(struct rows *r, size_t to)
{
	r->bytes.len = to;
	r->count--;
}

/* Takes the next row; the reader fails where it is none. */
static struct row read_row(struct reader *r)
{
	struct row row = {0};
	uint8_t op = get_u8(r);
	uint8_t table = get_u8(r);
	row.is_put = op == ROW_PUT;
	row.table = (enum db_table)table;
	row.key = get_text(r);
	if (row.is_put)
		row.value = get_bytes(r, get_u32(r));
	if ((op != ROW_PUT && op != ROW_DEL) || table >= DB_TABLES || row.key.len == 0 ||
	    row.key.len > DB_KEY_MAX)
		r->failed = true;
	return row;
}

enum err rows_cut(struct slice *left, size_t most, struct slice *out)
{
	struct reader r = reader_of(*left);
	size_t end = 0;
	while (r.left > 0) {
		(void)read_row(&r);
		if (r.failed)
			return ERR_CORRUPT;
		if (end > 0 && left->len - r.left > most)
			break;
		end = left->len - r.left;
	}
	*out = (struct slice){.ptr = left->ptr, .len = end};
	*left = (struct slice){.ptr = left->ptr + end, .len = left->len - end};
	return OK;
}

/* A row that is to be deleted and is not there is not this store's history. */
static enum err apply(const struct row *row, struct db_txn *txn)
{
	if (row->is_put)
		return db_put(txn, row->table, row->key, row->value);
	enum err err = db_del(txn, row->table, row->key);
	return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
}

enum err rows_apply(struct slice rows, struct db_txn *txn)
{
	struct reader r = reader_of(rows);
	enum err err = db_txn_error(txn);
	while (err == OK && r.left > 0) {
		struct row row = read_row(&r);
		err = r.failed ? ERR_CORRUPT : apply(&row, txn);
	}
	return err == OK ? OK : db_txn_fail(txn, err);
}
