/*
 * Counts of durations in buckets whose width grows with the value: exact below
 * 128 us, within 1/64 above. Fixed size, nothing is kept of the single values.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_EXACT 128 /* values below have a bucket each */
#define HIST_STEPS 64  /* buckets for each doubling above */
#define HIST_DOUBLINGS 32
#define HIST_BUCKETS (HIST_EXACT + HIST_STEPS * HIST_DOUBLINGS)

struct hist {
	uint64_t count;
	uint64_t max_us;
	uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t us);

/* Returns the least duration that `fraction` (0 to 1) of all do not pass; 0 without any. */
uint64_t hist_percentile(const struct hist *h, double fraction);

#endif
