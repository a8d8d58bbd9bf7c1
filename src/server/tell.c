/* From outcomes to happenings; see tell.h. */
#include "server/tell.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

static enum happening_type type_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_DELIVERED:
		return HAPPENING_DELIVERED;
	case VERDICT_EXPIRED:
		return HAPPENING_EXPIRED;
	case VERDICT_RETRY:
		return HAPPENING_RETRYING;
	case VERDICT_DEAD:
		return HAPPENING_DEAD;
	}
	log_panic("a verdict that there is not");
}

static void on_settled(void *arg, const struct delivery_end *o)
{
	const struct settlement *s = o->settlement;
	struct happening h = {.type = type_of(s->verdict),
	    .at_ms = s->now_ms,
	    .webhook = o->webhook->number,
	    .duration_us = o->duration_us,
	    .next_ms = s->verdict == VERDICT_RETRY ? s->retry_ms : 0,
	    .attempt = s->delivery.attempts,
	    .status = o->status,
	    .has_event = true,
	    .has_delivery = true,
	    .has_webhook = true,
	    .event_id = s->delivery.event_id,
	    .delivery_id = s->delivery.id,
	    .webhook_id = o->webhook->id};
	memcpy(h.session, o->event->session, sizeof(h.session));
	memcpy(h.event, o->event->name, sizeof(h.event));
	(void)snprintf(h.error, sizeof(h.error), "%s", o->error);
	feed_tell(arg, &h);
}

static void on_disabled(void *arg, const struct webhook *w)
{
	feed_tell_disabled(arg, w, clock_wall_ms());
}

struct dispatch_hooks tell_hooks(struct feed *feed)
{
	return (
	    struct dispatch_hooks){.settled = on_settled, .disabled = on_disabled, .arg = feed};
}
