/*
 * Many receiving hosts in one process: each an address of its own, 127.1.0.1 and on, all
 * with the same port. What becomes of a request is in its path: /slow… is answered after
 * a while, /silent… never, all else at once. The addresses 127.2.0.1 and on are left free:
 * there, the port refuses. GET /count/PATH at 127.0.0.1 says what has come.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/net.h"
#include "lib/receiver.h"

static const char USAGE[] = "usage: receivers [--hosts N] [--delay-ms N]\n"
			    "  It takes a free port and prints it.\n";

static const struct option OPTIONS[] = {
    {"hosts", required_argument, NULL, 'n'},
    {"delay-ms", required_argument, NULL, 'd'},
    {0},
};

static struct receiver_route routes[] = {
    {.path = "/healthy", .status = 200},
    {.path = "/slow", .status = 200, .delay_us = 4000000},
    {.path = "/silent", .is_silent = true},
    {.path = "/", .status = 200},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))
#define ROUTE_SLOW 1

int main(int argc, char **argv)
{
	size_t hosts = 1;
	for (int c = 0; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		if (c == 'n') {
			hosts = (size_t)net_number("hosts", optarg, NET_RECEIVERS_MAX);
		} else if (c == 'd') {
			routes[ROUTE_SLOW].delay_us = net_number("delay-ms", optarg, 3600000) *
			    1000;
		} else {
			(void)fputs(USAGE, stderr);
			return 2;
		}
	}
	net_raise_descriptors();
	int *listeners = calloc(hosts + 1, sizeof(*listeners));
	if (listeners == NULL)
		net_die("receivers");
	uint16_t port = 0;
	listeners[hosts] = net_listen(&port);
	for (size_t i = 0; i < hosts; i++)
		listeners[i] = net_listen_at(NET_RECEIVERS + (uint32_t)i, &port);
	(void)printf("receivers ready on http://127.0.0.1:%u\n", (unsigned)port);
	(void)fflush(stdout);
	struct receiver conf = {listeners, hosts + 1, routes, ROUTE_COUNT};
	receiver_run(&conf);
	free(listeners);
	return 0;
}
