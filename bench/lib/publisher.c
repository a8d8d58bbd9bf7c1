/*
 * HTTP clients in a closed loop or at a rate; see publisher.h. Answers must be framed by
 * a Content-Length, as those of evhttp are. Clients that may begin a request are in a queue,
 * so that a steady rate goes to all of them in turn.
 */
#include "publisher.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net.h"
#include "wire.h"

#define ANSWER_READ 16384 /* bytes; holds any answer's head */
#define EVENTS_MAX 256
#define GRACE_US 10000000

struct client {
	TAILQ_ENTRY(client) queue;
	int fd;          /* -1: gone */
	bool is_queued;  /* may begin a request */
	bool is_blocked; /* the socket takes no more of what is to be sent */
	bool in_body;    /* of an answer */
	uint64_t body_left;
	int status;
	unsigned waiting;                     /* requests without an answer … */
	unsigned oldest;                      /* … of which this is the first … */
	uint64_t due_us[PUBLISHER_DEPTH_MAX]; /* … in this ring of when they were to be sent */
	size_t out_len;
	size_t out_sent;
	size_t in_len;
	char *out;
	char in[ANSWER_READ];
};

struct run {
	const struct publisher *p;
	struct publisher_result *r;
	struct client *clients;
	TAILQ_HEAD(, client) idle; /* those that may begin a request */
	int epoll;
	int timer; /* of the next request, at a rate */
	unsigned waiting;
	uint64_t stop_us; /* no request is begun after it */
};

static void watch_for(struct run *run, struct client *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64_t)(c - run->clients)};
	if (epoll_ctl(run->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
		net_die("epoll_ctl");
}

static bool may_begin(const struct run *run, const struct client *c)
{
	return c->fd >= 0 && !c->is_blocked && c->waiting < run->p->depth;
}

/* Puts a client in the queue or takes it out, as it may begin a request or not. */
static void requeue(struct run *run, struct client *c)
{
	bool may = may_begin(run, c);
	if (may && !c->is_queued)
		TAILQ_INSERT_TAIL(&run->idle, c, queue);
	if (!may && c->is_queued)
		TAILQ_REMOVE(&run->idle, c, queue);
	c->is_queued = may;
}

/* Takes a client out: its connection is of no use any more. */
static void drop(struct run *run, struct client *c)
{
	(void)close(c->fd);
	c->fd = -1;
	run->waiting -= c->waiting;
	run->r->unanswered += c->waiting;
	c->waiting = 0;
	requeue(run, c);
}

/* Sends what is left to be sent; what the socket does not take goes with EPOLLOUT. */
static void push(struct run *run, struct client *c)
{
	ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		drop(run, c);
		return;
	}
	c->out_sent += n > 0 ? (size_t)n : 0;
	bool is_blocked = c->out_sent < c->out_len;
	if (is_blocked != c->is_blocked)
		watch_for(run, c, is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
	c->is_blocked = is_blocked;
	requeue(run, c);
}

/* When the next request is to be sent: at once in a closed loop. */
static uint64_t next_due(const struct run *run, uint64_t now)
{
	if (run->p->rate <= 0)
		return now;
	return run->r->first_us + (uint64_t)((double)run->r->begun * 1e6 / run->p->rate);
}

static bool is_over(const struct run *run, uint64_t now)
{
	return run->r->begun >= run->p->requests_max || next_due(run, now) >= run->stop_us;
}

static void write_request(struct run *run, struct client *c, uint64_t due_us)
{
	c->out_len += run->p->make(run->p->arg, run->r->begun++, due_us, c->out + c->out_len);
	c->due_us[(c->oldest + c->waiting) % PUBLISHER_DEPTH_MAX] = due_us;
	c->waiting++;
	run->waiting++;
}

/* Begins what is due on one connection: all that it takes in a closed loop, else one. */
static void begin(struct run *run, struct client *c, uint64_t now)
{
	c->out_len = 0;
	c->out_sent = 0;
	do {
		write_request(run, c, next_due(run, now));
	} while (run->p->rate <= 0 && c->waiting < run->p->depth && !is_over(run, now));
	push(run, c);
}

/* Begins what is due, as far as there are clients that may. */
static void begin_due(struct run *run)
{
	uint64_t now = net_now_us();
	while (!TAILQ_EMPTY(&run->idle) && !is_over(run, now) && next_due(run, now) <= now) {
		struct client *c = TAILQ_FIRST(&run->idle);
		TAILQ_REMOVE(&run->idle, c, queue);
		c->is_queued = false;
		begin(run, c, now);
	}
	if (run->p->rate <= 0 || TAILQ_EMPTY(&run->idle) || is_over(run, now))
		return;
	uint64_t at = next_due(run, now);
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000),
				      .tv_nsec = (long)(at % 1000000) * 1000}};
	if (timerfd_settime(run->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
		net_die("timerfd_settime");
}

/* An answer is complete: counts it. */
static void finish(struct run *run, struct client *c)
{
	uint64_t now = net_now_us();
	run->r->accepted += c->status / 100 == 2;
	run->r->refused += c->status / 100 != 2;
	run->r->last_us = now;
	hist_add(&run->r->latency, now - c->due_us[c->oldest]);
	c->oldest = (c->oldest + 1) % PUBLISHER_DEPTH_MAX;
	c->waiting--;
	run->waiting--;
	c->in_body = false;
	requeue(run, c);
}

/* Takes an answer, or what there is of it, off what came; false when that was all. */
static bool read_answer(struct run *run, struct client *c, struct slice *bytes)
{
	struct slice head;
	if (!c->in_body) {
		if (!wire_head(*bytes, &head))
			return false;
		c->status = wire_status(head);
		c->body_left = wire_length(head);
		c->in_body = true;
		bytes->ptr += head.len;
		bytes->len -= head.len;
		if (c->waiting == 0 || c->status == 0) {
			drop(run, c); /* this answers no request of ours */
			return false;
		}
	}
	size_t here = c->body_left < bytes->len ? (size_t)c->body_left : bytes->len;
	bytes->ptr += here;
	bytes->len -= here;
	c->body_left -= here;
	if (c->body_left > 0)
		return false;
	finish(run, c);
	return true;
}

static void pull(struct run *run, struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(run, c);
		return;
	}
	struct slice bytes = {c->in, c->in_len + (size_t)n};
	while (bytes.len > 0 && read_answer(run, c, &bytes))
		continue;
	c->in_len = bytes.len; /* the beginning of a head */
	memmove(c->in, bytes.ptr, bytes.len);
}

