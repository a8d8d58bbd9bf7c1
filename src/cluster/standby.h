/*
 * A member that does not own its shard: reads the journal and does to its own store what the
 * owner did to its, and takes over where the owner is silent (docs/cluster.md).
 *
 * What it has read of a turn stands in an open transaction, which may outlive many passes of
 * the loop: nobody else writes to its store.
 *
 * It never: writes what is not in the journal, applies an entry behind one that is missing or
 * changed, takes over before it has applied all, answers from its store.
 */
#ifndef CLUSTER_STANDBY_H
#define CLUSTER_STANDBY_H

#include "base/reactor.h"
#include "base/rnd.h"
#include "store/journal.h"

struct standby_conf {
	struct reactor *reactor; /* all borrowed */
	struct db *db;
	struct journal *journal;
	const char *member;
	const char *url;
	struct rnd *rnd;
	int64_t takeover_after_ms; /* of silence; a random part of a third is added */
	bool may_take_over;        /* false: it follows alone */
	/*
	 * Whether it may take over where the journal has no entry yet: then its store is what
	 * all begin with. One with rows is marked before (entry_position: seq 0, a random
	 * digest, from which the first entry goes on), so that others are copies of it, or
	 * nothing.
	 */
	bool may_found;
	/* Asked before it takes over; false: it waits as long anew. NULL: it can. */
	bool (*can_serve)(void *arg);
	void *arg;
};

enum standby_state {
	STANDBY_FOLLOWS,
	STANDBY_OWNS,   /* its takeover was taken: it is to be the active, from `position` on */
	STANDBY_PARTED, /* its store is no copy: it has to be made anew from the owner's */
	/*
	 * It cannot go on, and its store is to be left as it is: that is broken, or has rows
	 * that no journal has; or entries are of a newer program.
	 */
	STANDBY_STOPPED,
};

struct standby;

/* Begins to follow from where the store is. The store's error, ERR_CORRUPT. */
MUST_CHECK enum err standby_new(const struct standby_conf *conf, struct standby **out);
void standby_free(struct standby *s); /* NULL is fine */

struct standby_figures {
	enum standby_state state;
	struct entry_position
	    position;   /* STANDBY_OWNS: of the takeover; else of the last turn here */
	uint64_t seq;   /* of the last entry that was read */
	uint64_t lag;   /* entries that are known to be behind that */
	bool knows_end; /* the journal has said where it ends, since this began */
	bool is_caught_up;
	uint64_t owner_epoch; /* 0: nobody is known */
	bool was_handed_over; /* the owner has said that it stops */
	char owner[ENTRY_MEMBER_MAX + 1];
	char owner_url[ENTRY_URL_MAX + 1];
	int64_t silent_ms; /* since the last entry */
	uint64_t turns;    /* that were applied */
	uint64_t commits;  /* that this took */
	uint64_t fenced;   /* takeovers that another was faster with */
	uint64_t reread;   /* how often what was read was bad, and it went back */
	const struct journal_member *members; /* as last asked; borrowed */
	size_t member_count;
	uint64_t members_told; /* how often that was answered */
	char why[256];         /* of PARTED and STOPPED, and while the store fails */
};

/* Borrowed until the loop goes on. */
const struct standby_figures *standby_figures(struct standby *s);

#endif
