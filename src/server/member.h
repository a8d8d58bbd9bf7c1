/*
 * A process that is a member of a cluster (docs/cluster.md): what it does before it is the
 * active of its shard, and what the active does besides.
 *
 *   looks at the engine ─▶ follows ─▶ owns the shard: start() goes on, as after a restart
 *                            ▲  │
 *                            │  └── its store is no copy ─▶ joins ─┐
 *                            └────────────────────────────────────┘
 *
 * It never: migrates or changes a store that it does not own but by the journal's rows; answers
 * from it; gives up a store that it leaves without keeping it aside.
 */
#ifndef SERVER_MEMBER_H
#define SERVER_MEMBER_H

#include "server/server.h"

struct member;

/*
 * Serves what a standby serves, and follows until this member owns its shard: *owns, with the
 * store open and all that is committed going through the journal (cluster/active.h); or until
 * SIGTERM, SIGINT: OK without. Else the problem in words. Frees nothing: member_free().
 */
MUST_CHECK enum err member_follow(struct server *s, bool *owns, struct problem *p);

/* All handlers of requests are the API's now, and each turn goes through the journal. */
void member_serve(struct server *s);

/* Its answers are those of a new configuration. */
void member_configure(struct server *s);

/* For api_conf.cluster; all NULL where there is none. */
struct api_cluster member_api(struct server *s);

/* NULL: there is no cluster, or it does not own the shard. */
struct active *member_active(const struct server *s);

/* Whether another owns the shard: the process is to end with EXIT_FENCED. */
bool member_is_fenced(const struct server *s);

/*
 * The loop is over, and nothing is staged: gives the shard away, so that a standby takes over
 * at once, and waits for that a moment. Nothing where there is no cluster.
 */
void member_leave(struct server *s);

/* Whether the process is to begin anew, as a standby: it was asked for over the API. */
bool member_stays(const struct server *s);

/* Answers what it holds back, and holds nothing from now on. */
void member_stop(struct server *s);

/* Behind turn and API, before store and reactor. NULL is fine. */
void member_free(struct member *m);

#endif
