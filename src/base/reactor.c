/*
 * libevent's core behind our own names. All events have the same priority: a
 * lower one starves under load, since libevent goes on with the higher one first.
 */
#include "base/reactor.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct reactor {
	struct event_base *base;
	uint64_t passes;
};

struct reactor_io {
	struct reactor *reactor;
	struct event *ev; /* NULL while paused */
	reactor_io_fn fn;
	void *arg;
	int fd;
	short want;
};

struct reactor_timer {
	struct event *ev;
	reactor_fn fn;
	void *arg;
};

struct reactor_signal {
	struct event *ev;
	reactor_fn fn;
	void *arg;
};

/* What libevent has to say goes where all lines go, in their form. */
static void on_library_line(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warn("libevent has a problem", LOG_S("text", text));
}

/*
 * What one pass changes of a descriptor goes to the kernel in one call, when the next begins:
 * evhttp stops reading and goes on again with each request. A descriptor that was closed and
 * opened again meanwhile is put right by libevent; one that was duplicated would not be.
 */
static struct event_base *make_base(void)
{
	struct event_config *conf = event_config_new();
	if (conf == NULL)
		return NULL;
	int rc = event_config_set_flag(conf, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	struct event_base *base = rc == 0 ? event_base_new_with_config(conf) : NULL;
	event_config_free(conf);
	return base;
}

struct reactor *reactor_new(void)
{
	struct reactor *r = mem_new(sizeof(*r));
	event_set_log_callback(on_library_line);
	r->base = make_base();
	panic_if(r->base == NULL, "no event loop");
	return r;
}

void reactor_free(struct reactor *r)
{
	if (r == NULL)
		return;
	event_base_free(r->base);
	free(r);
}

struct event_base *reactor_base(struct reactor *r)
{
	return r->base;
}

void reactor_pass(struct reactor *r, bool poll)
{
	r->passes++;
	int rc = event_base_loop(r->base, poll ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
	panic_if(rc < 0, "the event loop failed");
}

uint64_t reactor_passes(const struct reactor *r)
{
	return r->passes;
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct reactor_io *io = arg;
	io->fn(io->arg, (int)fd, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
}

struct reactor_io *reactor_io_new(struct reactor *r, int fd, reactor_io_fn fn, void *arg)
{
	struct reactor_io *io = mem_new(sizeof(*io));
	*io = (struct reactor_io){.reactor = r, .fn = fn, .arg = arg, .fd = fd};
	return io;
}

static void drop_event(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

void reactor_io_want(struct reactor_io *io, bool read, bool write)
{
	short want = (short)((read ? EV_READ : 0) | (write ? EV_WRITE : 0));
	if (want == io->want && io->ev != NULL)
		return;
	drop_event(&io->ev);
	io->want = want;
	if (want == 0)
		return;
	io->ev = event_new(io->reactor->base, io->fd, (short)(want | EV_PERSIST), on_io, io);
	panic_if(io->ev == NULL || event_add(io->ev, NULL) != 0, "cannot watch descriptor %d",
	    io->fd);
}

void reactor_io_free(struct reactor_io *io)
{
	if (io == NULL)
		return;
	drop_event(&io->ev);
	free(io);
}

void reactor_nudge(struct reactor *r, int fd)
{
	event_base_active_by_fd(r->base, fd, EV_READ);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct reactor_timer *t = arg;
	(void)fd;
	(void)what;
	t->fn(t->arg);
}

struct reactor_timer *reactor_timer_new(struct reactor *r, reactor_fn fn, void *arg)
{
	struct reactor_timer *t = mem_new(sizeof(*t));
	*t = (struct reactor_timer){.fn = fn, .arg = arg};
	t->ev = evtimer_new(r->base, on_timer, t);
	panic_if(t->ev == NULL, "no timer");
	return t;
}

void reactor_timer_set(struct reactor_timer *t, int64_t delay_ms)
{
	if (delay_ms < 0)
		delay_ms = 0;
	struct timeval tv = {.tv_sec = delay_ms / 1000, .tv_usec = (delay_ms % 1000) * 1000};
	panic_if(event_add(t->ev, &tv) != 0, "cannot set a timer");
}

void reactor_timer_fire(struct reactor_timer *t)
{
	event_active(t->ev, EV_TIMEOUT, 1);
}

void reactor_timer_clear(struct reactor_timer *t)
{
	(void)event_del(t->ev); /* fails only for an event without a loop */
}

void reactor_timer_free(struct reactor_timer *t)
{
	if (t == NULL)
		return;
	drop_event(&t->ev);
	free(t);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct reactor_signal *s = arg;
	(void)number;
	(void)what;
	s->fn(s->arg);
}

struct reactor_signal *reactor_signal_new(struct reactor *r, int number, reactor_fn fn,
    void *arg)
{
	struct reactor_signal *s = mem_new(sizeof(*s));
	*s = (struct reactor_signal){.fn = fn, .arg = arg};
	s->ev = evsignal_new(r->base, number, on_signal, s);
	panic_if(s->ev == NULL || event_add(s->ev, NULL) != 0, "cannot watch signal %d",
	    number);
	return s;
}

void reactor_signal_free(struct reactor_signal *s)
{
	if (s == NULL)
		return;
	drop_event(&s->ev);
	free(s);
}
