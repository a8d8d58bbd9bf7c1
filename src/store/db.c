/*
 * LMDB 0.9 behind our own names. Default sync mode: data pages are flushed
 * before the meta page that refers to them, so every commit that returned is
 * on disk. MDB_NOTLS, since the one
 * thread may hold a read and a write transaction. No DUPSORT, no INTEGERKEY:
 * keys are big-endian bytes.
 */
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/fault.h"
#include "store/folder.h"
#include "store/pages.h"
#include "store/rows.h"

#define PATH_BYTES 4096
#define DISK_FULL_BYTES (1u << 20) /* free bytes below which a short write is no surprise */
#define RESERVE_BYTES (4u << 20)   /* some hundred outcomes at once, before any page is free */
#define GROWTH_STEP 8              /* the map grows by one eighth of what it was to be… */
#define GROWTH_MAX 4               /* …so often: half as much again */
#define FILE_NAME "waybill.mdb"
#define NO_TABLE UINT_MAX /* in place of the handle of a table that the store does not have */
#define ROW_BYTES_MAX (1u << 20)     /* of a key or a value; a webhook's may have 192 KiB */
#define CHECKED_BYTES (256ULL << 20) /* a file up to this is checked whole at each start */

struct db_txn {
	struct db *db;
	MDB_txn *mdb;
	enum err err;
	bool open;
	bool prepared;     /* the companions have written */
	struct rows *rows; /* what is written is added to; NULL: it is not */
};

struct db {
	MDB_env *env;
	unsigned tables[DB_TABLES];
	struct db_txn write;
	struct rows *rows;
	struct db_companion companions[DB_COMPANIONS];
	struct db_txn read; /* its MDB_txn is reset and renewed, so the reader's slot stays */
	uint64_t max_bytes; /* what the file may take; the map is larger once it had to grow */
	bool map_full;      /* the last failure was that */
	uint64_t reserved;  /* where the room ends that was taken behind the file's last page */
	struct folder folder;
	char *dir;
	uint64_t least_bytes; /* that the file had once: it never becomes shorter */
	struct db_txn snapshot;
	bool lost; /* or damaged, which was told */
	bool readonly;
	bool in_use; /* it is read while another process writes */
};

struct db_cursor {
	struct db_txn *txn;
	MDB_cursor *mdb;
};

static const char *const TABLE_NAMES[DB_TABLES] = {
    [DB_META] = "meta",
    [DB_WEBHOOKS] = "webhooks",
    [DB_URLS] = "urls",
    [DB_EVENTS] = "events",
    [DB_DELIVERIES] = "deliveries",
    [DB_QUEUE] = "queue",
    [DB_DEAD] = "dead",
    [DB_DEAD_BY_AGE] = "dead_by_age",
    [DB_SETTLED] = "settled",
    [DB_REPEATS] = "repeats",
    [DB_REPEATS_BY_AGE] = "repeats_by_age",
    [DB_BACKLOG] = "backlog",
    [DB_ATTEMPTS] = "attempts",
    [DB_HISTORY] = "history",
    [DB_TASKS] = "replays",
    [DB_SOURCES] = "sources",
    [DB_OPEN] = "open",
    [DB_TRENDS] = "trends",
    [DB_USAGE] = "usage",
};

static enum err err_of(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return OK;
	case MDB_NOTFOUND:
		return ERR_NOTFOUND;
	case MDB_KEYEXIST:
		return ERR_EXISTS;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case MDB_PANIC:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_PAGE_FULL: /* these are of LMDB's own counting, which only damage upsets… */
	case MDB_CURSOR_FULL:
	case MDB_BAD_TXN: /* …and it fails a transaction for it, in silence */
		return ERR_BROKEN;
	default:
		return ERR_STORE;
	}
}

static void tell_damage(struct db *db, const char *how)
{
	db->lost = true;
	log_error("the store is damaged, waybill fsck says more", LOG_S("data", db->dir),
	    LOG_S("error", how));
	fault_doubt();
}

