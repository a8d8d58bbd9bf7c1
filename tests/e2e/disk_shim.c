/*
 * The store's disk, to be preloaded into a server. It records what is written to
 * waybill.mdb and when it was synced, together with the answers that were sent, and makes
 * single calls fail. The server is of one thread where it writes, so the order is exact.
 *
 * DISK_LOG, a file to append to. Records: a struct record, then its bytes.
 * DISK_CONTROL, a struct control of the test's, mapped: what is to fail next.
 *
 * It follows descriptors by their path: the store's file, also under the name under which it
 * is made, and the folder. What is not of the store passes untouched.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define STORE "waybill.mdb"
#define MAKING "waybill.mdb.new"

enum what {
	UNKNOWN,
	DATA,   /* the store's file */
	META,   /* the same, each write synced */
	FOLDER, /* where it is */
};

struct record {
	uint8_t kind; /* one of the letters below */
	uint8_t pad[3];
	uint32_t bytes;
	uint64_t offset;
};

/*
 * 'W' written, not yet synced   'M' written and synced   'S' all before is synced
 * 'F' that has failed           'R' the new file has the store's name
 * 'D' the folder is synced      'A' an answer, 2xx, is about to be sent
 */

/* What is to fail; `calls` are bits 1 << enum what for writes, CALL_SYNC for syncs. */
#define CALL_SYNC 1u
struct control {
	uint32_t calls;
	uint32_t countdown; /* the call that brings it to 0 is the first; 0: nothing fails */
	uint32_t times;     /* so many calls in a row */
	uint32_t error;     /* errno; 0: a write is short, a sync is well */
	uint32_t delay_ms;
	uint32_t fired; /* counts them */
};

static uint8_t known[DESCRIPTORS]; /* enum what */
static int log_fd = -1;
static struct control *control;

static struct {
	int (*open)(const char *, int, ...);
	int (*close)(int);
	int (*rename)(const char *, const char *);
	int (*fsync)(int);
	int (*fdatasync)(int);
	ssize_t (*write)(int, const void *, size_t);
	ssize_t (*writev)(int, const struct iovec *, int);
	ssize_t (*pwrite)(int, const void *, size_t, off_t);
	ssize_t (*pwritev)(int, const struct iovec *, int, off_t);
} libc;

static void find_libc(void)
{
	*(void **)&libc.close = dlsym(RTLD_NEXT, "close");
	*(void **)&libc.rename = dlsym(RTLD_NEXT, "rename");
	*(void **)&libc.fsync = dlsym(RTLD_NEXT, "fsync");
	*(void **)&libc.fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&libc.write = dlsym(RTLD_NEXT, "write");
	*(void **)&libc.writev = dlsym(RTLD_NEXT, "writev");
	*(void **)&libc.pwrite = dlsym(RTLD_NEXT, "pwrite");
	*(void **)&libc.pwritev = dlsym(RTLD_NEXT, "pwritev");
	*(void **)&libc.open = dlsym(RTLD_NEXT, "open");
}

/* Called by all that replaces a function of libc's: which comes first nobody knows. */
static void setup(void)
{
	if (libc.open != NULL)
		return;
	find_libc();
	const char *log_path = getenv("DISK_LOG");
	const char *control_path = getenv("DISK_CONTROL");
	if (log_path != NULL)
		log_fd = libc.open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (control_path == NULL)
		return;
	int fd = libc.open(control_path, O_RDWR | O_CLOEXEC);
	void *map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || map == MAP_FAILED)
		abort(); /* the test is at fault */
	control = map;
}

static void record(char kind, uint64_t offset, const struct iovec *iov, int count, size_t bytes)
{
	struct record r = {.kind = (uint8_t)kind, .bytes = (uint32_t)bytes, .offset = offset};
	if (log_fd < 0)
		return;
	bool written = libc.write(log_fd, &r, sizeof(r)) == (ssize_t)sizeof(r) &&
	    (bytes == 0 || libc.writev(log_fd, iov, count) == (ssize_t)bytes);
	if (!written)
		abort(); /* a log with a hole proves nothing */
}

static void mark(char kind)
{
	record(kind, 0, NULL, 0, 0);
}

