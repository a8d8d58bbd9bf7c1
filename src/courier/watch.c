/* Watches by descriptor; see watch.h. */
#include "courier/watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct watch {
	struct reactor_io *io; /* NULL: nothing is wanted */
	bool read;
	bool write;
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
	w->by_fd = mem_reach(w->by_fd, &w->count, i, sizeof(*w->by_fd));
	return &w->by_fd[i];
}

void watch_want(struct watches *w, int fd, bool read, bool write)
{
	struct watch *watch = watch_of(w, fd);
	if (watch->io == NULL)
		watch->io = reactor_io_new(w->reactor, fd, w->fn, w->arg);
	watch->read = read;
	watch->write = write;
	reactor_io_want(watch->io, read, write);
}

void watch_drop(struct watches *w, int fd)
{
	struct watch *watch = watch_of(w, fd);
	reactor_io_free(watch->io);
	*watch = (struct watch){0};
}
