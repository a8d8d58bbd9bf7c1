/* Turn-cached clocks; see clock.h. */
#include "base/clock.h"

#include <time.h>

/* Zero stands for "not read in this turn". */
static int64_t wall_ms;
static int64_t mono_ms;

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

int64_t clock_wall_ms(void)
{
	if (wall_ms == 0)
		wall_ms = read_us(CLOCK_REALTIME) / 1000;
	return wall_ms;
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
