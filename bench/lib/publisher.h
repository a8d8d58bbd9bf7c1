/*
 * HTTP clients: so many connections, on each one request at a time or, pipelined, several.
 * A closed loop begins the next as soon as an answer is there; an open one begins them at a
 * steady rate, whatever the answers do. One thread, one epoll.
 */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include <stddef.h>
#include <stdint.h>

#include "hist.h"

#define PUBLISHER_REQUEST_MAX (40u * 1024 * 1024) /* more than max_batch_bytes may be */
#define PUBLISHER_DEPTH_MAX 64

/*
 * Writes request number `n`, at most `request_max` bytes; returns its length.
 * `due_us`: monotonic; when it is sent, or at a steady rate, was to be sent.
 */
typedef size_t (*publisher_fn)(void *arg, uint64_t n, uint64_t due_us, char *out);

struct publisher {
	uint16_t port; /* on loopback */
	unsigned connections;
	unsigned depth;        /* requests without an answer on each: 1, or pipelined */
	size_t request_max;    /* bytes of the longest; at most PUBLISHER_REQUEST_MAX */
	double seconds;        /* no request is begun after them */
	uint64_t requests_max; /* nor after so many */
	double rate;           /* requests a second; 0: a closed loop */
	publisher_fn make;
	void *arg;
};

struct publisher_result {
	uint64_t begun;
	uint64_t accepted;   /* answered 2xx */
	uint64_t refused;    /* answered otherwise */
	uint64_t unanswered; /* the connection broke, or no answer came in time */
	uint64_t first_us;   /* monotonic: when the first request was sent */
	uint64_t last_us;    /* when the last answer came */
	struct hist latency; /* from when it was to be sent: waiting for a connection counts */
};

/* Runs until all is answered, at most 10 s longer than asked. `r` must be all zero. */
void publisher_run(const struct publisher *p, struct publisher_result *r);

#endif
