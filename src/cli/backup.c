/*
 * waybill backup DIR: copies the store of a running gateway through its API, checks the copy,
 * and only then gives it its name. Until then it is DIR.partial, so that a copy that was
 * killed half-way is never taken for one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/reactor.h"
#include "cli/commands.h"
#include "cli/fsck.h"
#include "cli/remote.h"

#define NAME "waybill backup"
#define TIMEOUT_MS 60000 /* until the answer begins, and between two pieces of it */

struct copying {
	struct remote remote;
	const char *dir;
	char partial[PATH_MAX];
	struct backup_sink *sink;
	struct problem problem; /* why the sink took no more; empty: it takes */
	bool ok;
	bool done;
};

static bool on_data(void *arg, struct slice bytes)
{
	struct copying *c = arg;
	return backup_sink_write(c->sink, bytes, &c->problem) == OK;
}

static void on_answer(void *arg, const struct client_result *r)
{
	struct copying *c = arg;
	c->done = true;
	if (r->status != 200)
		remote_tell(&c->remote, NAME, r);
	else if (c->problem.message[0] != '\0' ||
	    backup_sink_finish(c->sink, &c->problem) != OK)
		(void)fprintf(stderr, NAME ": %s\n", c->problem.message);
	else
		c->ok = true;
}

static void on_signal(void *arg)
{
	struct copying *c = arg;
	(void)fprintf(stderr, NAME ": interrupted\n");
	c->done = true;
}

/* Receives the whole stream into the new store; false with a word on standard error. */
static bool fetch(struct copying *c)
{
	struct reactor *reactor = reactor_new();
	struct reactor_signal *interrupt = reactor_signal_new(reactor, SIGINT, on_signal, c);
	struct reactor_signal *terminate = reactor_signal_new(reactor, SIGTERM, on_signal, c);
	struct client *client = remote_client(&c->remote, reactor);
	struct client_request *q = client_open(client);
	struct buf text = BUF_INIT(8192);
	remote_authorize(&c->remote, q);
	buf_printf(&text, "%s/api/v1/backup", c->remote.url);
	client_fetch(q, buf_cstr(&text), TIMEOUT_MS, on_data, on_answer, c);
	while (!c->done) {
		reactor_pass(reactor, false);
		client_reap(client);
	}
	buf_fini(&text);
	client_free(client);
	reactor_signal_free(interrupt);
	reactor_signal_free(terminate);
	reactor_free(reactor);
	return c->ok;
}

/* Removes a file of the copy; one that is not there is fine. */
static void remove_file(const struct copying *c, const char *name)
{
	struct buf path = BUF_INIT(2 * PATH_MAX);
	buf_printf(&path, "%s/%s", c->partial, name);
	if (unlink(buf_cstr(&path)) != 0 && errno != ENOENT)
		(void)fprintf(stderr, NAME ": cannot remove %s: %s\n", buf_cstr(&path),
		    strerror(errno));
	buf_fini(&path);
}

static void remove_copy(const struct copying *c)
{
	remove_file(c, "waybill.mdb");
	remove_file(c, "waybill.mdb-lock");
	remove_file(c, "waybill.lock");
	if (rmdir(c->partial) != 0)
		(void)fprintf(stderr, NAME ": cannot remove %s: %s\n", c->partial,
		    strerror(errno));
}

/* Syncs the folder that holds `path`: a new name is on disk only then. */
static bool sync_parent(const char *path)
{
	struct buf parent = BUF_INIT(2 * PATH_MAX);
	buf_printf(&parent, "%s/..", path);
	int fd = open(buf_cstr(&parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		(void)close(fd); /* read-only */
	buf_fini(&parent);
	return synced;
}

/* Gives the copy its name, in place of an empty folder of that name at most. */
static bool name_copy(const struct copying *c)
{
	remove_file(c, "waybill.mdb-lock");
	if (rename(c->partial, c->dir) != 0) {
		(void)fprintf(stderr, NAME ": cannot name the copy %s: %s\n", c->dir,
		    strerror(errno));
		return false;
	}
	if (!sync_parent(c->dir))
		(void)fprintf(stderr, NAME ": cannot sync the folder of %s: %s\n", c->dir,
		    strerror(errno));
	return true;
}

/* Whether DIR can become the copy: it is not there, or an empty folder. */
static bool is_free(const char *dir)
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return errno == ENOENT;
	size_t entries = 0;
	while (readdir(d) != NULL)
		entries++;
	(void)closedir(d);   /* read-only */
	return entries <= 2; /* itself and its parent */
}

static int copy(struct copying *c)
{
	struct problem p;
	if (!is_free(c->dir)) {
		(void)fprintf(stderr, NAME ": %s is there already, and not an empty folder\n",
		    c->dir);
		return EXIT_FAILED;
	}
	enum err err = backup_sink_new(c->partial, &c->sink, &p);
	if (err != OK) {
		(void)fprintf(stderr, NAME ": %s%s\n", p.message,
		    err == ERR_EXISTS
			? ": another backup is under way, or was killed: remove it"
			: "");
		return EXIT_FAILED;
	}
	bool ok = fetch(c);
	backup_sink_free(c->sink);
	ok = ok && fsck_run(NAME, c->partial, true) == EXIT_OK && name_copy(c);
	if (!ok) {
		remove_copy(c);
		return EXIT_FAILED;
	}
	(void)printf("%s: complete\n", c->dir);
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static bool check(struct copying *c)
{
	struct problem p;
	size_t len = strlen(c->dir);
	while (len > 1 && c->dir[len - 1] == '/')
		len--;
	int n = snprintf(c->partial, sizeof(c->partial), "%.*s.partial", (int)len, c->dir);
	if (n < 0 || (size_t)n >= sizeof(c->partial))
		(void)fprintf(stderr, NAME ": DIR is too long\n");
	else if (remote_check(&c->remote, &p) != OK)
		(void)fprintf(stderr, NAME ": %s\n", p.message);
	else
		return true;
	return false;
}

int command_backup(int argc, char **argv)
{
	struct copying c = {.done = false};
	int first = 0;
	if (!remote_read(&c.remote, argc, argv, &first))
		return EXIT_USAGE;
	if (argc - first != 1) {
		(void)fprintf(stderr,
		    "usage: waybill backup [--url URL] [--token T] [--ca-file FILE] DIR\n");
		return EXIT_USAGE;
	}
	c.dir = argv[first];
	return check(&c) ? copy(&c) : EXIT_USAGE;
}