static enum what what_is(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS ? (enum what)known[fd] : UNKNOWN;
}

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text);
	return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static int follow(int fd, const char *path, int flags)
{
	setup();
	if (fd < 0 || fd >= DESCRIPTORS)
		return fd;
	bool file = ends_in(path, STORE) || ends_in(path, MAKING);
	known[fd] = UNKNOWN;
	if (file)
		known[fd] = (flags & O_DSYNC) != 0 ? META : DATA;
	else if ((flags & O_DIRECTORY) != 0 && !ends_in(path, ".."))
		known[fd] = FOLDER;
	return fd;
}

int open(const char *path, int flags, ...)
{
	setup();
	va_list more;
	va_start(more, flags);
	mode_t mode = va_arg(more, mode_t);
	va_end(more);
	return follow(libc.open(path, flags, mode), path, flags);
}

int close(int fd)
{
	setup();
	if (fd >= 0 && fd < DESCRIPTORS)
		known[fd] = UNKNOWN;
	return libc.close(fd);
}

int rename(const char *from, const char *to)
{
	setup();
	int rc = libc.rename(from, to);
	if (rc == 0 && ends_in(from, MAKING) && ends_in(to, STORE))
		mark('R');
	return rc;
}

/* Whether this call is one that is to fail. */
static bool strikes(uint32_t call)
{
	setup();
	if (control == NULL || (control->calls & call) == 0 || control->countdown == 0)
		return false;
	if (control->countdown > 1) {
		control->countdown--;
		return false;
	}
	control->fired++;
	if (--control->times == 0)
		control->countdown = 0;
	const struct timespec wait = {.tv_sec = control->delay_ms / 1000,
	    .tv_nsec = (long)(control->delay_ms % 1000) * 1000000};
	(void)nanosleep(&wait, NULL); /* a signal shortens it, and nothing depends on it */
	return control->delay_ms == 0;
}

static int sync_with(int (*real)(int), int fd)
{
	enum what what = what_is(fd);
	if (what == DATA && strikes(CALL_SYNC)) {
		mark('F');
		errno = (int)control->error;
		return control->error == 0 ? 0 : -1;
	}
	int rc = real(fd);
	if (what == DATA)
		mark(rc == 0 ? 'S' : 'F');
	else if (what == FOLDER && rc == 0)
		mark('D');
	return rc;
}

int fdatasync(int fd)
{
	setup();
	return sync_with(libc.fdatasync, fd);
}

int fsync(int fd)
{
	setup();
	return sync_with(libc.fsync, fd);
}

/* Writes to the store's file, records what got there, or fails as it is told to. */
static ssize_t write_store(int fd, const struct iovec *iov, int count, off_t offset)
{
	setup();
	bool fails = strikes(1u << what_is(fd));
	if (fails && control->error != 0) {
		errno = (int)control->error;
		return -1;
	}
	struct iovec half = {.iov_base = iov->iov_base, .iov_len = iov->iov_len / 2};
	ssize_t n = fails ? libc.pwritev(fd, &half, 1, offset)
			  : libc.pwritev(fd, iov, count, offset);
	if (n > 0)
		record(what_is(fd) == META ? 'M' : 'W', (uint64_t)offset, fails ? &half : iov,
		    fails ? 1 : count, (size_t)n);
	return n;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	setup();
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	bool ours = what_is(fd) == DATA || what_is(fd) == META;
	return ours ? write_store(fd, &iov, 1, offset) : libc.pwrite(fd, data, len, offset);
}

static bool is_accepted(const struct iovec *iov)
{
	static const char HEAD[] = "HTTP/1.1 2";
	return iov->iov_len >= sizeof(HEAD) &&
	    memcmp(iov->iov_base, HEAD, sizeof(HEAD) - 1) == 0;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	setup();
	if (what_is(fd) == DATA || what_is(fd) == META) {
		off_t offset = lseek(fd, 0, SEEK_CUR);
		ssize_t n = write_store(fd, iov, count, offset);
		if (n > 0)
			(void)lseek(fd, offset + n, SEEK_SET); /* as writev() does */
		return n;
	}
	size_t bytes = 0;
	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	if (count > 0 && is_accepted(iov))
		record('A', 0, iov, count, bytes);
	return libc.writev(fd, iov, count);
}
