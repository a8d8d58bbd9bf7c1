/*
 * The key under which portal tokens are made (domain/portal.h): a row of DB_META, so that every
 * member of a cluster has the same; encrypted under the vault's first key, where it has one.
 */
#ifndef STORE_PORTAL_KEY_H
#define STORE_PORTAL_KEY_H

#include "domain/portal.h"
#include "domain/vault.h"
#include "store/db.h"

/*
 * Reads the key; *is_current says whether it is encrypted as it would be now. ERR_NOTFOUND:
 * there is none so far. ERR_REFUSED: the vault lacks its key. ERR_CORRUPT.
 */
MUST_CHECK enum err portal_key_get(struct db_txn *txn, const struct vault *vault,
    unsigned char out[PORTAL_KEY_SIZE], bool *is_current);

/* Writes it, in the place of the one before. The sticky error. */
MUST_CHECK enum err portal_key_put(struct db_txn *txn, const struct vault *vault,
    const unsigned char key[PORTAL_KEY_SIZE]);

/* Whether there is one, readable or not: without one no token was ever made. */
bool portal_key_is_there(struct db_txn *txn);

/* Whether a row of DB_META is that of the key; then *sound says whether it is whole. */
bool portal_key_check(struct slice key, struct slice value, bool *sound);

#endif
