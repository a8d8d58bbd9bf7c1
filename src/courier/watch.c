/* Watches by descriptor; see watch.h. */
#include "courier/watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct watch {
	struct reactor_io *io; /* NULL: never wanted */
	const void *opener;    /* from watch_open() to watch_close() */
	bool read;             /* what is wanted of it; neither: nothing */
	bool write;
	bool kept; /* from watch_keep() to watch_close() */
};

struct watches {
	struct reactor *reactor;
	reactor_io_fn fn;
	void *arg;
	struct watch *by_fd;
	size_t count;
};

struct watches *watches_new(struct reactor *r, reactor_io_fn fn, void *arg)
{
	struct watches *w = mem_new(sizeof(*w));
	*w = (struct watches){.reactor = r, .fn = fn, .arg = arg};
	return w;
}

void watches_free(struct watches *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->count; i++)
		reactor_io_free(w->by_fd[i].io);
	free(w->by_fd);
	free(w);
}

static struct watch *watch_of(struct watches *w, int fd)
{
	size_t i = (size_t)fd;
	panic_if(fd < 0, "a watch of no descriptor");
	if (i >= w->count) {
		w->by_fd = mem_resize(w->by_fd, i + 1, sizeof(*w->by_fd));
		while (w->count <= i)
			w->by_fd[w->count++] = (struct watch){0};
	}
	return &w->by_fd[i];
}

static void unwatch(struct watch *watch)
{
	reactor_io_free(watch->io);
	watch->io = NULL;
}

void watch_close(struct watches *w, int fd)
{
	struct watch *watch = watch_of(w, fd);
	unwatch(watch);
	*watch = (struct watch){0};
}

/* Ready without a transfer: its peer has closed it. curl will see that when it wants it. */
static void on_ready(void *arg, int fd, bool readable, bool writable)
{
	struct watches *w = arg;
	struct watch *watch = watch_of(w, fd);
	if (watch->read || watch->write)
		w->fn(w->arg, fd, readable, writable);
	else
		reactor_io_want(watch->io, false, false);
}

void watch_want(struct watches *w, int fd, bool read, bool write)
{
	struct watch *watch = watch_of(w, fd);
	if (watch->io == NULL)
		watch->io = reactor_io_new(w->reactor, fd, on_ready, w);
	watch->read = read;
	watch->write = write;
	reactor_io_want(watch->io, read, write);
}

void watch_open(struct watches *w, int fd, const void *opener)
{
	struct watch *watch = watch_of(w, fd);
	struct watch before = *watch;
	*watch = (struct watch){.opener = opener};
	/* where curl closed the number's last socket in silence, it goes on to want the same */
	reactor_io_free(before.io);
	if (before.read || before.write)
		watch_want(w, fd, before.read, before.write);
}

void watch_keep(struct watches *w, int fd, const void *opener)
{
	struct watch *watch = watch_of(w, fd);
	if (watch->opener == opener)
		watch->kept = true;
}

void watch_drop(struct watches *w, int fd)
{
	struct watch *watch = watch_of(w, fd);
	watch->read = false;
	watch->write = false;
	if (!watch->kept)
		unwatch(watch); /* it may be closed already */
	else if (watch->io != NULL)
		reactor_io_want(watch->io, true, false);
}
