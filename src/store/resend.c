/* Sending again and giving up; see resend.h. */
#include "store/resend.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/dead_letters.h"
#include "store/lanes.h"
#include "store/migration.h"
#include "store/queue.h"
#include "store/retention.h"

#define NAMED_KEY SLICE("letters_named") /* in DB_META, while the migration is under way */
#define NAMED_MAX 1000                   /* dead letters a transaction */

/* It waits: only when it is due changes. */
static enum err hurry(struct db_txn *txn, struct delivery *d, bool keeps_place, int64_t now_ms)
{
	int64_t old_place_ms = d->place_ms;
	d->due_ms = now_ms;
	d->queued_ms = now_ms;
	d->place_ms = keeps_place ? d->place_ms : now_ms;
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
    const struct webhook *w, int64_t now_ms)
{
	size_t bytes = 0;
	if (d->status == DELIVERY_WAITING)
		return hurry(txn, d, webhook_keeps_places(w), now_ms);
	enum err err = lanes_find(txn, w->key, d, &d->lane, &bytes); /* may have had another */
	if (err != OK)
		return err;
	err = d->status == DELIVERY_DEAD ? drop_letter(txn, session, d)
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

enum err resend_name_letters(struct db_txn *txn, bool *more)
{
	struct db_cursor *cursor = NULL;
	struct slice key;
	struct slice value;
	struct migration_position position;
	struct dead_letter *dead = mem_new(sizeof(*dead));
	enum err err = migration_read(txn, NAMED_KEY, &position);
	if (err == OK)
		err = db_cursor(txn, DB_DEAD, &cursor);
	if (err == OK)
		err = db_seek_behind(cursor, (struct slice){position.bytes, position.len}, &key,
		    &value);
	for (int n = 0; err == OK && n < NAMED_MAX; n++) {
		migration_set(&position, key);
		err = name_letter(txn, key, value, dead);
		if (err == OK)
			err = db_next(cursor, &key, &value);
	}
	free(dead);
	db_cursor_close(cursor);
	*more = err == OK;
	if (err == ERR_NOTFOUND)
		return migration_end(txn, NAMED_KEY);
	return err == OK ? migration_write(txn, NAMED_KEY, &position) : err;
}
