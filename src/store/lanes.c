/* See lanes.h. */
#include "store/lanes.h"

#include "store/events.h"

enum err lanes_find(struct db_txn *txn, const struct lane_key *key, const struct delivery *d,
    uint16_t *lane, size_t *bytes)
{
	struct event e;
	struct buf body = BUF_INIT(EVENT_BODY_MAX);
	*lane = LANE_NONE;
	if (key == NULL)
		return OK;
	enum err err = events_get(txn, &d->event_id, &e, &body);
	if (err == OK)
		*lane = lane_key_find(key, buf_view(&body));
	*bytes += body.len;
	buf_fini(&body);
	return err == ERR_NOTFOUND || err == ERR_CORRUPT ? OK : err;
}
