/*
 * The tables of webhooks: the records by number (8 bytes), and for each session
 * and URL, and each session and name, the number that has it, so that none is there
 * twice in a session, whatever is staged in the same turn. DB_META keeps the largest number
 * that was given away: records of deliveries name their webhook by it for as long
 * as they are kept, and must never mean another one.
 *
 * `vault` has the keys that secrets are encrypted under; NULL or without keys: they are not.
 */
#ifndef STORE_WEBHOOKS_H
#define STORE_WEBHOOKS_H

#include "domain/webhook.h"
#include "store/db.h"

/*
 * Adds `w`, whose number is new. ERR_EXISTS where its session has its URL or its name already:
 * nothing is written.
 */
MUST_CHECK enum err webhooks_add(struct db_txn *txn, const struct vault *vault,
    const struct webhook *w);

/*
 * Reads the largest number that a webhook ever had, without WEBHOOK_FOR_ALL, erased ones too; 0
 * where there was none.
 */
MUST_CHECK enum err webhooks_last_number(struct db_txn *txn, uint64_t *out);

/* Reads one; *out is the caller's to free. ERR_NOTFOUND, ERR_CORRUPT (a missing key, too). */
MUST_CHECK enum err webhooks_get(struct db_txn *txn, const struct vault *vault, uint64_t number,
    struct webhook **out);

/* The same without a key, as webhooks_decode() does. */
MUST_CHECK enum err webhooks_get_open(struct db_txn *txn, uint64_t number,
    struct webhook **out);

/*
 * Decodes a record as far as that goes without a key (webhook_decode_open()); *out is the
 * caller's to free. ERR_CORRUPT.
 */
MUST_CHECK enum err webhooks_decode(struct slice key, struct slice value, struct webhook **out);

/* Borrows the value that DB_URLS has for the session and URL of `w`. ERR_NOTFOUND. */
MUST_CHECK enum err webhooks_find_url(struct db_txn *txn, const struct webhook *w,
    struct slice *number);

/* The same for the row of that session and name. */
MUST_CHECK enum err webhooks_find_name(struct db_txn *txn, struct slice session,
    struct slice name, struct slice *number);

/* Whether `w` may have its URL, or its name: ERR_EXISTS where another of its session has. */
MUST_CHECK enum err webhooks_check_url(struct db_txn *txn, const struct webhook *w);
MUST_CHECK enum err webhooks_check_name(struct db_txn *txn, const struct webhook *w);

/* Replaces the record of `old` by `w`, of the same number. ERR_EXISTS as in webhooks_add(). */
MUST_CHECK enum err webhooks_change(struct db_txn *txn, const struct vault *vault,
    const struct webhook *old, const struct webhook *w);

/*
 * Marks `w` deleted, drops its secrets and frees its URL and its name; the record stays until
 * its queue is purged.
 */
MUST_CHECK enum err webhooks_retire(struct db_txn *txn, const struct vault *vault,
    struct webhook *w);

/* Removes the record of a retired webhook, and how its attempts went. ERR_NOTFOUND. */
MUST_CHECK enum err webhooks_erase(struct db_txn *txn, uint64_t number);

/*
 * Calls `fn` with each webhook in order of number; it becomes `fn`'s to free. ERR_CORRUPT
 * ends it, and so does ERR_REFUSED, for a record under a key that the vault does not have:
 * `p` then names webhook and key.
 */
MUST_CHECK enum err webhooks_each(struct db_txn *txn, const struct vault *vault,
    void (*fn)(void *arg, struct webhook *w), void *arg, struct problem *p);

/*
 * Looks at the first webhook whose number is above *last, which becomes that number. One
 * whose record is not under the vault's first key, or has a secret that has expired at
 * `now_ms`, is written anew: it is *out, the caller's to free; else that is NULL.
 * ERR_NOTFOUND: there is none left. ERR_CORRUPT: this one stays as it is.
 */
MUST_CHECK enum err webhooks_renew(struct db_txn *txn, const struct vault *vault,
    int64_t now_ms, uint64_t *last, struct webhook **out);

/* Makes the table of URLs and names anew from the webhooks, for a migration. */
MUST_CHECK enum err webhooks_rebuild_urls(struct db_txn *txn);

/*
 * Writes a slice of the rows anew, whose checksums then cover their keys. *more: there are
 * others; from where on is in DB_META meanwhile. A row that cannot be read stays as it is.
 */
MUST_CHECK enum err webhooks_reseal(struct db_txn *txn, bool *more);

#endif
