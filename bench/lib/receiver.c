/*
 * The far end of deliveries; see receiver.h. One thread, one epoll. A connection is
 * read on only when its request has been answered; those that wait for their answer's
 * time are in their route's queue, in order, as the delay is the same for all in it.
 */
#include "receiver.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "hmac.h"
#include "link.h"
#include "net.h"
#include "wire.h"

#define DESCRIPTORS_MAX 20000 /* highest one served */
#define READ_MAX 65536        /* bytes at a time; any head fits */
#define EVENTS_MAX 256
#define ID_MAX 128
#define ANSWER_MAX (RECEIVER_JSON_MAX + 256)
#define STAMP_WITHIN 512 /* bytes: "at" is at the start of a body's data */
#define COUNT_PATH "/count"
#define STATUS_COUNTS 200
#define STATUS_FORGED 401
#define STATUS_FAILED 503

enum peer_state {
	PEER_READING,
	PEER_DELAYED, /* in its route's queue */
	PEER_SILENT,  /* until it goes */
	PEER_CLOSING, /* as soon as nobody holds it */
};

struct peer {
	TAILQ_ENTRY(peer) queue;
	struct link link;
	enum peer_state state;
	struct route *route;
	bool is_count; /* the request was GET /count */
	bool in_body;
	bool is_stamped;    /* its "at" has been looked for */
	uint64_t body_len;  /* of the request that is being read … */
	uint64_t body_left; /* … and what has not come of it */
	uint64_t stamp_us;  /* its "at"; 0: none */
	uint64_t due_us;    /* of its answer */
	int status;         /* of an answer that is delayed */
	size_t id_len;
	char id[ID_MAX];                /* its X-Webhook-Id, and its path */
	char signature[HMAC_TEXT_SIZE]; /* its X-Webhook-Signature */
	struct evp_mac_ctx_st *mac;     /* over its body; NULL: not checked */
	size_t len;
	char in[READ_MAX];
};

struct route {
	struct receiver_route *conf;
	TAILQ_HEAD(, peer) delayed;
};

struct server {
	const struct receiver *conf;
	struct route *routes;
	int epoll;
	int signals;
	bool is_stopping;
	bool is_listener[DESCRIPTORS_MAX];
	struct peer *peers[DESCRIPTORS_MAX]; /* by descriptor */
};

void receiver_json(const struct receiver_counts *c, char out[RECEIVER_JSON_MAX])
{
	char lag[HIST_JSON_MAX];
	char small[HIST_JSON_MAX];
	hist_json(&c->lag, lag);
	hist_json(&c->small, small);
	(void)snprintf(out, RECEIVER_JSON_MAX,
	    "{\"requests\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"forged\":%" PRIu64
	    ",\"unique\":%zu,\"first_us\":%" PRIu64 ",\"last_us\":%" PRIu64
	    ",%s,\"small\":{%s}}",
	    c->requests, c->failed, c->forged, c->ids.count, c->first_us, c->last_us, lag,
	    small);
}

static void answer(const struct server *s, struct peer *p, int status)
{
	char json[RECEIVER_JSON_MAX];
	json[0] = '\0';
	if (p->is_count)
		receiver_json(&p->route->conf->counts, json);
	char out[ANSWER_MAX];
	int n = snprintf(out, sizeof(out),
	    "HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\n%s\r\n%s",
	    status, strlen(json), s->conf->closes ? "Connection: close\r\n" : "", json);
	/* A few bytes into an empty socket; a peer that is gone is found by the next read. */
	(void)link_send(&p->link, out, (size_t)n);
	p->state = s->conf->closes ? PEER_CLOSING : PEER_READING;
}

static struct route *find_route(const struct server *s, struct slice path)
{
	for (size_t i = 0; i + 1 < s->conf->route_count; i++) {
		if (slice_starts(path, slice_of(s->conf->routes[i].path)))
			return &s->routes[i];
	}
	return &s->routes[s->conf->route_count - 1];
}

/* What makes a delivery one of its own: its event and where it is for. */
static void name_request(struct peer *p, struct slice head, size_t path)
{
	struct slice id = wire_header(head, "X-Webhook-Id");
	const char *end = memchr(head.ptr + path, ' ', head.len - path);
	size_t len = end == NULL ? 0 : (size_t)(end - head.ptr) - path;
	bool fits = id.len > 0 && id.len + len <= sizeof(p->id);
	p->id_len = fits ? id.len + len : 0;
	if (!fits)
		return;
	memcpy(p->id, id.ptr, id.len);
	memcpy(p->id + id.len, head.ptr + path, len);
}

