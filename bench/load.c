/*
 * Publishes events to waybill as fast as it answers: some connections, each with
 * one request at a time, sessions in turn. Prints what came of it as JSON.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net.h"
#include "lib/publisher.h"

static const char USAGE[] =
    "usage: load --port P [--token T] [--connections N] [--sessions K] [--prefix NAME]\n"
    "            [--body BYTES] [--seconds T] [--events M]\n"
    "  Sessions are NAME0, NAME1, …; it stops at the first of T seconds and M events.\n"
    "  The token may be in WAYBILL_TOKEN instead.\n";

#define BODY_MAX (1024 * 1024)
#define BODY_START "{\"event\":\"message\",\"data\":{\"n\":"
#define BODY_MIDDLE ",\"text\":\""
#define BODY_END "\"}}"
#define TOKEN_MAX 256

struct events {
	const char *token;
	const char *prefix;
	uint64_t sessions;
	size_t body; /* bytes of a request's body, where it is enough for what must be in it */
};

/* Writes one publish request; every event is different by its number. */
static size_t make_event(void *arg, uint64_t n, char *out)
{
	const struct events *e = arg;
	char number[24];
	int digits = snprintf(number, sizeof(number), "%" PRIu64, n);
	size_t fixed = strlen(BODY_START BODY_MIDDLE BODY_END) + (size_t)digits;
	size_t fill = e->body > fixed ? e->body - fixed : 0;
	int head = snprintf(out, PUBLISHER_REQUEST_MAX,
	    "POST /api/v1/sessions/%s%" PRIu64 "/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	    "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n" BODY_START "%s" BODY_MIDDLE,
	    e->prefix, n % e->sessions, e->token, fixed + fill, number);
	memset(out + head, 'x', fill);
	memcpy(out + (size_t)head + fill, BODY_END, strlen(BODY_END));
	return (size_t)head + fill + strlen(BODY_END);
}

static void print_result(const struct publisher_result *r)
{
	double seconds = r->last_us > r->first_us ? (double)(r->last_us - r->first_us) / 1e6
						  : 0;
	(void)printf("{\"requests\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64
		     ",\"unanswered\":%" PRIu64 ",\"first_us\":%" PRIu64 ",\"last_us\":%" PRIu64
		     ",\"seconds\":%.3f,\"rate\":%.0f,",
	    r->begun, r->accepted, r->refused, r->unanswered, r->first_us, r->last_us, seconds,
	    seconds > 0 ? (double)r->accepted / seconds : 0);
	(void)printf("\"p50_us\":%" PRIu64 ",\"p90_us\":%" PRIu64 ",\"p99_us\":%" PRIu64
		     ",\"p999_us\":%" PRIu64 ",\"max_us\":%" PRIu64 "}\n",
	    hist_percentile(&r->latency, 0.5), hist_percentile(&r->latency, 0.9),
	    hist_percentile(&r->latency, 0.99), hist_percentile(&r->latency, 0.999),
	    r->latency.max_us);
}

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},
    {"token", required_argument, NULL, 't'},
    {"connections", required_argument, NULL, 'c'},
    {"sessions", required_argument, NULL, 'k'},
    {"prefix", required_argument, NULL, 'x'},
    {"body", required_argument, NULL, 'b'},
    {"seconds", required_argument, NULL, 's'},
    {"events", required_argument, NULL, 'n'},
    {0},
};

static void set_option(int c, struct publisher *p, struct events *e)
{
	switch (c) {
	case 'p':
		p->port = (uint16_t)net_number("port", optarg, UINT16_MAX);
		return;
	case 't':
		e->token = optarg;
		return;
	case 'c':
		p->connections = (unsigned)net_number("connections", optarg, 10000);
		return;
	case 'k':
		e->sessions = net_number("sessions", optarg, 1000000);
		return;
	case 'x':
		e->prefix = optarg;
		return;
	case 'b':
		e->body = (size_t)net_number("body", optarg, BODY_MAX);
		return;
	case 's':
		p->seconds = (double)net_number("seconds", optarg, 3600);
		return;
	case 'n':
		p->requests_max = net_number("events", optarg, UINT64_MAX);
		return;
	default:
		(void)fputs(USAGE, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const char *token = getenv("WAYBILL_TOKEN");
	struct events e = {.token = token, .prefix = "bench", .sessions = 1, .body = 250};
	struct publisher p = {.connections = 64, .seconds = 10, .requests_max = UINT64_MAX};
	for (int c = 0; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
		set_option(c, &p, &e);
	bool is_usable = p.port > 0 && p.connections > 0 && e.sessions > 0 && e.token != NULL &&
	    strlen(e.token) <= TOKEN_MAX && strlen(e.prefix) <= TOKEN_MAX;
	if (!is_usable) {
		(void)fputs(USAGE, stderr);
		return 2;
	}
	p.make = make_event;
	p.arg = &e;
	struct publisher_result *r = calloc(1, sizeof(*r));
	if (r == NULL)
		net_die("load");
	publisher_run(&p, r);
	print_result(r);
	int status = r->unanswered == 0 && r->refused == 0 ? 0 : 1;
	free(r);
	return status;
}
