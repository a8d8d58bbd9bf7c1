/* Folders, locks and room; see folder.h. */
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"

#define LOCK_NAME "waybill.lock"
#define MARK "This folder has a store, waybill.mdb. Remove both to start anew.\n"

/* Syncs the folder above, where the name of this one may be new. 0, or -1 with errno. */
static int sync_parent(int fd)
{
	int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return errno == EACCES ? 0
				       : -1; /* it is not for us, and we made nothing in it */
	int rc = fsync(parent);
	if (rc != 0 && (errno == EINVAL || errno == EROFS)) /* a file system that only reads */
		rc = 0;
	(void)close(parent); /* read-only */
	return rc;
}

static enum err open_folder(struct folder *f, const char *dir, bool readonly, struct problem *p)
{
	if (!readonly && mkdir(dir, 0700) != 0 && errno != EEXIST)
		return problem_set(p, ERR_IO, "data", "cannot make folder %s: %s", dir,
		    strerror(errno));
	f->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->fd < 0)
		return problem_set(p, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "data",
		    "cannot open folder %s: %s", dir, strerror(errno));
	if (!readonly && sync_parent(f->fd) != 0)
		return problem_set(p, ERR_IO, "data", "cannot sync the folder above %s: %s",
		    dir, strerror(errno));
	return OK;
}

enum err folder_claim(struct folder *f, const char *dir, bool readonly, struct problem *p)
{
	*f = FOLDER_CLOSED;
	enum err err = open_folder(f, dir, readonly, p);
	if (err != OK)
		return err;
	f->lock_fd = openat(f->fd, LOCK_NAME, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	if (f->lock_fd < 0 && readonly && (errno == EROFS || errno == EACCES))
		return OK;
	if (f->lock_fd < 0)
		return problem_set(p, ERR_IO, "data", "cannot write in folder %s: %s", dir,
		    strerror(errno));
	if (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return problem_set(p, ERR_BUSY, "data",
		    "the store in %s is in use by another process", dir);
	return OK;
}

enum err folder_look(struct folder *f, const char *dir, bool *in_use, struct problem *p)
{
	*f = FOLDER_CLOSED;
	*in_use = false;
	enum err err = open_folder(f, dir, true, p);
	if (err != OK)
		return err;
	f->lock_fd = openat(f->fd, LOCK_NAME, O_RDONLY | O_CLOEXEC);
	if (f->lock_fd < 0 && errno != ENOENT)
		return problem_set(p, ERR_IO, "data", "cannot read " LOCK_NAME " in %s: %s",
		    dir, strerror(errno));
	if (f->lock_fd >= 0 && flock(f->lock_fd, LOCK_SH | LOCK_NB) != 0)
		*in_use = true;
	else if (f->lock_fd >= 0)
		(void)flock(f->lock_fd, LOCK_UN); /* closing it does, too */
	return OK;
}

/* Writes the folder above `dir` to `out`, which has room for `dir` and two bytes more. */
static void name_parent(const char *dir, char *out)
{
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	while (len > 0 && dir[len - 1] != '/')
		len--;
	if (len == 0) {
		memcpy(out, ".", sizeof("."));
		return;
	}
	memcpy(out, dir, len);
	out[len] = '\0';
}

enum err folder_try(const char *dir, struct problem *p)
{
	struct stat st;
	enum err err = OK;
	if (stat(dir, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return problem_set(p, ERR_IO, "data", "data: %s is no folder", dir);
		if (access(dir, R_OK | W_OK | X_OK) != 0)
			return problem_set(p, ERR_IO, "data",
			    "data: cannot write in folder %s: %s", dir, strerror(errno));
		return OK;
	}
	int reason = errno;
	char *parent = mem_array(strlen(dir) + sizeof("."), 1);
	name_parent(dir, parent);
	if (reason == ENOENT && access(parent, W_OK | X_OK) != 0)
		reason = errno;
	else if (reason == ENOENT)
		reason = 0;
	if (reason != 0)
		err = problem_set(p, ERR_IO, "data", "data: cannot make folder %s: %s", dir,
		    strerror(reason));
	free(parent);
	return err;
}

void folder_release(struct folder *f)
{
	if (f->lock_fd >= 0)
		(void)close(f->lock_fd); /* releases the lock; nothing was written to it */
	if (f->mark_fd >= 0)
		(void)close(f->mark_fd); /* what is written to it is for after a crash alone */
	if (f->fd >= 0)
		(void)close(f->fd); /* read-only */
	*f = FOLDER_CLOSED;
}

/* How long the lock's file is. */
static off_t mark_bytes(const struct folder *f)
{
	struct stat st;
	return f->lock_fd >= 0 && fstat(f->lock_fd, &st) == 0 ? st.st_size : 0;
}

bool folder_is_marked(const struct folder *f)
{
	return mark_bytes(f) > 0;
}

int folder_open_mark(struct folder *f)
{
	if (f->mark_fd < 0)
		f->mark_fd = openat(f->fd, LOCK_NAME, O_WRONLY | O_APPEND | O_CLOEXEC);
	return f->mark_fd;
}

bool folder_is_doubted(const struct folder *f)
{
	return mark_bytes(f) > (off_t)(sizeof(MARK) - 1);
}

enum err folder_mark(const struct folder *f, const char *dir, struct problem *p)
{
	if (mark_bytes(f) == (off_t)(sizeof(MARK) - 1))
		return OK;
	int fd = openat(f->fd, LOCK_NAME, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, MARK, sizeof(MARK) - 1) == sizeof(MARK) - 1 &&
	    fsync(fd) == 0;
	enum err err = written
	    ? OK
	    : problem_set(p, ERR_IO, "data", "cannot write " LOCK_NAME " in folder %s: %s", dir,
		  strerror(errno));
	if (fd >= 0)
		(void)close(fd); /* is synced */
	return err;
}

enum err folder_sync(const struct folder *f, const char *dir, struct problem *p)
{
	if (fsync(f->fd) != 0)
		return problem_set(p, ERR_IO, "data", "cannot sync folder %s: %s", dir,
		    strerror(errno));
	return OK;
}

enum err folder_space(const struct folder *f, uint64_t *free_bytes, uint64_t *disk_bytes)
{
	struct statvfs fs;
	if (fstatvfs(f->fd, &fs) != 0)
		return ERR_IO;
	*free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	*disk_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	return OK;
}

enum err folder_reserve(int fd, uint64_t offset, uint64_t bytes)
{
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) == 0)
		return OK;
	return errno == ENOSPC || errno == EDQUOT ? ERR_NOSPACE : OK;
}
