/* How much of the journal nobody needs any more (docs/cluster.md). */
#ifndef CLUSTER_TRIM_H
#define CLUSTER_TRIM_H

#include "store/journal.h"

#define TRIM_FORGET_MS                                                                         \
	600000 /* a member that has said nothing for so long is waited for no more */

/*
 * The seq up to which entries may be dropped; 0: none. That is what the owner, named `self`,
 * with `synced` on disk, and all others that were heard of lately have on disk; where the
 * journal is half full, what the owner and any one of them have. `m` has them as they last
 * told, the owner too.
 */
uint64_t trim_to(const char *self, uint64_t synced, const struct journal_end *end,
    const struct journal_member *m, size_t count);

#endif
