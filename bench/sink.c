/*
 * A receiver of webhooks, or many: answers every POST, checks signatures, counts each event
 * once. It listens on 127.0.0.1 and, with --hosts, on as many addresses of their own,
 * 127.1.0.1 and on, all with the same port; the addresses 127.2.0.1 and on are left free:
 * there, the port refuses. With --everywhere it is one socket, on all addresses there are.
 * What becomes of a request is in its path: /slow… is answered after a while, /silent…
 * never, all else as the options say. GET /count/PATH says what has come, and so does its
 * end, of all but those.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/link.h"
#include "lib/net.h"
#include "lib/receiver.h"

static const char USAGE[] =
    "usage: sink [--port P] [--hosts N | --everywhere] [--secret S] [--cert FILE --key FILE]\n"
    "            [--close] [--status N] [--delay-ms N] [--fail-every N] [--slow-ms N]\n"
    "            [--small BYTES]\n"
    "  Port 0, the default, takes a free one and prints it. With a secret, what is not signed\n"
    "  with it is answered 401; of the others each N-th 503. --close ends each connection\n"
    "  after one answer. Of bodies up to BYTES the times are told apart as well.\n";

enum { ROUTE_HEALTHY, ROUTE_SLOW, ROUTE_SILENT, ROUTE_ALL, ROUTE_COUNT };

static struct receiver_route routes[ROUTE_COUNT] = {
    [ROUTE_HEALTHY] = {.path = "/healthy", .status = 200},
    [ROUTE_SLOW] = {.path = "/slow", .status = 200, .delay_us = 4000000},
    [ROUTE_SILENT] = {.path = "/silent", .is_silent = true},
    [ROUTE_ALL] = {.path = "/", .status = 200},
};

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},
    {"hosts", required_argument, NULL, 'n'},
    {"everywhere", no_argument, NULL, 'e'},
    {"small", required_argument, NULL, 'm'},
    {"secret", required_argument, NULL, 'S'},
    {"cert", required_argument, NULL, 'c'},
    {"key", required_argument, NULL, 'k'},
    {"close", no_argument, NULL, 'C'},
    {"status", required_argument, NULL, 's'},
    {"delay-ms", required_argument, NULL, 'd'},
    {"fail-every", required_argument, NULL, 'f'},
    {"slow-ms", required_argument, NULL, 'l'},
    {0},
};

#define HOUR_MS 3600000

struct settings {
	uint16_t port;
	size_t hosts;
	uint32_t address; /* of the first listener */
	uint64_t small_max;
	const char *secret;
	const char *cert;
	const char *key;
	bool closes;
};

static void set_route(int c)
{
	switch (c) {
	case 's':
		routes[ROUTE_ALL].status = (int)net_number("status", optarg, 599);
		return;
	case 'd':
		routes[ROUTE_ALL].delay_us = net_number("delay-ms", optarg, HOUR_MS) * 1000;
		return;
	case 'f':
		routes[ROUTE_ALL].fail_every = net_number("fail-every", optarg, UINT32_MAX);
		return;
	case 'l':
		routes[ROUTE_SLOW].delay_us = net_number("slow-ms", optarg, HOUR_MS) * 1000;
		return;
	default:
		(void)fputs(USAGE, stderr);
		exit(2);
	}
}

static void set_option(int c, struct settings *s)
{
	switch (c) {
	case 'p':
		s->port = (uint16_t)net_number("port", optarg, UINT16_MAX);
		return;
	case 'n':
		s->hosts = (size_t)net_number("hosts", optarg, NET_RECEIVERS_MAX);
		return;
	case 'e':
		s->address = NET_ANY;
		return;
	case 'm':
		s->small_max = net_number("small", optarg, UINT32_MAX);
		return;
	case 'S':
		s->secret = optarg;
		return;
	case 'c':
		s->cert = optarg;
		return;
	case 'k':
		s->key = optarg;
		return;
	case 'C':
		s->closes = true;
		return;
	default:
		set_route(c);
	}
}

int main(int argc, char **argv)
{
	struct settings s = {.address = NET_LOOPBACK};
	for (int c = 0; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
		set_option(c, &s);
	bool is_twice = s.address == NET_ANY && s.hosts > 0;
	if (optind != argc || (s.cert == NULL) != (s.key == NULL) || is_twice) {
		(void)fputs(USAGE, stderr);
		return 2;
	}
	net_raise_descriptors();
	int *listeners = calloc(s.hosts + 1, sizeof(*listeners));
	if (listeners == NULL)
		net_die("sink");
	listeners[s.hosts] = net_listen_at(s.address, &s.port);
	for (size_t i = 0; i < s.hosts; i++)
		listeners[i] = net_listen_at(NET_RECEIVERS + (uint32_t)i, &s.port);
	struct receiver conf = {.listeners = listeners,
	    .listener_count = s.hosts + 1,
	    .routes = routes,
	    .route_count = ROUTE_COUNT,
	    .small_max = s.small_max,
	    .secret = s.secret,
	    .tls = s.cert == NULL ? NULL : link_tls_new(s.cert, s.key),
	    .closes = s.closes};
	(void)printf("sink ready on http%s://127.0.0.1:%u\n", s.cert == NULL ? "" : "s",
	    (unsigned)s.port);
	(void)fflush(stdout);
	receiver_run(&conf);
	link_tls_free(conf.tls);
	free(listeners);
	char json[RECEIVER_JSON_MAX];
	receiver_json(&routes[ROUTE_ALL].counts, json);
	(void)puts(json);
	return 0;
}