static enum err db_result(struct db_txn *txn, int rc)
{
	enum err err = err_of(rc);
	if (err == OK || err == ERR_NOTFOUND || err == ERR_EXISTS)
		return err;
	txn->db->map_full = rc == MDB_MAP_FULL;
	if (txn->err == OK && err == ERR_BROKEN)
		tell_damage(txn->db, mdb_strerror(rc));
	else if (txn->err == OK && err != ERR_NOSPACE)
		log_error("store operation failed", LOG_S("error", mdb_strerror(rc)));
	return db_txn_fail(txn, err);
}

enum err db_txn_error(const struct db_txn *txn)
{
	return txn->err;
}

enum err db_txn_fail(struct db_txn *txn, enum err err)
{
	if (txn->err == OK)
		txn->err = err;
	return txn->err;
}

static int open_table(struct db *db, MDB_txn *txn, int t)
{
	int rc = mdb_dbi_open(txn, TABLE_NAMES[t], db->readonly ? 0 : MDB_CREATE,
	    &db->tables[t]);
	if (rc != MDB_NOTFOUND || !db->readonly)
		return rc;
	db->tables[t] = NO_TABLE;
	return MDB_SUCCESS;
}

static int open_tables(struct db *db)
{
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(db->env, NULL, db->readonly ? MDB_RDONLY : 0, &txn);
	for (int t = 0; rc == MDB_SUCCESS && t < DB_TABLES; t++)
		rc = open_table(db, txn, t);
	if (rc == MDB_SUCCESS)
		return mdb_txn_commit(txn);
	if (txn != NULL)
		mdb_txn_abort(txn);
	return rc;
}

/* What LMDB finds that it takes for impossible: pages that are damaged. */
static void on_assertion(MDB_env *env, const char *message)
{
	tell_damage(mdb_env_get_userctx(env), message);
	_exit(EXIT_FAILED); /* as abort() would, which LMDB does else, and no core */
}

static int open_env(struct db *db, const char *path, uint64_t map_bytes, unsigned flags)
{
	int rc = mdb_env_create(&db->env);
	if (rc == MDB_SUCCESS)
		rc = mdb_env_set_userctx(db->env, db);
	if (rc == MDB_SUCCESS)
		rc = mdb_env_set_assert(db->env, on_assertion);
	if (rc == MDB_SUCCESS)
		rc = mdb_env_set_maxdbs(db->env, DB_TABLES);
	if (rc == MDB_SUCCESS)
		rc = mdb_env_set_mapsize(db->env, map_bytes);
	if (rc == MDB_SUCCESS)
		rc = FAULT_IN_STORE(
		    mdb_env_open(db->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600));
	if (rc == MDB_SUCCESS)
		rc = FAULT_IN_STORE(open_tables(db));
	return rc;
}

/*
 * Makes the file where there is none: under another name until all of it is on disk. LMDB
 * would never again open one that a loss of power cut short in its first two pages.
 */
static int make_file(const char *path, uint64_t map_bytes)
{
	char making[PATH_BYTES + sizeof(".new")];
	struct db db = {.dir = making};
	if (access(path, F_OK) == 0)
		return MDB_SUCCESS;
	(void)snprintf(making, sizeof(making), "%s.new", path);
	(void)unlink(making); /* what an earlier start may have left */
	int rc = open_env(&db, making, map_bytes, MDB_NOLOCK);
	if (db.env != NULL)
		mdb_env_close(db.env);
	if (rc == MDB_SUCCESS && rename(making, path) != 0)
		rc = errno;
	return rc;
}

static int open_file(struct db *db, const char *dir, uint64_t map_bytes)
{
	char path[PATH_BYTES];
	(void)snprintf(path, sizeof(path), "%s/" FILE_NAME, dir);
	if (db->readonly) /* no lock of LMDB's for a reader alone: its file would be made */
		return open_env(db, path, map_bytes,
		    MDB_RDONLY | (db->in_use ? 0 : MDB_NOLOCK));
	int rc = make_file(path, map_bytes);
	return rc == MDB_SUCCESS ? open_env(db, path, map_bytes, 0) : rc;
}

