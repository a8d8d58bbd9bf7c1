/*
 * Deliveries by hand: sending one again, whatever became of it, and giving one up. Keeps the
 * queue, the dead letters and the events' counts in step with what the record says.
 *
 * A delivery that is sent again is the same one: same id, same bytes, its attempts counted on.
 * It never makes a second delivery, and never looks at what is in flight: an attempt that is
 * under way meanwhile finds in the record whether it still counts (delivery.replays).
 */
#ifndef STORE_RESEND_H
#define STORE_RESEND_H

#include "domain/delivery.h"
#include "domain/webhook.h"
#include "store/db.h"

/*
 * Makes `d`, of webhook `w`, due at once at `now_ms`. One that waits goes to that place in the
 * queue, or keeps its own where it is ordered; any other is put back into the queue, at the end
 * of it, or of its lane: its schedule starts anew, and it does not expire. A dead letter of it
 * leaves its session's list. *d is the delivery as it then is. O(bytes of the event) with a
 * key.
 * With nothing written: ERR_NOTFOUND where its event is gone or cannot be read; ERR_FULL,
 * ERR_NOSPACE where its event is over and its session may hold no more of the store (usage.h).
 */
MUST_CHECK enum err resend_delivery(struct db_txn *txn, struct slice session,
    struct delivery *d, const struct webhook *w, int64_t now_ms);

/*
 * Gives up `d`, which waits or is dead: it is cancelled, and its dead letter dropped.
 * ERR_CONFLICT where it is over already.
 */
MUST_CHECK enum err resend_cancel(struct db_txn *txn, struct slice session, struct delivery *d,
    int64_t now_ms);

/*
 * Lets each dead delivery name its dead letter, for a migration; a slice, *more says whether
 * it must be called again.
 */
MUST_CHECK enum err resend_name_letters(struct db_txn *txn, bool *more);

#endif
