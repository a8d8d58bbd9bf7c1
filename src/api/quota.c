/* The quota of sessions; see quota.h. */
#include "api/quota.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "jobs/forgetter.h"
#include "store/retention.h"

#define FIELD_SIZE 40 /* "[9999].session_id" and a NUL */
#define MIB (1u << 20)

/* What a taker would hold more. */
struct more {
	uint64_t bytes;
	uint64_t deliveries;
};

/* A session of the request. */
struct part {
	size_t item;      /* its first */
	uint64_t waiting; /* before the request */
	uint64_t own;     /* deliveries to its own webhooks, by its events so far */
	struct more more; /* by its events so far, as far as it pays for them */
};

static struct part *take_part(struct map *parts, const struct quota *q, const struct intake *in,
    size_t item)
{
	const char *session = in->items[item].publication.event.session;
	size_t len = strlen(session);
	struct part *part = map_get(parts, session, len);
	if (part != NULL)
		return part;
	part = mem_new(sizeof(*part));
	part->item = item;
	if (q->most > 0)
		part->waiting = backlog_of_session(q->backlog, q->registry, slice_of(session));
	map_put(parts, session, len, part);
	return part;
}

/* What an event would count for, its own key included. */
static uint64_t item_bytes(const struct intake_item *item)
{
	uint64_t bytes = item->key.expires_ms == 0 ? 0 : IDEMPOTENCY_COST;
	if (item->publication.event.deliveries > 0)
		bytes += event_cost(&item->publication.event);
	return bytes;
}

/* Those to webhooks for all sessions wait in the queues of these, which are no session's. */
static uint64_t own_deliveries(const struct publication *p)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < p->event.deliveries; i++)
		n += webhook_is_for_all(p->targets[i].webhook) ? 0 : 1;
	return n;
}

/* Of the deliveries of an event those that `owner` pays for. */
static uint64_t paid_by(const struct publication *p, struct slice owner)
{
	uint64_t n = 0;
	struct slice session = slice_of(p->event.session);
	for (uint32_t i = 0; i < p->event.deliveries; i++)
		n += slice_eq(webhook_owner(p->targets[i].webhook, session), owner) ? 1 : 0;
	return n;
}

/* Adds what `owner` would hold of an event (event_charge()). */
static void add_event(struct more *more, const struct publication *p, struct slice owner)
{
	uint64_t deliveries = paid_by(p, owner);
	more->deliveries += deliveries;
	more->bytes += deliveries > 0 ? event_cost(&p->event) : 0;
}

static uint64_t key_bytes(const struct intake *in, bool has_key)
{
	return has_key && in->count > 0 ? IDEMPOTENCY_COST + IDEMPOTENCY_RUN * (in->count - 1)
					: 0;
}

static uint64_t request_bytes(const struct intake *in, bool has_key)
{
	uint64_t bytes = key_bytes(in, has_key);
	for (size_t i = 0; i < in->count; i++)
		bytes += in->items[i].repeated ? 0 : item_bytes(&in->items[i]);
	return bytes;
}

static void name_field(const struct intake *in, size_t item, char field[FIELD_SIZE])
{
	field[0] = '\0';
	if (in->is_batch)
		(void)snprintf(field, FIELD_SIZE, "[%zu].session_id", item);
}

static enum err refuse_queue(const struct quota *q, const struct intake *in, size_t item,
    const struct part *part, struct problem *p)
{
	char field[FIELD_SIZE];
	name_field(in, item, field);
	return problem_set(p, ERR_FULL, field,
	    "session %s has %llu deliveries waiting, and max_queue_per_session allows %llu; "
	    "nothing of this was stored",
	    in->items[item].publication.event.session, (unsigned long long)part->waiting,
	    (unsigned long long)q->most);
}

/* Bytes as MiB with a tenth. */
struct amount {
	unsigned long long whole;
	unsigned tenths;
};

static struct amount amount_of(uint64_t bytes)
{
	return (struct amount){bytes / MIB, (unsigned)(bytes % MIB * 10 / MIB)};
}

enum err quota_refuse(const struct quota *q, struct slice session, const char *field,
    struct problem *p)
{
	struct holding h = usage_of(q->usage, session);
	struct amount open = amount_of(h.n[USAGE_OPEN]);
	struct amount keys = amount_of(h.n[USAGE_KEYS]);
	uint64_t waiting = backlog_of_session(q->backlog, q->registry, session);
	struct amount reserve = amount_of(waiting * USAGE_LETTER);
	char who[SESSION_MAX + 16] = "the webhooks for all sessions have their";
	if (!slice_eq(session, SLICE(SESSION_ALL)))
		(void)snprintf(who, sizeof(who), "session %.*s has its", (int)session.len,
		    session.ptr);
	usage_note_refusal(q->usage, session);
	return problem_set(p, ERR_FULL, field,
	    "%s share of the store: %llu.%u MiB of events that are not over "
	    "(%llu deliveries waiting, %llu dead letters), %llu.%u MiB of idempotency keys, "
	    "and %llu.%u MiB kept for the dead letters that those waiting may become; "
	    "mend or delete the webhooks that fail, replay or drop the dead letters, or wait; "
	    "nothing of this was stored",
	    who, open.whole, open.tenths, (unsigned long long)waiting,
	    (unsigned long long)h.n[USAGE_LETTERS], keys.whole, keys.tenths, reserve.whole,
	    reserve.tenths);
}

