/*
 * Which of its sockets the client has kept: one that a request was answered over, and that was
 * the only one opened for it. Of two, libcurl closes the other in silence, and what the client
 * knows by number may be that one. libcurl is real and so are its connections, on loopback;
 * watch.c is the test's, and so is the look-up of names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "courier/client.h"
#include "courier/watch.h"
#include "support.h"

#define TIMEOUT_MS 20000
#define DESCRIPTORS 1024

/* Names and their addresses, in the order in which they are tried; nobody listens at .1 */
static const struct host {
	const char *name;
	uint32_t addresses[2]; /* 0: none */
} HOSTS[] = {
    {"answers.test", {0x7f000002}},
    {"refuses.test", {0x7f000001}},
    {"both.test", {0x7f000001, 0x7f000002}},
};

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
    struct addrinfo **out)
{
	struct addrinfo **end = out;
	(void)hints;
	*out = NULL;
	for (size_t i = 0; i < 2 * COUNT(HOSTS); i++) {
		uint32_t address = HOSTS[i / 2].addresses[i % 2];
		if (strcmp(HOSTS[i / 2].name, name) != 0 || address == 0)
			continue;
		struct sockaddr_in *sa = mem_new(sizeof(*sa));
		*sa = (struct sockaddr_in){.sin_family = AF_INET,
		    .sin_port = htons((uint16_t)strtoul(service, NULL, 10)),
		    .sin_addr.s_addr = htonl(address)};
		*end = mem_new(sizeof(**end));
		(*end)->ai_family = AF_INET;
		(*end)->ai_socktype = SOCK_STREAM;
		(*end)->ai_addrlen = sizeof(*sa);
		(*end)->ai_addr = (struct sockaddr *)sa;
		end = &(*end)->ai_next;
	}
	return *out == NULL ? EAI_NONAME : 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	while (list != NULL) {
		struct addrinfo *next = list->ai_next;
		free(list->ai_addr);
		free(list);
		list = next;
	}
}

/* Sockets as the client has them watched: as asked, and what it says of them is counted. */

struct watches {
	struct reactor *reactor;
	reactor_io_fn fn;
	void *arg;
	struct reactor_io *by_fd[DESCRIPTORS];
	unsigned opened, kept;
};

static struct watches *watched; /* the client's */

struct watches *watches_new(struct reactor *r, reactor_io_fn fn, void *arg)
{
	watched = mem_new(sizeof(*watched));
	*watched = (struct watches){.reactor = r, .fn = fn, .arg = arg};
	return watched;
}

void watches_free(struct watches *w)
{
	free(w);
}

void watch_open(struct watches *w, int fd, const void *opener)
{
	(void)opener;
	watch_drop(w, fd);
	w->opened++;
}

void watch_keep(struct watches *w, int fd, const void *opener)
{
	(void)fd;
	(void)opener;
	w->kept++;
}

void watch_want(struct watches *w, int fd, bool read, bool write)
{
	assert_in_range(fd, 0, DESCRIPTORS - 1);
	if (w->by_fd[fd] == NULL)
		w->by_fd[fd] = reactor_io_new(w->reactor, fd, w->fn, w->arg);
	reactor_io_want(w->by_fd[fd], read, write);
}

void watch_drop(struct watches *w, int fd)
{
	assert_in_range(fd, 0, DESCRIPTORS - 1);
	reactor_io_free(w->by_fd[fd]);
	w->by_fd[fd] = NULL;
}

void watch_close(struct watches *w, int fd)
{
	watch_drop(w, fd);
}

/* A receiver at 127.0.0.2 that answers each request, and a port at 127.0.0.1 that refuses. */

struct fixture {
	struct reactor *reactor;
	struct client *client;
	int listening, refusing;
	uint16_t port;
	struct reactor_io *accept, *serve;
	int connection; /* -1: none */
	bool done;
	int status;
};

