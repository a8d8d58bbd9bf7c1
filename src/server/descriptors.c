/* Shares of the limit of descriptors; see descriptors.h. */
#include "server/descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "courier/lookup.h"
#include "courier/race.h"

#define DESCRIPTORS_MAX (1u << 20) /* what Linux allows by default (fs.nr_open) */
/* for the store, the log, listeners, slots kept; for lookups, races; at most a part of all */
#define DESCRIPTOR_RESERVE (160 + LOOKUP_DESCRIPTORS + RACE_SOCKETS)
#define RESERVE_PART 4
#define IDLE_PER_ATTEMPT 1 /* connections that are kept for the next attempts */

uint64_t descriptors_raise(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return DESCRIPTORS_MAX;
	rlim_t before = limit.rlim_cur;
	rlim_t most = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
	if (before >= most)
		return before < DESCRIPTORS_MAX ? before : DESCRIPTORS_MAX;
	limit.rlim_cur = most;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return most;
	log_warn("the limit of descriptors cannot be raised", LOG_N("limit", before),
	    LOG_S("error", strerror(errno)));
	return before;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t one_at_least(uint64_t n)
{
	return n > 0 ? n : 1;
}

uint64_t descriptors_wanted(const struct descriptor_needs *n)
{
	return n->connections * n->servers + n->attempts * (1 + IDLE_PER_ATTEMPT) +
	    DESCRIPTOR_RESERVE;
}

static uint64_t room_of(uint64_t limit)
{
	return limit - least(limit / RESERVE_PART, DESCRIPTOR_RESERVE);
}

struct descriptor_shares descriptors_share(uint64_t limit, const struct descriptor_needs *n)
{
	uint64_t room = room_of(limit);
	uint64_t needed = n->connections * n->servers + n->attempts;
	struct descriptor_shares s = {.connections = n->connections, .attempts = n->attempts};
	if (needed > room) {
		s.connections = one_at_least(room * n->connections / needed);
		s.attempts = one_at_least(room * n->attempts / needed);
	}
	uint64_t left = room - least(room, s.connections * n->servers);
	s.receivers = least(left, n->attempts * (1 + IDLE_PER_ATTEMPT));
	s.receivers = s.receivers > s.attempts ? s.receivers : s.attempts;
	return s;
}

uint64_t descriptors_left(uint64_t limit, const struct descriptor_shares *s, uint64_t servers)
{
	uint64_t room = room_of(limit);
	return one_at_least((room - least(room, s->receivers)) / servers);
}
