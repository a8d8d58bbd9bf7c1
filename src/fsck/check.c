/* The walk over all tables; see check.h. What a row must be like is in check_rows.c. */
#include "fsck/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "fsck/check_inner.h"
#include "store/schema.h"

#define KEY_SHOWN_MAX 160 /* bytes: all keys are shorter, but of the longest sessions */
#define FINDING_MAX 1024  /* bytes */

void check_find(struct check *c, const char *fmt, ...)
{
	char what[FINDING_MAX / 2];
	char hex[2 * KEY_SHOWN_MAX + 1];
	char line[FINDING_MAX];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	str_hex(c->key.ptr, c->key.len < KEY_SHOWN_MAX ? c->key.len : KEY_SHOWN_MAX, hex);
	(void)snprintf(line, sizeof(line), "%s%s%s: %s", db_table_name(c->table),
	    c->key.len > 0 ? " " : "", hex, what);
	c->result->findings++;
	c->found(c->arg, line);
}

/* Shows each row to the table's function. */
static enum err walk_rows(struct check *c, struct db_cursor *cursor)
{
	struct slice key;
	struct slice value;
	enum err err = db_next(cursor, &key, &value);
	while (err == OK) {
		c->key = key;
		c->result->rows[c->table]++;
		CHECK_TABLES[c->table].row(c, key, value);
		err = db_txn_error(c->txn);
		if (err == OK)
			err = db_next(cursor, &key, &value);
	}
	return err;
}

static void walk_table(struct check *c)
{
	struct db_cursor *cursor = NULL;
	enum err err = db_cursor(c->txn, c->table, &cursor);
	if (err == OK)
		err = walk_rows(c, cursor);
	db_cursor_close(cursor);
	c->key = (struct slice){.ptr = "", .len = 0};
	if (err != ERR_NOTFOUND) {
		check_find(c, "cannot be read to its end: %s", err_text(err));
		c->cut_short = true;
		return;
	}
	if (CHECK_TABLES[c->table].finish != NULL)
		CHECK_TABLES[c->table].finish(c);
}

/* Whether the version is one whose tables are known here. */
static bool check_version(struct check *c, struct db *db)
{
	uint32_t version = 0;
	uint64_t rows = 0;
	enum err err = db_read(db, &c->txn);
	if (err == OK) {
		err = schema_version(c->txn, &version);
		for (enum db_table t = 0; err == OK && t < DB_TABLES; t++) {
			uint64_t n = 0;
			err = db_rows(c->txn, t, &n);
			rows += n;
		}
		db_read_end(c->txn);
	}
	if (err != OK) {
		check_find(c, "the version cannot be read: %s", err_text(err));
		return false;
	}
	if (version == 0 && rows > 0)
		check_find(c, "there is no version, though there are rows");
	if (version == 0 || version == SCHEMA_VERSION)
		return true;
	c->result->other_version = version;
	if (version > SCHEMA_VERSION)
		check_find(c, "the store has version %u, this waybill knows up to %u", version,
		    SCHEMA_VERSION);
	else
		check_find(c,
		    "the store has version %u: a start of waybill serve brings it to %u; "
		    "before that, the waybill that wrote it can check it",
		    version, SCHEMA_VERSION);
	return false;
}

void check_store(struct db *db, check_found_fn found, void *arg, struct check_result *out)
{
	struct check c = {.found = found, .arg = arg, .result = out};
	*out = (struct check_result){0};
	c.key = (struct slice){.ptr = "", .len = 0};
	if (!check_version(&c, db))
		return;
	c.replayed = map_new();
	for (c.table = 0; c.table < DB_TABLES; c.table++) {
		/* one each: a transaction that has failed once fails in all that follows */
		enum err err = db_read(db, &c.txn);
		if (err != OK) {
			check_find(&c, "cannot be read: %s", err_text(err));
			c.cut_short = true;
			continue;
		}
		walk_table(&c);
		db_read_end(c.txn);
	}
	if (!c.cut_short)
		check_totals(&c);
	map_free(c.replayed);
}
