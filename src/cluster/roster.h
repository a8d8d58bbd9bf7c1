/* What the members of a shard tell of themselves (docs/cluster.md). */
#ifndef CLUSTER_ROSTER_H
#define CLUSTER_ROSTER_H

#include "store/journal.h"

/*
 * The member that was the last to say that it is the active, and where its API is: one that
 * has died goes on saying so, as it did. NULL: nobody has said it. Borrowed from `m`.
 */
const struct journal_member *roster_active(const struct journal_member *m, size_t count);

#endif
