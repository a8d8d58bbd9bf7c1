/* Events with their deliveries; see publication.h. */
#include "store/publication.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/history.h"

static struct target target_of(const struct webhook *w)
{
	return (struct target){.webhook = w->number, .fifo = w->fifo};
}

void publication_match(struct publication *p, const struct registry *reg)
{
	size_t count = 0;
	struct slice name = slice_of(p->event.name);
	struct webhook *const *list = registry_session(reg, slice_of(p->event.session), &count);
	if (count == 0)
		return;
	p->targets = mem_array(count, sizeof(*p->targets));
	for (size_t i = 0; i < count; i++) {
		if (list[i]->enabled && webhook_wants(list[i], name))
			p->targets[p->event.deliveries++] = target_of(list[i]);
	}
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
	p->targets[0] = target_of(w);
	p->event.deliveries = 1;
}

void publication_stamp(struct publication *p, struct idgen *ids, int64_t now_ms)
{
	p->event.created_ms = now_ms;
	p->event.open = p->event.deliveries;
	p->event.body_bytes = (uint32_t)p->body.len;
	idgen_take(ids, now_ms, p->event.deliveries + 1, &p->event.id);
}

static struct delivery make_delivery(const struct publication *p, uint32_t n)
{
	const struct target *t = &p->targets[n];
	struct delivery d = {
	    .event_id = p->event.id,
	    .webhook = t->webhook,
	    .created_ms = p->event.created_ms,
	    .place_ms = t->fifo ? uuid_time(&p->event.id) : p->event.created_ms,
	    .due_ms = p->event.created_ms,
	    .queued_ms = p->event.created_ms,
	    .status = DELIVERY_WAITING,
	};
	uuid_step(&p->event.id, n + 1, &d.id);
	return d;
}

enum err publication_write(struct db_txn *txn, const struct publication *p)
{
	if (p->event.deliveries == 0)
		return OK;
	enum err err = events_put(txn, &p->event, p->body);
	if (err == OK)
		err = history_put(txn, slice_of(p->event.session), &p->event.id);
	for (uint32_t n = 0; err == OK && n < p->event.deliveries; n++) {
		struct delivery d = make_delivery(p, n);
		err = queue_add(txn, &d);
	}
	return err;
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
