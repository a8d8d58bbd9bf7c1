/* Turn-cached clocks; see clock.h. */
#include "base/clock.h"

#include <time.h>

#define CATCH_UP 10 /* wall time gains or loses at most one part in so many */

/* Zero stands for "not read in this turn". */
static int64_t wall_ms;
static int64_t mono_ms;
static struct clock_wall wall;

static int64_t read_us(clockid_t id)
{
	struct timespec ts;
	if (clock_gettime(id, &ts) != 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void clock_expire(void)
{
	wall_ms = 0;
	mono_ms = 0;
}

void clock_step(struct clock_wall *w, int64_t passed_us, int64_t system_us)
{
	if (w->wall_us == 0) {
		*w = (struct clock_wall){.wall_us = system_us, .passed_us = passed_us};
		return;
	}
	int64_t passed = passed_us - w->passed_us;
	int64_t most = passed / CATCH_UP;
	int64_t off = system_us - (w->wall_us + passed);
	off = off > most ? most : off;
	off = off < -most ? -most : off;
	w->wall_us += passed + off;
	w->passed_us = passed_us;
}

int64_t clock_wall_ms(void)
{
	if (wall_ms == 0) {
		/* not CLOCK_MONOTONIC: that one stands still while the machine sleeps */
		clock_step(&wall, read_us(CLOCK_BOOTTIME), read_us(CLOCK_REALTIME));
		wall_ms = wall.wall_us / 1000;
	}
	return wall_ms;
}

void clock_resume(int64_t least_ms)
{
	if (clock_wall_ms() >= least_ms)
		return;
	wall.wall_us = least_ms * 1000;
	wall_ms = least_ms;
}

int64_t clock_system_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_ms(void)
{
	if (mono_ms == 0)
		mono_ms = read_us(CLOCK_MONOTONIC) / 1000;
	return mono_ms;
}

int64_t clock_now_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_processor_us(void)
{
	return read_us(CLOCK_THREAD_CPUTIME_ID);
}
