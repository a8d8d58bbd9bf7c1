/*
 * Time that a test lets pass: between fake_time_begin() and fake_time_end() all clocks but
 * those of the processor stand still, a microsecond a look, and go on by fake_time_pass() or
 * where a loop would wait, which then does not. So hours are tried in a moment, and the same
 * seed gives the same run. Flushes of the disk do nothing meanwhile: power is not lost here.
 */
#ifndef TESTS_UNIT_FAKE_TIME_H
#define TESTS_UNIT_FAKE_TIME_H

#include <stdbool.h>
#include <stdint.h>

void fake_time_begin(void);
void fake_time_end(void);

/* Lets `ms` pass, and has base/clock.h read anew. */
void fake_time_pass(int64_t ms);

/* Whether flushes fail meanwhile. */
void fake_flush_fails(bool fails);

#endif
