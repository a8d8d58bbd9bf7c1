/* Which task has the next slice, and its record; see task_runner.h. */
#include "jobs/task_runner.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "jobs/task_slice.h"

#define ASKED_MAX 16      /* tasks that are asked in a turn whether they may go on */
#define FULL_WAIT_MS 1000 /* until one is asked again whose session may hold no more */

struct running {
	TAILQ_ENTRY(running) link;
	struct task_key key;
	int64_t not_before_ms; /* monotonic; its session had all of the store that it may */
};

struct task_runner {
	struct job job; /* first */
	struct task_runner_conf conf;
	TAILQ_HEAD(, running) running; /* the next slice is of the first one */

	/* out of apply() */
	struct task_slice slice;
	struct task task; /* as it is now on disk */
	bool over;
};

/* The session whose queue a task fills; empty where its webhook is gone. */
static struct slice session_of(const struct task_runner *r, const struct task_key *key)
{
	if (key->kind != TASK_REPLAY)
		return slice_of(key->session);
	const struct webhook *w = registry_get(r->conf.registry, key->webhook);
	return w == NULL ? SLICE("") : slice_of(w->session);
}

/* How many a slice of this task may put into the queue. */
static size_t room_of(const struct task_runner *r, const struct task_key *key)
{
	if (key->kind == TASK_DROP_LETTERS) /* puts nothing there, and makes room */
		return TASK_SLICE_MAX;
	if (!*r->conf.has_room)
		return 0;
	if (r->conf.most == 0)
		return TASK_SLICE_MAX;
	uint64_t waiting = backlog_of_session(r->conf.backlog, r->conf.registry,
	    session_of(r, key));
	uint64_t room = waiting < r->conf.most ? r->conf.most - waiting : 0;
	return room < TASK_SLICE_MAX ? (size_t)room : TASK_SLICE_MAX;
}

/* The first one waits behind the others. */
static void rotate(struct task_runner *r)
{
	struct running *first = TAILQ_FIRST(&r->running);
	TAILQ_REMOVE(&r->running, first, link);
	TAILQ_INSERT_TAIL(&r->running, first, link);
}

/* Whether one may go on, which is the first then: those that have to wait let it pass. */
static bool has_more(struct job *j)
{
	struct task_runner *r = (struct task_runner *)j;
	for (int i = 0; i < ASKED_MAX && !TAILQ_EMPTY(&r->running); i++) {
		const struct running *first = TAILQ_FIRST(&r->running);
		if (clock_mono_ms() >= first->not_before_ms && room_of(r, &first->key) > 0)
			return true;
		rotate(r);
	}
	return false;
}

/* The record has moved on by a slice, perhaps to its end: writes it. */
static enum err write_record(struct task_runner *r, struct db_txn *txn)
{
	r->over = r->slice.ended;
	if (r->over && r->task.key.kind != TASK_REPLAY)
		return tasks_del(txn, &r->task.key); /* nobody asks how it went */
	if (r->over) {
		r->task.state = TASK_DONE;
		r->task.finished_ms = r->slice.now_ms;
	}
	return tasks_put(txn, &r->task);
}

static enum err apply(struct job *j, struct db_txn *txn, size_t max)
{
	struct task_runner *r = (struct task_runner *)j;
	const struct task_key *key = &TAILQ_FIRST(&r->running)->key;
	size_t room = room_of(r, key); /* what came before in this turn counts */
	r->over = true;
	r->slice.queued_count = 0;
	r->slice.ended = false;
	r->slice.full = false;
	enum err err = tasks_get(txn, key, &r->task);
	if (err != OK || r->task.state != TASK_RUNNING)
		return err;
	r->over = false;
	r->slice.max = room < max ? room : max;
	if (room == 0)
		return OK;
	r->slice.now_ms = clock_wall_ms();
	err = task_slice_run(txn, &r->task, &r->slice);
	return err == OK ? write_record(r, txn) : err;
}

/* The slice was the last one of its task. */
static void end_first(struct task_runner *r, enum err result)
{
	static const char *const KINDS[] = {
	    [TASK_REPLAY] = "deliveries",
	    [TASK_REPLAY_LETTERS] = "dead letters",
	    [TASK_DROP_LETTERS] = "dead letters dropped",
	};
	struct running *first = TAILQ_FIRST(&r->running);
	TAILQ_REMOVE(&r->running, first, link);
	free(first);
	if (result == OK && r->slice.ended)
		log_info("replay is done", LOG_S("what", KINDS[r->task.key.kind]),
		    LOG_V("session", session_of(r, &r->task.key)),
		    LOG_N("scheduled", r->task.scheduled),
		    LOG_N("looked_at", r->task.looked_at));
	else if (result != OK && result != ERR_NOTFOUND)
		log_error("replay cannot go on", LOG_S("error", err_text(result)));
}

/* What the slice has put into queues is on disk. */
static void tell_queued(struct task_runner *r)
{
	for (size_t i = 0; i < r->slice.queued_count; i++) {
		const struct queue_place *place = &r->slice.queued[i].place;
		if (r->conf.oldest != NULL)
			oldest_queued(r->conf.oldest, &place->id);
		dispatch_queued(r->conf.dispatch, r->slice.queued[i].webhook, place);
	}
}

static void done(struct job *j, enum err result)
{
	struct task_runner *r = (struct task_runner *)j;
	if (result == OK)
		tell_queued(r);
	if (r->slice.full)
		TAILQ_FIRST(&r->running)->not_before_ms = clock_mono_ms() + FULL_WAIT_MS;
	if (result != OK || r->over)
		end_first(r, result);
	else
		rotate(r);
}

static void release(struct job *j)
{
	struct task_runner *r = (struct task_runner *)j;
	while (!TAILQ_EMPTY(&r->running)) {
		struct running *first = TAILQ_FIRST(&r->running);
		TAILQ_REMOVE(&r->running, first, link);
		free(first);
	}
}

static const struct job_kind TASK_RUNNER = {.slice_max = TASK_SLICE_MAX,
    .has_more = has_more,
    .apply = apply,
    .done = done,
    .release = release};

struct task_runner *task_runner_new(struct jobs *jobs, const struct task_runner_conf *conf)
{
	struct task_runner *r = mem_new(sizeof(*r));
	r->conf = *conf;
	TAILQ_INIT(&r->running);
	jobs_add(jobs, &r->job, &TASK_RUNNER);
	return r;
}

void task_runner_configure(struct task_runner *r, uint64_t most)
{
	r->conf.most = most;
}

static void learn(void *arg, const struct task *r)
{
	if (r->state == TASK_RUNNING && r->key.kind != TASK_DELETE_SESSION)
		task_runner_add(arg, &r->key);
}

enum err task_runner_load(struct task_runner *r)
{
	struct db_txn *txn = NULL;
	enum err err = db_read(r->conf.db, &txn);
	if (err != OK)
		return err;
	err = tasks_each(txn, learn, r);
	db_read_end(txn);
	return err;
}

static bool same_key(const struct task_key *a, const struct task_key *b)
{
	return a->kind == b->kind && a->webhook == b->webhook &&
	    strcmp(a->session, b->session) == 0;
}

void task_runner_add(struct task_runner *r, const struct task_key *key)
{
	struct running *known = NULL;
	TAILQ_FOREACH(known, &r->running, link) {
		if (same_key(&known->key, key))
			return; /* the one before was cancelled a moment ago: this goes on */
	}
	struct running *added = mem_new(sizeof(*added));
	added->key = *key;
	TAILQ_INSERT_TAIL(&r->running, added, link);
}
