/*
 * The backlog: how many deliveries wait for each webhook. Kept on disk, in DB_BACKLOG (key:
 * webhook number; value: how many, sealed; none waiting, no row), so that a start need not
 * count the queue, and in memory, so that asking costs nothing.
 *
 * queue.c tells it of every place that it makes or removes. In memory the numbers change at
 * once, so that an operation sees what those before it in its turn have added. On disk they
 * are written once a webhook right before the commit, in the same transaction as the places;
 * one that fails takes its changes out of memory again. Outside a transaction memory and disk
 * are the same.
 *
 * It never walks the queue, but for a migration.
 */
#ifndef STORE_BACKLOG_H
#define STORE_BACKLOG_H

#include <stdint.h>

#include "store/db.h"
#include "store/registry.h"

struct backlog;

/*
 * Reads the numbers of `db` and goes along with its transactions from then on: without it no
 * place of the queue may be made or removed. backlog_free() it, before the db is closed.
 * The store's error. One step a webhook that has any waiting.
 */
MUST_CHECK enum err backlog_new(struct db *db, struct backlog **out);
void backlog_free(struct backlog *b);

/* Adds `by` to what waits for `webhook`, in this write transaction. For queue.c. */
void backlog_change(struct db_txn *txn, uint64_t webhook, int by);

/* How many deliveries wait for `webhook`: its queue's depth. Those in flight wait too. */
uint64_t backlog_of(const struct backlog *b, uint64_t webhook);

/* The same over the session's webhooks, retired ones left out. One step a webhook. */
uint64_t backlog_of_session(const struct backlog *b, const struct registry *reg,
    struct slice session);

/* The same over all webhooks, retired ones too. */
uint64_t backlog_total(const struct backlog *b);

/* Counts the queue and writes the table anew; O(queue). For a store that never had it. */
MUST_CHECK enum err backlog_recount(struct db_txn *txn);

#endif
