/*
 * Counts of durations in buckets whose width grows with the value, as HdrHistogram's do:
 * exact below 128 us, within 1/64 above. Fixed size, nothing is kept of the single values.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stddef.h>
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

/*
 * Writes the members "measured", "p50_us", "p99_us", "p999_us", "max_us" and "curve" of a
 * JSON object, without its braces: the curve is pairs of a percentage and microseconds.
 */
#define HIST_JSON_MAX 1024
void hist_json(const struct hist *h, char out[HIST_JSON_MAX]);

#endif
