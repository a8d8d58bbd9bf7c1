/*
 * Addresses raced; see race.h. A race is over when it has neither a timer, which stands for an
 * address to be tried, nor a runner, a socket that may come to stand.
 */
#include "courier/race.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "shares/shares.h"

#define SLOT_WAIT_MS 50 /* until a slot is asked for again */

TAILQ_HEAD(runner_list, runner);

struct runner {
	TAILQ_ENTRY(runner) own; /* of its race, the oldest first */
	TAILQ_ENTRY(runner) all; /* of all races, the same */
	struct race *race;
	struct reactor_io *io;
	int fd;
	union lookup_address to;
	int64_t started_ms; /* monotonic */
};

struct races {
	struct reactor *reactor;
	struct failures *failures;
	struct runner_list runners;
	struct shares *shares;
};

struct race {
	struct races *races;
	struct race_hooks hooks;
	struct route *route;
	struct reactor_timer *step;
	bool has_next; /* `step` runs */
	struct runner_list runners;
	size_t count;
	uint64_t taker;
	uint16_t port;
	enum shortage shortage; /* why the next address is not tried yet */
	bool lacked_ports;      /* for one that was passed over */
};

struct races *races_new(struct reactor *r, struct failures *failures)
{
	struct races *rs = mem_new(sizeof(*rs));
	*rs = (struct races){.reactor = r, .failures = failures};
	rs->shares = shares_new(RACE_SOCKETS);
	TAILQ_INIT(&rs->runners);
	return rs;
}

void races_free(struct races *rs)
{
	if (rs == NULL)
		return;
	shares_free(rs->shares);
	free(rs);
}

/* The taker's name among shares. */
static struct slice taker_of(const struct race *r)
{
	return (struct slice){(const char *)&r->taker, sizeof(r->taker)};
}

/* Takes a runner out of its race; its socket is the caller's. */
static int leave(struct runner *n)
{
	struct race *r = n->race;
	int fd = n->fd;
	TAILQ_REMOVE(&r->runners, n, own);
	TAILQ_REMOVE(&r->races->runners, n, all);
	r->count--;
	shares_give(r->races->shares, taker_of(r), 1);
	reactor_io_free(n->io);
	free(n);
	return fd;
}

static void drop(struct runner *n)
{
	(void)close(leave(n)); /* it never stood */
}

static void fail(struct runner *n)
{
	failures_note(n->race->races->failures, &n->to, n->race->port);
	drop(n);
}

static void wait_for_next(struct race *r, int64_t delay_ms)
{
	r->has_next = route_has_next(r->route);
	if (r->has_next)
		reactor_timer_set(r->step, delay_ms);
}

/* Who is to give up a slot to `r`, which gets no more of those that are free; NULL: nobody. */
static struct runner *find_oldest(const struct race *r)
{
	const struct races *rs = r->races;
	bool has_some = shares_held(rs->shares, taker_of(r)) > 0;
	int64_t since_ms = clock_mono_ms() - RACE_STEP_MS;
	struct runner *n = TAILQ_FIRST(&rs->runners);
	while (n != NULL && has_some && n->race->taker != r->taker)
		n = TAILQ_NEXT(n, all);
	return n != NULL && n->started_ms <= since_ms ? n : NULL;
}

/* Makes a slot for one more; false: there will be one soon. */
static bool has_slot(struct race *r)
{
	if (r->count >= RACE_OWN) {
		drop(TAILQ_FIRST(&r->runners));
	} else if (shares_room(r->races->shares, taker_of(r)) == 0) {
		struct runner *oldest = find_oldest(r);
		if (oldest == NULL)
			return false;
		struct race *other = oldest->race;
		drop(oldest); /* which says nothing of its address */
		if (other->count == 0 && !other->has_next) /* not from within this call */
			reactor_timer_fire(other->step);
	}
	return true;
}

static void on_runner(void *arg, int fd, bool readable, bool writable);

static void add_runner(struct race *r, int fd, const union lookup_address *to)
{
	struct races *rs = r->races;
	struct runner *n = mem_new(sizeof(*n));
	*n = (struct runner){.race = r, .fd = fd, .to = *to, .started_ms = clock_mono_ms()};
	n->io = reactor_io_new(rs->reactor, fd, on_runner, n);
	reactor_io_want(n->io, false, true);
	TAILQ_INSERT_TAIL(&r->runners, n, own);
	TAILQ_INSERT_TAIL(&rs->runners, n, all);
	r->count++;
	shares_force(rs->shares, taker_of(r), 1);
}

