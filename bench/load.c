/*
 * Asks waybill for much: publishes events one by one or in batches, or registers webhooks,
 * as fast as it answers or at a steady rate. Prints what came of it as JSON.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hmac.h"
#include "lib/net.h"
#include "lib/publisher.h"
#include "lib/requests.h"

static const char USAGE[] =
    "usage: load --port P [--token T] [--connections N] [--pipeline D] [--seconds T]\n"
    "            [--requests M] [--rate R] [--warm-up T] [--prefix NAME] [--first F]\n"
    "            [--step S] [--sessions K] [--random]\n"
    "            [--body BYTES [--body-max BYTES [--median BYTES]]]\n"
    "            [--batch N | --register URL [--in-flight N] | --ids |\n"
    "             --door PATH --secret S]\n"
    "  It stops at the first of T seconds and M requests; with a rate, R are begun a second.\n"
    "  Of each connection D may be without an answer. Latency is from when a request was to\n"
    "  be sent, not from when a connection was free for it.\n"
    "  Bodies have any size up to the largest or, with a median, are lognormal around it.\n"
    "  The K sessions are NAMEf, NAMEf+s, …, in turn or at random. Each request publishes an\n"
    "  event, perhaps with an id, a batch of them, or registers a webhook, {n} in whose URL\n"
    "  is the session's number and 127.1.{host} an address for it; or it sends an event to a\n"
    "  source of the preset openwa. The token may be in WAYBILL_TOKEN instead.\n";

#define TOKEN_MAX 256
#define NUMBER_MAX 10000000u /* of anything there can be many of */

static void print_result(const struct publisher_result *r, uint64_t batch)
{
	double seconds = r->last_us > r->first_us ? (double)(r->last_us - r->first_us) / 1e6
						  : 0;
	uint64_t events = r->accepted * batch;
	(void)printf("{\"requests\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"events\":%" PRIu64
		     ",\"refused\":%" PRIu64 ",\"unanswered\":%" PRIu64 ",\"first_us\":%" PRIu64
		     ",\"last_us\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.0f,",
	    r->begun, r->accepted, events, r->refused, r->unanswered, r->first_us, r->last_us,
	    seconds, seconds > 0 ? (double)events / seconds : 0);
	char latency[HIST_JSON_MAX];
	hist_json(&r->latency, latency);
	(void)printf("%s}\n", latency);
}

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},
    {"token", required_argument, NULL, 't'},
    {"connections", required_argument, NULL, 'c'},
    {"pipeline", required_argument, NULL, 'd'},
    {"seconds", required_argument, NULL, 's'},
    {"requests", required_argument, NULL, 'n'},
    {"rate", required_argument, NULL, 'R'},
    {"warm-up", required_argument, NULL, 'w'},
    {"prefix", required_argument, NULL, 'x'},
    {"first", required_argument, NULL, 'F'},
    {"step", required_argument, NULL, 'S'},
    {"sessions", required_argument, NULL, 'k'},
    {"random", no_argument, NULL, 'r'},
    {"body", required_argument, NULL, 'b'},
    {"body-max", required_argument, NULL, 'B'},
    {"median", required_argument, NULL, 'm'},
    {"batch", required_argument, NULL, 'a'},
    {"register", required_argument, NULL, 'u'},
    {"in-flight", required_argument, NULL, 'i'},
    {"ids", no_argument, NULL, 'I'},
    {"door", required_argument, NULL, 'D'},
    {"secret", required_argument, NULL, 'e'},
    {0},
};

static void set_text(int c, struct requests *r)
{
	switch (c) {
	case 't':
		r->token = optarg;
		return;
	case 'x':
		r->prefix = optarg;
		return;
	case 'u':
		r->url = optarg;
		return;
	case 'r':
		r->is_random = true;
		return;
	case 'I':
		r->has_ids = true;
		return;
	case 'D':
		r->door = optarg;
		return;
	case 'e':
		r->mac = hmac_new(optarg);
		return;
	default:
		(void)fputs(USAGE, stderr);
		exit(2);
	}
}

static void set_option(int c, struct publisher *p, struct requests *r)
{
	switch (c) {
	case 'p':
		p->port = (uint16_t)net_number("port", optarg, UINT16_MAX);
		return;
	case 'c':
		p->connections = (unsigned)net_number("connections", optarg, 10000);
		return;
	case 'd':
		p->depth = (unsigned)net_number("pipeline", optarg, PUBLISHER_DEPTH_MAX);
		return;
	case 's':
		p->seconds = (double)net_number("seconds", optarg, 3600);
		return;
	case 'n':
		p->requests_max = net_number("requests", optarg, UINT64_MAX);
		return;
	case 'R':
		p->rate = (double)net_number("rate", optarg, NUMBER_MAX);
		return;
	case 'w':
		r->warm_up_us = net_number("warm-up", optarg, 3600) * 1000000;
		return;
	case 'F':
		r->first = net_number("first", optarg, NUMBER_MAX);
		return;
	case 'S':
		r->step = net_number("step", optarg, NUMBER_MAX);
		return;
	case 'k':
		r->sessions = net_number("sessions", optarg, NUMBER_MAX);
		return;
	case 'b':
		r->body = (size_t)net_number("body", optarg, PUBLISHER_REQUEST_MAX);
		return;
	case 'B':
		r->body_max = (size_t)net_number("body-max", optarg, PUBLISHER_REQUEST_MAX);
		return;
	case 'm':
		r->median = (size_t)net_number("median", optarg, PUBLISHER_REQUEST_MAX);
		return;
	case 'a':
		r->batch = net_number("batch", optarg, PUBLISHER_REQUEST_MAX);
		return;
	case 'i':
		r->max_in_flight = (unsigned)net_number("in-flight", optarg, 10000);
		return;
	default:
		set_text(c, r);
	}
}

int main(int argc, char **argv)
{
	struct requests q = {.token = getenv("WAYBILL_TOKEN"),
	    .prefix = "bench",
	    .step = 1,
	    .sessions = 1,
	    .body = 250,
	    .max_in_flight = 16};
	struct publisher p = {.connections = 64,
	    .depth = 1,
	    .seconds = 10,
	    .requests_max = UINT64_MAX};
	net_raise_descriptors();
	for (int c = 0; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
		set_option(c, &p, &q);
	p.make = q.url != NULL ? requests_webhook
	    : q.door != NULL   ? requests_sent
	    : q.batch > 0      ? requests_batch
			       : requests_event;
	q.batch = q.batch > 0 ? q.batch : 1;
	p.request_max = requests_max(&q);
	bool is_usable = optind == argc && p.depth > 0 && p.port > 0 && p.connections > 0 &&
	    q.sessions > 0 && q.token != NULL && strlen(q.token) <= TOKEN_MAX &&
	    strlen(q.prefix) <= TOKEN_MAX && (q.door == NULL) == (q.mac == NULL) &&
	    p.request_max <= PUBLISHER_REQUEST_MAX &&
	    (q.median == 0 || (q.body <= q.median && q.median < q.body_max));
	if (!is_usable) {
		(void)fputs(USAGE, stderr);
		return 2;
	}
	p.arg = &q;
	struct publisher_result *r = calloc(1, sizeof(*r));
	if (r == NULL)
		net_die("load");
	publisher_run(&p, r);
	print_result(r, q.batch);
	int status = r->unanswered == 0 && r->refused == 0 ? 0 : 1;
	free(r);
	if (q.mac != NULL)
		hmac_free(q.mac);
	return status;
}
