/*
 * Slices of the first session that is being deleted; see forgetter.h. In their order: sources
 * and webhooks, so that nothing new comes; then what is kept.
 */
#include "jobs/forgetter.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/dead_letters.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/resend.h"
#include "store/retention.h"
#include "store/usage.h"
#include "store/webhooks.h"

#define SLICE_MAX 500 /* records a turn, about */
#define LOOK_EVERY_S 60

/* A session that is being deleted, or was within a day. */
struct forgotten {
	TAILQ_ENTRY(forgotten) link; /* while it runs */
	char session[SESSION_MAX + 1];
	int64_t finished_ms; /* 0: it runs */
};

/* What a slice has removed that is in memory, too. */
struct taken {
	struct webhook *retired[SLICE_MAX]; /* as they are stored now; owned */
	size_t retired_count;
	uint64_t erased[SLICE_MAX]; /* webhooks of which nothing could be read */
	size_t erased_count;
	struct uuid sources[SLICE_MAX];
	size_t source_count;
	uint64_t cancelled;
	bool over;
};

struct forgetter {
	struct job job; /* first */
	struct forgetter_conf conf;
	struct map *all; /* session -> struct forgotten, owned */
	TAILQ_HEAD(, forgotten) running;
	size_t running_count;
	void (*source_gone)(void *arg, const struct uuid *id);
	void *source_arg;
	uint64_t cancelled;
	struct forgotten *stale; /* its row is to go */

	/* out of apply() */
	struct task record;
	struct taken out;
	bool dropped_stale;
};

/* What a slice works with. */
struct slice_work {
	struct forgetter *f;
	struct db_txn *txn;
	struct slice session;
	int64_t now_ms;
	size_t left; /* records */
};

static void look_for_stale(void *value, void *arg)
{
	struct forgotten *s = value;
	struct forgetter *f = arg;
	if (s->finished_ms != 0 && s->finished_ms + FORGETTER_KEEP_MS <= clock_wall_ms())
		f->stale = s;
}

static void begin(struct job *j)
{
	struct forgetter *f = (struct forgetter *)j;
	if (f->stale == NULL)
		map_each(f->all, look_for_stale, f);
}

static bool has_more(struct job *j)
{
	const struct forgetter *f = (struct forgetter *)j;
	return f->running_count > 0 || f->stale != NULL;
}

struct source_search {
	struct slice_work *work;
	struct taken *out;
};

static void find_source(void *entry, void *arg)
{
	const struct source *s = ((struct source_entry *)entry)->source;
	struct source_search *search = arg;
	struct taken *o = search->out;
	if (!s->is_configured && o->source_count < search->work->left &&
	    slice_eq(slice_of(source_session(s)), search->work->session))
		o->sources[o->source_count++] = s->id;
}

static enum err drop_sources(struct slice_work *w)
{
	struct taken *o = &w->f->out;
	struct source_search search = {w, o};
	enum err err = OK;
	sources_each(w->f->conf.sources, find_source, &search);
	for (size_t i = 0; err == OK && i < o->source_count; i++) {
		err = sources_del(w->txn, &o->sources[i]);
		w->f->record.removed.sources += err == OK ? 1 : 0;
		err = err == ERR_NOTFOUND ? OK : err;
	}
	w->left -= o->source_count;
	return err;
}

/* Retires a webhook; one that cannot be read is erased. */
static enum err retire(struct slice_work *w, uint64_t number)
{
	struct taken *o = &w->f->out;
	struct webhook *found = NULL;
	enum err err = webhooks_get(w->txn, w->f->conf.vault, number, &found);
	if (err == ERR_CORRUPT) {
		log_error("webhook cannot be read", LOG_V("session", w->session),
		    LOG_N("webhook", number));
		o->erased[o->erased_count++] = number;
		w->f->record.removed.webhooks++;
		return webhooks_erase(w->txn, number);
	}
	if (err != OK || found->deleted) { /* by a call of this turn */
		webhook_free(found);
		return err == ERR_NOTFOUND ? OK : err;
	}
	found->deleted = true;
	o->retired[o->retired_count++] = found;
	w->f->record.removed.webhooks++;
	return webhooks_retire(w->txn, w->f->conf.vault, found);
}

