/*
 * A new store from the stream of a backup; see backup.h. Bytes are kept until a frame is
 * complete; rows are appended in their order and committed every few MiB.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backup/backup.h"
#include "backup/backup_form.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/record.h"

#define INCOMPLETE ERR_BUSY

#define FRAME_MAX (1u << 20)           /* bytes; rows are far shorter */
#define COMMIT_BYTES (8u << 20)        /* of rows: what a transaction holds in memory */
#define MAP_BYTES_MIN (16ULL << 20)    /* what the setting store_max_bytes allows at least */
#define MAP_BYTES_MAX (16384ULL << 30) /* and at most */

struct backup_sink {
	char *dir;
	struct db *db; /* NULL before the stream's head */
	struct db_txn *txn;
	struct buf held; /* bytes of a frame that is not complete */
	struct hash_sum *sum;
	enum db_table table;
	bool has_table;
	bool ended;
	uint64_t rows;
	size_t uncommitted; /* bytes */
};

enum err backup_sink_new(const char *dir, struct backup_sink **out, struct problem *p)
{
	if (mkdir(dir, 0700) != 0)
		return problem_set(p, errno == EEXIST ? ERR_EXISTS : ERR_IO, "",
		    "cannot make folder %s: %s", dir, strerror(errno));
	struct backup_sink *s = mem_new(sizeof(*s));
	s->dir = mem_copy(dir, strlen(dir));
	s->held = BUF_INIT(2 * FRAME_MAX);
	s->sum = hash_sum_new();
	*out = s;
	return OK;
}

void backup_sink_free(struct backup_sink *s)
{
	if (s == NULL)
		return;
	if (s->txn != NULL)
		db_abort(s->txn);
	db_close(s->db);
	hash_sum_free(s->sum);
	buf_fini(&s->held);
	free(s->dir);
	free(s);
}

static enum err refuse(struct problem *p, const char *why)
{
	return problem_set(p, ERR_SYNTAX, "", "%s", why);
}

static enum err fail_store(struct problem *p, enum err err)
{
	return problem_set(p, err, "", "the new store cannot be written: %s", err_text(err));
}

static enum err commit(struct backup_sink *s, struct problem *p)
{
	struct db_txn *txn = s->txn;
	s->txn = NULL;
	s->uncommitted = 0;
	enum err err = txn == NULL ? OK : db_commit(txn);
	return err == OK ? OK : fail_store(p, err);
}

/* Each take_… reads one frame; INCOMPLETE where its end has not come yet. */

static enum err take_head(struct backup_sink *s, struct reader *r, struct problem *p)
{
	struct slice magic = get_bytes(r, BACKUP_MAGIC.len);
	uint8_t version = get_u8(r);
	uint64_t map_bytes = get_u64(r);
	if (!slice_starts(BACKUP_MAGIC, magic))
		return refuse(p, "this is not a backup");
	if (r->failed)
		return INCOMPLETE;
	if (version != BACKUP_VERSION)
		return problem_set(p, ERR_SYNTAX, "",
		    "the backup has form %u, this waybill knows form %d", version,
		    BACKUP_VERSION);
	if (map_bytes < MAP_BYTES_MIN || map_bytes > MAP_BYTES_MAX)
		return refuse(p, "the backup's head is damaged");
	enum err err = db_open(s->dir, map_bytes, &s->db, p);
	return err == INCOMPLETE ? ERR_IO : err;
}

static enum err take_table(struct backup_sink *s, struct reader *r, struct problem *p)
{
	struct slice name = get_text(r);
	if (r->failed)
		return INCOMPLETE;
	for (enum db_table t = 0; t < DB_TABLES; t++) {
		if (slice_eq(name, slice_of(db_table_name(t)))) {
			s->table = t;
			s->has_table = true;
			return OK;
		}
	}
	return refuse(p, "the backup has a table that this waybill does not know");
}

static enum err take_row(struct backup_sink *s, struct reader *r, struct problem *p)
{
	struct slice key = get_text(r);
	struct slice value = get_bytes(r, get_u32(r));
	if (r->failed)
		return INCOMPLETE;
	if (!s->has_table || key.len == 0)
		return refuse(p, "the backup has a row without a table or a key");
	enum err err = s->txn == NULL ? db_begin(s->db, &s->txn) : OK;
	if (err == OK)
		err = db_append(s->txn, s->table, key, value);
	if (err == ERR_EXISTS)
		return refuse(p, "the backup's rows are not in order");
	if (err != OK)
		return fail_store(p, err);
	s->rows++;
	s->uncommitted += key.len + value.len;
	return s->uncommitted < COMMIT_BYTES ? OK : commit(s, p);
}

/* The checksum covers the frame but for itself, its last 8 bytes. */
static enum err take_end(struct backup_sink *s, struct reader *r, struct slice frame,
    struct problem *p)
{
	uint64_t rows = get_u64(r);
	size_t covered = frame.len - r->left;
	uint64_t sum = get_u64(r);
	if (r->failed)
		return INCOMPLETE;
	hash_sum_add(s->sum, frame.ptr, covered);
	if (rows != s->rows || sum != hash_sum_get(s->sum))
		return refuse(p, "the backup's checksum is wrong: it was damaged on the way");
	s->ended = true;
	return commit(s, p);
}

static enum err take_frame(struct backup_sink *s, struct slice frame, struct reader *r,
    struct problem *p)
{
	if (s->db == NULL)
		return take_head(s, r, p);
	switch (get_u8(r)) {
	case BACKUP_TABLE:
		return take_table(s, r, p);
	case BACKUP_ROW:
		return take_row(s, r, p);
	case BACKUP_END:
		return take_end(s, r, frame, p);
	default:
		return refuse(p, "the backup is damaged");
	}
}

/* Takes complete frames off the front of what is held. */
static enum err take_frames(struct backup_sink *s, struct problem *p)
{
	size_t taken = 0;
	enum err err = OK;
	while (err == OK && taken < s->held.len) {
		struct slice rest = {s->held.data + taken, s->held.len - taken};
		struct reader r = reader_of(rest);
		if (s->ended)
			return refuse(p, "the backup goes on behind its end");
		err = take_frame(s, rest, &r, p);
		if (err != OK)
			break;
		if (!s->ended)
			hash_sum_add(s->sum, rest.ptr, rest.len - r.left);
		taken += rest.len - r.left;
	}
	memmove(s->held.data, s->held.data + taken, s->held.len - taken);
	s->held.len -= taken;
	return err == INCOMPLETE ? OK : err;
}

enum err backup_sink_write(struct backup_sink *s, struct slice bytes, struct problem *p)
{
	while (bytes.len > 0) {
		size_t n = bytes.len < FRAME_MAX ? bytes.len : FRAME_MAX;
		buf_append(&s->held, bytes.ptr, n);
		if (s->held.failed)
			return refuse(p, "the backup has a row that is too long");
		enum err err = take_frames(s, p);
		if (err != OK)
			return err;
		bytes.ptr += n;
		bytes.len -= n;
	}
	return OK;
}

enum err backup_sink_finish(struct backup_sink *s, struct problem *p)
{
	if (!s->ended)
		return refuse(p, "the backup ended early");
	db_close(s->db);
	s->db = NULL;
	return OK;
}
