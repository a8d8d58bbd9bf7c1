/* Fake time; see fake_time.h. The libraries call the functions below instead of libc's. */
#include "fake_time.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define BEGIN_US 1800000000000000 /* in 2027 */
#define FOREVER_MS 1000           /* what a wait without an end is */

static bool is_fake;
static bool flush_fails;
static int64_t now_us = BEGIN_US; /* it never goes back, over the tests of a program */

void fake_time_begin(void)
{
	is_fake = true;
	clock_expire();
}

void fake_time_end(void)
{
	is_fake = false;
	clock_expire();
}

void fake_time_pass(int64_t ms)
{
	now_us += ms * 1000;
	clock_expire();
}

void fake_flush_fails(bool fails)
{
	flush_fails = fails;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
	if (!is_fake || id == CLOCK_THREAD_CPUTIME_ID || id == CLOCK_PROCESS_CPUTIME_ID)
		return (int)syscall(SYS_clock_gettime, id, out);
	now_us++;
	*out = (struct timespec){.tv_sec = now_us / 1000000,
	    .tv_nsec = now_us % 1000000 * 1000};
	return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	int n = (int)syscall(SYS_epoll_pwait, fd, events, max, is_fake ? 0 : timeout, NULL, 8);
	if (is_fake && n == 0 && timeout != 0)
		now_us += (timeout < 0 ? FOREVER_MS : timeout) * 1000;
	return n;
}

int fdatasync(int fd)
{
	if (!is_fake)
		return (int)syscall(SYS_fdatasync, fd);
	errno = flush_fails ? EIO : 0;
	return flush_fails ? -1 : 0;
}