/* Whether there is a file, and one that LMDB can be trusted with. */
static enum err check_file(struct db *db, const char *dir, struct problem *p)
{
	int fd = openat(db->folder.fd, FILE_NAME, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return problem_set(p, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "data",
		    "there is no store in %s: " FILE_NAME ": %s", dir, strerror(errno));
	enum err err = pages_check(fd, p);
	(void)close(fd); /* read-only */
	return err;
}

/* The file of an earlier start is not there, or has nothing in it. */
static enum err refuse_lost(const char *dir, const char *how, struct problem *p)
{
	return problem_set(p, ERR_NOTFOUND, "data",
	    "the store in %s is lost: " FILE_NAME
	    " was there, and now %s. Mount its file system, "
	    "or restore a backup; to start anew without what it held, remove " FILE_NAME
	    " and waybill.lock there",
	    dir, how);
}

/* A file up to how many bytes is checked whole: any where a fault has led to doubt. */
static uint64_t checked_bytes(const struct db *db)
{
	return folder_is_doubted(&db->folder) ? UINT64_MAX : CHECKED_BYTES;
}

/*
 * Checks, before LMDB maps it, the file that is to be served; none is fine where none ever was.
 * The pages of one that another process writes are that one's to answer for.
 */
static enum err check_before(const struct db *db, const char *dir, struct problem *p)
{
	struct problem why;
	struct stat st;
	int fd = openat(db->folder.fd, FILE_NAME, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return folder_is_marked(&db->folder) ? refuse_lost(dir, "is not", p) : OK;
	if (fd < 0)
		return problem_set(p, ERR_IO, "data", "cannot open " FILE_NAME " in %s: %s",
		    dir, strerror(errno));
	enum err err = OK;
	if (fstat(fd, &st) == 0 && st.st_size == 0)
		err = refuse_lost(dir, "is empty", p);
	else if (!db->in_use && pages_check_quickly(fd, checked_bytes(db), &why) != OK)
		err = problem_set(p, ERR_BROKEN, "data",
		    "the store in %s is damaged: %s; waybill fsck %s says more, and a backup "
		    "restores it",
		    dir, why.message, dir);
	(void)close(fd); /* was only read */
	return err;
}

/* Why the file is no longer what it was; NULL: it is. */
static const char *loss_of(struct db *db)
{
	char path[PATH_BYTES];
	struct stat open_one;
	struct stat named;
	int fd = -1;
	(void)snprintf(path, sizeof(path), "%s/" FILE_NAME, db->dir);
	if (mdb_env_get_fd(db->env, &fd) != MDB_SUCCESS || fstat(fd, &open_one) != 0)
		return "cannot be looked at";
	if (stat(path, &named) != 0)
		return errno == ENOENT || errno == ENOTDIR ? "is gone" : NULL;
	if (named.st_ino != open_one.st_ino || named.st_dev != open_one.st_dev)
		return "is another one";
	if ((uint64_t)open_one.st_size < db->least_bytes)
		return "was cut short";
	db->least_bytes = (uint64_t)open_one.st_size;
	return NULL;
}

bool db_is_there(struct db *db)
{
	const char *loss = db->lost ? NULL : loss_of(db);
	if (loss != NULL)
		log_error("the store's file is lost under the server, which ends",
		    LOG_S("data", db->dir), LOG_S("file", FILE_NAME), LOG_S("why", loss));
	db->lost = db->lost || loss != NULL;
	return !db->lost;
}

static struct db *new_db(const char *dir, bool readonly)
{
	struct db *db = mem_new(sizeof(*db));
	db->readonly = readonly;
	db->dir = mem_copy(dir, strlen(dir));
	db->folder = FOLDER_CLOSED;
	return db;
}

enum err db_open_readonly(const char *dir, struct db **out, struct problem *p)
{
	struct db *db = new_db(dir, true);
	enum err err = folder_claim(&db->folder, dir, db->readonly, p);
	if (err == OK)
		err = check_file(db, dir, p);
	if (err == OK) {
		int rc = open_file(db, dir, 0); /* 0: as large as the file says */
		if (rc != MDB_SUCCESS)
			err = problem_set(p, ERR_BROKEN, "data",
			    "cannot open the store in %s: %s", dir, mdb_strerror(rc));
	}
	if (err != OK) {
		db_close(db);
		return err;
	}
	*out = db;
	return OK;
}

/* Says where the map is; it moves when it grows. */
static void watch_map(const struct db *db)
{
	MDB_envinfo info;
	if (mdb_env_info(db->env, &info) == MDB_SUCCESS)
		fault_set_map(info.me_mapaddr, info.me_mapsize);
}

static enum err open_checked(struct db *db, const char *dir, uint64_t max_bytes,
    struct problem *p)
{
	fault_watch(db->dir, db->readonly ? -1 : folder_open_mark(&db->folder));
	int rc = open_file(db, dir, max_bytes);
	if (rc == MDB_SUCCESS) {
		watch_map(db);
		return OK;
	}
	return problem_set(p, ERR_BROKEN, "data",
	    "cannot open the store in %s: %s; waybill fsck %s may say more", dir,
	    mdb_strerror(rc), dir);
}

static bool has_file(const struct db *db)
{
	struct stat st;
	return fstatat(db->folder.fd, FILE_NAME, &st, 0) == 0;
}

enum err db_expect(const char *dir, struct problem *p)
{
	char path[PATH_BYTES];
	(void)snprintf(path, sizeof(path), "%s/" FILE_NAME, dir);
	if (access(path, F_OK) == 0)
		return OK;
	return problem_set(p, ERR_NOTFOUND, "data",
	    "there is no store in %s, and make_store is off: " FILE_NAME
	    ": %s. Mount its file system, or restore a backup; make_store = on makes a new one",
	    dir, strerror(errno));
}

enum err db_try(const char *dir, uint64_t max_bytes, struct db **out, struct problem *p)
{
	struct db *db = new_db(dir, true);
	*out = NULL;
	enum err err = folder_try(dir, p);
	if (err == OK)
		err = folder_look(&db->folder, dir, &db->in_use, p);
	bool has_folder = err == OK;
	if (err == ERR_NOTFOUND) /* it can be made */
		err = OK;
	if (has_folder)
		err = check_before(db, dir, p);
	if (err == OK && has_folder && has_file(db)) {
		err = open_checked(db, dir, max_bytes, p);
		*out = err == OK ? db : NULL;
	}
	if (*out == NULL)
		db_close(db);
	return err;
}

enum err db_open(const char *dir, uint64_t max_bytes, struct db **out, struct problem *p)
{
	struct db *db = new_db(dir, false);
	db->max_bytes = max_bytes;
	enum err err = folder_claim(&db->folder, dir, db->readonly, p);
	if (err == OK)
		err = check_before(db, dir, p);
	if (err == OK)
		err = open_checked(db, dir, max_bytes, p);
	if (err != OK)
		goto fail;
	err = folder_sync(&db->folder, dir, p); /* LMDB never does: the new name must last */
	if (err == OK)
		err = folder_mark(&db->folder, dir, p);
	if (err != OK)
		goto fail;
	db_clear_readers(db);
	*out = db;
	return OK;
fail:
	db_close(db);
	return err;
}

void db_close(struct db *db)
{
	if (db == NULL)
		return;
	panic_if(db->snapshot.open, "the store was closed with a snapshot open");
	if (db->read.mdb != NULL)
		mdb_txn_abort(db->read.mdb);
	if (db->env != NULL)
		mdb_env_close(db->env);
	fault_forget();
	folder_release(&db->folder);
	free(db->dir);
	free(db);
}

enum err db_begin(struct db *db, struct db_txn **out)
{
	panic_if(db->write.open, "a second write transaction was begun");
	MDB_txn *mdb = NULL;
	int rc = FAULT_IN_STORE(mdb_txn_begin(db->env, NULL, 0, &mdb));
	if (rc != MDB_SUCCESS) {
		log_error("cannot begin a transaction", LOG_S("error", mdb_strerror(rc)));
		return err_of(rc);
	}
	db->write = (struct db_txn){.db = db, .mdb = mdb, .open = true, .rows = db->rows};
	if (db->rows != NULL)
		rows_reset(db->rows);
	*out = &db->write;
	return OK;
}

void db_gather(struct db *db, struct rows *rows)
{
	panic_if(db->write.open, "rows are gathered from within a transaction");
	db->rows = rows;
}

/*
 * Whether a failed meta page write has ended the environment: LMDB then answers
 * MDB_PANIC to every transaction, and shows its flag in no other way.
 */
static bool is_broken(struct db *db)
{
	MDB_txn *probe = NULL;
	int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &probe);
	if (rc == MDB_SUCCESS)
		mdb_txn_abort(probe);
	return rc == MDB_PANIC;
}

void db_accompany(struct db *db, enum db_companion_role role, const struct db_companion *c)
{
	db->companions[role] = *c;
}

void *db_companion_of(const struct db_txn *txn, enum db_companion_role role)
{
	void *arg = txn->db->companions[role].arg;
	panic_if(arg == NULL, "a transaction goes alone: nobody counts what it writes");
	return arg;
}

enum err db_prepare(struct db_txn *txn)
{
	if (txn->prepared)
		return txn->err;
	for (int i = 0; i < DB_COMPANIONS; i++) {
		const struct db_companion *c = &txn->db->companions[i];
		if (i == DB_JOURNAL) /* which is told of all but what it writes itself */
			txn->rows = NULL;
		if (c->flush != NULL && txn->err == OK)
			c->flush(c->arg, txn);
	}
	if (txn->db->rows != NULL && txn->db->rows->bytes.failed)
		return db_txn_fail(txn, ERR_NOSPACE);
	txn->prepared = true;
	return txn->err;
}

/* The write transaction is over. */
static void end_write(struct db_txn *txn, bool committed)
{
	txn->open = false;
	for (int i = 0; i < DB_COMPANIONS; i++) {
		const struct db_companion *c = &txn->db->companions[i];
		if (c->ended != NULL)
			c->ended(c->arg, committed);
	}
}

/* Whether the file system is full, which LMDB meets as a short write and calls EIO. */
static bool is_disk_full(const struct db *db)
{
	uint64_t free_bytes = 0;
	uint64_t disk_bytes = 0;
	return folder_space(&db->folder, &free_bytes, &disk_bytes) == OK &&
	    free_bytes < DISK_FULL_BYTES;
}

enum err db_commit(struct db_txn *txn)
{
	panic_if(!txn->open, "commit without a transaction");
	if (db_prepare(txn) != OK) {
		enum err err = txn->err;
		db_abort(txn);
		return err;
	}
	int rc = FAULT_IN_STORE(mdb_txn_commit(txn->mdb));
	end_write(txn, rc == MDB_SUCCESS);
	if (rc == MDB_SUCCESS)
		return db_is_there(txn->db) ? OK : ERR_BROKEN;
	txn->db->map_full = rc == MDB_MAP_FULL;
	log_error("commit failed", LOG_S("error", mdb_strerror(rc)));
	if (err_of(rc) == ERR_BROKEN || rc == EFBIG || rc == EINVAL) /* to no page of a file */
		tell_damage(txn->db, mdb_strerror(rc));
	if (txn->db->lost || is_broken(txn->db))
		return ERR_BROKEN;
	return rc == EIO && is_disk_full(txn->db) ? ERR_NOSPACE : err_of(rc);
}

void db_abort(struct db_txn *txn)
{
	if (!txn->open)
		return;
	(void)FAULT_IN_STORE((mdb_txn_abort(txn->mdb), 0));
	end_write(txn, false);
}

enum err db_grow(struct db *db)
{
	MDB_envinfo info;
	panic_if(db->write.open || db->read.open, "the map grows under a transaction");
	uint64_t step = db->max_bytes / GROWTH_STEP;
	if (!db->map_full || db->snapshot.open || mdb_env_info(db->env, &info) != MDB_SUCCESS ||
	    info.me_mapsize + step > db->max_bytes + GROWTH_MAX * step)
		return ERR_NOSPACE;
	int rc = mdb_env_set_mapsize(db->env, info.me_mapsize + step);
	if (rc != MDB_SUCCESS) { /* the old map is gone */
		log_error("cannot map the store", LOG_S("error", mdb_strerror(rc)));
		return ERR_BROKEN;
	}
	watch_map(db);
	log_warn("the store grows beyond its largest size",
	    LOG_N("bytes", info.me_mapsize + step), LOG_N("max_bytes", db->max_bytes));
	return OK;
}

/* Up to the end of the last page that was ever in use. */
static uint64_t file_bytes(const struct db *db)
{
	MDB_envinfo info = {0};
	(void)mdb_env_info(db->env, &info); /* fails without an environment alone */
	return (info.me_last_pgno + 1) * (uint64_t)sysconf(_SC_PAGESIZE);
}

enum err db_reserve(struct db *db)
{
	int fd = -1;
	uint64_t end = file_bytes(db);
	if (end + RESERVE_BYTES / 2 <= db->reserved)
		return OK;
	if (mdb_env_get_fd(db->env, &fd) != MDB_SUCCESS)
		return ERR_STORE;
	enum err err = folder_reserve(fd, end, RESERVE_BYTES);
	if (err == OK)
		db->reserved = end + RESERVE_BYTES;
	return err;
}

enum err db_read(struct db *db, struct db_txn **out)
{
	panic_if(db->read.open, "a second read transaction was begun");
	int rc = db->read.mdb == NULL ? mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->read.mdb)
				      : mdb_txn_renew(db->read.mdb);
	if (rc != MDB_SUCCESS) {
		log_error("cannot read the store", LOG_S("error", mdb_strerror(rc)));
		return err_of(rc);
	}
	db->read.db = db;
	db->read.err = OK;
	db->read.open = true;
	*out = &db->read;
	return OK;
}