/* Adds up event by event. */
static enum err add_items(const struct quota *q, const struct intake *in, bool has_key,
    struct map *parts, struct problem *p)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct intake_item *item = &in->items[i];
		struct part *part = take_part(parts, q, in, i);
		part->more.bytes += i == 0 ? key_bytes(in, has_key) : 0;
		if (item->repeated)
			continue;
		part->more.bytes += item->key.expires_ms == 0 ? 0 : IDEMPOTENCY_COST;
		add_event(&part->more, &item->publication,
		    slice_of(item->publication.event.session));
		part->own += own_deliveries(&item->publication);
		if (q->most > 0 && part->own > 0 && part->waiting + part->own > q->most)
			return refuse_queue(q, in, i, part, p);
	}
	return OK;
}

/* One look at all sessions of a request. */
struct look {
	const struct quota *quota;
	const struct intake *intake;
	struct problem *problem;
	enum err err;
};

/* Whether a session may hold what the request would add. */
static void check_share(void *value, void *arg)
{
	struct look *l = arg;
	const struct part *part = value;
	char field[FIELD_SIZE];
	struct slice session = slice_of(l->intake->items[part->item].publication.event.session);
	if (l->err != OK)
		return;
	l->err = usage_allows(l->quota->usage, session, part->more.bytes,
	    part->more.deliveries);
	if (l->err != ERR_FULL)
		return;
	name_field(l->intake, part->item, field);
	l->err = quota_refuse(l->quota, session, field, l->problem);
}

/*
 * Whether the store has room for what would wait for the webhooks for all sessions. That these
 * have their share is no reason for a refusal: publication_write() gives those deliveries up.
 */
static enum err check_for_all(const struct quota *q, const struct intake *in)
{
	struct more more = {0};
	for (size_t i = 0; i < in->count; i++) {
		if (!in->items[i].repeated)
			add_event(&more, &in->items[i].publication, SLICE(SESSION_ALL));
	}
	return usage_allows(q->usage, SLICE(SESSION_ALL), more.bytes, more.deliveries) ==
		ERR_NOSPACE
	    ? ERR_NOSPACE
	    : OK;
}

static enum err check_sessions(const struct quota *q, const struct intake *in, bool has_key,
    struct problem *p)
{
	struct map *parts = map_new();
	struct look look = {.quota = q, .intake = in, .problem = p};
	look.err = add_items(q, in, has_key, parts, p);
	map_each(parts, check_share, &look);
	map_free_all(parts);
	return look.err == OK ? check_for_all(q, in) : look.err;
}

/* Whether nobody is near any limit, whatever the request: the usual case, cheap. */
static bool has_room(const struct quota *q, const struct intake *in, uint64_t bytes)
{
	if (q->most > 0 && backlog_total(q->backlog) + in->deliveries > q->most)
		return false;
	return usage_allows_any(q->usage, bytes, in->deliveries);
}

/* How many idempotency keys a request would write. */
static uint64_t count_keys(const struct intake *in, bool has_key)
{
	uint64_t keys = has_key ? 1 : 0;
	for (size_t i = 0; i < in->count; i++)
		keys += in->items[i].repeated || in->items[i].key.expires_ms == 0 ? 0 : 1;
	return keys;
}

/* Lets history go where there is no room beside it. */
static enum err make_room(const struct quota *q, struct db_txn *txn, uint64_t bytes,
    uint64_t keys)
{
	if (keys > 1 && !usage_may_copy(q->usage, keys))
		return ERR_NOSPACE;
	if (usage_lacks(q->usage, bytes) == 0)
		return OK;
	enum err err = retention_make_room(txn, bytes);
	if (err == OK && usage_lacks(q->usage, bytes) > 0)
		err = ERR_NOSPACE;
	return err;
}

/* Whether no session of the request is being deleted, which it would not outlast. */
static enum err check_closed(const struct quota *q, const struct intake *in, struct problem *p)
{
	char field[FIELD_SIZE];
	if (usage_closed(q->usage) == 0)
		return OK;
	for (size_t i = 0; i < in->count; i++) {
		const char *session = in->items[i].publication.event.session;
		if (!usage_is_closed(q->usage, slice_of(session)))
			continue;
		name_field(in, i, field);
		return problem_set(p, ERR_CONFLICT, field, FORGETTER_REFUSAL);
	}
	return OK;
}

enum err quota_check(const struct quota *q, struct db_txn *txn, const struct intake *in,
    bool has_key, struct problem *p)
{
	uint64_t bytes = request_bytes(in, has_key);
	enum err err = check_closed(q, in, p);
	if (err != OK || bytes == 0)
		return err;
	if (!has_room(q, in, bytes))
		err = check_sessions(q, in, has_key, p);
	return err == OK ? make_room(q, txn, bytes, count_keys(in, has_key)) : err;
}
