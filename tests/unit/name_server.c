/* The wire format is that of RFC 1035 section 4; see name_server.h. */
#include "name_server.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/mem.h"

#define HEAD_BYTES 12
#define TYPE_A 1
#define TYPE_AAAA 28
#define RCODE_NO_NAME 3
#define FLAGS_ANSWER 0x8180u /* recursion wanted and available */
#define FLAG_MORE 0x0200u
#define ASKED_MAX 4096

struct name_server {
	const struct record *records;
	char address[32];
	int udp, listener, tcp; /* one connection at a time */
	struct reactor *reactor;
	struct reactor_io *udp_io, *listener_io, *tcp_io;
	char *asked[ASKED_MAX];
	size_t asked_count;
};

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name);
	size_t end_len = strlen(end);
	return len >= end_len && strcasecmp(name + len - end_len, end) == 0;
}

static bool is_of(const char *name, const char *row)
{
	return row[0] == '.' ? ends_in(name, row) : strcasecmp(name, row) == 0;
}

static const struct record *find_record(const struct name_server *s, const char *name)
{
	const struct record *r = s->records;
	while (r->name != NULL && !is_of(name, r->name))
		r++;
	return r;
}

/* Reads the name of the question; returns where its type begins. */
static size_t read_name(const uint8_t *q, size_t len, char name[256])
{
	size_t at = HEAD_BYTES;
	size_t out = 0;
	while (at < len && q[at] != 0) {
		size_t label = q[at++];
		assert_true(label < 64 && at + label < len && out + label + 2 < 256);
		if (out > 0)
			name[out++] = '.';
		memcpy(name + out, q + at, label);
		out += label;
		at += label;
	}
	name[out] = '\0';
	return at + 1;
}

static void put_address(struct buf *b, unsigned type, const void *address, uint32_t ttl_s)
{
	size_t size = type == TYPE_A ? 4 : 16;
	put_u16(b, 0xc000u | HEAD_BYTES); /* the name of the question */
	put_u16(b, (uint16_t)type);
	put_u16(b, 1);
	put_u32(b, ttl_s);
	put_u16(b, (uint16_t)size);
	buf_append(b, address, size);
}

/* Writes the addresses of a type, and returns how many. */
static unsigned put_addresses(struct buf *b, const struct record *r, unsigned type)
{
	const char *const *texts = type == TYPE_A ? r->ipv4 : r->ipv6;
	unsigned n = 0;
	for (; n < 4 && texts[n] != NULL; n++) {
		uint8_t address[16];
		assert_int_equal(
		    inet_pton(type == TYPE_A ? AF_INET : AF_INET6, texts[n], address), 1);
		put_address(b, type, address, r->ttl_s);
	}
	for (size_t i = 0; type == TYPE_A && i < r->repeated; i++, n++) {
		uint32_t address = htonl(0x0a000000 + (uint32_t)i);
		put_address(b, type, &address, r->ttl_s);
	}
	return n;
}

/* Writes the answer to a question; nothing where there is none. */
static void answer(struct name_server *s, const uint8_t *q, size_t len, bool tcp,
    struct buf *out)
{
	char name[256];
	struct buf rows = BUF_INIT(65536);
	size_t at = read_name(q, len, name);
	assert_true(at + 4 <= len);
	unsigned type = (unsigned)q[at] << 8 | q[at + 1];
	const struct record *r = find_record(s, name);
	if (type == TYPE_A && s->asked_count < ASKED_MAX)
		s->asked[s->asked_count++] = mem_copy(name, strlen(name));
	if (r->silent)
		return;
	bool more = r->by_tcp && !tcp;
	unsigned count = r->name == NULL || more ? 0 : put_addresses(&rows, r, type);
	buf_append(out, q, 2);
	unsigned rcode = r->name == NULL ? RCODE_NO_NAME : r->rcode;
	put_u16(out, (uint16_t)(FLAGS_ANSWER | (more ? FLAG_MORE : 0) | rcode));
	put_u16(out, 1);
	put_u16(out, (uint16_t)count);
	put_u16(out, 0);
	put_u16(out, 0);
	buf_append(out, q + HEAD_BYTES, at + 4 - HEAD_BYTES);
	buf_slice(out, buf_view(&rows));
	buf_fini(&rows);
}

