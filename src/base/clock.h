/*
 * The time of the turn: read once when first asked for in a pass of the loop,
 * then the same for all who ask. Wall time is what is stored on disk and shown;
 * monotonic time is for timers. Never subtract one from the other.
 *
 * Wall time follows the system's clock, but never steps with it: when that one is set, ours
 * runs at most a tenth faster or slower until the two agree again. So a clock that jumps ahead
 * expires nothing and fires no backlog of retries, and one that jumps back leaves nothing
 * waiting for a time that has already been.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Forgets the readings: the loop calls it before it waits and after a commit. */
void clock_expire(void);

/* Wall clock of this turn, milliseconds since 1970. It never goes back. */
int64_t clock_wall_ms(void);

/*
 * The system's clock now, milliseconds since 1970: for what is checked against the clocks of
 * others, such as the time in a signature. It steps.
 */
int64_t clock_system_ms(void);

/* Monotonic clock of this turn, milliseconds since an arbitrary start. */
int64_t clock_mono_ms(void);

/* Monotonic clock now, microseconds, not the turn's: for measuring durations. */
int64_t clock_now_us(void);

/* What this thread has had of the processor, microseconds: for durations without the waits. */
int64_t clock_processor_us(void);

/* Lets wall time go on at `least_ms` where it stands before that: what the store has seen. */
void clock_resume(int64_t least_ms);

/* What wall time is made of; public for its tests. Zeroed before the first step. */
struct clock_wall {
	int64_t wall_us;
	int64_t passed_us; /* the reading of the clock that never steps, at the last step */
};

/* Moves `w` on to the readings of the steady clock and of the system's clock. */
void clock_step(struct clock_wall *w, int64_t passed_us, int64_t system_us);

#endif
