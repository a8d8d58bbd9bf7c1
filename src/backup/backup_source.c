/* The stream of a backup, from a snapshot; see backup.h. */
#include <stdlib.h>

#include "backup/backup.h"
#include "backup/backup_form.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/record.h"

struct backup_source {
	struct db_txn *txn;
	struct db_cursor *cursor; /* in `table`; NULL before its first row */
	enum db_table table;      /* DB_TABLES: all have been read */
	struct hash_sum *sum;
	uint64_t map_bytes;
	uint64_t rows;
	bool begun;
};

enum err backup_source_new(struct db *db, struct backup_source **out)
{
	struct db_txn *txn = NULL;
	struct db_usage usage;
	enum err err = db_usage(db, &usage);
	if (err == OK)
		err = db_snapshot(db, &txn);
	if (err != OK)
		return err;
	struct backup_source *s = mem_new(sizeof(*s));
	s->txn = txn;
	s->sum = hash_sum_new();
	s->map_bytes = usage.file_bytes > usage.max_bytes ? usage.file_bytes : usage.max_bytes;
	*out = s;
	return OK;
}

void backup_source_free(struct backup_source *s)
{
	if (s == NULL)
		return;
	db_cursor_close(s->cursor);
	db_snapshot_end(s->txn);
	hash_sum_free(s->sum);
	free(s);
}

static void put_row(struct backup_source *s, struct slice key, struct slice value,
    struct buf *out)
{
	put_u8(out, BACKUP_ROW);
	put_text(out, key);
	put_u32(out, (uint32_t)value.len);
	buf_slice(out, value);
	s->rows++;
}

/* Appends the next row, or the beginning of the next table. */
static enum err read_row(struct backup_source *s, struct buf *out)
{
	struct slice key;
	struct slice value;
	if (s->cursor == NULL) {
		put_u8(out, BACKUP_TABLE);
		put_text(out, slice_of(db_table_name(s->table)));
		return db_cursor(s->txn, s->table, &s->cursor);
	}
	enum err err = db_next(s->cursor, &key, &value);
	if (err == OK) {
		put_row(s, key, value, out);
		return OK;
	}
	if (err == ERR_NOTFOUND) {
		db_cursor_close(s->cursor);
		s->cursor = NULL;
		s->table++;
		return OK;
	}
	return err;
}

/* Adds to the checksum what `out` has from byte `from` on. */
static void add_sum(struct backup_source *s, const struct buf *out, size_t from)
{
	hash_sum_add(s->sum, out->data + from, out->len - from);
}

enum err backup_source_read(struct backup_source *s, size_t most, struct buf *out, bool *end)
{
	size_t from = out->len;
	enum err err = OK;
	*end = false;
	if (!s->begun) {
		buf_slice(out, BACKUP_MAGIC);
		put_u8(out, BACKUP_VERSION);
		put_u64(out, s->map_bytes);
		s->begun = true;
	}
	while (err == OK && out->len < most && s->table < DB_TABLES)
		err = read_row(s, out);
	if (err == OK && s->table == DB_TABLES) {
		put_u8(out, BACKUP_END);
		put_u64(out, s->rows);
		*end = true;
	}
	if (err == OK && out->failed)
		err = ERR_TOOBIG;
	if (err != OK)
		return err;
	add_sum(s, out, from);
	if (*end)
		put_u64(out, hash_sum_get(s->sum));
	return OK;
}

uint64_t backup_source_rows(const struct backup_source *s)
{
	return s->rows;
}