static enum err drop_webhooks(struct slice_work *w)
{
	size_t count = 0;
	struct webhook *const *list = registry_session(w->f->conf.registry, w->session, &count);
	enum err err = OK;
	for (size_t i = 0; err == OK && i < count && w->left > 0; i++, w->left--)
		err = retire(w, list[i]->number);
	return err;
}

static enum err drop_letters(struct slice_work *w)
{
	struct uuid last;
	struct uuid letter;
	enum err err = OK;
	memset(last.bytes, 0xff, UUID_SIZE);
	for (; err == OK && w->left > 0; w->left--) {
		err = dead_letters_below(w->txn, w->session, &last, &letter);
		if (err == OK)
			err = retention_drop_dead(w->txn, w->session, &letter, w->now_ms);
		w->f->record.removed.dead_letters += err == OK ? 1 : 0;
	}
	return err == ERR_NOTFOUND ? OK : err;
}

/*
 * Ends a delivery that is open, also one to a webhook for all sessions. ERR_NOTFOUND: there is
 * no such delivery.
 */
static enum err end_delivery(struct slice_work *w, const struct uuid *id)
{
	struct delivery d;
	enum err err = queue_get(w->txn, id, &d);
	if (err != OK)
		return err == ERR_CORRUPT ? OK : err;
	if (d.status != DELIVERY_WAITING && d.status != DELIVERY_DEAD)
		return OK;
	w->f->out.cancelled += d.status == DELIVERY_WAITING ? 1 : 0;
	w->f->record.removed.dead_letters += d.status == DELIVERY_DEAD ? 1 : 0;
	w->left--;
	return resend_cancel(w->txn, webhook_owner(d.webhook, w->session), &d, w->now_ms);
}

/* Ends the deliveries of an event, as far as the slice goes; of a damaged one, those found. */
static enum err end_deliveries(struct slice_work *w, const struct uuid *event)
{
	struct event e = {.deliveries = EVENT_DELIVERIES_MAX};
	enum err err = events_get(w->txn, event, &e, NULL);
	if (err == ERR_CORRUPT) {
		e.deliveries = EVENT_DELIVERIES_MAX;
		err = OK;
	}
	for (uint32_t n = 1; err == OK && n <= e.deliveries && w->left > 0; n++) {
		struct uuid delivery;
		uuid_step(event, n, &delivery);
		err = end_delivery(w, &delivery);
	}
	return err == ERR_NOTFOUND ? OK : err;
}

static enum err drop_events(struct slice_work *w)
{
	static const struct uuid FRONT;
	struct removed *n = &w->f->record.removed;
	while (w->left > 0) {
		struct uuid event;
		size_t dropped = 0;
		struct event e = {.deliveries = 0};
		enum err err = history_next(w->txn, w->session, &FRONT, &event);
		if (err == OK)
			err = end_deliveries(w, &event);
		if (err != OK)
			return err == ERR_NOTFOUND ? OK : err;
		if (w->left == 0)
			break; /* the next slice goes on with this one */
		if (events_get(w->txn, &event, &e, NULL) != OK)
			e.deliveries = 0; /* of what cannot be read the rows are counted */
		err = retention_erase(w->txn, w->session, &event, &dropped);
		if (err != OK)
			return err;
		n->events++;
		n->deliveries += e.deliveries;
		n->attempts += dropped > e.deliveries ? dropped - e.deliveries : 0;
		w->left -= dropped + 1 < w->left ? dropped + 1 : w->left;
	}
	return OK;
}

