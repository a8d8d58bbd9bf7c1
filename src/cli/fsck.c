/*
 * waybill fsck DIR: checks a stopped store. The file is mapped into memory, and LMDB trusts
 * what it finds there: the check runs in a child, so that a file that is cut short or mangled
 * ends in a report and not in a crash.
 */
#include "cli/fsck.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "store/check.h"

#define SHOWN_MAX                                                                              \
	100 /* findings that are printed: a damaged table has as many as it has rows */

static void print_finding(void *arg, const char *finding)
{
	uint64_t *shown = arg;
	if (++*shown <= SHOWN_MAX)
		(void)printf("%s\n", finding);
}

static int check_here(const char *command, const char *dir, bool brief)
{
	struct db *db = NULL;
	struct problem p;
	struct check_result result;
	uint64_t shown = 0;
	if (db_open_readonly(dir, &db, &p) != OK) {
		(void)fprintf(stderr, "%s: %s\n", command, p.message);
		return EXIT_FAILED;
	}
	check_store(db, print_finding, &shown, &result);
	db_close(db);
	if (shown > SHOWN_MAX)
		(void)printf("... and %llu more\n", (unsigned long long)(shown - SHOWN_MAX));
	if (brief && result.findings == 0)
		return EXIT_OK;
	for (enum db_table t = 0; t < DB_TABLES; t++)
		(void)printf("%-15s %llu rows\n", db_table_name(t),
		    (unsigned long long)result.rows[t]);
	if (result.findings > 0)
		(void)printf("%s: damaged, %llu findings\n", dir,
		    (unsigned long long)result.findings);
	else
		(void)printf("%s: sound\n", dir);
	return result.findings > 0 ? EXIT_FAILED : EXIT_OK;
}

int fsck_run(const char *command, const char *dir, bool brief)
{
	int status = 0;
	(void)fflush(stdout); /* or the child would write it again; a failure shows there too */
	pid_t child = fork();
	if (child < 0) {
		(void)fprintf(stderr, "%s: cannot start a process: %s\n", command,
		    strerror(errno));
		return EXIT_FAILED;
	}
	if (child == 0) {
		(void)setvbuf(stdout, NULL, _IOLBF, 0); /* what was found outlives a crash */
		int result = check_here(command, dir, brief);
		bool written = fflush(stdout) == 0 && ferror(stdout) == 0;
		_exit(written ? result : EXIT_FAILED);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_FAILED;
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	(void)printf(
	    "%s: damaged: reading the file ended with signal %d (%s): it is cut short, "
	    "or its pages are mangled\n",
	    dir, WTERMSIG(status), strsignal(WTERMSIG(status)));
	return EXIT_FAILED;
}

int command_fsck(int argc, char **argv)
{
	if (argc != 2 || argv[1][0] == '-') {
		(void)fprintf(stderr, "usage: waybill fsck DIR\n");
		return EXIT_USAGE;
	}
	return fsck_run("waybill fsck", argv[1], false);
}