void db_read_end(struct db_txn *txn)
{
	mdb_txn_reset(txn->mdb);
	txn->open = false;
}

enum err db_snapshot(struct db *db, struct db_txn **out)
{
	MDB_txn *mdb = NULL;
	if (db->snapshot.open)
		return ERR_BUSY;
	int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &mdb);
	if (rc != MDB_SUCCESS) {
		log_error("cannot read the store", LOG_S("error", mdb_strerror(rc)));
		return err_of(rc);
	}
	db->snapshot = (struct db_txn){.db = db, .mdb = mdb, .open = true};
	*out = &db->snapshot;
	return OK;
}

void db_snapshot_end(struct db_txn *txn)
{
	mdb_txn_abort(txn->mdb);
	txn->open = false;
}

/* The tables whose rows come and go with events. */
static const bool IS_TRAFFIC[DB_TABLES] = {
    [DB_EVENTS] = true,
    [DB_DELIVERIES] = true,
    [DB_QUEUE] = true,
    [DB_DEAD] = true,
    [DB_DEAD_BY_AGE] = true,
    [DB_SETTLED] = true,
    [DB_REPEATS] = true,
    [DB_REPEATS_BY_AGE] = true,
    [DB_ATTEMPTS] = true,
    [DB_HISTORY] = true,
    [DB_OPEN] = true,
};

