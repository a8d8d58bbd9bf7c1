/* System calls of the benchmark programs; see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

#define BACKLOG 1024

_Noreturn void net_die(const char *text)
{
	(void)fprintf(stderr, "bench: %s: %s\n", text, strerror(errno));
	exit(1);
}

uint64_t net_now_us(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* can't fail with this clock */
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct sockaddr_in address_of(uint32_t address, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(address)};
}

int net_listen(uint16_t *port)
{
	return net_listen_at(NET_LOOPBACK, port);
}

int net_listen_at(uint32_t address, uint16_t *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		net_die("socket");
	int one = 1;
	struct sockaddr_in addr = address_of(address, *port);
	socklen_t len = sizeof(addr);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
		net_die("listen");
	*port = ntohs(addr.sin_port);
	return fd;
}

int net_connect(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		net_die("socket");
	int one = 1;
	struct sockaddr_in addr = address_of(NET_LOOPBACK, port);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		net_die("connect");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		net_die("socket options");
	return fd;
}

void net_raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		net_die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		net_die("setrlimit");
}

void net_watch(int epoll, int fd, uint64_t data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		net_die("epoll_ctl");
}

pid_t net_fork(void)
{
	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		net_die("fork");
	return pid;
}

uint64_t net_number(const char *option, const char *text, uint64_t max)
{
	uint64_t n = 0;
	if (str_u64(slice_of(text), &n) == OK && n <= max)
		return n;
	(void)fprintf(stderr, "bench: --%s takes a number of at most %llu\n", option,
	    (unsigned long long)max);
	exit(2);
}
