/*
 * The far end of deliveries; see receiver.h. One thread, one epoll. A connection
 * is read on only when its request has been answered; the answers that wait for
 * their time are in a ring, in order, as the delay is the same for all.
 */
#include "receiver.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "idset.h"
#include "net.h"
#include "wire.h"

#define CONNECTIONS_MAX 4096 /* highest descriptor served */
#define HEAD_MAX 16384
#define EVENTS_MAX 256
#define ID_MAX 64
#define ANSWER_MAX 512

struct peer {
	bool is_open;
	bool is_waiting;    /* for its answer's time */
	bool is_count;      /* the request was GET /count */
	uint64_t body_left; /* of the request that is being read */
	bool in_body;
	size_t id_len;
	char id[ID_MAX]; /* its X-Webhook-Id */
	size_t len;
	char in[HEAD_MAX];
};

struct due {
	uint64_t at_us;
	int fd;
};

struct server {
	const struct receiver *conf;
	struct receiver_counts *counts;
	struct idset ids;
	int epoll;
	struct peer *peers[CONNECTIONS_MAX]; /* by descriptor */
	struct due ring[CONNECTIONS_MAX];    /* at most one for each peer */
	size_t ring_first;
	size_t ring_len;
};

void receiver_json(const struct receiver_counts *c, char out[RECEIVER_JSON_MAX])
{
	(void)snprintf(out, RECEIVER_JSON_MAX,
	    "{\"requests\":%" PRIu64 ",\"unique\":%" PRIu64 ",\"first_us\":%" PRIu64
	    ",\"last_us\":%" PRIu64 "}",
	    c->requests, c->unique, c->first_us, c->last_us);
}

static void answer(struct server *s, int fd)
{
	char json[RECEIVER_JSON_MAX] = "";
	bool is_count = s->peers[fd]->is_count;
	if (is_count)
		receiver_json(s->counts, json);
	char out[ANSWER_MAX];
	int n = snprintf(out, sizeof(out),
	    "HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n%s",
	    is_count ? 200 : s->conf->status, strlen(json), json);
	/* A few bytes into an empty socket; a peer that is gone is found by the next read. */
	(void)send(fd, out, (size_t)n, MSG_NOSIGNAL);
}

/* Reads a head, if it is all there; false when nothing more can be done now. */
static bool read_head(struct peer *p)
{
	struct slice head;
	if (!wire_head((struct slice){p->in, p->len}, &head))
		return false;
	p->is_count = slice_starts(head, SLICE("GET /count "));
	struct slice id = wire_header(head, "X-Webhook-Id");
	p->id_len = id.len < sizeof(p->id) ? id.len : sizeof(p->id);
	memcpy(p->id, id.ptr, p->id_len);
	p->body_left = wire_length(head);
	p->in_body = true;
	p->len -= head.len;
	memmove(p->in, p->in + head.len, p->len);
	return true;
}

static void count(struct server *s, const struct peer *p, uint64_t now)
{
	struct receiver_counts *c = s->counts;
	c->requests++;
	if (p->id_len > 0 && idset_add(&s->ids, (struct slice){p->id, p->id_len}))
		c->unique++;
	if (c->first_us == 0)
		c->first_us = now;
	c->last_us = now;
}

static void end_request(struct server *s, int fd)
{
	struct peer *p = s->peers[fd];
	uint64_t now = net_now_us();
	p->in_body = false;
	if (!p->is_count)
		count(s, p, now);
	if (s->conf->delay_us == 0 || p->is_count) {
		answer(s, fd);
		return;
	}
	p->is_waiting = true;
	s->ring[(s->ring_first + s->ring_len++) % CONNECTIONS_MAX] = (struct due){
	    now + s->conf->delay_us, fd};
}

