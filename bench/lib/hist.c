/* A log-linear histogram; see hist.h. */
#include "hist.h"

#include <inttypes.h>
#include <stdio.h>

/* log2 of HIST_STEPS: a value above HIST_EXACT is known by its top bit and the 6 below it. */
#define STEP_BITS 6

static size_t bucket_of(uint64_t us)
{
	if (us < HIST_EXACT)
		return us;
	unsigned shift = 63 - (unsigned)__builtin_clzll(us) - STEP_BITS;
	size_t i = HIST_EXACT + (size_t)(shift - 1) * HIST_STEPS + (us >> shift) - HIST_STEPS;
	return i < HIST_BUCKETS ? i : HIST_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t value_of(size_t bucket)
{
	if (bucket < HIST_EXACT)
		return bucket;
	size_t shift = (bucket - HIST_EXACT) / HIST_STEPS + 1;
	uint64_t step = (bucket - HIST_EXACT) % HIST_STEPS + HIST_STEPS;
	return ((step + 1) << shift) - 1;
}

void hist_add(struct hist *h, uint64_t us)
{
	h->count++;
	h->buckets[bucket_of(us)]++;
	if (us > h->max_us)
		h->max_us = us;
}

uint64_t hist_percentile(const struct hist *h, double fraction)
{
	uint64_t below = 0;
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		below += h->buckets[i];
		if (below > 0 && (double)below >= fraction * (double)h->count)
			return value_of(i) < h->max_us ? value_of(i) : h->max_us;
	}
	return h->max_us;
}

void hist_json(const struct hist *h, char out[HIST_JSON_MAX])
{
	static const double CURVE[] = {1, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9,
	    99.95, 99.98, 99.99, 100};
	int len = snprintf(out, HIST_JSON_MAX,
	    "\"measured\":%" PRIu64 ",\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64
	    ",\"p999_us\":%" PRIu64 ",\"max_us\":%" PRIu64 ",\"curve\":[",
	    h->count, hist_percentile(h, 0.5), hist_percentile(h, 0.99),
	    hist_percentile(h, 0.999), h->max_us);
	for (size_t i = 0; i < sizeof(CURVE) / sizeof(CURVE[0]); i++) {
		len += snprintf(out + len, HIST_JSON_MAX - (size_t)len, "%s[%g,%" PRIu64 "]",
		    i == 0 ? "" : ",", CURVE[i], hist_percentile(h, CURVE[i] / 100));
	}
	(void)snprintf(out + len, HIST_JSON_MAX - (size_t)len, "]");
}
