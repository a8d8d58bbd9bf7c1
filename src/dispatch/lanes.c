/* Turns and due times of lanes; see lanes.h. */
#include "dispatch/lanes.h"

#include <stdlib.h>

#include "base/mem.h"

struct lanes {
	uint16_t last; /* the one that was taken last */
	int64_t due_ms[LANES];
};

struct lanes *lanes_new(void)
{
	struct lanes *l = mem_new(sizeof(*l));
	l->last = LANE_MAX;
	lanes_look_all(l);
	return l;
}

void lanes_free(struct lanes *l)
{
	free(l);
}

/* A lane that no key makes, of a place that a disk has damaged, is none. */
static void set(struct lanes *l, uint16_t lane, int64_t due_ms)
{
	if (lane < LANES)
		l->due_ms[lane] = due_ms;
}

void lanes_look(struct lanes *l, uint16_t lane)
{
	set(l, lane, LANES_LOOK);
}

void lanes_look_all(struct lanes *l)
{
	for (uint16_t lane = 0; lane < LANES; lane++)
		l->due_ms[lane] = LANES_LOOK;
}

void lanes_set_due(struct lanes *l, uint16_t lane, int64_t due_ms)
{
	set(l, lane, due_ms);
}

void lanes_set_empty(struct lanes *l, uint16_t from, uint16_t to)
{
	for (uint16_t lane = from; lane < to; lane++)
		set(l, lane, LANES_NEVER);
}

uint16_t lanes_next(const struct lanes *l, const bool busy[LANES], int64_t now_ms)
{
	for (unsigned n = 1; n <= LANES; n++) {
		uint16_t lane = (uint16_t)((l->last + n) % LANES);
		if (l->due_ms[lane] <= now_ms && !busy[lane])
			return lane;
	}
	return LANES;
}

void lanes_take(struct lanes *l, uint16_t lane)
{
	set(l, lane, LANES_LOOK);
	l->last = lane < LANES ? lane : l->last;
}

int64_t lanes_wake(const struct lanes *l, const bool busy[LANES])
{
	int64_t wake_ms = LANES_NEVER;
	for (uint16_t lane = 0; lane < LANES; lane++) {
		if (!busy[lane] && l->due_ms[lane] < wake_ms)
			wake_ms = l->due_ms[lane];
	}
	return wake_ms;
}
