/*
 * The check of a store that nobody writes: proves that every record is whole and that the
 * tables agree with each other. It is what `waybill fsck` does, and the oracle of the tests
 * that break the store.
 *
 * What is checked is a table of functions, one for each table of the store (check_rows.c):
 * one that is added to enum db_table gets a row there. Rows are walked with cursors; memory
 * does not follow the store's size.
 *
 * It never: writes, repairs, shows what a record holds (webhooks hold secrets).
 */
#ifndef FSCK_CHECK_H
#define FSCK_CHECK_H

#include "store/db.h"

/* Is told of each finding: a line of text without a line feed, borrowed for the call. */
typedef void (*check_found_fn)(void *arg, const char *finding);

struct check_result {
	uint64_t rows[DB_TABLES]; /* that were walked */
	uint64_t findings;
	uint32_t other_version; /* the store's, where it is another: then no row was; else 0 */
};

/*
 * Checks the whole store, of the version that this waybill writes, or with nothing in it.
 * Damage is a finding, also where it keeps a table from being read to its end. States in the
 * middle of work that is done in slices (a deleted webhook whose queue is being emptied, an
 * older entry in DB_SETTLED of an event that was replayed since) are sound.
 *
 * Damage below the tables must have been ruled out: LMDB trusts its file. db_open_readonly()
 * has done so (pages.h), and so has a store that was just written.
 */
void check_store(struct db *db, check_found_fn found, void *arg, struct check_result *out);

#endif
