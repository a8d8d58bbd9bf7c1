/* Round robin over the endpoints with due work; see sched.h for the picture. */
#include "sched/sched.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

enum state {
	STATE_IDLE = 1, /* no work, at its cap, or disabled: in no structure */
	STATE_WAITING,  /* in the tree, by due time */
	STATE_READY,    /* in the list: due, and may start */
};

RB_HEAD(due_tree, sched_endpoint);
TAILQ_HEAD(ready_list, sched_endpoint);

struct sched {
	struct due_tree waiting;
	struct ready_list ready;
	uint32_t slots;
	uint32_t in_flight;
};

static int compare(const struct sched_endpoint *a, const struct sched_endpoint *b)
{
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms ? -1 : 1;
	if (a == b)
		return 0;
	return (uintptr_t)a < (uintptr_t)b ? -1 : 1;
}

/* Not all of the generated functions are called. */
RB_GENERATE_INTERNAL(due_tree, sched_endpoint, node, compare, __attribute__((unused)) static)

struct sched *sched_new(uint32_t slots)
{
	struct sched *s = mem_new(sizeof(*s));
	RB_INIT(&s->waiting);
	TAILQ_INIT(&s->ready);
	s->slots = slots;
	return s;
}

void sched_free(struct sched *s)
{
	free(s);
}

static void leave(struct sched *s, struct sched_endpoint *e)
{
	if (e->state == STATE_WAITING)
		RB_REMOVE(due_tree, &s->waiting, e);
	else if (e->state == STATE_READY)
		TAILQ_REMOVE(&s->ready, e, link);
	e->state = STATE_IDLE;
}

/* Whether `e` could start something if it were due. */
static bool is_open(const struct sched_endpoint *e)
{
	return e->enabled && e->due_ms != SCHED_NEVER && e->in_flight < e->cap;
}

/* Puts `e` where its fields say; one that is READY and stays so keeps its place in the line. */
static void place(struct sched *s, struct sched_endpoint *e)
{
	if (is_open(e) && e->state == STATE_IDLE) {
		e->state = STATE_WAITING;
		RB_INSERT(due_tree, &s->waiting, e);
	} else if (!is_open(e)) {
		leave(s, e);
	}
}

void sched_add(struct sched *s, struct sched_endpoint *e, uint32_t cap, bool enabled)
{
	e->due_ms = SCHED_NEVER;
	e->in_flight = 0;
	e->state = STATE_IDLE;
	sched_limit(s, e, cap, enabled);
}

void sched_remove(struct sched *s, struct sched_endpoint *e)
{
	panic_if(e->in_flight > 0, "an endpoint with attempts in flight was removed");
	leave(s, e);
}

void sched_limit(struct sched *s, struct sched_endpoint *e, uint32_t cap, bool enabled)
{
	e->cap = cap;
	e->enabled = enabled;
	place(s, e);
}

void sched_set_due(struct sched *s, struct sched_endpoint *e, int64_t due_ms)
{
	if (due_ms == e->due_ms)
		return;
	if (e->state != STATE_READY || due_ms > e->due_ms)
		leave(s, e);
	e->due_ms = due_ms;
	place(s, e);
}

/* Moves the endpoints whose time has come to the end of the line. */
static void promote(struct sched *s, int64_t now_ms)
{
	struct sched_endpoint *e = RB_MIN(due_tree, &s->waiting);
	while (e != NULL && e->due_ms <= now_ms) {
		leave(s, e);
		e->state = STATE_READY;
		TAILQ_INSERT_TAIL(&s->ready, e, link);
		e = RB_MIN(due_tree, &s->waiting);
	}
}

struct sched_endpoint *sched_next(struct sched *s, int64_t now_ms)
{
	if (s->in_flight >= s->slots)
		return NULL;
	promote(s, now_ms);
	return TAILQ_FIRST(&s->ready);
}

void sched_start(struct sched *s, struct sched_endpoint *e)
{
	panic_if(e->state != STATE_READY, "an endpoint started out of turn");
	s->in_flight++;
	e->in_flight++;
	TAILQ_REMOVE(&s->ready, e, link);
	TAILQ_INSERT_TAIL(&s->ready, e, link);
	place(s, e);
}

void sched_finish(struct sched *s, struct sched_endpoint *e)
{
	panic_if(e->in_flight == 0 || s->in_flight == 0, "an attempt ended twice");
	s->in_flight--;
	e->in_flight--;
	place(s, e);
}

int64_t sched_wake(const struct sched *s, int64_t now_ms)
{
	if (s->in_flight >= s->slots)
		return SCHED_NEVER; /* an attempt must end first */
	if (!TAILQ_EMPTY(&s->ready))
		return now_ms;
	const struct sched_endpoint *e = s->waiting.rbh_root;
	while (e != NULL && e->node.rbe_left != NULL)
		e = e->node.rbe_left;
	return e == NULL ? SCHED_NEVER : e->due_ms;
}

uint32_t sched_in_flight(const struct sched *s)
{
	return s->in_flight;
}
