/*
 * A line for each session, and the sessions that wait in a line of their own, in which those go
 * to the end that had their turn; see questions.h.
 */
#include "courier/questions.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define MINUTE_MS 60000
#define LOOKED_AT_MAX 64 /* sessions, in one move */

TAILQ_HEAD(question_list, question);

/* A session that asks, or wants to, or has asked in this minute. */
struct questions_taker {
	TAILQ_ENTRY(questions_taker) link; /* of those that wait for a slot, while `waits` */
	TAILQ_ENTRY(questions_taker) all;
	struct question_list line;
	char *session;
	uint32_t held;      /* slots */
	uint32_t in_minute; /* questions */
	bool waits;
};

struct questions {
	const struct questions_hooks *hooks;
	struct shares *slots;
	struct map *takers; /* by session */
	TAILQ_HEAD(, questions_taker) waiting;
	TAILQ_HEAD(, questions_taker) all;
	struct question_list asked; /* the oldest first */
	uint32_t a_minute;          /* 0: any number */
	struct reactor_timer *minute;
	bool counts;                 /* the minute is under way */
	struct reactor_timer *again; /* somebody's slot may be taken then */
	bool breaks_off;             /* one was, and its slot is still to come */
};

static struct questions_taker *take_taker(struct questions *qs, const char *session)
{
	struct questions_taker *t = map_get(qs->takers, session, strlen(session));
	if (t != NULL)
		return t;
	t = mem_new(sizeof(*t));
	TAILQ_INIT(&t->line);
	t->session = mem_copy(session, strlen(session));
	map_put(qs->takers, t->session, strlen(t->session), t);
	TAILQ_INSERT_TAIL(&qs->all, t, all);
	return t;
}

static void free_taker(struct questions *qs, struct questions_taker *t)
{
	TAILQ_REMOVE(&qs->all, t, all);
	(void)map_del(qs->takers, t->session, strlen(t->session)); /* is `t` */
	free(t->session);
	free(t);
}

/* Whether the session waits for a slot follows from its line and its minute; it may be over. */
static void follow(struct questions *qs, struct questions_taker *t)
{
	bool may_ask = qs->a_minute == 0 || t->in_minute < qs->a_minute;
	bool waits = !TAILQ_EMPTY(&t->line) && may_ask;
	if (waits && !t->waits)
		TAILQ_INSERT_TAIL(&qs->waiting, t, link);
	if (!waits && t->waits)
		TAILQ_REMOVE(&qs->waiting, t, link);
	t->waits = waits;
	if (TAILQ_EMPTY(&t->line) && t->held == 0 && t->in_minute == 0)
		free_taker(qs, t);
}

/* The minute begins with its first question. */
static void count_in_minute(struct questions *qs, struct questions_taker *t)
{
	if (qs->a_minute == 0)
		return;
	t->in_minute++;
	if (!qs->counts)
		reactor_timer_set(qs->minute, MINUTE_MS);
	qs->counts = true;
}

/* A new minute: all may ask again. */
static void on_minute(void *arg)
{
	struct questions *qs = arg;
	struct questions_taker *t = TAILQ_FIRST(&qs->all);
	qs->counts = false;
	while (t != NULL) {
		struct questions_taker *next = TAILQ_NEXT(t, all);
		t->in_minute = 0;
		follow(qs, t);
		t = next;
	}
	questions_move(qs);
}

static void give_slot(struct questions *qs, struct questions_taker *t)
{
	shares_give(qs->slots, slice_of(t->session), 1);
	t->held--;
}

/* Has the next of the line ask, by the slot that the session was given; false: it did not. */
static bool ask_next(struct questions *qs, struct questions_taker *t)
{
	struct question *q = TAILQ_FIRST(&t->line);
	TAILQ_REMOVE(&t->line, q, link);
	q->state = QUESTION_AWAY;
	q->taker = NULL;
	t->held++;
	bool asks = qs->hooks->ask(q);
	if (asks) {
		q->state = QUESTION_ASKED;
		q->taker = t;
		q->asked_ms = clock_mono_ms();
		q->is_broken_off = false;
		TAILQ_INSERT_TAIL(&qs->asked, q, link);
		count_in_minute(qs, t);
	} else {
		give_slot(qs, t);
	}
	follow(qs, t);
	return asks;
}

