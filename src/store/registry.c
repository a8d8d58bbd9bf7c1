/*
 * Two maps: number -> webhook for all, session -> its list for those that serve; and these
 * lists in the order of their sessions' bytes. A retired webhook leaves its session's list for
 * that of the retired ones, and stays under its number until its queue is purged. A session
 * whose webhooks want many names has an index of who wants which, so that publishing costs
 * nothing for those who want something else; a few names are compared one by one: an index of
 * each of many sessions is memory that no cache holds. Each has the pointers of its filters and
 * keys, so that an event is walked over once.
 * Webhooks for all sessions are those of SESSION_ALL, and match with each.
 */
#include "store/registry.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "domain/name.h"
#include "store/webhooks.h"

#define DECODED_KEPT (64u << 10) /* bytes, between two events */
#define FEW 8 /* names that a session's webhooks want, in all: more have an index */

/* The webhooks of a session that take events and have a name in `events`. */
struct wanting {
	uint64_t *numbers; /* ascending: in order of registration */
	size_t count;
};

struct list {
	struct webhook **webhooks;
	size_t count;
	bool is_of_session; /* not that of the retired ones */
	/* a name, its beginning and *, or "all" -> struct wanting; NULL: few, or retired */
	struct map *wanting;
	size_t patterns;           /* how many of these end with * */
	struct pointers *pointers; /* of their filters and keys; NULL: none was ever there */
	size_t lookers;            /* how many of them have one of these */
	size_t keys;               /* how many have a key */
	uint64_t steps;            /* of the filters of all its webhooks */
};

/* Webhooks of all sessions, ascending by number. */
struct line {
	struct webhook **webhooks;
	size_t count;
};

struct registry {
	struct map *by_number;
	struct map *by_session; /* its list; none is empty */
	struct list **in_order; /* the same, by the bytes of their sessions' ids */
	size_t session_count;
	bool is_loading;            /* in_order is put in order at the end */
	const struct list *for_all; /* of `by_session`, SESSION_ALL's; NULL: it is not there */
	struct list retired;
	struct map *by_id; /* those that serve, as the next */
	struct line all;
	struct line keyed;    /* of these, those that have a key pair */
	struct buf *decoded;  /* strings of the event that filters are asked about */
	uint64_t last_number; /* without WEBHOOK_FOR_ALL */
	struct registry_figures figures;
};

struct registry *registry_new(void)
{
	struct registry *reg = mem_new(sizeof(*reg));
	reg->by_number = map_new();
	reg->by_session = map_new();
	reg->by_id = map_new();
	reg->decoded = mem_new(sizeof(*reg->decoded));
	*reg->decoded = BUF_INIT(SIZE_MAX); /* no more than the event has bytes */
	return reg;
}

static void free_webhook(void *value, void *arg)
{
	(void)arg;
	webhook_free(value);
}

static void free_wanting(void *value, void *arg)
{
	struct wanting *n = value;
	(void)arg;
	free(n->numbers);
	free(n);
}

static void free_list(void *value, void *arg)
{
	struct list *l = value;
	(void)arg;
	if (l->wanting != NULL)
		map_each(l->wanting, free_wanting, NULL);
	map_free(l->wanting);
	pointers_free(l->pointers);
	free(l->webhooks);
	free(l);
}

void registry_free(struct registry *reg)
{
	if (reg == NULL)
		return;
	map_each(reg->by_session, free_list, NULL);
	map_each(reg->by_number, free_webhook, NULL);
	map_free(reg->by_session);
	map_free(reg->by_number);
	free(reg->in_order);
	free(reg->retired.webhooks);
	map_free(reg->by_id);
	free(reg->all.webhooks);
	free(reg->keyed.webhooks);
	buf_fini(reg->decoded);
	free(reg->decoded);
	free(reg);
}

/* Finds the list that `w` is in, or belongs to; NULL where its session has none yet. */
static struct list *list_of(struct registry *reg, const struct webhook *w)
{
	return w->deleted ? &reg->retired
			  : map_get(reg->by_session, w->session, strlen(w->session));
}

