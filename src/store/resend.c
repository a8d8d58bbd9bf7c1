/* Sending again and giving up; see resend.h. */
#include "store/resend.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/record.h"
#include "store/dead_letters.h"
#include "store/queue.h"
#include "store/retention.h"

#define NAMED_KEY SLICE("letters_named") /* in DB_META, while the migration is under way */
#define NAMED_MAX 1000                   /* dead letters a transaction */

/* It waits: only when it is due changes. */
static enum err hurry(struct db_txn *txn, struct delivery *d, bool fifo, int64_t now_ms)
{
	int64_t old_place_ms = d->place_ms;
	d->due_ms = now_ms;
	d->queued_ms = now_ms;
	d->place_ms = fifo ? d->place_ms : now_ms;
	return queue_move(txn, d, old_place_ms);
}

/* The dead letter of `d`, if it is there, is dropped. */
static enum err drop_letter(struct db_txn *txn, struct slice session, struct delivery *d)
{
	enum err err = dead_letters_del(txn, session, &d->letter);
	d->letter = (struct uuid){0};
	return err == ERR_NOTFOUND ? OK : err;
}

enum err resend_delivery(struct db_txn *txn, struct slice session, struct delivery *d,
    bool fifo, int64_t now_ms)
{
	if (d->status == DELIVERY_WAITING)
		return hurry(txn, d, fifo, now_ms);
	enum err err = d->status == DELIVERY_DEAD ? drop_letter(txn, session, d)
						  : retention_reopen(txn, d);
	if (err != OK)
		return err;
	d->status = DELIVERY_WAITING;
	d->replayed_at = d->attempts;
	d->replays++;
	d->place_ms = now_ms;
	d->due_ms = now_ms;
	d->queued_ms = now_ms;
	return queue_add(txn, d);
}

enum err resend_cancel(struct db_txn *txn, struct slice session, struct delivery *d,
    int64_t now_ms)
{
	enum err err = ERR_CONFLICT;
	if (d->status == DELIVERY_WAITING)
		err = queue_remove(txn, d);
	else if (d->status == DELIVERY_DEAD)
		err = drop_letter(txn, session, d);
	if (err != OK)
		return err;
	d->status = DELIVERY_CANCELLED;
	return retention_settle(txn, d, now_ms);
}

/* Lets the delivery of the dead letter under `key` name it; one that cannot be read stays. */
static enum err name_letter(struct db_txn *txn, struct slice key, struct slice value,
    struct dead_letter *dead)
{
	struct slice session;
	struct delivery d;
	if (dead_letters_decode(key, value, &session, dead) != OK)
		return OK;
	enum err err = queue_get(txn, &dead->delivery_id, &d);
	if (err != OK || d.status != DELIVERY_DEAD)
		return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
	d.letter = dead->id;
	return queue_put(txn, &d);
}

/* Goes behind the key up to which all were named. ERR_NOTFOUND at the end. */
static enum err seek_unnamed(struct db_txn *txn, struct db_cursor *cursor, struct slice *key,
    struct slice *value)
{
	struct slice record;
	struct reader r;
	enum err err = db_get(txn, DB_META, NAMED_KEY, &record);
	if (err == ERR_NOTFOUND)
		return db_next(cursor, key, value);
	if (err == OK)
		err = record_open(record, record_place(DB_META, NAMED_KEY), &r);
	if (err != OK)
		return err;
	return db_seek_behind(cursor, get_bytes(&r, r.left), key, value);
}

enum err resend_name_letters(struct db_txn *txn, bool *more)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct buf last = BUF_INIT(DB_KEY_MAX + RECORD_CHECKSUM);
	*more = false;
	enum err err = db_cursor(txn, DB_DEAD, &cursor);
	if (err != OK)
		return err;
	struct dead_letter *dead = mem_new(sizeof(*dead));
	err = seek_unnamed(txn, cursor, &key, &value);
	for (int n = 0; err == OK && !*more;) {
		*more = ++n == NAMED_MAX;
		buf_reset(&last);
		buf_slice(&last, key);
		err = name_letter(txn, key, value, dead);
		if (err == OK && !*more)
			err = db_next(cursor, &key, &value);
	}
	record_seal(&last, record_place(DB_META, NAMED_KEY));
	if (*more && err == OK)
		err = db_put(txn, DB_META, NAMED_KEY, buf_view(&last));
	else if (err == ERR_NOTFOUND)
		err = db_del(txn, DB_META, NAMED_KEY);
	buf_fini(&last);
	free(dead);
	db_cursor_close(cursor);
	return err == ERR_NOTFOUND ? OK : err;
}
