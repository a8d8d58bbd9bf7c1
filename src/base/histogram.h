/*
 * A histogram of durations with fixed bounds, three to a power of ten, from 100 us to
 * 100 000 s: fine enough for a flush of the disk, far enough for the last attempt of a
 * delivery. Recording is a search among the bounds and two adds; nothing is ever allocated.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 28

/* Upper bounds of the buckets, microseconds, rising; what is above the last has its own. */
extern const int64_t HISTOGRAM_BOUNDS_US[HISTOGRAM_BOUNDS];

struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* each bucket's own */
	uint64_t sum_us;
};

/* Counts one duration; below 0 it counts as 0. */
void histogram_record(struct histogram *h, int64_t duration_us);

/* How many were recorded. */
uint64_t histogram_count(const struct histogram *h);

/* Sets *out to what `now` has beyond its earlier copy `before`. */
void histogram_since(const struct histogram *now, const struct histogram *before,
    struct histogram *out);

/*
 * Estimates the duration, in microseconds, that the share `q`, 0 to 1, does not pass: as if a
 * bucket's durations lay evenly in it. 0 where nothing was recorded; the last bound for what
 * lies above it.
 */
double histogram_quantile(const struct histogram *h, double q);

#endif
