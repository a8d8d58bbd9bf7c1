/*
 * Runs a server and measures how long it takes until it answers: the program becomes the
 * server, so that its process is the caller's child; a child of it asks every millisecond
 * and writes the result to FILE.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/net.h"

static const char USAGE[] = "usage: started PORT FILE COMMAND…\n"
			    "  FILE gets the microseconds from the start of COMMAND until\n"
			    "  GET /readyz at 127.0.0.1:PORT was answered 200.\n";

#define DEADLINE_US 60000000
#define ANSWER_MS 10000
#define FIXED_ARGUMENTS 3

/* Asks once on a connection of its own; false also when nobody listens yet. */
static bool is_ready(uint16_t port)
{
	static const char ASK[] = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
	static const char READY[] = "HTTP/1.1 200 ";
	char in[sizeof(READY)] = "";
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(NET_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd answer = {.fd = fd, .events = POLLIN};
	bool ready = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    send(fd, ASK, strlen(ASK), MSG_NOSIGNAL) == (ssize_t)strlen(ASK) &&
	    poll(&answer, 1, ANSWER_MS) == 1 &&
	    recv(fd, in, strlen(READY), MSG_WAITALL) == (ssize_t)strlen(READY) &&
	    strcmp(in, READY) == 0;
	if (fd >= 0)
		(void)close(fd);
	return ready;
}

static _Noreturn void watch(uint16_t port, const char *path, uint64_t start_us)
{
	while (!is_ready(port)) {
		if (net_now_us() - start_us > DEADLINE_US)
			_exit(1);
		(void)poll(NULL, 0, 1);
	}
	uint64_t took_us = net_now_us() - start_us;
	FILE *file = fopen(path, "w");
	if (file == NULL || fprintf(file, "%" PRIu64 "\n", took_us) < 0 || fclose(file) != 0)
		_exit(1);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc <= FIXED_ARGUMENTS) {
		(void)fputs(USAGE, stderr);
		return 2;
	}
	uint16_t port = (uint16_t)net_number("PORT", argv[1], UINT16_MAX);
	uint64_t start_us = net_now_us();
	pid_t pid = net_fork();
	if (pid == 0) { /* by a grandchild: nobody would wait for a child of the server's */
		if (net_fork() == 0)
			watch(port, argv[2], start_us);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	(void)execv(argv[FIXED_ARGUMENTS], argv + FIXED_ARGUMENTS);
	net_die(argv[FIXED_ARGUMENTS]);
}
