/*
 * Migrations, in order: row n takes a store from version n to n + 1. To change
 * a table: raise SCHEMA_VERSION, add a row, add a test that opens a store of the
 * version before. A migration must bear being run again after a crash before its
 * commit. One that may have much to do does a slice of it and sets *more: it is called again in
 * the next transaction, and the version stays until it is through.
 */
#include "store/schema.h"

#include "base/log.h"
#include "base/record.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/recount.h"
#include "store/resend.h"
#include "store/webhooks.h"

#define VERSION_KEY SLICE("schema")

typedef enum err (*migrate_fn)(struct db_txn *txn, bool *more);

/* A version that has a table more, which db_open() makes: at first all of them. */
static enum err make_tables(struct db_txn *txn, bool *more)
{
	*more = false;
	return db_txn_error(txn);
}

/*
 * Version 1 made its digests with XXH3, whose results can be aimed at. The keys of `repeats`
 * are left to expire: what they stand for is not kept.
 */
static enum err digest_urls(struct db_txn *txn, bool *more)
{
	*more = false;
	return webhooks_rebuild_urls(txn);
}

/* The table of what waits; a row a webhook, whatever the queue. */
static enum err count_waiting(struct db_txn *txn, bool *more)
{
	*more = false;
	return backlog_recount(txn);
}

static const migrate_fn MIGRATIONS[SCHEMA_VERSION] = {
    make_tables, digest_urls, count_waiting,
    history_fill,        /* to 4; the attempts of before are not known */
    resend_name_letters, /* to 5: dead deliveries name their dead letters */
    recount_fill,        /* to 6: what each session holds; keys of before count for nobody */
    webhooks_reseal,     /* to 7: checksums cover keys; what goes some day stays as it is */
    make_tables,         /* to 8: sources */
    make_tables,         /* to 9: what is open; events of before keep that in their records */
    make_tables,         /* to 10: how attempts went, over time */
};

enum err schema_version(struct db_txn *txn, uint32_t *out)
{
	struct slice value;
	struct reader r;
	*out = 0;
	enum err err = db_get(txn, DB_META, VERSION_KEY, &value);
	if (err == ERR_NOTFOUND)
		return OK;
	if (err == OK)
		err = record_open(value, RECORD_ANYWHERE, &r);
	if (err != OK)
		return err;
	uint32_t version = get_u32(&r);
	if (r.failed || r.left != 0)
		return ERR_CORRUPT;
	*out = version;
	return OK;
}

static enum err refuse_newer(uint32_t version, struct problem *p)
{
	return problem_set(p, ERR_CONFLICT, "data",
	    "the store has version %u, this waybill knows up to %u", version, SCHEMA_VERSION);
}

enum err schema_check(struct db *db, struct problem *p)
{
	struct db_txn *txn = NULL;
	uint32_t version = 0;
	enum err err = db_read(db, &txn);
	if (err == OK) {
		err = schema_version(txn, &version);
		db_read_end(txn);
	}
	if (err != OK)
		return problem_set(p, err, "data", "cannot read the store's version: %s",
		    err_text(err));
	return version > SCHEMA_VERSION ? refuse_newer(version, p) : OK;
}

static enum err write_version(struct db_txn *txn, uint32_t version)
{
	struct buf value = BUF_INIT(64);
	put_u32(&value, version);
	record_seal(&value, RECORD_ANYWHERE); /* for the programs of before to read */
	enum err err = db_put(txn, DB_META, VERSION_KEY, buf_view(&value));
	buf_fini(&value);
	return err;
}

/* Takes one step, or a slice of it; *done when the store is at this version. */
static enum err step(struct db *db, bool *done, struct problem *p)
{
	struct db_txn *txn = NULL;
	uint32_t version = 0;
	enum err err = db_begin(db, &txn);
	if (err != OK)
		return problem_set(p, err, "data", "cannot write the store: %s", err_text(err));
	err = schema_version(txn, &version);
	if (err == OK && version > SCHEMA_VERSION)
		err = refuse_newer(version, p);
	*done = version == SCHEMA_VERSION;
	if (err != OK || *done) {
		db_abort(txn);
		return err;
	}
	bool more = false;
	err = MIGRATIONS[version](txn, &more);
	if (err == OK && !more)
		err = write_version(txn, version + 1);
	if (err != OK) {
		db_abort(txn);
		return err;
	}
	err = db_commit(txn);
	if (err == OK && !more)
		log_debug("store migrated", LOG_N("version", version + 1));
	return err;
}

enum err schema_migrate(struct db *db, struct problem *p)
{
	bool done = false;
	*p = (struct problem){0};
	while (!done) {
		enum err err = step(db, &done, p);
		if (err != OK) {
			if (p->message[0] == '\0')
				return problem_set(p, err, "data",
				    "cannot migrate the store: %s", err_text(err));
			return err;
		}
	}
	return OK;
}
