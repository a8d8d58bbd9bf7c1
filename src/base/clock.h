/*
 * The time of the turn: read once when first asked for in a pass of the loop,
 * then the same for all who ask. Wall time is what is stored on disk and shown;
 * monotonic time is for timers. Never subtract one from the other.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Forgets the readings: the loop calls it before it waits and after a commit. */
void clock_expire(void);

/* Wall clock of this turn, milliseconds since 1970. */
int64_t clock_wall_ms(void);

/* Monotonic clock of this turn, milliseconds since an arbitrary start. */
int64_t clock_mono_ms(void);

/* Monotonic clock now, microseconds, not the turn's: for measuring durations. */
int64_t clock_now_us(void);

#endif