/* Where in `n` the number is, or would be. */
static size_t find_number(const struct wanting *n, uint64_t number)
{
	size_t low = 0;
	size_t high = n->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (n->numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t is_pattern(const char *name, size_t len)
{
	return len > 0 && name[len - 1] == '*' ? 1 : 0;
}

/* Adds a webhook to those that want `name`; one that is there already stays. */
static void enter_name(struct list *l, const char *name, uint64_t number)
{
	size_t len = strlen(name);
	struct wanting *n = map_get(l->wanting, name, len);
	if (n == NULL) {
		n = mem_new(sizeof(*n));
		map_put(l->wanting, name, len, n);
		l->patterns += is_pattern(name, len);
	}
	size_t at = find_number(n, number);
	if (at < n->count && n->numbers[at] == number)
		return;
	n->numbers = mem_resize(n->numbers, n->count + 1, sizeof(*n->numbers));
	memmove(n->numbers + at + 1, n->numbers + at, (n->count - at) * sizeof(*n->numbers));
	n->numbers[at] = number;
	n->count++;
}

/* Takes a webhook out of those that want `name`, if it is among them. */
static void leave_name(struct list *l, const char *name, uint64_t number)
{
	size_t len = strlen(name);
	struct wanting *n = map_get(l->wanting, name, len);
	size_t at = n == NULL ? 0 : find_number(n, number);
	if (n == NULL || at == n->count || n->numbers[at] != number)
		return;
	n->count--;
	memmove(n->numbers + at, n->numbers + at + 1, (n->count - at) * sizeof(*n->numbers));
	if (n->count > 0)
		return;
	(void)map_del(l->wanting, name, len); /* is `n` */
	l->patterns -= is_pattern(name, len);
	free_wanting(n, NULL);
}

/* Whether events are queued for it. */
static bool takes_events(const struct webhook *w)
{
	return w->enabled || w->keeps_queueing;
}

/* Enters what `w` wants into the index, where there is one, or takes it out. */
static void index_names(struct list *l, const struct webhook *w, bool enter)
{
	for (size_t i = 0; l->wanting != NULL && takes_events(w) && i < w->event_count; i++) {
		if (enter)
			enter_name(l, w->events[i], w->number);
		else
			leave_name(l, w->events[i], w->number);
	}
}

/* Has events asked of the filter of `w`, or not any more. */
static void index_filter(struct list *l, const struct webhook *w, bool enter)
{
	if (!l->is_of_session || w->filter == NULL)
		return;
	uint64_t steps = filter_steps(w->filter);
	l->steps += enter ? steps : -steps;
	if (!takes_events(w))
		return;
	if (l->pointers == NULL)
		l->pointers = pointers_new();
	if (enter)
		filter_enter(w->filter, l->pointers);
	else
		filter_leave(w->filter, l->pointers);
}

/* Has the lanes of events asked of the key of `w`, or not any more. */
static void index_key(struct list *l, const struct webhook *w, bool enter)
{
	if (!l->is_of_session || w->key == NULL || !takes_events(w))
		return;
	if (l->pointers == NULL)
		l->pointers = pointers_new();
	if (enter)
		lane_key_enter(w->key, l->pointers);
	else
		lane_key_leave(w->key, l->pointers);
	l->keys += enter ? 1 : (size_t)-1;
}

static bool looks(const struct webhook *w)
{
	return w->filter != NULL || w->key != NULL;
}

/* Enters `w` into what its session's list has of all, or takes it out. */
static void index_webhook(struct list *l, const struct webhook *w, bool enter)
{
	index_names(l, w, enter);
	index_filter(l, w, enter);
	index_key(l, w, enter);
	if (l->is_of_session && takes_events(w) && looks(w))
		l->lookers += enter ? 1 : (size_t)-1;
}

/* Makes the index of a session whose webhooks have come to want many names. */
static void index_many(struct list *l)
{
	size_t names = 0;
	if (!l->is_of_session || l->wanting != NULL)
		return;
	for (size_t i = 0; i < l->count; i++)
		names += l->webhooks[i]->event_count;
	if (names <= FEW)
		return;
	l->wanting = map_new();
	for (size_t i = 0; i < l->count; i++)
		index_names(l, l->webhooks[i], true);
}

static const char *session_of(const struct list *l)
{
	return l->webhooks[0]->session;
}

/* The place of the first session at `name` or behind it. */
static size_t find_session(const struct registry *reg, const char *name)
{
	size_t low = 0;
	size_t high = reg->session_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(session_of(reg->in_order[middle]), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Puts a list, which is not empty any more, in its place among the sessions. */
static void order_add(struct registry *reg, struct list *l)
{
	size_t at = reg->is_loading ? reg->session_count : find_session(reg, session_of(l));
	reg->in_order = mem_resize(reg->in_order, reg->session_count + 1, sizeof(l));
	memmove(reg->in_order + at + 1, reg->in_order + at,
	    (reg->session_count - at) * sizeof(l));
	reg->in_order[at] = l;
	reg->session_count++;
}

/* Takes out a list that is not empty yet. */
static void order_remove(struct registry *reg, const struct list *l)
{
	size_t at = find_session(reg, session_of(l));
	reg->session_count--;
	memmove(reg->in_order + at, reg->in_order + at + 1,
	    (reg->session_count - at) * sizeof(l));
}

static int compare_sessions(const void *a, const void *b)
{
	return strcmp(session_of(*(struct list *const *)a),
	    session_of(*(struct list *const *)b));
}

/* Ends the loading. */
static void order_all(struct registry *reg)
{
	reg->is_loading = false;
	if (reg->session_count > 0)
		qsort(reg->in_order, reg->session_count, sizeof(*reg->in_order),
		    compare_sessions);
}

/* How many of `list`, ascending by number, are not behind `number`. */
static size_t not_behind(struct webhook *const *list, size_t count, uint64_t number)
{
	size_t low = 0;
	size_t high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (list[middle]->number <= number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Lets `w` take the place of `old` in a line; NULL: it was, or is, not in it. */
static void line_change(struct line *l, const struct webhook *old, struct webhook *w)
{
	const struct webhook *either = old != NULL ? old : w;
	if (either == NULL)
		return;
	size_t at = not_behind(l->webhooks, l->count, either->number);
	at -= old != NULL ? 1 : 0;
	if (w == NULL) {
		l->count--;
		memmove(l->webhooks + at, l->webhooks + at + 1,
		    (l->count - at) * sizeof(either));
		return;
	}
	if (old == NULL) {
		l->webhooks = mem_resize(l->webhooks, l->count + 1, sizeof(w));
		memmove(l->webhooks + at + 1, l->webhooks + at, (l->count - at) * sizeof(w));
		l->count++;
	}
	l->webhooks[at] = w;
}

/* Lets `w` take the place of `old` in what is kept over all sessions; either may be NULL. */
static void index_in_all(struct registry *reg, const struct webhook *old, struct webhook *w)
{
	const struct webhook *was = old == NULL || old->deleted ? NULL : old;
	struct webhook *is = w == NULL || w->deleted ? NULL : w;
	if (was != NULL)
		(void)map_del(reg->by_id, was->id.bytes, UUID_SIZE); /* is `old` */
	if (is != NULL)
		map_put(reg->by_id, is->id.bytes, UUID_SIZE, is);
	line_change(&reg->all, was, is);
	line_change(&reg->keyed, was == NULL || was->pair == NULL ? NULL : was,
	    is == NULL || is->pair == NULL ? NULL : is);
}

static struct webhook *const *line_behind(const struct line *l, uint64_t number, size_t *count)
{
	size_t at = not_behind(l->webhooks, l->count, number);
	*count = l->count - at;
	return *count == 0 ? NULL : l->webhooks + at;
}

struct webhook *const *registry_all_behind(const struct registry *reg, uint64_t number,
    size_t *count)
{
	return line_behind(&reg->all, number, count);
}

struct webhook *const *registry_keyed_behind(const struct registry *reg, uint64_t number,
    size_t *count)
{
	return line_behind(&reg->keyed, number, count);
}

struct webhook *registry_find_in_all(const struct registry *reg, const struct uuid *id)
{
	return map_get(reg->by_id, id->bytes, UUID_SIZE);
}

static void list_add(struct registry *reg, struct webhook *w)
{
	struct list *l = list_of(reg, w);
	bool is_new = l == NULL;
	if (is_new) {
		l = mem_new(sizeof(*l));
		l->is_of_session = true;
		map_put(reg->by_session, w->session, strlen(w->session), l);
		if (webhook_is_for_all(w->number))
			reg->for_all = l;
	}
	index_webhook(l, w, true);
	l->webhooks = mem_resize(l->webhooks, l->count + 1, sizeof(struct webhook *));
	size_t at = l->count++;
	/* a session's in order of number; nearly always that is the end */
	for (; l != &reg->retired && at > 0 && l->webhooks[at - 1]->number > w->number; at--)
		l->webhooks[at] = l->webhooks[at - 1];
	l->webhooks[at] = w;
	index_many(l);
	if (is_new)
		order_add(reg, l);
}

static void list_remove(struct registry *reg, const struct webhook *w)
{
	struct list *l = list_of(reg, w);
	index_webhook(l, w, false);
	if (l->count == 1 && l != &reg->retired)
		order_remove(reg, l);
	size_t kept = 0;
	for (size_t i = 0; i < l->count; i++) {
		if (l->webhooks[i] != w)
			l->webhooks[kept++] = l->webhooks[i];
	}
	l->count = kept;
	if (kept == 0 && l != &reg->retired) {
		(void)map_del(reg->by_session, w->session, strlen(w->session)); /* is `l` */
		if (reg->for_all == l)
			reg->for_all = NULL;
		free_list(l, NULL);
	}
}

/* Puts `w` where `old` stands, so that the order of registration stays. */
static void list_replace(struct registry *reg, const struct webhook *old, struct webhook *w)
{
	struct list *l = list_of(reg, old);
	index_webhook(l, old, false);
	index_webhook(l, w, true);
	for (size_t i = 0; i < l->count; i++) {
		if (l->webhooks[i] == old)
			l->webhooks[i] = w;
	}
	index_many(l);
}

/* Adds `w`, if there is one, to what its state is counted as, or takes it off. */
static void count_webhook(struct registry *reg, const struct webhook *w, bool add)
{
	if (w == NULL || w->deleted)
		return;
	uint64_t *n = w->enabled ? &reg->figures.enabled : &reg->figures.disabled;
	*n += add ? 1 : (uint64_t)-1;
}

void registry_set(struct registry *reg, struct webhook *w)
{
	struct webhook *old = map_get(reg->by_number, &w->number, sizeof(w->number));
	if (old != NULL && old->deleted == w->deleted) {
		list_replace(reg, old, w);
	} else {
		if (old != NULL)
			list_remove(reg, old);
		list_add(reg, w);
	}
	map_put(reg->by_number, &w->number, sizeof(w->number), w);
	index_in_all(reg, old, w);
	count_webhook(reg, old, false);
	count_webhook(reg, w, true);
	if ((w->number & ~WEBHOOK_FOR_ALL) > reg->last_number)
		reg->last_number = w->number & ~WEBHOOK_FOR_ALL;
	webhook_free(old);
}

static void load_one(void *arg, struct webhook *w)
{
	char id[UUID_TEXT_SIZE];
	uuid_format(&w->id, id);
	if (filter_is_kept(w->filter) && !w->deleted)
		log_warn("this version does not take a webhook's filter: it is disabled",
		    LOG_S("session", w->session), LOG_S("webhook", id));
	registry_set(arg, w);
}

enum err registry_load(struct registry *reg, struct db *db, const struct vault *vault,
    struct problem *p)
{
	struct db_txn *txn = NULL;
	enum err err = db_read(db, &txn);
	if (err == OK) {
		uint64_t last = 0;
		reg->is_loading = true;
		err = webhooks_each(txn, vault, load_one, reg, p);
		order_all(reg);
		if (err == OK)
			err = webhooks_last_number(txn, &last);
		db_read_end(txn);
		if (last > reg->last_number)
			reg->last_number = last;
	}
	if (err != OK && err != ERR_REFUSED)
		return problem_set(p, err, "data", "cannot load the webhooks: %s",
		    err_text(err));
	return err;
}

void registry_drop(struct registry *reg, uint64_t number)
{
	struct webhook *w = map_del(reg->by_number, &number, sizeof(number));
	if (w == NULL)
		return;
	count_webhook(reg, w, false);
	index_in_all(reg, w, NULL);
	list_remove(reg, w);
	webhook_free(w);
}

struct webhook *registry_get(const struct registry *reg, uint64_t number)
{
	return map_get(reg->by_number, &number, sizeof(number));
}

struct webhook *registry_find_named(const struct registry *reg, struct slice session,
    struct slice name)
{
	size_t count = 0;
	struct webhook *const *list = registry_session(reg, session, &count);
	for (size_t i = 0; i < count && name.len > 0; i++) {
		if (slice_eq(slice_of(list[i]->name), name))
			return list[i];
	}
	return NULL;
}

struct webhook *const *registry_session(const struct registry *reg, struct slice session,
    size_t *count)
{
	const struct list *l = map_get(reg->by_session, session.ptr, session.len);
	*count = l == NULL ? 0 : l->count;
	return l == NULL ? NULL : l->webhooks;
}

const char *registry_next_session(const struct registry *reg, const char *session)
{
	size_t at = find_session(reg, session);
	if (at < reg->session_count && strcmp(session_of(reg->in_order[at]), session) == 0)
		at++;
	if (at < reg->session_count && reg->in_order[at] == reg->for_all)
		at++;
	return at < reg->session_count ? session_of(reg->in_order[at]) : NULL;
}

struct webhook *const *registry_behind(const struct registry *reg, struct slice session,
    uint64_t number, size_t *count)
{
	struct webhook *const *all = registry_session(reg, session, count);
	size_t low = not_behind(all, *count, number);
	*count -= low;
	return *count == 0 ? NULL : all + low;
}

const struct webhook *registry_first_retired(const struct registry *reg)
{
	return reg->retired.count > 0 ? reg->retired.webhooks[0] : NULL;
}

/* Merges ascending `more` into `out`, which has `count` ascending; returns how many then. */
static size_t merge(uint64_t *out, size_t count, const struct wanting *more)
{
	size_t i = count;
	size_t k = more->count;
	size_t end = count + k;
	for (size_t at = end; k > 0;) /* from the end, where there is room */
		out[--at] = i > 0 && out[i - 1] > more->numbers[k - 1] ? out[--i]
								       : more->numbers[--k];
	size_t n = i;
	for (; i < end; i++) {
		if (n == 0 || out[n - 1] != out[i])
			out[n++] = out[i];
	}
	return n;
}

/*
 * What covers the name of an event in an index: itself, "all", and each of its beginnings with
 * a *.
 */
struct covering {
	const struct wanting *lists[EVENT_MAX + 2];
	size_t count;
	size_t numbers; /* of all lists; without an index, of all webhooks */
};

static void cover(const struct list *l, const char *name, size_t len, struct covering *c)
{
	const struct wanting *n = map_get(l->wanting, name, len);
	if (n == NULL)
		return;
	c->lists[c->count++] = n;
	c->numbers += n->count;
}

static void cover_event(const struct list *l, struct slice event, struct covering *c)
{
	char pattern[EVENT_MAX + 1];
	c->count = 0;
	c->numbers = l->wanting == NULL ? l->count : 0;
	if (l->wanting == NULL)
		return;
	cover(l, event.ptr, event.len, c);
	cover(l, "all", 3, c);
	for (size_t n = 1; l->patterns > 0 && n <= event.len && n <= EVENT_MAX; n++) {
		memcpy(pattern, event.ptr, n);
		pattern[n] = '*';
		cover(l, pattern, n + 1, c);
	}
}

/* The lists whose webhooks an event of a session is matched with; NULL: there is none. */
struct matched {
	const struct list *lists[2];
};

static struct matched matched_of(const struct registry *reg, struct slice session)
{
	const struct list *own = map_get(reg->by_session, session.ptr, session.len);
	return (struct matched){{own, reg->for_all == own ? NULL : reg->for_all}};
}

bool registry_looks_inside(const struct registry *reg, struct slice session)
{
	struct matched m = matched_of(reg, session);
	return (m.lists[0] != NULL && m.lists[0]->lookers > 0) ||
	    (m.lists[1] != NULL && m.lists[1]->lookers > 0);
}

uint64_t registry_steps(const struct registry *reg, struct slice session)
{
	const struct list *l = map_get(reg->by_session, session.ptr, session.len);
	return l == NULL ? 0 : l->steps;
}

/*
 * Takes those whose filters stop the body out of `numbers`, and puts the lanes of the others
 * where `lanes` is not NULL; returns how many stay.
 */
static size_t filter_out(const struct registry *reg, const struct list *l, struct slice body,
    uint64_t *steps, uint64_t *numbers, size_t count, uint8_t *lanes)
{
	size_t kept = 0;
	bool has_looked = false;
	for (size_t i = 0; i < count; i++) {
		const struct webhook *w = registry_get(reg, numbers[i]);
		if (looks(w) && !has_looked)
			pointers_look(l->pointers, body, reg->decoded);
		has_looked = has_looked || looks(w);
		if (w->filter != NULL && !filter_matches(w->filter, l->pointers, steps))
			continue;
		if (w->key != NULL) /* there are `lanes` then */
			lanes[kept] = (uint8_t)lane_key_ask(w->key, l->pointers);
		numbers[kept++] = numbers[i];
	}
	if (reg->decoded->cap > DECODED_KEPT)
		buf_fini(reg->decoded);
	return kept;
}

/* Those that want the event, where they want few names in all; returns how many. */
static size_t ask_each(const struct list *l, struct slice event, uint64_t *out)
{
	size_t count = 0;
	for (size_t i = 0; i < l->count; i++) {
		const struct webhook *w = l->webhooks[i];
		if (takes_events(w) && name_is_covered(event, w->events, w->event_count))
			out[count++] = w->number;
	}
	return count;
}

/* Those of `l` that want the event, to the end of `out`; returns how many. */
static size_t put_wanting(const struct registry *reg, const struct list *l, struct slice event,
    const struct covering *c, struct slice body, uint64_t *steps, uint64_t *out, uint8_t *lanes)
{
	size_t count = l->wanting == NULL ? ask_each(l, event, out) : 0;
	for (size_t i = 0; i < c->count; i++)
		count = merge(out, count, c->lists[i]);
	return l->lookers > 0 ? filter_out(reg, l, body, steps, out, count, lanes) : count;
}

uint64_t *registry_wanting(const struct registry *reg, struct slice session, struct slice event,
    struct slice body, uint64_t *steps, size_t *count, uint8_t **lanes)
{
	struct matched m = matched_of(reg, session);
	struct covering covering[2];
	size_t numbers = 0;
	bool has_keys = false;
	*count = 0;
	*lanes = NULL;
	for (size_t i = 0; i < 2; i++) {
		if (m.lists[i] == NULL)
			continue;
		cover_event(m.lists[i], event, &covering[i]);
		numbers += covering[i].numbers;
		has_keys = has_keys || m.lists[i]->keys > 0;
	}
	if (numbers == 0)
		return NULL;
	uint64_t *out = mem_array(numbers, sizeof(*out));
	if (has_keys)
		*lanes = mem_array(numbers, sizeof(**lanes));
	for (size_t i = 0; i < 2; i++) {
		if (m.lists[i] != NULL)
			*count += put_wanting(reg, m.lists[i], event, &covering[i], body, steps,
			    out + *count, has_keys ? *lanes + *count : NULL);
	}
	if (*count > 0)
		return out;
	free(out);
	free(*lanes);
	*lanes = NULL;
	return NULL;
}

struct webhook *registry_find(const struct registry *reg, struct slice session,
    const struct uuid *id)
{
	struct webhook *w = registry_find_in_all(reg, id);
	return w != NULL && slice_eq(slice_of(w->session), session) ? w : NULL;
}

struct registry_figures registry_figures(const struct registry *reg)
{
	return reg->figures;
}

uint64_t registry_take_number(struct registry *reg)
{
	return ++reg->last_number;
}

void registry_each(const struct registry *reg, void (*fn)(void *webhook, void *arg), void *arg)
{
	map_each(reg->by_number, fn, arg);
}