/* The live pages of a table; 0 behind an error, which sticks. */
static uint64_t table_pages(struct db_txn *txn, int t)
{
	MDB_stat st = {0};
	(void)db_result(txn, mdb_stat(txn->mdb, txn->db->tables[t], &st));
	return txn->err != OK ? 0
			      : st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
}

uint64_t db_max_bytes(const struct db *db)
{
	return db->max_bytes;
}

enum err db_usage(struct db *db, struct db_usage *out)
{
	struct db_txn *txn = NULL;
	uint64_t free_bytes = 0;
	uint64_t disk_bytes = 0;
	enum err err = folder_space(&db->folder, &free_bytes, &disk_bytes);
	if (err == OK)
		err = db_read(db, &txn);
	if (err != OK)
		return err;
	uint64_t pages = 0;
	uint64_t traffic = 0;
	uint64_t keys = 0;
	for (int t = 0; t < DB_TABLES; t++) {
		uint64_t n = table_pages(txn, t);
		pages += n;
		traffic += IS_TRAFFIC[t] ? n : 0;
		keys += t == DB_REPEATS ? n : 0;
	}
	err = txn->err;
	db_read_end(txn);
	long page_bytes = sysconf(_SC_PAGESIZE);
	*out = (struct db_usage){
	    .used_bytes = pages * (uint64_t)page_bytes,
	    .traffic_bytes = traffic * (uint64_t)page_bytes,
	    .keys_bytes = keys * (uint64_t)page_bytes,
	    .max_bytes = db->max_bytes,
	    .file_bytes = file_bytes(db),
	    .disk_free_bytes = free_bytes,
	    .disk_bytes = disk_bytes,
	    .page_bytes = (uint64_t)page_bytes,
	};
	return err;
}

