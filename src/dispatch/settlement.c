/* Writes outcomes; see settlement.h. */
#include "dispatch/settlement.h"

#include "store/dead_letters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/webhooks.h"

static enum err write_delivered(const struct settlement *o, struct db_txn *txn)
{
	enum err err = queue_remove(txn, &o->delivery, false);
	return err == OK ? events_release(txn, &o->delivery.event_id) : err;
}

static enum err write_retry(const struct settlement *o, struct db_txn *txn)
{
	struct delivery d = o->delivery;
	d.due_ms = o->retry_ms;
	d.queued_ms = o->now_ms;
	if (!o->fifo)
		d.place_ms = o->retry_ms;
	return queue_move(txn, &d, o->delivery.place_ms);
}

static enum err write_dead(const struct settlement *o, struct db_txn *txn)
{
	struct delivery d = o->delivery;
	d.status = DELIVERY_DEAD;
	enum err err = queue_remove(txn, &d, true);
	if (err == OK)
		err = queue_put(txn, &d);
	return err == OK ? dead_letters_put(txn, o->session, o->dead) : err;
}

static enum err write_disabled(struct settlement *o, struct db_txn *txn)
{
	struct webhook *w = NULL;
	webhook_free(o->disabled); /* of a transaction that was voided */
	o->disabled = NULL;
	enum err err = webhooks_get(txn, o->delivery.webhook, &w);
	if (err != OK || w->deleted || !w->enabled) {
		webhook_free(w);
		return err == ERR_NOTFOUND ? OK : err;
	}
	webhook_set_enabled(w, "the receiver answered 410 Gone");
	w->updated_ms = o->now_ms;
	err = webhooks_change(txn, w, w);
	o->disabled = w;
	return err;
}

enum err settlement_write(struct settlement *o, struct db_txn *txn)
{
	enum err err = OK;
	switch (o->verdict) {
	case VERDICT_DELIVERED:
		err = write_delivered(o, txn);
		break;
	case VERDICT_RETRY:
		err = write_retry(o, txn);
		break;
	case VERDICT_DEAD:
		err = write_dead(o, txn);
		break;
	}
	if (err == OK && o->disable)
		err = write_disabled(o, txn);
	return err;
}