/* *ended: no key is left. Where the session holds none, the others' are not walked over. */
static enum err drop_keys(struct slice_work *w, bool *ended)
{
	const struct usage *u = db_companion_of(w->txn, DB_COUNTS_USAGE);
	size_t dropped = 0;
	*ended = usage_of(u, w->session).n[USAGE_KEYS] == 0;
	if (*ended)
		return OK;
	enum err err = idempotency_drop_of(w->txn, w->session, &w->f->record.position, w->left,
	    &dropped, ended);
	w->f->record.removed.keys += dropped;
	return err;
}

/* One slice; *ended: nothing is left of the session. */
static enum err run(struct slice_work *w, bool *ended)
{
	static enum err (*const STEPS[])(
	    struct slice_work * w) = {drop_sources, drop_webhooks, drop_letters, drop_events};
	*ended = false;
	enum err err = OK;
	for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]) && err == OK && w->left > 0;
	     i++)
		err = STEPS[i](w);
	return err == OK && w->left > 0 ? drop_keys(w, ended) : err;
}

static void reset(struct taken *o)
{
	for (size_t i = 0; i < o->retired_count; i++)
		webhook_free(o->retired[i]); /* of a transaction that was voided */
	o->retired_count = 0;
	o->erased_count = 0;
	o->source_count = 0;
	o->cancelled = 0;
	o->over = false;
}

static struct task_key key_of(const struct forgotten *s)
{
	struct task_key key = {.kind = TASK_DELETE_SESSION};
	memcpy(key.session, s->session, sizeof(key.session));
	return key;
}

static enum err drop_stale(struct forgetter *f, struct db_txn *txn)
{
	f->dropped_stale = f->stale != NULL;
	if (f->stale == NULL)
		return OK;
	struct task_key key = key_of(f->stale);
	enum err err = tasks_del(txn, &key);
	return err == ERR_NOTFOUND ? OK : err;
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct forgetter *f = (struct forgetter *)j;
	const struct forgotten *first = TAILQ_FIRST(&f->running);
	reset(&f->out);
	enum err err = drop_stale(f, txn);
	if (err != OK || first == NULL)
		return err;
	struct task_key key = key_of(first);
	f->out.over = true; /* where its row is gone */
	err = tasks_get(txn, &key, &f->record);
	if (err != OK || f->record.state != TASK_RUNNING)
		return err == ERR_NOTFOUND ? OK : err;
	struct slice_work work = {.f = f,
	    .txn = txn,
	    .session = slice_of(first->session),
	    .now_ms = clock_wall_ms(),
	    .left = max};
	err = run(&work, &f->out.over);
	if (err != OK)
		return err;
	if (f->out.over) {
		f->record.state = TASK_DONE;
		f->record.finished_ms = work.now_ms;
	}
	return tasks_put(txn, &f->record);
}

/* What is in memory follows. */
static void follow(struct forgetter *f)
{
	struct taken *o = &f->out;
	const struct forgetter_conf *conf = &f->conf;
	for (size_t i = 0; i < o->retired_count; i++) {
		struct webhook *w = o->retired[i];
		uint64_t number = w->number;
		bool was_asked = w->ownership.state == OWNERSHIP_PENDING;
		registry_set(conf->registry, w);
		dispatch_changed(conf->dispatch, number, false);
		if (was_asked && conf->asker != NULL)
			asker_add(conf->asker, number); /* which asks no more */
	}
	o->retired_count = 0;
	for (size_t i = 0; i < o->erased_count; i++) {
		registry_drop(conf->registry, o->erased[i]);
		dispatch_forget(conf->dispatch, o->erased[i]);
	}
	for (size_t i = 0; i < o->source_count; i++) {
		sources_drop(conf->sources, &o->sources[i]);
		if (f->source_gone != NULL)
			f->source_gone(f->source_arg, &o->sources[i]);
	}
	f->cancelled += o->cancelled;
}

