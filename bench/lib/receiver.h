/*
 * The far end of deliveries: an HTTP/1.1 server on loopback, with TLS or without, that
 * treats each POST as the route says whose path its own begins with, checks its signature
 * and counts it. It reads heads with a Content-Length only, the way waybill sends.
 */
#ifndef BENCH_RECEIVER_H
#define BENCH_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "idset.h"

struct receiver_counts {
	uint64_t requests; /* all of them */
	uint64_t failed;   /* of these: answered as fail_every says */
	uint64_t forged;   /* and with a signature that was wrong or not there */
	uint64_t first_us; /* monotonic: when the first good POST was complete; 0 before */
	uint64_t last_us;  /* and the last */
	struct idset ids;  /* of the good ones: each X-Webhook-Id and path once */
	struct hist lag;   /* since the body's "at":MICROSECONDS, monotonic; 0 is not counted */
	struct hist small; /* the same of those that are small alone */
};

struct receiver_route {
	const char *path;
	int status;
	uint64_t delay_us;   /* until the answer */
	bool is_silent;      /* there is none */
	uint64_t fail_every; /* each so-manieth is answered 503; 0: none */
	struct receiver_counts counts;
};

struct receiver {
	const int *listeners; /* of net_listen() */
	size_t listener_count;
	struct receiver_route *routes; /* the first that matches; the last takes the rest */
	size_t route_count;
	uint64_t small_max; /* bytes of a body that is small */
	const char *secret; /* what X-Webhook-Signature (v1) is made with; NULL: not checked */
	struct ssl_ctx_st *tls; /* of link_tls_new(); NULL: plain */
	bool closes;            /* each connection after one answer */
};

/* The counts as a JSON object, and its NUL. */
#define RECEIVER_JSON_MAX (2 * HIST_JSON_MAX + 320)
void receiver_json(const struct receiver_counts *counts, char out[RECEIVER_JSON_MAX]);

/*
 * Serves until SIGTERM or SIGINT; GET /count and a route's path answers with its counts.
 * They stay in the routes.
 */
void receiver_run(struct receiver *conf);

#endif
