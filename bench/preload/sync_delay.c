/*
 * For LD_PRELOAD: a disk whose flush takes BENCH_SYNC_US microseconds, wherever the data is.
 * On a tmpfs, where a flush costs nothing, a commit then takes just that.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int fdatasync(int fd)
{
	(void)fd;
	const char *text = getenv("BENCH_SYNC_US");
	long us = text == NULL ? 0 : strtol(text, NULL, 10);
	struct timespec wait = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
	(void)nanosleep(&wait, NULL);
	return 0;
}