/* Begins to connect; -1 with errno. */
static int open_socket(const union lookup_address *to, uint16_t port)
{
	union lookup_address at = *to;
	bool is_ipv4 = at.any.sa_family == AF_INET;
	socklen_t len = is_ipv4 ? sizeof(at.in) : sizeof(at.in6);
	if (is_ipv4)
		at.in.sin_port = htons(port);
	else
		at.in6.sin6_port = htons(port);
	int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &at.any, len) == 0 || errno == EINPROGRESS)
		return fd;
	int error = errno;
	(void)close(fd); /* it never stood */
	errno = error;
	return -1;
}

/* Tries the next address that is not refused at once. */
static void run(struct race *r)
{
	while (route_has_next(r->route)) {
		if (!has_slot(r)) {
			r->shortage = SHORT_OF_NOTHING;
			wait_for_next(r, SLOT_WAIT_MS);
			return;
		}
		const union lookup_address *to = route_peek(r->route);
		int fd = open_socket(to, r->port);
		r->shortage = fd < 0 ? shortage_of_connect(errno, &to->any) : SHORT_OF_NOTHING;
		if (shortage_is_everybodys(r->shortage)) {
			wait_for_next(r, RACE_STEP_MS);
			return;
		}
		(void)route_next(r->route); /* is `to` */
		if (fd >= 0) {
			add_runner(r, fd, to);
			wait_for_next(r, RACE_STEP_MS);
			return;
		}
		if (r->shortage == SHORT_OF_NOTHING)
			failures_note(r->races->failures, to, r->port);
		else
			r->lacked_ports = true; /* which says nothing of it, nor of others */
	}
}

/* Runs on, unless it is over. */
static void go_on(struct race *r)
{
	r->has_next = false;
	reactor_timer_clear(r->step);
	if (r->hooks.is_over(r->hooks.arg)) {
		race_stop(r);
		return;
	}
	run(r);
	if (r->count == 0 && !r->has_next)
		r->hooks.lost(r->hooks.arg);
}

static void on_step(void *arg)
{
	go_on(arg);
}

static void on_runner(void *arg, int fd, bool readable, bool writable)
{
	struct runner *n = arg;
	struct race *r = n->race;
	int error = 0;
	socklen_t len = sizeof(error);
	(void)readable;
	(void)writable;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0) {
		fail(n);
		go_on(r);
		return;
	}
	union lookup_address to = n->to;
	failures_forget(r->races->failures, &to, r->port);
	(void)leave(n); /* is `fd` */
	race_stop(r);
	if (r->hooks.is_over(r->hooks.arg))
		(void)close(fd); /* nobody needs it */
	else
		r->hooks.won(r->hooks.arg, fd, &to);
}

struct race *race_new(struct races *rs, struct route *route, const struct race_hooks *hooks)
{
	struct race *r = mem_new(sizeof(*r));
	*r = (struct race){.races = rs, .hooks = *hooks, .route = route};
	TAILQ_INIT(&r->runners);
	r->step = reactor_timer_new(rs->reactor, on_step, r);
	return r;
}

void race_free(struct race *r)
{
	if (r == NULL)
		return;
	race_stop(r);
	reactor_timer_free(r->step);
	free(r);
}

void race_start(struct race *r, uint16_t port, uint64_t taker)
{
	r->port = port;
	r->taker = taker;
	r->shortage = SHORT_OF_NOTHING;
	wait_for_next(r, RACE_STEP_MS);
}

bool race_hurry(struct race *r)
{
	if (r->has_next)
		reactor_timer_fire(r->step);
	return r->has_next || r->count > 0;
}

void race_stop(struct race *r)
{
	r->has_next = false;
	r->lacked_ports = false;
	reactor_timer_clear(r->step);
	while (!TAILQ_EMPTY(&r->runners))
		drop(TAILQ_FIRST(&r->runners));
}

enum shortage race_shortage(const struct race *r)
{
	if (r->has_next && r->shortage != SHORT_OF_NOTHING)
		return r->shortage;
	return r->lacked_ports ? SHORT_OF_PORTS : SHORT_OF_NOTHING;
}
