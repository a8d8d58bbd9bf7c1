/* Durations in buckets; see histogram.h. */
#include "base/histogram.h"

#define DECADE(us) (us), (us)*5 / 2, (us)*5

/* The first bound of a decade, two and a half times it and five times it. */
const int64_t HISTOGRAM_BOUNDS_US[HISTOGRAM_BOUNDS] = {DECADE(100LL), DECADE(1000LL),
    DECADE(10000LL), DECADE(100000LL), DECADE(1000000LL), DECADE(10000000LL),
    DECADE(100000000LL), DECADE(1000000000LL), DECADE(10000000000LL), 100000000000LL};

void histogram_record(struct histogram *h, int64_t duration_us)
{
	size_t low = 0;
	size_t high = HISTOGRAM_BOUNDS;
	if (duration_us < 0)
		duration_us = 0;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (HISTOGRAM_BOUNDS_US[middle] < duration_us)
			low = middle + 1;
		else
			high = middle;
	}
	h->counts[low]++;
	h->sum_us += (uint64_t)duration_us;
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = 0;
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		count += h->counts[i];
	return count;
}

void histogram_since(const struct histogram *now, const struct histogram *before,
    struct histogram *out)
{
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		out->counts[i] = now->counts[i] - before->counts[i];
	out->sum_us = now->sum_us - before->sum_us;
}

double histogram_quantile(const struct histogram *h, double q)
{
	double rank = q * (double)histogram_count(h);
	double below = 0;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		double own = (double)h->counts[i];
		if (own > 0 && below + own >= rank) {
			double from = i == 0 ? 0 : (double)HISTOGRAM_BOUNDS_US[i - 1];
			double to = (double)HISTOGRAM_BOUNDS_US[i];
			return from + (to - from) * (rank - below) / own;
		}
		below += own;
	}
	return h->counts[HISTOGRAM_BOUNDS] == 0
	    ? 0
	    : (double)HISTOGRAM_BOUNDS_US[HISTOGRAM_BOUNDS - 1];
}
