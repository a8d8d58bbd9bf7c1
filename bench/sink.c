/*
 * A receiver of webhooks that only counts: answers every POST, 200 unless told
 * otherwise, and says what it has had, on GET /count and when it is ended.
 */
#include <getopt.h>
#include <stdio.h>

#include "lib/net.h"
#include "lib/receiver.h"

static const char USAGE[] = "usage: sink [--port P] [--status N] [--delay-ms N]\n"
			    "  Port 0, the default, takes a free one and prints it.\n";

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},
    {"status", required_argument, NULL, 's'},
    {"delay-ms", required_argument, NULL, 'd'},
    {0},
};

int main(int argc, char **argv)
{
	static struct receiver_route all = {.path = "/", .status = 200};
	uint16_t port = 0;
	for (int c = 0; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		if (c == 'p') {
			port = (uint16_t)net_number("port", optarg, UINT16_MAX);
		} else if (c == 's') {
			all.status = (int)net_number("status", optarg, 599);
		} else if (c == 'd') {
			all.delay_us = net_number("delay-ms", optarg, 3600000) * 1000;
		} else {
			(void)fputs(USAGE, stderr);
			return 2;
		}
	}
	int listener = net_listen(&port);
	struct receiver conf = {&listener, 1, &all, 1};
	(void)printf("sink ready on http://127.0.0.1:%u\n", (unsigned)port);
	(void)fflush(stdout);
	receiver_run(&conf);
	char json[RECEIVER_JSON_MAX];
	receiver_json(&all.counts, json);
	(void)puts(json);
	return 0;
}
