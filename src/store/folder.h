/*
 * The folder of a store: made so that a loss of power does not take it away again, locked
 * against a second process; and the room on the disk below it. It never looks into a file.
 */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "domain/problem.h"

struct folder {
	int fd;      /* -1: it is not open */
	int lock_fd; /* -1: it is not locked */
	int mark_fd; /* folder_open_mark()'s */
};

#define FOLDER_CLOSED ((struct folder){.fd = -1, .lock_fd = -1, .mark_fd = -1})

/*
 * Opens `dir` and takes its lock; makes it where it is not there, but not to read only. A
 * reader does without the lock where it cannot make the file. ERR_NOTFOUND, ERR_IO or ERR_BUSY
 * (another process has it), with the problem in words; folder_release() it then too.
 */
MUST_CHECK enum err folder_claim(struct folder *f, const char *dir, bool readonly,
    struct problem *p);

/*
 * Opens `dir` to look at what is in it; *in_use says whether another process has the lock. It
 * takes none, so that a start meanwhile finds it free, and makes no file. ERR_NOTFOUND, ERR_IO,
 * in words; folder_release() it then too.
 */
MUST_CHECK enum err folder_look(struct folder *f, const char *dir, bool *in_use,
    struct problem *p);

/*
 * Whether folder_claim() would find a folder that it may write in, or could make one. Changes
 * nothing. ERR_IO, with the problem in words.
 */
MUST_CHECK enum err folder_try(const char *dir, struct problem *p);

/* Gives up the lock and closes it; what is closed already is fine. */
void folder_release(struct folder *f);

/*
 * Keeps in the lock's file that the folder has a store, so that one which is gone is not taken
 * for one that never was; folder_is_marked() tells. ERR_IO, with the problem in words.
 */
MUST_CHECK enum err folder_mark(const struct folder *f, const char *dir, struct problem *p);
bool folder_is_marked(const struct folder *f);

/*
 * Opens the mark for more to be written behind it: that the store is in doubt.
 * folder_is_doubted() tells, until the next folder_mark(). -1 where it cannot; released with
 * the folder.
 */
int folder_open_mark(struct folder *f);
bool folder_is_doubted(const struct folder *f);

/* Makes the names in it last. ERR_IO, with the problem in words. */
MUST_CHECK enum err folder_sync(const struct folder *f, const char *dir, struct problem *p);

/* Measures the file system, as an ordinary user may fill it. ERR_IO. */
MUST_CHECK enum err folder_space(const struct folder *f, uint64_t *free_bytes,
    uint64_t *disk_bytes);

/*
 * Takes room on the disk for the `bytes` of file `fd` from `offset` on, without making it
 * longer: nobody else can fill that. OK too where the file system has no such thing.
 * ERR_NOSPACE.
 */
MUST_CHECK enum err folder_reserve(int fd, uint64_t offset, uint64_t bytes);

#endif