/* The slice was the last one of its session. */
static void end_first(struct forgetter *f, enum err result)
{
	struct forgotten *first = TAILQ_FIRST(&f->running);
	const struct removed *n = &f->record.removed;
	TAILQ_REMOVE(&f->running, first, link);
	f->running_count--;
	usage_close(f->conf.usage, slice_of(first->session), false);
	first->finished_ms = clock_wall_ms();
	if (result != OK) {
		log_error("session cannot be deleted", LOG_S("session", first->session),
		    LOG_S("error", err_text(result)));
		return;
	}
	log_info("session is deleted", LOG_S("session", first->session),
	    LOG_N("webhooks", n->webhooks), LOG_N("sources", n->sources),
	    LOG_N("dead_letters", n->dead_letters), LOG_N("events", n->events),
	    LOG_N("deliveries", n->deliveries), LOG_N("attempts", n->attempts),
	    LOG_N("keys", n->keys));
}

static void forget_stale(struct forgetter *f)
{
	struct forgotten *s = f->stale;
	f->stale = NULL;
	if (s->finished_ms == 0)
		return; /* it is deleted again */
	free(map_del(f->all, s->session, strlen(s->session)));
	map_each(f->all, look_for_stale, f); /* the next one */
}

static void done(struct job *j, enum err result)
{
	struct forgetter *f = (struct forgetter *)j;
	struct forgotten *first = TAILQ_FIRST(&f->running);
	if (result == OK)
		follow(f);
	if (result == OK && f->dropped_stale)
		forget_stale(f);
	if (first == NULL)
		return;
	if (result != OK || f->out.over) {
		end_first(f, result);
		return;
	}
	TAILQ_REMOVE(&f->running, first, link);
	TAILQ_INSERT_TAIL(&f->running, first, link);
}

static void release(struct job *j)
{
	struct forgetter *f = (struct forgetter *)j;
	reset(&f->out);
	map_free_all(f->all);
}

static const struct job_kind FORGETTER = {.slice_max = SLICE_MAX,
    .every_s = LOOK_EVERY_S,
    .begin = begin,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

struct forgetter *forgetter_new(struct jobs *jobs, const struct forgetter_conf *conf)
{
	struct forgetter *f = mem_new(sizeof(*f));
	f->conf = *conf;
	f->all = map_new();
	TAILQ_INIT(&f->running);
	jobs_add(jobs, &f->job, &FORGETTER);
	return f;
}

void forgetter_tell_sources(struct forgetter *f, void (*fn)(void *arg, const struct uuid *id),
    void *arg)
{
	f->source_gone = fn;
	f->source_arg = arg;
}

void forgetter_add(struct forgetter *f, const struct task *r)
{
	size_t len = strlen(r->key.session);
	struct forgotten *s = map_get(f->all, r->key.session, len);
	bool was_running = s != NULL && s->finished_ms == 0;
	if (s == NULL) {
		s = mem_new(sizeof(*s));
		memcpy(s->session, r->key.session, sizeof(s->session));
		map_put(f->all, s->session, len, s);
	}
	s->finished_ms = r->finished_ms;
	if (was_running || r->state != TASK_RUNNING)
		return;
	TAILQ_INSERT_TAIL(&f->running, s, link);
	f->running_count++;
	usage_close(f->conf.usage, slice_of(s->session), true);
}

static void learn(void *arg, const struct task *r)
{
	if (r->key.kind == TASK_DELETE_SESSION)
		forgetter_add(arg, r);
}

enum err forgetter_load(struct forgetter *f)
{
	struct db_txn *txn = NULL;
	enum err err = db_read(f->conf.db, &txn);
	if (err != OK)
		return err;
	err = tasks_each(txn, learn, f);
	db_read_end(txn);
	return err;
}

size_t forgetter_running(const struct forgetter *f)
{
	return f->running_count;
}

uint64_t forgetter_cancelled(const struct forgetter *f)
{
	return f->cancelled;
}
