/* A ring of samples; see samples.h. */
#include "api/samples.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

struct samples {
	struct reactor_timer *timer;
	void (*totals)(void *arg, struct samples_totals *out);
	void *arg;
	struct samples_totals before; /* at the end of the last sample */
	struct samples_entry ring[SAMPLES_MAX];
	size_t taken; /* samples, those that have been overwritten too */
};

static void on_time(void *arg)
{
	struct samples *h = arg;
	samples_take(h, clock_wall_ms());
	reactor_timer_set(h->timer, SAMPLES_STEP_MS);
}

struct samples *samples_new(struct reactor *r,
    void (*totals)(void *arg, struct samples_totals *out), void *arg)
{
	struct samples *h = mem_new(sizeof(*h));
	h->totals = totals;
	h->arg = arg;
	h->timer = reactor_timer_new(r, on_time, h);
	reactor_timer_set(h->timer, SAMPLES_STEP_MS);
	return h;
}

void samples_free(struct samples *h)
{
	if (h == NULL)
		return;
	reactor_timer_free(h->timer);
	free(h);
}

void samples_take(struct samples *h, int64_t at_ms)
{
	struct samples_totals now = {0};
	struct histogram receipt;
	h->totals(h->arg, &now);
	histogram_since(&now.receipt, &h->before.receipt, &receipt);
	h->ring[h->taken++ % SAMPLES_MAX] = (struct samples_entry){
	    .at_ms = at_ms,
	    .published = now.published - h->before.published,
	    .delivered = now.delivered - h->before.delivered,
	    .failed = now.failed - h->before.failed,
	    .dead = now.dead - h->before.dead,
	    .waiting = now.waiting,
	    .receipt_p50_us = histogram_quantile(&receipt, 0.5),
	    .receipt_p99_us = histogram_quantile(&receipt, 0.99),
	};
	h->before = now;
}

size_t samples_count(const struct samples *h)
{
	return h->taken < SAMPLES_MAX ? h->taken : SAMPLES_MAX;
}

const struct samples_entry *samples_get(const struct samples *h, size_t i)
{
	size_t first = h->taken < SAMPLES_MAX ? 0 : h->taken;
	return &h->ring[(first + i) % SAMPLES_MAX];
}
