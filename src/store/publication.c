/* Publications; see publication.h. */
#include "store/publication.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/retention.h"
#include "store/usage.h"

uint64_t publication_match(struct publication *p, const struct registry *reg)
{
	size_t count = 0;
	uint64_t steps = 0;
	struct slice session = slice_of(p->event.session);
	uint8_t *lanes = NULL;
	uint64_t *numbers = registry_wanting(reg, session, slice_of(p->event.name), p->body,
	    &steps, &count, &lanes);
	if (count > 0)
		p->targets = mem_array(count, sizeof(*p->targets));
	for (size_t i = 0; i < count; i++)
		p->targets[i] = (struct target){numbers[i],
		    lanes == NULL ? LANE_NONE : lanes[i]};
	p->event.deliveries = (uint32_t)count;
	free(numbers);
	free(lanes);
	return steps;
}

void publication_match_as(struct publication *p, const struct publication *same)
{
	p->event.deliveries = same->event.deliveries;
	if (same->event.deliveries == 0)
		return;
	p->targets = mem_array(same->event.deliveries, sizeof(*p->targets));
	memcpy(p->targets, same->targets, same->event.deliveries * sizeof(*p->targets));
}

void publication_leave_out(struct publication *p, uint64_t webhook)
{
	uint32_t kept = 0;
	for (uint32_t n = 0; n < p->event.deliveries; n++) {
		if (p->targets[n].webhook != webhook)
			p->targets[kept++] = p->targets[n];
	}
	p->event.deliveries = kept;
}

void publication_address(struct publication *p, const struct webhook *w)
{
	p->targets = mem_new(sizeof(*p->targets));
	p->targets[0].webhook = w->number;
	if (w->key != NULL)
		p->targets[0].lane = lane_key_find(w->key, p->body);
	p->event.deliveries = 1;
}

void publication_stamp(struct publication *p, struct idgen *ids, int64_t now_ms)
{
	p->event.created_ms = now_ms;
	p->event.body_bytes = (uint32_t)p->body.len;
	p->event.attached_bytes = (uint32_t)p->attached.len;
	p->event.trace_bytes = (uint16_t)p->trace.len;
	idgen_take(ids, now_ms, p->event.deliveries + 1, &p->event.id);
}

static struct delivery make_delivery(const struct publication *p, uint32_t n)
{
	struct delivery d = {
	    .event_id = p->event.id,
	    .webhook = p->targets[n].webhook,
	    .lane = p->targets[n].lane,
	    .created_ms = p->event.created_ms,
	    .place_ms = p->event.created_ms,
	    .due_ms = p->event.created_ms,
	    .queued_ms = p->event.created_ms,
	    .status = DELIVERY_WAITING,
	};
	uuid_step(&p->event.id, n + 1, &d.id);
	return d;
}

uint32_t publication_for_all(const struct publication *p)
{
	uint32_t count = 0;
	for (uint32_t n = 0; n < p->event.deliveries; n++)
		count += webhook_is_for_all(p->targets[n].webhook) ? 1 : 0;
	return count;
}

/*
 * Says in *s how the event stands: all is open, or all but what goes to webhooks for all
 * sessions where these have no room for it. False: those deliveries are cancelled.
 */
static bool open_for_all(struct db_txn *txn, const struct event *e, struct event_state *s)
{
	*s = (struct event_state){.open = e->deliveries, .open_all = e->for_all};
	if (usage_admits_waiting(txn, SLICE(SESSION_ALL), event_cost(e), e->for_all))
		return true;
	s->open -= e->for_all;
	s->open_all = 0;
	s->settled_ms = s->open == 0 ? e->created_ms : 0;
	return false;
}

enum err publication_write(struct db_txn *txn, const struct publication *p)
{
	struct event e = p->event;
	struct event_state s;
	if (e.deliveries == 0)
		return OK;
	e.for_all = publication_for_all(p);
	bool opens_for_all = open_for_all(txn, &e, &s);
	enum err err = events_put_traced(txn, &e, p->body, p->attached, p->trace);
	if (err == OK && !opens_for_all)
		err = events_put_state(txn, &e, &s);
	if (err == OK)
		err = history_put(txn, slice_of(e.session), &e.id);
	if (err == OK)
		event_charge(txn, &e, &s, (int64_t)event_cost(&e));
	for (uint32_t n = 0; err == OK && n < e.deliveries; n++) {
		struct delivery d = make_delivery(p, n);
		bool waits = opens_for_all || !webhook_is_for_all(d.webhook);
		d.status = waits ? DELIVERY_WAITING : DELIVERY_CANCELLED;
		err = waits ? queue_add(txn, &d) : queue_put(txn, &d);
	}
	return err == OK && s.open == 0 ? retention_enter(txn, &e, s.settled_ms) : err;
}

struct queue_place publication_place(const struct publication *p, uint32_t n)
{
	struct delivery d = make_delivery(p, n);
	return queue_place_of(&d);
}

void publication_fini(struct publication *p)
{
	free(p->targets);
	p->targets = NULL;
}
