/*
 * c-ares on our loop; see lookup_query.h. What is not obvious, of c-ares 1.18.1:
 *  - A name server's refusal (SERVFAIL, REFUSED) ends as ARES_ECONNREFUSED, just as a socket
 *    that cannot be had. What was received tells them apart, so the sockets are ours.
 *  - Answers are as long as their sender likes, and their records go into a list that is
 *    walked for each: over RECEIVED_MAX bytes the sockets fail.
 *  - Its sorting makes a socket for each address of an answer. It is off (NOSORT), and only
 *    the first IPv6 address is tried (order()).
 *  - EDNS is off, as is its default: a server that does not know it fails one of the two
 *    questions that are under way at the same time. Long answers come over TCP.
 *  - Callbacks come from within its calls, and it must not be destroyed in one: what came of
 *    it is kept until the call has returned.
 */
#include "courier/lookup_query.h"

/* Functions that 1.34 advises against: what stands for them is not in Debian 12. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define TRY_MS 2000 /* for the first answer of a name server; twice as long for each next try */
#define TRIES 3     /* of each */
#define RECEIVED_MAX 8192 /* bytes of all answers to one question */
#define FAMILY_MAX (LOOKUP_ADDRESSES_MAX / 2)

struct query_socket {
	int fd;
	struct reactor_io *io;
};

struct lookup_query {
	struct reactor *reactor;
	ares_channel channel; /* NULL: none could be had */
	struct reactor_timer *step;
	struct reactor_timer *deadline;
	struct query_socket *sockets;
	size_t socket_count;
	bool asked;      /* for a socket at least */
	int error;       /* the last one of a socket, 0: none */
	size_t received; /* bytes */
	lookup_query_fn fn;
	void *arg;
	bool over; /* `found` is to be told */
	struct lookup_found found;
};

/* Sockets for c-ares */

/* Keeps why something of a socket failed, where it did. */
static ssize_t note(struct lookup_query *q, ssize_t result)
{
	if (result < 0 && errno != EAGAIN && errno != EINPROGRESS)
		q->error = errno;
	return result;
}

