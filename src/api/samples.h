/*
 * The last hour, a sample each ten seconds: what was published, delivered and failed in each,
 * what waited at its end, and how long receipts took. In memory alone; a restart begins anew.
 */
#ifndef API_SAMPLES_H
#define API_SAMPLES_H

#include "base/histogram.h"
#include "base/reactor.h"

#define SAMPLES_STEP_MS 10000
#define SAMPLES_MAX 360 /* an hour */

/* Counts since the start, but for `waiting`, which is how it stands. */
struct samples_totals {
	uint64_t published;
	uint64_t delivered;
	uint64_t failed; /* attempts */
	uint64_t dead;
	uint64_t waiting;
	struct histogram receipt;
};

struct samples_entry {
	int64_t at_ms; /* wall; its end */
	uint64_t published;
	uint64_t delivered;
	uint64_t failed;
	uint64_t dead;
	uint64_t waiting;
	double receipt_p50_us;
	double receipt_p99_us;
};

struct samples;

/* Samples what `totals` fills in, from now on. */
struct samples *samples_new(struct reactor *r,
    void (*totals)(void *arg, struct samples_totals *out), void *arg);

/* Frees it before the reactor. NULL is fine. */
void samples_free(struct samples *h);

/* Adds the sample that ends at `at_ms`; what the timer does, and tests. */
void samples_take(struct samples *h, int64_t at_ms);

/* How many samples there are, and sample `i` of them, the oldest being 0. */
size_t samples_count(const struct samples *h);
const struct samples_entry *samples_get(const struct samples *h, size_t i);

#endif
