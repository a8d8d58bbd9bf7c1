/*
 * Making a folder's store a copy of the active's, where the journal no longer has all of what
 * it lacks (docs/cluster.md): the active's backup, whose rows have the place in the journal,
 * is read into a new store beside, which takes the place of the old one when it is whole.
 *
 *   waits for an address ─▶ fetches ─▶ whole: the old store is kept aside, over
 *             ▲                │
 *             └── some seconds ┘ it broke off
 *
 * It never: touches the store that is there before the copy is whole, leaves the folder without
 * a store in between, keeps more than one old store.
 */
#ifndef CLUSTER_JOIN_H
#define CLUSTER_JOIN_H

#include "courier/client.h"
#include "domain/problem.h"

#define JOIN_FOLDER "joining"       /* the copy, in the store's folder */
#define JOIN_ASIDE_PREFIX "parted-" /* …and the old store, with the time behind it */

struct join_conf {
	struct client *client; /* all borrowed; the caller reaps it */
	const char *data;      /* the folder, of which nobody has the store open */
	const char *token;     /* that the active takes; NULL: none */
};

struct join;

struct join *join_new(const struct join_conf *conf);

/* Where the active's API is, as far as is known; NULL: it is not. */
void join_offer(struct join *j, const char *url);

/* Goes on: to be called now and then, at least once a second. */
void join_step(struct join *j);

/* Whether the copy is whole, or can never be. */
bool join_is_over(const struct join *j);

/* What it waits for or why it broke off, in words; "" where nothing is wrong. Borrowed. */
const char *join_why(const struct join *j);

/*
 * Once it is over: OK, the folder has the copy; else ERR_IO with the problem in words, and the
 * folder is as it was.
 */
MUST_CHECK enum err join_end(struct join *j, struct problem *p);

/* Removes what is not whole. Once the client reports no more. NULL is fine. */
void join_free(struct join *j);

#endif
