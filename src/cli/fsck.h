/* The check of a stopped store, as the commands that end with one print it. */
#ifndef CLI_FSCK_H
#define CLI_FSCK_H

#include <stdbool.h>

/*
 * Checks the store in folder `dir`: its pages, then all that check_store() does. `command`
 * begins the lines on standard error; findings and the summary go to standard output;
 * `brief`: only what is wrong is said. Returns the exit status.
 */
int fsck_run(const char *command, const char *dir, bool brief);

#endif