/* Goes through what has been read, up to a request that has to wait. */
static void advance(struct server *s, int fd)
{
	struct peer *p = s->peers[fd];
	while (!p->is_waiting) {
		if (!p->in_body && !read_head(p))
			return;
		uint64_t here = p->body_left < p->len ? p->body_left : p->len;
		p->body_left -= here;
		p->len -= (size_t)here;
		memmove(p->in, p->in + here, p->len);
		if (p->body_left > 0)
			return;
		end_request(s, fd);
	}
}

/* A peer that waits in the ring stays until its time: its descriptor must not be reused. */
static void close_peer(struct server *s, int fd)
{
	struct peer *p = s->peers[fd];
	p->is_open = false;
	if (p->is_waiting) {
		if (epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL) != 0)
			net_die("epoll_ctl");
		return;
	}
	s->peers[fd] = NULL;
	(void)close(fd);
	free(p);
}

static void on_readable(struct server *s, int fd)
{
	struct peer *p = s->peers[fd];
	if (p->len == sizeof(p->in)) { /* a head too long, or a pipeline while it waits */
		close_peer(s, fd);
		return;
	}
	ssize_t n = recv(fd, p->in + p->len, sizeof(p->in) - p->len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close_peer(s, fd);
		return;
	}
	p->len += (size_t)n;
	advance(s, fd);
}

static void on_connection(struct server *s)
{
	for (;;) {
		int fd = accept4(s->conf->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return; /* EAGAIN, or a peer that has gone already */
		struct peer *p = fd < CONNECTIONS_MAX ? calloc(1, sizeof(*p)) : NULL;
		if (p == NULL) {
			(void)close(fd);
			continue;
		}
		p->is_open = true;
		s->peers[fd] = p;
		net_watch(s->epoll, fd, (uint64_t)fd);
	}
}

static void answer_due(struct server *s)
{
	uint64_t now = s->ring_len > 0 ? net_now_us() : 0;
	while (s->ring_len > 0 && s->ring[s->ring_first].at_us <= now) {
		int fd = s->ring[s->ring_first].fd;
		s->ring_first = (s->ring_first + 1) % CONNECTIONS_MAX;
		s->ring_len--;
		s->peers[fd]->is_waiting = false;
		if (!s->peers[fd]->is_open) {
			close_peer(s, fd);
			continue;
		}
		answer(s, fd);
		advance(s, fd);
	}
}

/* Returns the milliseconds until the next answer is due, -1 without any. */
static int next_due_ms(const struct server *s)
{
	if (s->ring_len == 0)
		return -1;
	uint64_t now = net_now_us();
	uint64_t at = s->ring[s->ring_first].at_us;
	return at <= now ? 0 : (int)((at - now + 999) / 1000);
}

static int open_signals(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		net_die("sigprocmask");
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		net_die("signalfd");
	return fd;
}

void receiver_run(const struct receiver *conf, struct receiver_counts *counts)
{
	struct server *s = calloc(1, sizeof(*s));
	if (s == NULL)
		net_die("receiver");
	s->conf = conf;
	s->counts = counts;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		net_die("epoll_create1");
	int signals = open_signals();
	net_watch(s->epoll, signals, (uint64_t)signals);
	net_watch(s->epoll, conf->listener, (uint64_t)conf->listener);
	for (bool is_stopping = false; !is_stopping; answer_due(s)) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(s->epoll, events, EVENTS_MAX, next_due_ms(s));
		for (int i = 0; i < n; i++) {
			int fd = (int)events[i].data.u64;
			if (fd == signals)
				is_stopping = true;
			else if (fd == conf->listener)
				on_connection(s);
			else if (s->peers[fd] != NULL)
				on_readable(s, fd);
		}
	}
	for (int fd = 0; fd < CONNECTIONS_MAX; fd++) {
		if (s->peers[fd] != NULL) {
			(void)close(fd);
			free(s->peers[fd]);
		}
	}
	(void)close(signals);
	(void)close(s->epoll);
	idset_fini(&s->ids);
	free(s);
}
