/*
 * The second URL of a webhook; see dispatch_inner.h. Its own URL is sent the probes, and what
 * else is due while its circuit is closed; the other one the rest. So each has the host, the
 * share and the circuit of where it leads, and a delivery that fails at either waits as long as
 * its schedule says.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dispatch/dispatch_inner.h"

/*
 * What becomes due while a probe is due is the probe; so long it is kept for that, and then
 * goes to the fallback. Else where little happens nobody would ever probe.
 */
#define PROBE_GRACE_MS 200

struct endpoint *endpoint_of(struct sched_endpoint *se)
{
	return se->mark ? ((struct fallback *)se)->endpoint : (struct endpoint *)se;
}

uint32_t endpoint_in_flight(const struct endpoint *ep)
{
	return ep->sched.in_flight + (ep->fallback == NULL ? 0 : ep->fallback->sched.in_flight);
}

int64_t fallback_due(const struct endpoint *ep, int64_t due_ms)
{
	bool probes = ep->sched.circuit == CIRCUIT_OPEN && due_ms >= ep->sched.probe_ms;
	return probes && due_ms != SCHED_NEVER ? due_ms + PROBE_GRACE_MS : due_ms;
}

static struct sched_tenant *take_tenant(struct dispatch *d, const struct webhook *w)
{
	return tenants_take(d->tenants, slice_of(w->session), w->fallback_url);
}

void fallback_follow(struct dispatch *d, struct endpoint *ep, const struct webhook *w)
{
	const struct sched_limits none = {.max_in_flight = 1};
	struct fallback *fb = ep->fallback;
	if (w->fallback_url == NULL)
		return; /* one that was is not enabled any more */
	if (fb != NULL) {
		struct sched_tenant *old = fb->sched.tenant;
		sched_move(d->sched, &fb->sched, take_tenant(d, w));
		tenants_give_back(d->tenants, old);
		return;
	}
	fb = mem_new(sizeof(*fb));
	fb->endpoint = ep;
	fb->sched.mark = true;
	sched_add(d->sched, &fb->sched, take_tenant(d, w), &none, clock_wall_ms());
	ep->fallback = fb;
	sched_set_due(d->sched, &fb->sched, fallback_due(ep, ep->sched.due_ms));
}

void fallback_free(struct dispatch *d, struct fallback *fb)
{
	if (fb != NULL)
		tenants_give_back(d->tenants, fb->sched.tenant);
	free(fb);
}

void fallback_adjust(struct dispatch *d, struct endpoint *ep)
{
	const struct webhook *w = registry_get(d->conf.registry, ep->webhook);
	if (w != NULL)
		endpoint_apply_limits(d, ep, w);
	sched_set_due(d->sched, &ep->fallback->sched, fallback_due(ep, ep->sched.due_ms));
}