enum err db_rows(struct db_txn *txn, enum db_table t, uint64_t *out)
{
	MDB_stat st = {0};
	if (txn->err != OK)
		return txn->err;
	if (txn->db->tables[t] != NO_TABLE &&
	    db_result(txn, mdb_stat(txn->mdb, txn->db->tables[t], &st)) != OK)
		return txn->err;
	*out = st.ms_entries;
	return OK;
}

const char *db_table_name(enum db_table t)
{
	return TABLE_NAMES[t];
}

void db_clear_readers(struct db *db)
{
	int dead = 0;
	int rc = mdb_reader_check(db->env, &dead);
	if (rc != MDB_SUCCESS || dead > 0)
		log_info("cleared reader slots of dead processes", LOG_N("slots", dead));
}

static MDB_val val_of(struct slice s)
{
	/* LMDB does not write through the pointers that it is given */
	return (MDB_val){.mv_size = s.len, .mv_data = (void *)(uintptr_t)s.ptr};
}

static struct slice slice_of_val(MDB_val v)
{
	return (struct slice){.ptr = v.mv_data, .len = v.mv_size};
}

/* No row of ours is so long: LMDB gives any length that a damaged page says. */
static enum err take_val(struct db_txn *txn, MDB_val v, struct slice *out)
{
	if (v.mv_size > ROW_BYTES_MAX)
		return db_result(txn, MDB_CORRUPTED);
	*out = slice_of_val(v);
	return OK;
}