static void on_udp(void *arg, int fd, bool readable, bool writable)
{
	struct name_server *s = arg;
	uint8_t q[512];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	struct buf out = BUF_INIT(65536);
	(void)readable;
	(void)writable;
	ssize_t n = recvfrom(fd, q, sizeof(q), MSG_DONTWAIT, (void *)&from, &from_len);
	if (n <= HEAD_BYTES)
		return;
	answer(s, q, (size_t)n, false, &out);
	if (out.len > 0)
		assert_int_equal(sendto(fd, out.data, out.len, 0, (void *)&from, from_len),
		    out.len);
	buf_fini(&out);
}

static void drop_tcp(struct name_server *s)
{
	reactor_io_free(s->tcp_io);
	s->tcp_io = NULL;
	if (s->tcp >= 0)
		(void)close(s->tcp); /* nothing to lose */
	s->tcp = -1;
}

/* A connection's questions come whole, each behind its length: c-ares writes it at once. */
static void on_tcp(void *arg, int fd, bool readable, bool writable)
{
	struct name_server *s = arg;
	uint8_t q[4096];
	(void)readable;
	(void)writable;
	ssize_t n = recv(fd, q, sizeof(q), MSG_DONTWAIT);
	if (n <= 0) {
		drop_tcp(s);
		return;
	}
	for (size_t at = 0; at + 2 < (size_t)n;) {
		struct buf out = BUF_INIT(65536);
		struct buf framed = BUF_INIT(65538);
		size_t len = (size_t)q[at] << 8 | q[at + 1];
		assert_true(at + 2 + len <= (size_t)n);
		answer(s, q + at + 2, len, true, &out);
		put_u16(&framed, (uint16_t)out.len);
		buf_slice(&framed, buf_view(&out));
		(void)send(fd, framed.data, framed.len,
		    MSG_NOSIGNAL); /* who asked may be gone */
		at += 2 + len;
		buf_fini(&out);
		buf_fini(&framed);
	}
}

static void on_connection(void *arg, int fd, bool readable, bool writable)
{
	struct name_server *s = arg;
	(void)readable;
	(void)writable;
	drop_tcp(s);
	s->tcp = accept(fd, NULL, NULL);
	assert_true(s->tcp >= 0);
	s->tcp_io = reactor_io_new(s->reactor, s->tcp, on_tcp, s);
	reactor_io_want(s->tcp_io, true, false);
}

/* Binds UDP to a free port, and TCP to the same, which another may have: then once more. */
static bool bind_both(struct name_server *s, struct sockaddr_in *sin)
{
	socklen_t len = sizeof(*sin);
	*sin = (struct sockaddr_in){.sin_family = AF_INET};
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s->udp >= 0 && s->listener >= 0);
	assert_int_equal(bind(s->udp, (void *)sin, len), 0);
	assert_int_equal(getsockname(s->udp, (void *)sin, &len), 0);
	if (bind(s->listener, (void *)sin, len) == 0 && listen(s->listener, 8) == 0)
		return true;
	(void)close(s->udp); /* nothing to lose */
	(void)close(s->listener);
	return false;
}

struct name_server *name_server_new(struct reactor *r, const struct record *records)
{
	struct name_server *s = mem_new(sizeof(*s));
	struct sockaddr_in sin;
	s->records = records;
	s->reactor = r;
	s->tcp = -1;
	while (!bind_both(s, &sin))
		continue;
	(void)snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(sin.sin_port));
	s->udp_io = reactor_io_new(r, s->udp, on_udp, s);
	s->listener_io = reactor_io_new(r, s->listener, on_connection, s);
	reactor_io_want(s->udp_io, true, false);
	reactor_io_want(s->listener_io, true, false);
	return s;
}

void name_server_free(struct name_server *s)
{
	drop_tcp(s);
	reactor_io_free(s->udp_io);
	reactor_io_free(s->listener_io);
	(void)close(s->udp); /* nothing to lose */
	(void)close(s->listener);
	for (size_t i = 0; i < s->asked_count; i++)
		free(s->asked[i]);
	free(s);
}

const char *name_server_address(const struct name_server *s)
{
	return s->address;
}

size_t name_server_asked(const struct name_server *s, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < s->asked_count; i++)
		n += is_of(s->asked[i], name);
	return n;
}
