/* Walks over deliveries to the first that waits; see oldest.h. */
#include "store/oldest.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

#define STEP_MAX 20000 /* deliveries a step: some milliseconds */

struct oldest {
	struct db *db;
	const struct backlog *backlog;
	struct uuid from; /* nothing before it waits */
	bool known;       /* a walk has come to its end */
};

struct oldest *oldest_new(struct db *db, const struct backlog *backlog)
{
	struct oldest *o = mem_new(sizeof(*o));
	o->db = db;
	o->backlog = backlog;
	return o;
}

void oldest_free(struct oldest *o)
{
	free(o);
}

void oldest_queued(struct oldest *o, const struct uuid *id)
{
	if (uuid_before(id, &o->from))
		o->from = *id;
}

static bool is_waiting(const struct uuid *id, struct slice value)
{
	struct delivery d;
	return queue_decode(id, value, &d) == OK && d.status == DELIVERY_WAITING;
}

static enum err walk_oldest(struct oldest *o, struct db_cursor *cursor)
{
	struct slice key;
	struct slice value;
	struct slice from = {(const char *)o->from.bytes, UUID_SIZE};
	enum err err = db_seek(cursor, from, &key, &value);
	for (int i = 0; err == OK && i < STEP_MAX; i++) {
		if (key.len == UUID_SIZE)
			memcpy(o->from.bytes, key.ptr, UUID_SIZE);
		if (is_waiting(&o->from, value)) {
			o->known = true;
			return OK;
		}
		err = db_next(cursor, &key, &value);
	}
	if (err == ERR_NOTFOUND)
		o->known = true;
	return err == ERR_NOTFOUND ? OK : err;
}

void oldest_step(struct oldest *o)
{
	struct db_txn *txn = NULL;
	struct db_cursor *cursor = NULL;
	if (backlog_total(o->backlog) == 0)
		o->known = true;
	enum err err = db_read(o->db, &txn);
	if (err == OK)
		err = db_cursor(txn, DB_DELIVERIES, &cursor);
	if (err == OK) {
		err = walk_oldest(o, cursor);
		db_cursor_close(cursor);
	}
	if (txn != NULL)
		db_read_end(txn);
	if (err != OK)
		log_error("cannot look for the oldest delivery", LOG_S("error", err_text(err)));
}

bool oldest_created(const struct oldest *o, int64_t *created_ms)
{
	if (!o->known)
		return false;
	*created_ms = backlog_total(o->backlog) == 0 ? 0 : uuid_time(&o->from);
	return true;
}