enum err db_get(struct db_txn *txn, enum db_table t, struct slice key, struct slice *value)
{
	if (txn->err != OK)
		return txn->err;
	if (txn->db->tables[t] == NO_TABLE)
		return ERR_NOTFOUND;
	MDB_val k = val_of(key);
	MDB_val v = {0};
	enum err err = db_result(txn,
	    FAULT_IN_STORE(mdb_get(txn->mdb, txn->db->tables[t], &k, &v)));
	return err == OK ? take_val(txn, v, value) : err;
}

static enum err put(struct db_txn *txn, enum db_table t, struct slice key, struct slice value,
    unsigned flags)
{
	if (txn->err != OK)
		return txn->err;
	MDB_val k = val_of(key);
	MDB_val v = val_of(value);
	size_t gathered = 0;
	if (txn->rows != NULL) /* before: what is borrowed from a page moves with the write */
		gathered = rows_add_put(txn->rows, t, key, value);
	enum err err = db_result(txn,
	    FAULT_IN_STORE(mdb_put(txn->mdb, txn->db->tables[t], &k, &v, flags)));
	if (txn->rows != NULL && err != OK)
		rows_take_back(txn->rows, gathered);
	return err;
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
	size_t gathered = 0;
	if (txn->rows != NULL)
		gathered = rows_add_del(txn->rows, t, key);
	enum err err = db_result(txn,
	    FAULT_IN_STORE(mdb_del(txn->mdb, txn->db->tables[t], &k, NULL)));
	if (txn->rows != NULL && err != OK)
		rows_take_back(txn->rows, gathered);
	return err;
}

enum err db_cursor(struct db_txn *txn, enum db_table t, struct db_cursor **out)
{
	if (txn->err != OK)
		return txn->err;
	if (txn->db->tables[t] == NO_TABLE)
		return ERR_NOTFOUND;
	MDB_cursor *mdb = NULL;
	enum err err = db_result(txn, mdb_cursor_open(txn->mdb, txn->db->tables[t], &mdb));
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
	enum err err = db_result(c->txn, FAULT_IN_STORE(mdb_cursor_get(c->mdb, &key, &v, op)));
	if (err == OK)
		err = take_val(c->txn, key, found);
	return err == OK ? take_val(c->txn, v, value) : err;
}

enum err db_seek(struct db_cursor *c, struct slice key, struct slice *found,
    struct slice *value)
{
	return move(c, MDB_SET_RANGE, val_of(key), found, value);
}

enum err db_seek_behind(struct db_cursor *c, struct slice key, struct slice *found,
    struct slice *value)
{
	if (key.len == 0)
		return move(c, MDB_FIRST, (MDB_val){0}, found, value);
	enum err err = db_seek(c, key, found, value);
	return err == OK && slice_eq(*found, key) ? db_next(c, found, value) : err;
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
