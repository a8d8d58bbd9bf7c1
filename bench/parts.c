/*
 * Runs one of the parts alone, on this machine, now: what waybill's own rate is to be read
 * against. evhttp and the loop are servers, to be driven as waybill is; the others print
 * their rate, and the processor time for each, as JSON.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/net.h"
#include "lib/parts.h"

static const char USAGE[] =
    "usage: parts evhttp\n"
    "       parts curl --url URL [--seconds T] [--count N] [--anew] [--in-flight N]\n"
    "           [--body BYTES]\n"
    "       parts lmdb --data DIR [--seconds T] [--count N] [--body BYTES] [--commit N]\n"
    "       parts sign --secret S [--seconds T] [--count N] [--body BYTES]\n"
    "       parts loop --data DIR --url URL --secret S [--reused] [--in-flight N]\n"
    "  DIR should be on the disk that waybill's data is on.\n";

#define IN_FLIGHT 64
#define BODY_BYTES 350 /* of a delivery of an event of 250 bytes, and its record on disk */
#define BODY_MAX (8 * 1024 * 1024)
#define COMMIT_EVENTS 64

static const struct option OPTIONS[] = {
    {"url", required_argument, NULL, 'u'},
    {"secret", required_argument, NULL, 'S'},
    {"data", required_argument, NULL, 'd'},
    {"seconds", required_argument, NULL, 's'},
    {"count", required_argument, NULL, 'n'},
    {"anew", no_argument, NULL, 'a'},
    {"reused", no_argument, NULL, 'r'},
    {"in-flight", required_argument, NULL, 'i'},
    {"commit", required_argument, NULL, 'c'},
    {"body", required_argument, NULL, 'b'},
    {0},
};

static _Noreturn void die_of_usage(void)
{
	(void)fputs(USAGE, stderr);
	exit(2);
}

static void set_option(int c, struct part *p)
{
	switch (c) {
	case 'u':
		p->url = optarg;
		return;
	case 'S':
		p->secret = optarg;
		return;
	case 'd':
		p->dir = optarg;
		return;
	case 's':
		p->seconds = (double)net_number("seconds", optarg, 600);
		return;
	case 'n':
		p->count = net_number("count", optarg, UINT64_MAX);
		return;
	case 'a':
		p->mode = POSTER_ANEW;
		return;
	case 'r':
		p->mode = POSTER_REUSED;
		return;
	case 'i':
		p->in_flight = (unsigned)net_number("in-flight", optarg, 1000);
		return;
	case 'c':
		p->commit = net_number("commit", optarg, 100000);
		return;
	case 'b':
		p->body = (size_t)net_number("body", optarg, BODY_MAX);
		return;
	default:
		die_of_usage();
	}
}

static double processor_us(void)
{
	struct rusage u;
	if (getrusage(RUSAGE_SELF, &u) != 0)
		net_die("getrusage");
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void print_rate(uint64_t count, double seconds)
{
	(void)printf("{\"count\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.0f,\"cpu_us\":%.2f}\n",
	    count, seconds, (double)count / seconds, processor_us() / (double)count);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	bool is_loop = strcmp(name, "loop") == 0;
	bool is_curl = strcmp(name, "curl") == 0;
	struct part p = {.seconds = 3,
	    .count = UINT64_MAX,
	    .mode = is_loop ? POSTER_ANEW : POSTER_REUSED,
	    .in_flight = IN_FLIGHT,
	    .body = BODY_BYTES,
	    .commit = COMMIT_EVENTS};
	optind = 2;
	net_raise_descriptors();
	for (int c = 0; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
		set_option(c, &p);
	bool is_complete = (!is_loop || (p.dir != NULL && p.url != NULL && p.secret != NULL)) &&
	    (!is_curl || p.url != NULL) && p.in_flight > 0 && p.commit > 0;
	double seconds = 0;
	uint64_t done = 0;
	if (argc < 2 || optind != argc || !is_complete)
		die_of_usage();
	if (strcmp(name, "evhttp") == 0)
		part_evhttp(&p);
	else if (is_loop)
		part_loop(&p);
	else if (is_curl)
		done = part_curl(&p, &seconds);
	else if (strcmp(name, "sign") == 0 && p.secret != NULL)
		done = part_sign(&p, &seconds);
	else if (strcmp(name, "lmdb") == 0 && p.dir != NULL)
		done = part_lmdb(&p, &seconds);
	else
		die_of_usage();
	if (seconds > 0)
		print_rate(done, seconds);
	return 0;
}