static ares_socket_t on_open(int family, int type, int protocol, void *arg)
{
	struct lookup_query *q = arg;
	q->asked = true;
	return (int)note(q, socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

static int on_close(ares_socket_t fd, void *arg)
{
	(void)arg;
	return close(fd);
}

static int on_connect(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
    void *arg)
{
	return (int)note(arg, connect(fd, to, len));
}

static ares_ssize_t on_receive(ares_socket_t fd, void *bytes, size_t size, int flags,
    struct sockaddr *from, ares_socklen_t *from_len, void *arg)
{
	struct lookup_query *q = arg;
	ssize_t n = recvfrom(fd, bytes, size, flags, from, from_len);
	if (n > 0)
		q->received += (size_t)n;
	if (n > 0 && q->received > RECEIVED_MAX) {
		errno = EMSGSIZE;
		n = -1;
	}
	return note(q, n);
}

/*
 * Where nobody is at the port, the first question's refusal fails the sending of the second;
 * and the first would be waited for in vain.
 */
static ares_ssize_t on_send(ares_socket_t fd, const struct iovec *pieces, int count, void *arg)
{
	const struct msghdr message = {
	    .msg_iov = (struct iovec *)(uintptr_t)pieces, /* it is only read */
	    .msg_iovlen = (size_t)count};
	ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
	if (n < 0 && errno == ECONNREFUSED)
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	return note(arg, n);
}

static const struct ares_socket_functions SOCKETS = {
    .asocket = on_open,
    .aclose = on_close,
    .aconnect = on_connect,
    .arecvfrom = on_receive,
    .asendv = on_send,
};

/* What came of it */

static enum lookup_status status_of(const struct lookup_query *q, int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return LOOKUP_OK;
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_EBADNAME: /* no name of the DNS is like this */
		return LOOKUP_NONE;
	case ARES_ETIMEOUT:
	case ARES_ECANCELLED:
		return LOOKUP_TIMEOUT;
	case ARES_ECONNREFUSED:
		if (!q->asked)
			return LOOKUP_NONE; /* nsswitch.conf has files alone */
		return q->received > 0 ? LOOKUP_FAILED : LOOKUP_OURS;
	case ARES_EFORMERR:
	case ARES_ESERVFAIL:
	case ARES_ENOTIMP:
	case ARES_EREFUSED:
	case ARES_EBADRESP:
		return LOOKUP_FAILED;
	default: /* memory, files, an environment that c-ares cannot use */
		return LOOKUP_OURS;
	}
}

/* Whether there is a way to `a`: the kernel looks for one when a UDP socket is connected. */
static bool has_way(const union lookup_address *a)
{
	union lookup_address to = *a;
	to.in6.sin6_port = htons(9); /* any will do: nothing is sent */
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool connected = fd >= 0 && connect(fd, &to.any, sizeof(to.in6)) == 0;
	if (fd >= 0)
		(void)close(fd); /* nothing to lose */
	return connected;
}

/* Adds those of a family, in the order that they came in. */
static void add_family(struct lookup_found *f, const struct ares_addrinfo_node *node,
    int family)
{
	for (size_t n = 0; node != NULL && n < FAMILY_MAX; node = node->ai_next) {
		union lookup_address *a = &f->addresses[f->count];
		if (node->ai_family != family || node->ai_addrlen > sizeof(*a))
			continue;
		*a = (union lookup_address){.any = {.sa_family = AF_UNSPEC}};
		memcpy(a, node->ai_addr, node->ai_addrlen);
		f->count++;
		n++;
	}
}

/*
 * The addresses, those of IPv6 first, where there is a way to the first of them, as RFC 6724
 * has it. Else they are the last: that this machine has no IPv6 is what happens most.
 */
static void order(struct lookup_found *f, const struct ares_addrinfo_node *nodes)
{
	add_family(f, nodes, AF_INET6);
	if (f->count > 0 && has_way(&f->addresses[0])) {
		add_family(f, nodes, AF_INET);
		return;
	}
	f->count = 0;
	add_family(f, nodes, AF_INET);
	add_family(f, nodes, AF_INET6);
}

static int64_t shortest_ttl(const struct ares_addrinfo *info)
{
	int64_t ttl_s = INT64_MAX;
	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next)
		ttl_s = n->ai_ttl < ttl_s ? n->ai_ttl : ttl_s;
	for (const struct ares_addrinfo_cname *n = info->cnames; n != NULL; n = n->next)
		ttl_s = n->ttl < ttl_s ? n->ttl : ttl_s;
	return ttl_s < 0 ? 0 : ttl_s; /* of more than 31 bits; RFC 2181 section 8 */
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct lookup_query *q = arg;
	(void)timeouts;
	q->over = true;
	q->found.status = status_of(q, status);
	q->found.heard = q->received > 0;
	q->found.why = q->error != 0 ? strerror(q->error) : ares_strerror(status);
	if (info != NULL && q->found.status == LOOKUP_OK) {
		order(&q->found, info->nodes);
		q->found.ttl_s = shortest_ttl(info);
	}
	if (q->found.status == LOOKUP_OK && q->found.count == 0)
		q->found.status = LOOKUP_NONE;
	ares_freeaddrinfo(info);
}

/* The loop */

/* Between two calls of c-ares: tells what came of it, or waits for what is next. */
static void go_on(struct lookup_query *q)
{
	if (q->over) {
		q->fn(q->arg, &q->found);
		return;
	}
	struct timeval left;
	if (ares_timeout(q->channel, NULL, &left) != NULL) /* a fraction is waited for too */
		reactor_timer_set(q->step, left.tv_sec * 1000 + left.tv_usec / 1000 + 1);
}

