/*
 * HTTP clients in a closed loop or at a rate; see publisher.h. Answers must be framed by
 * a Content-Length, as those of evhttp are. Clients without a request are on a stack.
 */
#include "publisher.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net.h"
#include "wire.h"

#define ANSWER_READ 16384 /* bytes; holds any answer's head */
#define EVENTS_MAX 256
#define GRACE_US 10000000

struct client {
	int fd;          /* -1: gone */
	bool is_waiting; /* for an answer */
	bool is_blocked; /* the socket takes no more of the request */
	bool in_body;    /* of the answer */
	uint64_t body_left;
	int status;
	uint64_t due_us;
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
	struct client **idle;
	size_t idle_count;
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

/* Takes a client out: its connection is of no use any more. */
static void drop(struct run *run, struct client *c)
{
	(void)close(c->fd);
	c->fd = -1;
	if (c->is_waiting) {
		run->waiting--;
		run->r->unanswered++;
	}
	c->is_waiting = false;
}

/* Sends what is left of the request; what the socket does not take goes with EPOLLOUT. */
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

static void begin(struct run *run, struct client *c, uint64_t due_us)
{
	c->out_len = run->p->make(run->p->arg, run->r->begun++, due_us, c->out);
	c->out_sent = 0;
	c->due_us = due_us;
	c->is_waiting = true;
	run->waiting++;
	push(run, c);
}

/* Begins what is due, as far as there are clients without a request. */
static void begin_due(struct run *run)
{
	uint64_t now = net_now_us();
	while (run->idle_count > 0 && !is_over(run, now) && next_due(run, now) <= now) {
		struct client *c = run->idle[--run->idle_count];
		if (c->fd >= 0) /* else it was dropped while it had nothing to do */
			begin(run, c, next_due(run, now));
	}
	if (run->p->rate <= 0 || run->idle_count == 0 || is_over(run, now))
		return;
	uint64_t at = next_due(run, now);
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000),
				      .tv_nsec = (long)(at % 1000000) * 1000}};
	if (timerfd_settime(run->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
		net_die("timerfd_settime");
}

/* The answer is complete: counts it. */
static void finish(struct run *run, struct client *c)
{
	uint64_t now = net_now_us();
	run->r->accepted += c->status / 100 == 2;
	run->r->refused += c->status / 100 != 2;
	run->r->last_us = now;
	hist_add(&run->r->latency, now - c->due_us);
	c->in_body = false;
	c->is_waiting = false;
	run->waiting--;
	run->idle[run->idle_count++] = c;
}

/* Takes the head off what came, if it is complete, and leaves the body's length to come. */
static bool read_head(struct client *c)
{
	struct slice head;
	if (!wire_head((struct slice){c->in, c->in_len}, &head))
		return false;
	c->status = wire_status(head);
	c->body_left = wire_length(head);
	c->in_body = true;
	c->in_len -= head.len;
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
	c->in_len += (size_t)n;
	if (!c->in_body && !read_head(c))
		return;
	if (!c->is_waiting || c->status == 0 || c->in_len > c->body_left) {
		drop(run, c); /* no client of ours pipelines: this is no answer to it */
		return;
	}
	c->body_left -= c->in_len;
	c->in_len = 0;
	if (c->body_left == 0)
		finish(run, c);
}

static void connect_all(struct run *run)
{
	run->clients = calloc(run->p->connections, sizeof(*run->clients));
	run->idle = calloc(run->p->connections, sizeof(struct client *));
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->clients == NULL || run->idle == NULL || run->epoll < 0 || run->timer < 0)
		net_die("clients");
	net_watch(run->epoll, run->timer, run->p->connections);
	for (unsigned i = 0; i < run->p->connections; i++) {
		struct client *c = &run->clients[i];
		c->out = malloc(PUBLISHER_REQUEST_MAX);
		if (c->out == NULL)
			net_die("clients");
		c->fd = net_connect(run->p->port);
		net_watch(run->epoll, c->fd, i);
		run->idle[run->idle_count++] = c;
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
	free(run->idle);
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
	for (uint64_t now = r->first_us;
	     now < end_us && (run.waiting > 0 || (run.idle_count > 0 && !is_over(&run, now)));
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
