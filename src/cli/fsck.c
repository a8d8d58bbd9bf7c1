/* waybill fsck DIR: checks a stopped store. */
#include "cli/fsck.h"

#include <stdio.h>

#include "cli/commands.h"
#include "cli/show.h"
#include "fsck/check.h"

#define SHOWN_MAX                                                                              \
	100 /* findings that are printed: a damaged table has as many as it has rows */

static void print_finding(void *arg, const char *finding)
{
	uint64_t *shown = arg;
	if (++*shown <= SHOWN_MAX)
		show_print(stdout, slice_of(finding));
	if (*shown <= SHOWN_MAX)
		(void)putchar('\n'); /* told by fflush() below */
}

static void print_rows(const struct check_result *result)
{
	for (enum db_table t = 0; t < DB_TABLES; t++)
		(void)printf("%-15s %llu rows\n", db_table_name(t),
		    (unsigned long long)result->rows[t]);
}

/* What the last line says behind the folder. */
static void print_verdict(const struct check_result *result)
{
	if (result->other_version > 0)
		(void)printf("not checked, as it is of version %u\n", result->other_version);
	else if (result->findings > 0)
		(void)printf("damaged, %llu finding%s\n", (unsigned long long)result->findings,
		    result->findings == 1 ? "" : "s");
	else
		(void)printf("sound\n");
}

int fsck_run(const char *command, const char *dir, bool brief)
{
	struct db *db = NULL;
	struct problem p;
	struct check_result result;
	uint64_t shown = 0;
	enum err err = db_open_readonly(dir, &db, &p);
	if (err != OK) {
		(void)fprintf(stderr, "%s: %s%s%s\n", command, err == ERR_CORRUPT ? dir : "",
		    err == ERR_CORRUPT ? ": damaged: " : "", p.message);
		return EXIT_FAILED;
	}
	check_store(db, print_finding, &shown, &result);
	db_close(db);
	if (shown > SHOWN_MAX)
		(void)printf("... and %llu more\n", (unsigned long long)(shown - SHOWN_MAX));
	if (result.other_version == 0 && (!brief || result.findings > 0))
		print_rows(&result);
	if (!brief || result.findings > 0) {
		(void)printf("%s: ", dir);
		print_verdict(&result);
	}
	bool written = fflush(stdout) == 0;
	return result.findings == 0 && written ? EXIT_OK : EXIT_FAILED;
}

int command_fsck(int argc, char **argv)
{
	if (argc != 2 || argv[1][0] == '-') {
		(void)fprintf(stderr, "usage: waybill fsck DIR\n");
		return EXIT_USAGE;
	}
	return fsck_run("waybill fsck", argv[1], false);
}