static void on_step(void *arg)
{
	struct lookup_query *q = arg;
	if (!q->over)
		ares_process_fd(q->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	go_on(q);
}

static void on_deadline(void *arg)
{
	struct lookup_query *q = arg;
	ares_cancel(q->channel); /* what one of its questions brought counts */
	go_on(q);
}

static void on_ready(void *arg, int fd, bool readable, bool writable)
{
	struct lookup_query *q = arg;
	ares_process_fd(q->channel, readable ? fd : ARES_SOCKET_BAD,
	    writable ? fd : ARES_SOCKET_BAD);
	go_on(q);
}

static struct query_socket *socket_of(struct lookup_query *q, int fd)
{
	for (size_t i = 0; i < q->socket_count; i++) {
		if (q->sockets[i].fd == fd)
			return &q->sockets[i];
	}
	q->sockets = mem_resize(q->sockets, q->socket_count + 1, sizeof(*q->sockets));
	struct query_socket *s = &q->sockets[q->socket_count++];
	*s = (struct query_socket){.fd = fd, .io = reactor_io_new(q->reactor, fd, on_ready, q)};
	return s;
}

/* c-ares wants a socket watched, or is about to close it. */
static void on_socket(void *arg, ares_socket_t fd, int read, int write)
{
	struct lookup_query *q = arg;
	struct query_socket *s = socket_of(q, fd);
	if (read || write) {
		reactor_io_want(s->io, read != 0, write != 0);
		return;
	}
	reactor_io_free(s->io);
	*s = q->sockets[--q->socket_count];
}

static ares_channel open_channel(struct lookup_query *q, const struct lookup_query_conf *conf)
{
	struct ares_options options = {.timeout = TRY_MS,
	    .tries = TRIES,
	    .sock_state_cb = on_socket,
	    .sock_state_cb_data = q};
	int which = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
	char *path = NULL;
	if (conf->resolv_conf != NULL) {
		path = mem_copy(conf->resolv_conf, strlen(conf->resolv_conf));
		options.resolvconf_path = path;
		which |= ARES_OPT_RESOLVCONF;
	}
	ares_channel channel = NULL;
	int status = ares_init_options(&channel, &options, which);
	free(path);
	if (status != ARES_SUCCESS)
		return NULL;
	ares_set_socket_functions(channel, &SOCKETS, q);
	if (conf->name_servers != NULL &&
	    ares_set_servers_ports_csv(channel, conf->name_servers) != ARES_SUCCESS) {
		ares_destroy(channel);
		return NULL;
	}
	return channel;
}

struct lookup_query *lookup_query_new(const struct lookup_query_conf *conf, const char *name,
    lookup_query_fn fn, void *arg)
{
	const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT | ARES_AI_ENVHOSTS,
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM};
	struct lookup_query *q = mem_new(sizeof(*q));
	q->reactor = conf->reactor;
	q->fn = fn;
	q->arg = arg;
	q->step = reactor_timer_new(conf->reactor, on_step, q);
	q->deadline = reactor_timer_new(conf->reactor, on_deadline, q);
	q->channel = open_channel(q, conf);
	if (q->channel == NULL) {
		q->over = true;
		q->found.status = LOOKUP_OURS;
		q->found.why = "the resolver cannot be set up";
	} else {
		ares_getaddrinfo(q->channel, name, NULL, &hints, on_answer, q);
	}
	if (q->over) {
		reactor_timer_fire(q->step);
		return q;
	}
	reactor_timer_set(q->deadline, conf->query_ms);
	go_on(q);
	return q;
}

void lookup_query_free(struct lookup_query *q)
{
	if (q == NULL)
		return;
	ares_destroy(q->channel); /* ends what is under way; on_answer() is told, nobody else */
	panic_if(q->socket_count > 0, "a socket of c-ares outlives it");
	free(q->sockets);
	reactor_timer_free(q->step);
	reactor_timer_free(q->deadline);
	free(q);
}
