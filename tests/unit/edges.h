/*
 * The edges of the engine, in the test's hand: time and the disk's flush here, the HTTP client
 * in edge_client.h. A program that includes them has them in place of base/clock.c and
 * courier/client.c, which the linker then leaves where they are, and of libc's fdatasync(). So
 * what happens to a delivery is told in virtual time, without a socket, and the same in each
 * run.
 */
#ifndef TESTS_EDGES_H
#define TESTS_EDGES_H

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/clock.h"

#define EDGES_START_MS 1800000000000LL /* wall; where each test begins */
#define EDGES_MONO_MS 5000             /* monotonic, at that moment */

static struct {
	int64_t passed_ms;
	int64_t spent_us; /* of it, within a turn; only durations show it */
	int64_t start_us; /* what it takes to start an attempt */
	bool disk_fails;  /* nothing is flushed, and so nothing committed */
} edges;

/* What a body has at `at`: no piece of it looks like the next. */
static inline char body_at(size_t at)
{
	return (char)('!' + at % 89);
}

/* Time */

int64_t clock_wall_ms(void)
{
	return EDGES_START_MS + edges.passed_ms;
}

int64_t clock_system_ms(void)
{
	return clock_wall_ms();
}

int64_t clock_mono_ms(void)
{
	return EDGES_MONO_MS + edges.passed_ms;
}

int64_t clock_processor_us(void)
{
	return 0; /* virtual time costs none */
}

int64_t clock_now_us(void)
{
	return clock_mono_ms() * 1000 + edges.spent_us;
}

void clock_expire(void)
{
}

/* The disk: LMDB calls this one. */

int fdatasync(int fd)
{
	(void)fd; /* what is written need not outlive the test */
	errno = EIO;
	return edges.disk_fails ? -1 : 0;
}

#endif
