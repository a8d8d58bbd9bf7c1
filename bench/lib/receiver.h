/*
 * The far end of deliveries: an HTTP/1.1 server on loopback that answers every
 * POST with one status, at once or after a delay, and counts. It reads heads
 * with a Content-Length only, the way waybill sends.
 */
#ifndef BENCH_RECEIVER_H
#define BENCH_RECEIVER_H

#include <stdint.h>

struct receiver {
	int listener; /* of net_listen() */
	int status;
	uint64_t delay_us;
};

struct receiver_counts {
	uint64_t requests;
	uint64_t unique;   /* different X-Webhook-Id values */
	uint64_t first_us; /* monotonic: when the first POST was complete; 0 before */
	uint64_t last_us;  /* and the last */
};

/* `{"requests":N,"unique":N,"first_us":N,"last_us":N}` and its NUL. */
#define RECEIVER_JSON_MAX 160
void receiver_json(const struct receiver_counts *counts, char out[RECEIVER_JSON_MAX]);

/* Serves until SIGTERM or SIGINT; GET /count answers with receiver_json(). */
void receiver_run(const struct receiver *conf, struct receiver_counts *counts);

#endif
