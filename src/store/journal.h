/*
 * The journal: an append-only log outside of this process, which all members of a shard can
 * read and whoever owns the shard appends to (docs/cluster.md). This is what the cluster needs
 * of one; jetstream/js_journal.h is one over a stream of NATS, tests have one of their own.
 *
 * Everything is answered by a callback from the loop, never from within the call. A callback
 * may make any call but free(), which may be made at any other moment: what is under way is
 * then not answered. A journal tries again by itself, and reconnects, until an answer is sure.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/entry.h"

/*
 * What became of an append. OK: it stands at `seq`, on a majority of the journal's hosts.
 * ERR_CONFLICT: it does not stand there and never will, another entry does. There is no third
 * answer: until one of them is sure there is none. ERR_CONFLICT is also what an append is told
 * whose place was dropped, or whose journal was made anew: who did that owns the shard.
 */
typedef void (*journal_append_fn)(void *arg, enum err result, uint64_t seq);

struct journal_end {
	uint64_t journal; /* its creation, wall ms: one made anew is another */
	uint64_t first;   /* seq of the first entry that is still there; last + 1: none is */
	uint64_t last;    /* of the last one there ever was; 0: none */
	uint64_t bytes;   /* that it has now */
	uint64_t max_bytes;
	uint64_t max_entry; /* bytes that one entry may have */
	uint64_t copies;    /* hosts that have all of it now; 0: nobody knows */
};

/* OK, or ERR_BUSY: it cannot be reached now; `end` is NULL then. */
typedef void (*journal_last_fn)(void *arg, enum err result, const struct journal_end *end);

struct journal_reader {
	/*
	 * The entry at `seq`; `previous` is the seq of the one handed over before it, or
	 * that reading began behind. Where it is not seq - 1, entries are missing. Borrowed.
	 */
	void (*entry)(void *arg, uint64_t seq, uint64_t previous, struct slice bytes);
	/*
	 * All that there is has been handed over, as far as the journal could tell at a moment
	 * since journal.read() or the last entry. It may have asked a host that has fallen
	 * behind: who acts upon it has to compare, as append() does. Not told while entries are
	 * known to be missing, though the next one, which shows it, has not come.
	 */
	void (*caught_up)(void *arg);
	/*
	 * The journal is another one than it was (journal_end.journal) when this struct journal
	 * was made; it reads and appends to that one alone, so reading has ended.
	 */
	void (*replaced)(void *arg);
	void *arg;
};

#define JOURNAL_MEMBERS_MAX 8

/* How far a member is, told to the others; it need not outlive anything. */
struct journal_member {
	char name[ENTRY_MEMBER_MAX + 1];
	uint64_t synced; /* seq up to which it has all on disk */
	int64_t told_ms; /* wall, of the journal's clock, as all are: when it last said so */
	bool is_active;
	char url[ENTRY_URL_MAX + 1];
};

/* OK, and at most JOURNAL_MEMBERS_MAX; or ERR_BUSY, and none. Borrowed. */
typedef void (*journal_members_fn)(void *arg, enum err result, const struct journal_member *m,
    size_t count);

struct journal {
	/*
	 * Appends `entry` (borrowed until the answer) right behind seq `behind`. One at a time.
	 */
	void (*append)(struct journal *j, uint64_t behind, struct slice entry,
	    journal_append_fn fn, void *arg);
	/* Asks where it ends. One at a time. */
	void (*last)(struct journal *j, journal_last_fn fn, void *arg);
	/*
	 * Reads on behind `behind`, until it is called again; NULL ends reading. `reader` is
	 * copied. Each entry is handed over once.
	 */
	void (*read)(struct journal *j, uint64_t behind, const struct journal_reader *reader);
	/* Drops all entries up to `seq`; in its own time, without an answer. */
	void (*trim)(struct journal *j, uint64_t seq);
	/* Tells the others how far this member is; no answer. */
	void (*tell)(struct journal *j, const struct journal_member *me);
	/* Asks how far all are. One at a time. */
	void (*members)(struct journal *j, journal_members_fn fn, void *arg);
	/*
	 * Calls back nobody any more for what was asked before, and reads no more; what was
	 * appended may still be taken. All may be asked anew, by another.
	 */
	void (*forget)(struct journal *j);
	/* Whether it can be reached now; why not, in ASCII, borrowed. */
	bool (*is_up)(struct journal *j, const char **why);
	void (*free)(struct journal *j);
};

#endif
