/*
 * The turn: what one pass of the loop wants written, committed as one synced
 * transaction at its end. The one place where anything is written.
 *
 * Operations are staged during the pass and applied in the order in which they
 * were staged. Each then hears, after the commit, what became of it; only then
 * may an answer be sent or memory be changed. So a 2xx is always on disk, and a
 * failed commit needs no undo.
 *
 * Two classes. INTAKE comes from a request: when the turn fails it is told so,
 * and its client tries again. PROGRESS is what the world already did (an attempt
 * ended): it is kept and staged again until a commit takes it.
 */
#ifndef STORE_TURN_H
#define STORE_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/histogram.h"
#include "store/db.h"

enum op_class { OP_INTAKE, OP_PROGRESS };

struct op {
	TAILQ_ENTRY(op) link; /* the turn's */
	enum op_class class;
	/*
	 * Writes into the transaction. Returns OK, or an answer for done() that leaves
	 * the transaction whole, in which case it has written nothing (ERR_NOTFOUND,
	 * ERR_EXISTS, ERR_INVALID, …); or the transaction's sticky error. May be called
	 * again, in a new transaction, when the first was voided.
	 */
	enum err (*apply)(struct op *op, struct db_txn *txn);
	/*
	 * Hears the result, once, after the commit: what apply() returned, or ERR_NOSPACE
	 * or ERR_STORE where nothing was written. The op is its owner's again; a PROGRESS
	 * op hears no failure of the store's.
	 */
	void (*done)(struct op *op, enum err result);
	size_t bytes;    /* about how much it writes; 0 for a record or two */
	bool may_wait;   /* nobody waits for it: it may join a later commit */
	enum err result; /* the turn's */
};

struct rows;

/*
 * Who must have what a transaction writes before it is committed (cluster/active.h). A turn is
 * then in two halves: its transaction stays open while the loop goes on, and what is staged
 * meanwhile waits for the next turn.
 */
struct turn_journal {
	/* Takes rows, borrowed until turn_answered(), which it calls from the loop. */
	void (*append)(void *arg, const struct rows *rows);
	/* Writes how far the store is, into the transaction whose rows were taken. */
	enum err (*position)(void *arg, struct db_txn *txn);
	void *arg;
};

struct turn;

struct turn *turn_new(struct db *db);

/* Frees it and forgets what is staged: PROGRESS that no commit took. NULL is fine. */
void turn_free(struct turn *t);

/* Adds `op`, borrowed until its done(). */
void turn_stage(struct turn *t, struct op *op);

/* How many operations are staged, and of these how many came from requests. */
size_t turn_staged(const struct turn *t);
size_t turn_staged_intake(const struct turn *t);

/* Whether all that is staged may wait for company. */
bool turn_may_wait(const struct turn *t);

/*
 * Applies and commits what is staged, then tells each operation. Operations that
 * done() stages are the next turn's, and so are those that are too much for one transaction.
 * OK also when nothing was staged.
 * OK also where only some INTAKE found room, the others being told ERR_NOSPACE. With a journal
 * OK means that the rows are on their way; nothing is done while others are.
 * ERR_NOSPACE, ERR_STORE: no INTAKE was written, and it has been told; of PROGRESS what
 * there was room for, the rest waits.
 * ERR_BROKEN: the store's state is unknown; everybody has been told ERR_STORE; end the process.
 */
MUST_CHECK enum err turn_commit(struct turn *t);

/* From here on turns are in two halves. While nothing is staged; `j` is copied. */
void turn_set_journal(struct turn *t, const struct turn_journal *j, struct rows *rows);

/*
 * The rows that append() was given are in the journal (OK): the transaction is committed, and
 * all are told. Or they never will be (any error): nothing is written, all are told ERR_STORE,
 * and each turn_commit() from here on is ERR_BROKEN. So it is where the commit fails: the
 * journal then has what the store has not.
 */
void turn_answered(struct turn *t, enum err result);

/* Whether a transaction waits for turn_answered(). */
bool turn_is_appending(const struct turn *t);

/*
 * Tells each INTAKE that is staged ERR_STORE: the process ends and commits no more, or the
 * journal cannot be reached. What append() has been given waits on.
 */
void turn_refuse(struct turn *t);

struct turn_figures {
	uint64_t commits;
	uint64_t failures;       /* transactions of which nothing was written */
	struct histogram commit; /* how long those that were committed took, from their begin */
	int64_t commit_us;       /* the last one of them */
};

/* What it has done since it was made; borrowed. */
const struct turn_figures *turn_figures(const struct turn *t);

/* Commits so far; for figures and tests. */
uint64_t turn_commits(const struct turn *t);

#endif
