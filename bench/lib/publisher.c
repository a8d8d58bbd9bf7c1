/*
 * A closed loop of HTTP clients; see publisher.h. Answers must be framed by a
 * Content-Length, as those of evhttp are.
 */
#include "publisher.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "wire.h"

#define ANSWER_MAX 16384
#define EVENTS_MAX 256
#define GRACE_US 10000000

struct client {
	int fd;          /* -1: gone */
	bool is_waiting; /* for an answer */
	bool is_blocked; /* the socket takes no more of the request */
	uint64_t sent_us;
	size_t out_len;
	size_t out_sent;
	size_t in_len;
	char *out;
	char in[ANSWER_MAX];
};

struct run {
	const struct publisher *p;
	struct publisher_result *r;
	struct client *clients;
	int epoll;
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

static void begin(struct run *run, struct client *c, uint64_t now)
{
	if (now >= run->stop_us || run->r->begun >= run->p->requests_max)
		return;
	c->out_len = run->p->make(run->p->arg, run->r->begun++, c->out);
	c->out_sent = 0;
	c->sent_us = now;
	c->is_waiting = true;
	run->waiting++;
	push(run, c);
}

/* Counts the answer in the buffer, if it is complete, and begins the next request. */
static void read_answer(struct run *run, struct client *c)
{
	struct slice head;
	if (!wire_head((struct slice){c->in, c->in_len}, &head))
		return;
	uint64_t length = head.len + wire_length(head);
	if (c->in_len < length)
		return;
	uint64_t now = net_now_us();
	int status = wire_status(head);
	if (!c->is_waiting || status == 0 || c->in_len > length) {
		drop(run, c); /* no client of ours pipelines: this is no answer to it */
		return;
	}
	run->r->accepted += status / 100 == 2;
	run->r->refused += status / 100 != 2;
	run->r->last_us = now;
	hist_add(&run->r->latency, now - c->sent_us);
	c->in_len = 0;
	c->is_waiting = false;
	run->waiting--;
	begin(run, c, now);
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
	read_answer(run, c);
}

static void connect_all(struct run *run)
{
	run->clients = calloc(run->p->connections, sizeof(*run->clients));
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run->clients == NULL || run->epoll < 0)
		net_die("clients");
	for (unsigned i = 0; i < run->p->connections; i++) {
		struct client *c = &run->clients[i];
		c->out = malloc(PUBLISHER_REQUEST_MAX);
		if (c->out == NULL)
			net_die("clients");
		c->fd = net_connect(run->p->port);
		net_watch(run->epoll, c->fd, i);
	}
}

static void handle(struct run *run, const struct epoll_event *event)
{
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
	for (unsigned i = 0; i < p->connections; i++)
		begin(&run, &run.clients[i], net_now_us());
	uint64_t end_us = run.stop_us + GRACE_US;
	while (run.waiting > 0 && net_now_us() < end_us) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(run.epoll, events, EVENTS_MAX, 100);
		for (int i = 0; i < n; i++)
			handle(&run, &events[i]);
	}
	r->unanswered += run.waiting;
	for (unsigned i = 0; i < p->connections; i++) {
		if (run.clients[i].fd >= 0)
			(void)close(run.clients[i].fd);
		free(run.clients[i].out);
	}
	(void)close(run.epoll);
	free(run.clients);
}
