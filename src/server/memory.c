/* The limit of memory, and the settings by it; see memory.h. */
#include "server/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spare.h"
#include "base/str.h"
#include "server/settings.h"

#define GROUPS_MAX 65536 /* bytes of /proc/self/cgroup */
#define LIMIT_MAX 64     /* bytes of a file that has one number */
#define PATH_BYTES 4096
#define BASE_BYTES (8u << 20)      /* the program, the feed and some thousand webhooks */
#define FEW_BYTES (512u << 20)     /* below, blocks are given back when they are freed… */
#define MAP_FROM_FEW (128 << 10)   /* …from this size on… */
#define MAP_FROM_BYTES (512 << 10) /* …else from this one: each costs what mapping takes */
#define TRIM_BYTES (1 << 20)       /* and so much of smaller ones together */
#define SPARE_PART 64              /* of the limit, that blocks for large bodies may keep… */
#define SPARE_MOST (16u << 20)     /* …up to so many bytes; where there is little, nothing */

const char *const MEMORY_SOURCES[] = {"machine", "cgroup", "rlimit"};

/*
 * The settings that hold memory: which part of the limit each may be, and about how many bytes
 * one of its units takes, at most, while it is held. A body of nothing but members takes twelve
 * times its size while it is put in order; an attempt has up to 64 KiB of body, and its
 * connection. All parts and BASE_BYTES together are less than 64 MiB where that is the
 * limit (tests/unit/test_memory.c), and stay so under load (tests/field/test_memory.py).
 */
static const struct fitted {
	const char *name;
	uint64_t part;
	uint64_t unit_bytes;
} FITTED[] = {
    {"max_body_bytes", 32, 12},
    {"max_batch_bytes", 32, 1},
    {"max_input_bytes", 8, 1},
    {"max_output_bytes", 16, 1},
    {"max_in_flight", 1 << 20, 96 << 10},
    {"max_connections", 256 << 10, 32 << 10},
};
#define FITTED_COUNT (sizeof(FITTED) / sizeof(FITTED[0]))

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Reads a file of one number; UINT64_MAX: it is not there, or says "max". */
static uint64_t read_limit(const char *root, const char *base, struct slice group,
    const char *name)
{
	char path[PATH_BYTES];
	uint64_t n = UINT64_MAX;
	int len = snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s%.*s/%s", root, base,
	    (int)group.len, group.ptr, name);
	struct buf text = BUF_INIT(LIMIT_MAX);
	if (len < (int)sizeof(path) && file_read(path, &text) == OK) {
		struct slice rest = buf_view(&text);
		if (str_u64(slice_cut(&rest, '\n'), &n) != OK)
			n = UINT64_MAX;
	}
	buf_fini(&text);
	return n;
}

/* The least limit of a group and those above it, "" being the topmost that is seen. */
static uint64_t read_limits(const char *root, bool is_second, struct slice group)
{
	const char *base = is_second ? "" : "/memory";
	const char *name = is_second ? "memory.max" : "memory.limit_in_bytes";
	uint64_t n = UINT64_MAX;
	while (group.len > 0 && group.ptr[group.len - 1] == '/')
		group.len--;
	for (;;) {
		n = least(n, read_limit(root, base, group, name));
		if (is_second)
			n = least(n, read_limit(root, base, group, "memory.high"));
		if (group.len == 0)
			return n;
		while (group.len > 0 && group.ptr[group.len - 1] != '/')
			group.len--;
		group.len -= group.len > 0 ? 1 : 0;
	}
}

static bool has_memory(struct slice controllers)
{
	while (controllers.len > 0) {
		if (slice_eq(slice_cut(&controllers, ','), SLICE("memory")))
			return true;
	}
	return false;
}

uint64_t memory_of_groups(const char *root)
{
	char path[PATH_BYTES];
	uint64_t n = UINT64_MAX;
	struct buf text = BUF_INIT(GROUPS_MAX);
	(void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	struct slice rest = {0};
	if (file_read(path, &text) == OK)
		rest = buf_view(&text);
	while (rest.len > 0) { /* "4:memory:/a/group", "0::/a/group" */
		struct slice group = slice_cut(&rest, '\n');
		struct slice number = slice_cut(&group, ':');
		struct slice controllers = slice_cut(&group, ':');
		bool is_second = slice_eq(number, SLICE("0")) && controllers.len == 0;
		if (is_second || has_memory(controllers))
			n = least(n, read_limits(root, is_second, group));
	}
	buf_fini(&text);
	return n;
}

static uint64_t soft_limit(int resource)
{
	struct rlimit limit;
	bool has = getrlimit((__rlimit_resource_t)resource, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY;
	return has ? limit.rlim_cur : UINT64_MAX;
}

struct memory memory_find(uint64_t mapped_bytes)
{
	struct memory m = {.source = MEMORY_MACHINE,
	    .bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE)};
	uint64_t groups = memory_of_groups("");
	uint64_t space = soft_limit(RLIMIT_AS);
	if (space != UINT64_MAX) /* without room for the map the store is not opened at all */
		space -= least(space, mapped_bytes);
	uint64_t own = least(soft_limit(RLIMIT_DATA), space);
	if (groups < m.bytes)
		m = (struct memory){groups, MEMORY_CGROUP};
	if (own < m.bytes)
		m = (struct memory){own, MEMORY_RLIMIT};
	return m;
}

size_t memory_fit(struct config *c, uint64_t bytes)
{
	size_t lowered = 0;
	for (size_t i = 0; i < FITTED_COUNT; i++)
		lowered += setting_lower(c, FITTED[i].name, bytes / FITTED[i].part) ? 1 : 0;
	return lowered;
}

uint64_t memory_wanted(const struct config *c)
{
	uint64_t sum = BASE_BYTES;
	for (size_t i = 0; i < FITTED_COUNT; i++)
		sum += setting_number(c, FITTED[i].name) * FITTED[i].unit_bytes;
	return sum;
}

/* What large bodies and answers took is not to stay in the heap, between what is small. */
static void give_back(uint64_t bytes)
{
#ifdef __GLIBC__ /* others give it back by themselves */
	(void)mallopt(M_MMAP_THRESHOLD, bytes < FEW_BYTES ? MAP_FROM_FEW : MAP_FROM_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
#endif
	spare_keep(bytes < FEW_BYTES ? 0 : (size_t)least(bytes / SPARE_PART, SPARE_MOST));
}

void memory_apply(struct config *c)
{
	struct memory m = memory_find(c->store_max_bytes);
	size_t lowered = memory_fit(c, m.bytes);
	uint64_t wanted = memory_wanted(c);
	if (lowered > 0)
		log_info("limits follow memory", LOG_N("bytes", m.bytes),
		    LOG_S("of", MEMORY_SOURCES[m.source]),
		    LOG_N("max_body_bytes", c->max_body_bytes),
		    LOG_N("max_batch_bytes", c->max_batch_bytes),
		    LOG_N("max_input_bytes", c->max_input_bytes),
		    LOG_N("max_output_bytes", c->max_output_bytes),
		    LOG_N("max_in_flight", c->max_in_flight),
		    LOG_N("max_connections", c->max_connections));
	if (wanted > m.bytes)
		log_warn("the settings allow more than there is of memory",
		    LOG_N("bytes", m.bytes), LOG_S("of", MEMORY_SOURCES[m.source]),
		    LOG_N("wanted_bytes", wanted));
	give_back(m.bytes);
}
