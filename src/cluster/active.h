/*
 * The owner of a shard: writes each turn's rows to the journal before the turn is committed,
 * and says that it is there where no turn does (docs/cluster.md).
 *
 * One append is under way at a time. While it is, operations wait for the next turn and the
 * loop goes on; readers see the last commit.
 *
 * It never: commits what the journal has not taken, appends in an epoch that is over, answers
 * for what it cannot know, drops an entry that no second member has on disk.
 */
#ifndef CLUSTER_ACTIVE_H
#define CLUSTER_ACTIVE_H

#include "base/histogram.h"
#include "base/reactor.h"
#include "store/journal.h"
#include "store/turn.h"

struct active_conf {
	struct reactor *reactor; /* all borrowed */
	struct db *db;
	struct journal *journal;
	const char *member;         /* this one's name */
	const char *url;            /* where its API is reached */
	struct entry_position from; /* the takeover's entry: where it stands in the journal */
	int64_t heartbeat_ms;       /* of silence before it says that it is there */
	int64_t hold_ms;            /* without an answer before no attempt is started */
	int64_t refuse_ms;          /* …before requests that write are refused */
	size_t max_entry;           /* bytes; the largest row has room in one */
};

struct active;

/*
 * From here on each commit of the store goes through the journal first, and db_commit() waits
 * for it, running the reactor: this is for the start, when nobody is served yet. Such a commit
 * fails with ERR_BROKEN where another owns the shard, and gives up after `refuse_ms`: all
 * later ones fail then, and the process is to end.
 */
MUST_CHECK enum err active_new(const struct active_conf *conf, struct active **out);
void active_free(struct active *a); /* behind the turn; NULL is fine */

/*
 * From here on the turn's commits are in two halves, and no other is made. A heartbeat is
 * appended at once: until it is answered, neither may attempts start nor requests be taken.
 */
void active_serve(struct active *a, struct turn *turn);

/*
 * Whether attempts may start: the journal has taken an entry that was sent less than `hold_ms`
 * ago. Sent, not answered: so an answer that lay about while the process was stopped says
 * nothing about now. Looks at the clock.
 */
bool active_may_start(const struct active *a);

/* Whether requests that write may be taken: …`refuse_ms` ago, and the journal has room. */
bool active_may_take(const struct active *a);

/* What the clients are told while that is false; NULL: it is true. */
const char *active_why(const struct active *a);

/* Another member owns the shard, or a commit was given up: the process is to end. */
bool active_is_fenced(const struct active *a);

/*
 * Gives the shard away, when nothing is staged and no turn is under way: appends the
 * handover, and nothing behind it. `fn` is called, from the loop, when the journal has it, or
 * another owns the shard. From the call on no attempt may start and nothing be taken: another
 * may own the shard before this one hears that its handover was taken.
 */
void active_hand_over(struct active *a, void (*fn)(void *arg), void *arg);

struct active_figures {
	uint64_t epoch;
	uint64_t seq;            /* of the last entry that was taken */
	uint64_t synced;         /* seq of the last that is on disk here */
	uint64_t appends;        /* entries that were taken */
	uint64_t bytes;          /* of them */
	int64_t waits_ms;        /* how long the append under way has been so; 0: none is */
	struct histogram append; /* µs, how long appends took */
	struct journal_end end;  /* as last asked; bytes: with what was appended since */
	const struct journal_member *members; /* as last asked; borrowed */
	size_t member_count;
};

/* Borrowed until the loop goes on. */
const struct active_figures *active_figures(struct active *a);

#endif
