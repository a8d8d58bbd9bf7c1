/* What the clients ask of waybill: events one by one, in batches, and webhooks. */
#ifndef BENCH_REQUESTS_H
#define BENCH_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct requests {
	const char *token;
	const char *prefix; /* of the sessions' names, before their number */
	uint64_t first;     /* number of the first session */
	uint64_t step;      /* from one session to the next */
	uint64_t sessions;
	bool is_random;      /* sessions at random, else in turn */
	size_t body;         /* bytes of an event's JSON, where that is enough for it */
	size_t body_max;     /* larger than `body`: each has any size between them */
	size_t median;       /* not 0, and between them: sizes are lognormal around it */
	uint64_t warm_up_us; /* events of that time have no stamp: they are not measured */
	uint64_t start_us;   /* of the first one; 0 before */
	uint64_t batch;      /* events in a request */
	bool has_ids;        /* each event has an id of its own */
	const char *door;    /* path of a source of the preset openwa; see requests_sent() */
	struct evp_mac_ctx_st *mac; /* with its secret */
	const char *url;            /* of webhooks; see requests_webhook() */
	unsigned max_in_flight;
};

/*
 * Each writes one request, as publisher_fn says. Every event is different by its number,
 * and is stamped with when it was to be sent: "at", monotonic microseconds.
 */
size_t requests_event(void *arg, uint64_t n, uint64_t due_us, char *out);
size_t requests_batch(void *arg, uint64_t n, uint64_t due_us, char *out);

/* Sends the event to the source's door, in its gateway's words, with its id and its proof. */
size_t requests_sent(void *arg, uint64_t n, uint64_t due_us, char *out);

/*
 * Registers a webhook in the session. In its URL {n} is the session's number, and {host}
 * what stands behind 127.1. in the address of the receiver of that number.
 */
size_t requests_webhook(void *arg, uint64_t n, uint64_t due_us, char *out);

/* The longest request that `r` can make, in bytes; about, and not less than it is. */
size_t requests_max(const struct requests *r);

#endif