/* Whose slot may be taken: of those with the most slots, the oldest question; or NULL. */
static struct question *find_unsafe(const struct questions *qs, int64_t now_ms)
{
	struct question *found = NULL;
	struct question *q;
	TAILQ_FOREACH(q, &qs->asked, link) {
		if (now_ms - q->asked_ms < QUESTION_SAFE_MS)
			break;
		if (found == NULL || q->taker->held > found->taker->held)
			found = q;
	}
	return found;
}

/* Somebody has no slot, and there is none: one is made free, now or when it may be. */
static void break_one_off(struct questions *qs)
{
	int64_t now_ms = clock_mono_ms();
	const struct question *oldest = TAILQ_FIRST(&qs->asked);
	struct question *q = find_unsafe(qs, now_ms);
	if (qs->breaks_off || oldest == NULL)
		return;
	if (q == NULL) {
		reactor_timer_set(qs->again, oldest->asked_ms + QUESTION_SAFE_MS - now_ms);
		return;
	}
	qs->breaks_off = true;
	q->is_broken_off = true;
	qs->hooks->break_off(q);
}

static void on_again(void *arg)
{
	questions_move(arg);
}

struct questions *questions_new(struct reactor *r, uint32_t a_minute,
    const struct questions_hooks *hooks)
{
	struct questions *qs = mem_new(sizeof(*qs));
	qs->hooks = hooks;
	qs->slots = shares_new(QUESTIONS_MAX);
	qs->takers = map_new();
	qs->a_minute = a_minute;
	qs->minute = reactor_timer_new(r, on_minute, qs);
	qs->again = reactor_timer_new(r, on_again, qs);
	TAILQ_INIT(&qs->waiting);
	TAILQ_INIT(&qs->all);
	TAILQ_INIT(&qs->asked);
	return qs;
}

void questions_free(struct questions *qs)
{
	if (qs == NULL)
		return;
	while (!TAILQ_EMPTY(&qs->all))
		free_taker(qs, TAILQ_FIRST(&qs->all));
	map_free(qs->takers);
	shares_free(qs->slots);
	reactor_timer_free(qs->minute);
	reactor_timer_free(qs->again);
	free(qs);
}

void question_line_up(struct questions *qs, struct question *q, const char *session)
{
	panic_if(q->state != QUESTION_AWAY, "a question that stands in line twice");
	q->state = QUESTION_LINED;
	q->taker = take_taker(qs, session);
	TAILQ_INSERT_TAIL(&q->taker->line, q, link);
	follow(qs, q->taker);
}

void question_leave(struct questions *qs, struct question *q)
{
	if (q->state != QUESTION_LINED)
		return;
	struct questions_taker *t = q->taker;
	TAILQ_REMOVE(&t->line, q, link);
	q->state = QUESTION_AWAY;
	q->taker = NULL;
	follow(qs, t);
}

void question_over(struct questions *qs, struct question *q)
{
	struct questions_taker *t = q->taker;
	panic_if(q->state != QUESTION_ASKED, "an answer to no question");
	TAILQ_REMOVE(&qs->asked, q, link);
	q->state = QUESTION_AWAY;
	q->taker = NULL;
	if (q->is_broken_off)
		qs->breaks_off = false;
	give_slot(qs, t);
	follow(qs, t);
}

void questions_move(struct questions *qs)
{
	bool passed = false; /* there was somebody with nothing to ask */
	for (int n = 0; n < LOOKED_AT_MAX && !TAILQ_EMPTY(&qs->waiting); n++) {
		struct questions_taker *t = TAILQ_FIRST(&qs->waiting);
		bool has_slot = shares_take(qs->slots, slice_of(t->session), 1) == OK;
		if (!has_slot && t->held == 0) { /* there is none: it keeps its turn */
			break_one_off(qs);
			break;
		}
		TAILQ_REMOVE(&qs->waiting, t, link);
		TAILQ_INSERT_TAIL(&qs->waiting, t, link);
		if (has_slot)
			passed |= !ask_next(qs, t);
	}
	if (passed)
		reactor_timer_fire(
		    qs->again); /* behind those that were looked at may be more */
}

const struct shares_figures *questions_figures(const struct questions *qs)
{
	return shares_figures(qs->slots);
}