static int bind_port(uint32_t address, uint16_t port)
{
	const struct sockaddr_in sa = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(address)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	assert_int_equal(close(fd), 0);
	return -1;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

static void on_request(void *arg, int fd, bool readable, bool writable)
{
	static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	struct fixture *f = arg;
	char request[4096];
	(void)writable;
	assert_true(readable);
	ssize_t n = recv(fd, request, sizeof(request), 0);
	if (n <= 0) { /* the client has closed it: once is enough to know */
		reactor_io_want(f->serve, false, false);
		return;
	}
	assert_non_null(memmem(request, (size_t)n, "\r\n\r\n", 4)); /* whole: it is small */
	assert_int_equal(send(fd, ANSWER, strlen(ANSWER), MSG_NOSIGNAL), strlen(ANSWER));
}

static void on_connection(void *arg, int fd, bool readable, bool writable)
{
	struct fixture *f = arg;
	(void)readable;
	(void)writable;
	assert_int_equal(f->connection, -1);
	f->connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(f->connection >= 0);
	f->serve = reactor_io_new(f->reactor, f->connection, on_request, f);
	reactor_io_want(f->serve, true, false);
}

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	f->reactor = reactor_new();
	f->client = client_new(f->reactor, &(struct client_conf){.user_agent = "test"});
	f->connection = -1;
	f->refusing = -1;
	while (f->refusing < 0) { /* until a port is free at both */
		f->listening = bind_port(0x7f000002, 0);
		f->port = port_of(f->listening);
		f->refusing = bind_port(0x7f000001, f->port);
		if (f->refusing < 0)
			assert_int_equal(close(f->listening), 0);
	}
	assert_int_equal(listen(f->listening, 5), 0);
	f->accept = reactor_io_new(f->reactor, f->listening, on_connection, f);
	reactor_io_want(f->accept, true, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	client_free(f->client);
	reactor_io_free(f->accept);
	reactor_io_free(f->serve);
	reactor_free(f->reactor);
	(void)close(f->listening);
	(void)close(f->refusing);
	if (f->connection >= 0)
		(void)close(f->connection);
	free(f);
	return 0;
}

static void on_done(void *arg, const struct client_result *r)
{
	struct fixture *f = arg;
	f->done = true;
	f->status = r->status;
}

/* Sends a request and waits for its end; its status, 0: none came. */
static int post(struct fixture *f, const char *host)
{
	char url[100];
	(void)snprintf(url, sizeof(url), "http://%s:%u/", host, f->port);
	f->done = false;
	client_send(client_open(f->client), url, SLICE("x"), TIMEOUT_MS, on_done, f);
	while (!f->done) {
		reactor_pass(f->reactor, false);
		client_reap(f->client);
	}
	return f->status;
}

static void hang_up(struct fixture *f)
{
	reactor_io_free(f->serve);
	f->serve = NULL;
	assert_int_equal(close(f->connection), 0);
	f->connection = -1;
}

/* And used again, until the receiver closes it. */
static void test_the_only_one_is_kept(void **state)
{
	struct fixture *f = *state;
	for (unsigned n = 1; n <= 3; n++) {
		for (int i = 0; i < 3; i++) {
			assert_int_equal(post(f, "answers.test"), 200);
			assert_int_equal(watched->opened, n);
			assert_int_equal(watched->kept, n);
		}
		hang_up(f);
	}
}

static void test_one_of_two_is_not_kept(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(post(f, "both.test"), 200);
	assert_int_equal(watched->opened, 2);
	assert_int_equal(watched->kept, 0);
}

static void test_one_without_an_answer_is_not_kept(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(post(f, "refuses.test"), 0);
	assert_int_equal(watched->opened, 1);
	assert_int_equal(watched->kept, 0);
}

#define CLIENT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CLIENT_TEST(test_the_only_one_is_kept),
	    CLIENT_TEST(test_one_of_two_is_not_kept),
	    CLIENT_TEST(test_one_without_an_answer_is_not_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