/* Reads a head, if it is all there; false when nothing more can be done now. */
static bool read_head(const struct server *s, struct peer *p)
{
	struct slice head;
	if (!wire_head((struct slice){p->in, p->len}, &head))
		return false;
	p->is_count = slice_starts(head, SLICE("GET " COUNT_PATH));
	size_t path = p->is_count ? strlen("GET " COUNT_PATH) : strlen("POST ");
	p->route = find_route(s, (struct slice){head.ptr + path, head.len - path});
	name_request(p, head, path);
	struct slice signature = wire_header(head, "X-Webhook-Signature");
	bool fits = signature.len < sizeof(p->signature);
	(void)snprintf(p->signature, sizeof(p->signature), "%.*s",
	    fits ? (int)signature.len : 0, signature.ptr);
	if (p->mac != NULL)
		hmac_begin(p->mac);
	p->body_len = wire_length(head);
	p->body_left = p->body_len;
	p->is_stamped = false;
	p->in_body = true;
	p->len -= head.len;
	memmove(p->in, p->in + head.len, p->len);
	return true;
}

/* Returns what follows "at": at the start of the body. */
static uint64_t find_stamp(struct slice body)
{
	static const char NAME[] = "\"at\":";
	const char *at = body.len == 0 ? NULL
				       : memmem(body.ptr, body.len, NAME, sizeof(NAME) - 1);
	if (at == NULL)
		return 0;
	const char *end = body.ptr + body.len;
	struct slice digits = {at + sizeof(NAME) - 1, 0};
	while (digits.ptr + digits.len < end && digits.ptr[digits.len] >= '0' &&
	    digits.ptr[digits.len] <= '9')
		digits.len++;
	uint64_t stamp = 0;
	return str_u64(digits, &stamp) == OK ? stamp : 0;
}

/* Takes the body's bytes that are there off the input; true when that was the last. */
static bool read_body(struct peer *p)
{
	uint64_t here = p->body_left < p->len ? p->body_left : p->len;
	uint64_t start = here < STAMP_WITHIN ? here : STAMP_WITHIN;
	if (!p->is_stamped && start < STAMP_WITHIN && start < p->body_left)
		return false; /* the stamp may be cut */
	if (!p->is_stamped)
		p->stamp_us = find_stamp((struct slice){p->in, (size_t)start});
	p->is_stamped = true;
	if (p->mac != NULL)
		hmac_add(p->mac, p->in, (size_t)here);
	p->body_left -= here;
	p->len -= (size_t)here;
	memmove(p->in, p->in + here, p->len);
	return p->body_left == 0;
}

static bool is_genuine(struct peer *p)
{
	char signature[HMAC_TEXT_SIZE];
	if (p->mac == NULL)
		return true;
	hmac_end(p->mac, signature);
	return strcmp(signature, p->signature) == 0;
}

/* Counts the request that is complete; returns the status of its answer. */
static int count(const struct server *s, struct peer *p, uint64_t now)
{
	const struct receiver_route *conf = p->route->conf;
	struct receiver_counts *c = &p->route->conf->counts;
	c->requests++;
	if (!is_genuine(p)) {
		c->forged++;
		return STATUS_FORGED;
	}
	if (conf->fail_every > 0 && c->requests % conf->fail_every == 0) {
		c->failed++;
		return STATUS_FAILED;
	}
	if (p->id_len > 0)
		(void)idset_add(&c->ids, (struct slice){p->id, p->id_len});
	uint64_t lag = now > p->stamp_us ? now - p->stamp_us : 0;
	if (p->stamp_us > 0)
		hist_add(&c->lag, lag);
	if (p->stamp_us > 0 && p->body_len <= s->conf->small_max)
		hist_add(&c->small, lag);
	if (c->first_us == 0)
		c->first_us = now;
	c->last_us = now;
	return conf->status;
}

static void end_request(const struct server *s, struct peer *p)
{
	const struct receiver_route *conf = p->route->conf;
	uint64_t now = net_now_us();
	p->in_body = false;
	int status = p->is_count ? STATUS_COUNTS : count(s, p, now);
	if (p->is_count || (conf->delay_us == 0 && !conf->is_silent)) {
		answer(s, p, status);
		return;
	}
	p->status = status;
	p->state = conf->is_silent ? PEER_SILENT : PEER_DELAYED;
	p->due_us = now + conf->delay_us;
	if (!conf->is_silent)
		TAILQ_INSERT_TAIL(&p->route->delayed, p, queue);
}

/* Goes through what has been read, up to a request that has to wait. */
static void advance(const struct server *s, struct peer *p)
{
	while (p->state == PEER_READING && (p->in_body || read_head(s, p)) && read_body(p))
		end_request(s, p);
}