static void connect_all(struct run *run)
{
	run->clients = calloc(run->p->connections, sizeof(*run->clients));
	TAILQ_INIT(&run->idle);
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->clients == NULL || run->epoll < 0 || run->timer < 0)
		net_die("clients");
	net_watch(run->epoll, run->timer, run->p->connections);
	for (unsigned i = 0; i < run->p->connections; i++) {
		struct client *c = &run->clients[i];
		c->out = malloc(run->p->request_max * run->p->depth);
		if (c->out == NULL)
			net_die("clients");
		c->fd = net_connect(run->p->port);
		net_watch(run->epoll, c->fd, i);
		requeue(run, c);
	}
}

static void disconnect_all(struct run *run)
{
	for (unsigned i = 0; i < run->p->connections; i++) {
		if (run->clients[i].fd >= 0)
			(void)close(run->clients[i].fd);
		free(run->clients[i].out);
	}
	(void)close(run->timer);
	(void)close(run->epoll);
	free(run->clients);
}

static void handle(struct run *run, const struct epoll_event *event)
{
	if (event->data.u64 == run->p->connections) {
		uint64_t times = 0;
		(void)!read(run->timer, &times, sizeof(times)); /* the clock tells */
		return;
	}
	struct client *c = &run->clients[event->data.u64];
	if (c->fd >= 0 && (event->events & EPOLLOUT) != 0)
		push(run, c);
	if (c->fd >= 0 && (event->events & ~(uint32_t)EPOLLOUT) != 0)
		pull(run, c);
}

void publisher_run(const struct publisher *p, struct publisher_result *r)
{
	struct run run = {.p = p, .r = r};
	connect_all(&run);
	r->first_us = net_now_us();
	run.stop_us = r->first_us + (uint64_t)(p->seconds * 1e6);
	uint64_t end_us = run.stop_us + GRACE_US;
	begin_due(&run);
	for (uint64_t now = r->first_us; now < end_us &&
	     (run.waiting > 0 || (!TAILQ_EMPTY(&run.idle) && !is_over(&run, now)));
	     now = net_now_us()) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(run.epoll, events, EVENTS_MAX, 100);
		for (int i = 0; i < n; i++)
			handle(&run, &events[i]);
		begin_due(&run);
	}
	r->unanswered += run.waiting;
	disconnect_all(&run);
}
