/*
 * A row of memory for each webhook that has deliveries waiting, or had some before the open
 * transaction; see backlog.h. A number is below zero where the record on disk was damaged and
 * read as nothing: it then counts as zero, and is right again once that queue has been empty.
 */
#include "store/backlog.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/queue.h"
#include "store/record.h"

#define KEY_SIZE 8

struct row {
	uint64_t webhook;
	int64_t waiting; /* with what the open transaction changes */
	int64_t change;  /* by the open transaction */
	SLIST_ENTRY(row) link;
	bool touched; /* in the list of those that the open transaction changes */
};

struct backlog {
	struct db *db;
	struct map *rows; /* webhook number -> row */
	SLIST_HEAD(, row) touched;
	int64_t total;
};

static struct slice make_key(uint64_t webhook, unsigned char out[KEY_SIZE])
{
	codec_store_u64(out, webhook);
	return (struct slice){.ptr = (const char *)out, .len = KEY_SIZE};
}

/* Writes how many wait for `webhook`. The transaction's error sticks. */
static void write_number(struct db_txn *txn, uint64_t webhook, int64_t waiting)
{
	unsigned char key[KEY_SIZE];
	unsigned char value[RECORD_NUMBER];
	struct slice at = make_key(webhook, key);
	enum err err = waiting > 0
	    ? db_put(txn, DB_BACKLOG, at, record_seal_number((uint64_t)waiting, value))
	    : db_del(txn, DB_BACKLOG, at);
	if (err != OK && err != ERR_NOTFOUND)
		(void)db_txn_fail(txn, err); /* is its sticky error already */
}

static struct row *take_row(struct backlog *b, uint64_t webhook)
{
	struct row *row = map_get(b->rows, &webhook, sizeof(webhook));
	if (row != NULL)
		return row;
	row = mem_new(sizeof(*row));
	row->webhook = webhook;
	map_put(b->rows, &row->webhook, sizeof(row->webhook), row);
	return row;
}

static void flush(void *arg, struct db_txn *txn)
{
	struct backlog *b = arg;
	struct row *row;
	SLIST_FOREACH(row, &b->touched, link)
	{
		if (row->change != 0)
			write_number(txn, row->webhook, row->waiting);
	}
}

/* What the transaction changed stays, or is taken back. */
static void settle_row(struct backlog *b, struct row *row, bool committed)
{
	int64_t kept = committed ? row->waiting : row->waiting - row->change;
	if (committed && kept < 0)
		kept = 0;
	b->total += kept - row->waiting;
	row->waiting = kept;
	row->change = 0;
	row->touched = false;
	if (kept == 0)
		free(map_del(b->rows, &row->webhook, sizeof(row->webhook)));
}

static void on_ended(void *arg, bool committed)
{
	struct backlog *b = arg;
	while (!SLIST_EMPTY(&b->touched)) {
		struct row *row = SLIST_FIRST(&b->touched);
		SLIST_REMOVE_HEAD(&b->touched, link);
		settle_row(b, row, committed);
	}
}

static enum err load(struct backlog *b, struct db_txn *txn)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	enum err err = db_cursor(txn, DB_BACKLOG, &cursor);
	if (err != OK)
		return err;
	for (err = db_next(cursor, &key, &value); err == OK;
	     err = db_next(cursor, &key, &value)) {
		struct reader r = reader_of(key);
		uint64_t webhook = get_u64(&r);
		uint64_t waiting = 0;
		if (r.failed || record_open_number(value, &waiting) != OK) {
			log_error("count of waiting deliveries is corrupt",
			    LOG_N("webhook", webhook));
			continue;
		}
		take_row(b, webhook)->waiting = (int64_t)waiting;
		b->total += (int64_t)waiting;
	}
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}

enum err backlog_new(struct db *db, struct backlog **out)
{
	struct db_txn *txn = NULL;
	struct backlog *b = mem_new(sizeof(*b));
	b->db = db;
	b->rows = map_new();
	SLIST_INIT(&b->touched);
	enum err err = db_read(db, &txn);
	if (err == OK) {
		err = load(b, txn);
		db_read_end(txn);
	}
	if (err != OK) {
		backlog_free(b);
		return err;
	}
	const struct db_companion companion = {.flush = flush, .ended = on_ended, .arg = b};
	db_accompany(db, &companion);
	*out = b;
	return OK;
}

void backlog_free(struct backlog *b)
{
	static const struct db_companion NONE;
	if (b == NULL)
		return;
	db_accompany(b->db, &NONE);
	map_free_all(b->rows);
	free(b);
}

void backlog_change(struct db_txn *txn, uint64_t webhook, int by)
{
	struct backlog *b = db_companion_of(txn);
	struct row *row = take_row(b, webhook);
	row->waiting += by;
	row->change += by;
	b->total += by;
	if (row->touched)
		return;
	row->touched = true;
	SLIST_INSERT_HEAD(&b->touched, row, link);
}

/* Never less than none: see the head of this file. */
static uint64_t shown(int64_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

uint64_t backlog_of(const struct backlog *b, uint64_t webhook)
{
	const struct row *row = map_get(b->rows, &webhook, sizeof(webhook));
	return row == NULL ? 0 : shown(row->waiting);
}

uint64_t backlog_of_session(const struct backlog *b, const struct registry *reg,
    struct slice session)
{
	uint64_t sum = 0;
	size_t count = 0;
	struct webhook *const *list = registry_session(reg, session, &count);
	for (size_t i = 0; i < count; i++)
		sum += backlog_of(b, list[i]->number);
	return sum;
}

uint64_t backlog_total(const struct backlog *b)
{
	return shown(b->total);
}

/* What a recount has found so far. */
struct recount {
	struct db_txn *txn;
	uint64_t webhooks;
	uint64_t deliveries;
};

static void write_counted(void *arg, uint64_t webhook, uint64_t waiting)
{
	struct recount *c = arg;
	write_number(c->txn, webhook, (int64_t)waiting);
	c->webhooks++;
	c->deliveries += waiting;
}

enum err backlog_recount(struct db_txn *txn)
{
	struct recount c = {.txn = txn};
	enum err err = queue_count(txn, write_counted, &c);
	if (err == OK && c.deliveries > 0)
		log_info("waiting deliveries counted", LOG_N("deliveries", c.deliveries),
		    LOG_N("webhooks", c.webhooks));
	return err == OK ? db_txn_error(txn) : err;
}
