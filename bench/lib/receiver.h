/*
 * The far end of deliveries: an HTTP/1.1 server on loopback that treats each POST
 * as the route says whose path its own begins with, and counts. It reads heads
 * with a Content-Length only, the way waybill sends.
 */
#ifndef BENCH_RECEIVER_H
#define BENCH_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "idset.h"

struct receiver_counts {
	uint64_t requests;
	uint64_t first_us; /* monotonic: when the first POST was complete; 0 before */
	uint64_t last_us;  /* and the last */
	struct idset ids;  /* the X-Webhook-Id values */
	struct hist lag;   /* since the body's "at":MICROSECONDS, monotonic; 0 is not counted */
};

struct receiver_route {
	const char *path;
	int status;
	uint64_t delay_us; /* until the answer */
	bool is_silent;    /* there is none */
	struct receiver_counts counts;
};

struct receiver {
	const int *listeners; /* of net_listen() */
	size_t listener_count;
	struct receiver_route *routes; /* the first that matches; the last takes the rest */
	size_t route_count;
};

/* The counts as a JSON object, and its NUL. */
#define RECEIVER_JSON_MAX 320
void receiver_json(const struct receiver_counts *counts, char out[RECEIVER_JSON_MAX]);

/*
 * Serves until SIGTERM or SIGINT; GET /count and a route's path answers with its counts.
 * They stay in the routes.
 */
void receiver_run(struct receiver *conf);

#endif