static void close_peer(struct server *s, struct peer *p)
{
	if (p->state == PEER_DELAYED)
		TAILQ_REMOVE(&p->route->delayed, p, queue);
	s->peers[p->link.fd] = NULL;
	link_close(&p->link);
	hmac_free(p->mac);
	free(p);
}

/* Reads once; false when the connection is to be closed. */
static bool read_some(const struct server *s, struct peer *p)
{
	/* no room: a head too long, or a pipeline while it waits */
	size_t room = sizeof(p->in) - p->len;
	ssize_t n = room == 0 ? 0 : link_recv(&p->link, p->in + p->len, room);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	p->len += (size_t)n;
	advance(s, p);
	return p->state != PEER_CLOSING;
}

static void on_readable(struct server *s, struct peer *p)
{
	bool is_open = false;
	do {
		is_open = read_some(s, p);
	} while (is_open && link_has_more(&p->link));
	if (!is_open)
		close_peer(s, p);
}

static struct peer *open_peer(const struct server *s, int fd)
{
	struct peer *p = malloc(sizeof(*p)); /* its buffer need not be zero */
	if (p == NULL)
		net_die("peer");
	memset(p, 0, offsetof(struct peer, in));
	link_open(&p->link, fd, s->conf->tls);
	if (s->conf->secret != NULL)
		p->mac = hmac_new(s->conf->secret);
	return p;
}

static void on_connection(struct server *s, int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return; /* EAGAIN, or a peer that has gone already */
		if (fd >= DESCRIPTORS_MAX) {
			(void)close(fd);
			continue;
		}
		s->peers[fd] = open_peer(s, fd);
		net_watch(s->epoll, fd, (uint64_t)fd);
	}
}

static void answer_due(struct server *s)
{
	uint64_t now = net_now_us();
	for (size_t i = 0; i < s->conf->route_count; i++) {
		struct route *route = &s->routes[i];
		while (!TAILQ_EMPTY(&route->delayed) &&
		    TAILQ_FIRST(&route->delayed)->due_us <= now) {
			struct peer *p = TAILQ_FIRST(&route->delayed);
			TAILQ_REMOVE(&route->delayed, p, queue);
			answer(s, p, p->status);
			advance(s, p);
			if (p->state == PEER_CLOSING)
				close_peer(s, p);
		}
	}
}

/* Returns the milliseconds until the next answer is due, -1 without any. */
static int next_due_ms(const struct server *s)
{
	uint64_t at = UINT64_MAX;
	for (size_t i = 0; i < s->conf->route_count; i++) {
		const struct peer *p = TAILQ_FIRST(&s->routes[i].delayed);
		if (p != NULL && p->due_us < at)
			at = p->due_us;
	}
	if (at == UINT64_MAX)
		return -1;
	uint64_t now = net_now_us();
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

static struct server *open_server(const struct receiver *conf)
{
	struct server *s = calloc(1, sizeof(*s));
	struct route *routes = calloc(conf->route_count, sizeof(*routes));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s == NULL || routes == NULL || epoll < 0)
		net_die("receiver");
	s->conf = conf;
	s->routes = routes;
	s->epoll = epoll;
	s->signals = open_signals();
	net_watch(s->epoll, s->signals, (uint64_t)s->signals);
	for (size_t i = 0; i < conf->listener_count; i++) {
		if (conf->listeners[i] >= DESCRIPTORS_MAX)
			net_die("too many listeners");
		s->is_listener[conf->listeners[i]] = true;
		net_watch(s->epoll, conf->listeners[i], (uint64_t)conf->listeners[i]);
	}
	for (size_t i = 0; i < conf->route_count; i++) {
		routes[i].conf = &conf->routes[i];
		TAILQ_INIT(&routes[i].delayed);
	}
	return s;
}

static void close_server(struct server *s)
{
	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
		if (s->peers[fd] != NULL)
			close_peer(s, s->peers[fd]);
	}
	(void)close(s->signals);
	(void)close(s->epoll);
	free(s->routes);
	free(s);
}

static void handle(struct server *s, int fd)
{
	if (fd == s->signals)
		s->is_stopping = true;
	else if (s->is_listener[fd])
		on_connection(s, fd);
	else if (s->peers[fd] != NULL)
		on_readable(s, s->peers[fd]);
}

void receiver_run(struct receiver *conf)
{
	struct server *s = open_server(conf);
	while (!s->is_stopping) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(s->epoll, events, EVENTS_MAX, next_due_ms(s));
		for (int i = 0; i < n; i++)
			handle(s, (int)events[i].data.u64);
		answer_due(s);
	}
	close_server(s);
}
