/* Sums per session over one request; see quota.h. */
#include "api/quota.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

/* A session of the request. */
struct share {
	uint64_t waiting; /* before the request */
	uint64_t added;   /* by its events so far */
};

static struct share *take_share(struct map *shares, const struct quota *q, const char *session)
{
	size_t len = strlen(session);
	struct share *s = map_get(shares, session, len);
	if (s != NULL)
		return s;
	s = mem_new(sizeof(*s));
	s->waiting = backlog_of_session(q->backlog, q->registry, slice_of(session));
	map_put(shares, session, len, s);
	return s;
}

static enum err refuse(const struct quota *q, const struct intake *in, size_t item,
    const struct share *s, struct problem *p)
{
	char field[40] = "";
	if (in->is_batch)
		(void)snprintf(field, sizeof(field), "[%zu].session_id", item);
	return problem_set(p, ERR_FULL, field,
	    "session %s has %llu deliveries waiting, and max_queue_per_session allows %llu; "
	    "nothing of this was stored",
	    in->items[item].publication.event.session, (unsigned long long)s->waiting,
	    (unsigned long long)q->most);
}

/* Adds up event by event. */
static enum err check_items(const struct quota *q, const struct intake *in, struct map *shares,
    struct problem *p)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct event *e = &in->items[i].publication.event;
		if (in->items[i].replayed || e->deliveries == 0)
			continue;
		struct share *s = take_share(shares, q, e->session);
		s->added += e->deliveries;
		if (s->waiting + s->added > q->most)
			return refuse(q, in, i, s, p);
	}
	return OK;
}

enum err quota_check(const struct quota *q, const struct intake *in, struct problem *p)
{
	/* where all sessions together stay below it, none is above: the usual case, cheap */
	if (q->most == 0 || backlog_total(q->backlog) + in->deliveries <= q->most)
		return OK;
	struct map *shares = map_new();
	enum err err = check_items(q, in, shares, p);
	map_free_all(shares);
	return err;
}
