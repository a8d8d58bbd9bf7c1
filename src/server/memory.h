/*
 * How much memory the process may take, and what the settings that hold memory are by that: in
 * a container of 64 MiB the defaults of a large machine would have it killed. A setting that
 * somebody gave is never changed. It knows nothing of what is mapped: the store's pages are the
 * page cache's, which gives them back.
 */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "server/config.h"

/* Where the limit comes from. */
enum memory_source { MEMORY_MACHINE, MEMORY_CGROUP, MEMORY_RLIMIT };

struct memory {
	uint64_t bytes;
	enum memory_source source;
};

extern const char *const MEMORY_SOURCES[];

/*
 * The least limit of memory that the control groups of this process set, its own and those
 * above: memory.max and memory.high of version 2, memory.limit_in_bytes of version 1, below
 * ROOT/sys/fs/cgroup, as ROOT/proc/self/cgroup names the groups. UINT64_MAX: none that can be
 * read. A container mostly sees its own group as the topmost, by whatever name, so that groups
 * which are not there are passed by. Source: cgroups(7); Linux, admin-guide/cgroup-v1/memory
 * and admin-guide/cgroup-v2.
 */
uint64_t memory_of_groups(const char *root);

/*
 * What this process may take: the least of the machine's memory, the groups' limits,
 * RLIMIT_DATA, and RLIMIT_AS less the `mapped_bytes` of the store's map.
 */
struct memory memory_find(uint64_t mapped_bytes);

/* Lowers the defaults that are too much for `bytes`; says how many. */
size_t memory_fit(struct config *c, uint64_t bytes);

/* About how much all that `c` lets be held at once takes; what is given may be too much. */
uint64_t memory_wanted(const struct config *c);

/*
 * Finds the limit and fits the defaults to it; logs what came of it where any is lower now, and
 * warns where what is set wants more. What is freed goes back to the system where there is
 * little: the allocator would keep what large bodies took.
 */
void memory_apply(struct config *c);

#endif
