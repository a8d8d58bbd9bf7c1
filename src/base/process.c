/* Reads /proc/self and the limits; see process.h. */
#include "base/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define FOLDER "/proc/self/fd"
#define COUNT_MS 10000 /* between walks over the descriptors: there may be thousands */

static uint64_t counted;       /* descriptors, at the last walk */
static int64_t count_again_ms; /* monotonic; 0: never counted */

static double seconds_of(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* What is mapped from files, the store above all, is the page cache's: it may go any time. */
static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	unsigned long long shared = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %llu %llu", &pages, &shared) != 2 || shared > pages)
		pages = shared = 0;
	(void)fclose(f); /* was only read */
	return (pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Walks over the descriptors; the walk's own, "." and ".." are not counted. */
static uint64_t count_fds(void)
{
	uint64_t count = 0;
	DIR *folder = opendir(FOLDER);
	if (folder == NULL)
		return 0;
	while (readdir(folder) != NULL)
		count++;
	(void)closedir(folder); /* was only read */
	return count > 3 ? count - 3 : 0;
}

static uint64_t open_fds(void)
{
	struct stat st;
	if (stat(FOLDER, &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size; /* Linux 6.2 and later keep it there */
	if (count_again_ms == 0 || clock_mono_ms() >= count_again_ms) {
		counted = count_fds();
		count_again_ms = clock_mono_ms() + COUNT_MS;
	}
	return counted;
}

void process_figures(struct process_figures *out)
{
	struct rusage usage = {0};
	struct rlimit limit = {0};
	if (getrusage(RUSAGE_SELF, &usage) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = 0;
	*out = (struct process_figures){
	    .cpu_s = seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime),
	    .resident_bytes = resident_bytes(),
	    .open_fds = open_fds(),
	    .max_fds = (uint64_t)limit.rlim_cur,
	};
}
