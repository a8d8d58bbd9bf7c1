/* A scripted NATS server; see nats_peer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "nats_peer.h"

#define GOT_MAX (16u << 20)

void peer_hang_up(struct peer *p)
{
	if (p->fd < 0)
		return;
	reactor_io_free(p->io);
	(void)close(p->fd); /* the test is the only one to know */
	p->io = NULL;
	p->fd = -1;
}

static void on_bytes(void *arg, int fd, bool readable, bool writable)
{
	struct peer *p = arg;
	char bytes[4096];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
	(void)readable;
	(void)writable;
	if (n > 0)
		buf_append(&p->got, bytes, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		peer_hang_up(p);
}

static void on_newcomer(void *arg, int fd, bool readable, bool writable)
{
	struct peer *p = arg;
	(void)readable;
	(void)writable;
	peer_hang_up(p);
	p->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(p->fd >= 0);
	p->accepted++;
	buf_reset(&p->got);
	p->io = reactor_io_new(p->reactor, p->fd, on_bytes, p);
	reactor_io_want(p->io, true, false);
}

struct peer *peer_new(struct reactor *r)
{
	struct peer *p = mem_new(sizeof(*p));
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	*p = (struct peer){.reactor = r, .fd = -1, .got = BUF_INIT(GOT_MAX)};
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(p->listener, 8), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
	p->address = (struct nats_server){.host = "127.0.0.1", .port = ntohs(at.sin_port)};
	p->listening = reactor_io_new(r, p->listener, on_newcomer, p);
	reactor_io_want(p->listening, true, false);
	return p;
}

void peer_free(struct peer *p)
{
	peer_hang_up(p);
	reactor_io_free(p->listening);
	(void)close(p->listener);
	buf_fini(&p->got);
	free(p);
}

static void lose_patience(void *arg)
{
	struct peer *p = arg;
	fail_msg("waited for too long; what has come: %s", buf_cstr(&p->got));
}

static void pass(struct peer *p)
{
	struct reactor_timer *patience = reactor_timer_new(p->reactor, lose_patience, p);
	reactor_timer_set(patience, PEER_PATIENCE_MS);
	clock_expire();
	reactor_pass(p->reactor, false);
	reactor_timer_free(patience);
}

void peer_wait(struct peer *p, const unsigned *number, unsigned least)
{
	while (*number < least)
		pass(p);
}

/* Waits for `text`; what stands before it is left, too. */
static size_t find(struct peer *p, const char *text, size_t from)
{
	for (;;) {
		size_t n = strlen(text);
		const char *at = p->got.len < from + n
		    ? NULL
		    : memmem(p->got.data + from, p->got.len - from, text, n);
		if (at != NULL)
			return (size_t)(at - p->got.data);
		pass(p);
	}
}

static void forget(struct peer *p, size_t n)
{
	memmove(p->got.data, p->got.data + n, p->got.len - n);
	p->got.len -= n;
}

void peer_expect(struct peer *p, const char *text)
{
	forget(p, find(p, text, 0) + strlen(text));
}

void peer_expect_word(struct peer *p, const char *text, const char *end, char *word,
    size_t size)
{
	size_t first = find(p, text, 0) + strlen(text);
	size_t last = find(p, end, first);
	assert_true(last - first < size);
	memcpy(word, p->got.data + first, last - first);
	word[last - first] = '\0';
	forget(p, last + strlen(end));
}

void peer_say(struct peer *p, const char *text)
{
	assert_int_equal(send(p->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void peer_say_message(struct peer *p, const char *subject, uint64_t sid, const char *reply,
    const char *headers, const char *payload)
{
	struct buf text = BUF_INIT(GOT_MAX);
	size_t head = headers == NULL ? 0 : strlen(headers);
	buf_printf(&text, "%s %s %llu %s ", head > 0 ? "HMSG" : "MSG", subject,
	    (unsigned long long)sid, reply);
	if (head > 0)
		buf_printf(&text, "%zu ", head);
	buf_printf(&text, "%zu\r\n%s%s\r\n", head + strlen(payload), head > 0 ? headers : "",
	    payload);
	peer_say(p, buf_cstr(&text));
	buf_fini(&text);
}

void peer_welcome(struct peer *p)
{
	unsigned next = p->fd < 0 ? p->accepted + 1 : p->accepted;
	peer_wait(p, &p->accepted, next);
	peer_say(p, PEER_INFO);
	peer_expect(p, "\r\nPING\r\n");
	peer_say(p, "PONG\r\n");
}
