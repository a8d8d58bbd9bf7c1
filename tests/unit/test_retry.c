/* Schedules, jitter, and what a status means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/rnd.h"
#include "domain/retry.h"

#define DAY_MS (24LL * 3600 * 1000)

static void test_default_is_the_contracts(void **state)
{
	(void)state;
	struct retry_schedule parsed;
	struct problem p;
	assert_int_equal(
	    retry_parse(SLICE("5s,30s,2m,10m,30m,2h,5h,10h,10h"), "retry", &parsed, &p), OK);
	assert_int_equal(parsed.count, RETRY_DEFAULT.count);
	assert_memory_equal(parsed.wait_ms, RETRY_DEFAULT.wait_ms, sizeof(parsed.wait_ms));
}

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		uint32_t count; /* 0: refused */
		int64_t last_ms;
	} ROWS[] = {
	    {SLICE_INIT("1ms"), 1, 1},
	    {SLICE_INIT("7d"), 1, 7 * DAY_MS},
	    {SLICE_INIT(" 5s ,\t1m"), 2, 60000},
	    {SLICE_INIT("1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,"
			"1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,2s"),
		32, 2000},
	    {SLICE_INIT("1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,"
			"1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,2s"),
		0, 0},
	    {{NULL, 0}, 0, 0},
	    {SLICE_INIT(""), 0, 0},
	    {SLICE_INIT(" "), 0, 0},
	    {SLICE_INIT(","), 0, 0},
	    {SLICE_INIT("5s,"), 0, 0},
	    {SLICE_INIT(",5s"), 0, 0},
	    {SLICE_INIT("5s,,5s"), 0, 0},
	    {SLICE_INIT("5s 6s"), 0, 0},
	    {SLICE_INIT("0s"), 0, 0},
	    {SLICE_INIT("604800001ms"), 0, 0},
	    {SLICE_INIT("8d"), 0, 0},
	    {SLICE_INIT("99999999999999999999s"), 0, 0},
	    {SLICE_INIT("5"), 0, 0},
	    {SLICE_INIT("-5s"), 0, 0},
	    {SLICE_INIT("5 s"), 0, 0},
	    {SLICE_INIT("5S"), 0, 0},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct retry_schedule s = {.count = 99};
		struct problem p = {.field = ""};
		enum err err = retry_parse(ROWS[i].text, "retry", &s, &p);
		bool refused = err == ERR_INVALID && s.count == 99 && p.message[0] != '\0' &&
		    strcmp(p.field, "retry") == 0;
		bool read = err == OK && s.count == ROWS[i].count &&
		    s.wait_ms[s.count - 1] == ROWS[i].last_ms;
		if (ROWS[i].count == 0 ? !refused : !read)
			fail_msg("row %zu", i);
	}
}

static void test_add_keeps_the_schedule_on_error(void **state)
{
	(void)state;
	struct retry_schedule s = {0};
	struct problem p;
	for (int i = 0; i < RETRY_STEPS_MAX; i++)
		assert_int_equal(retry_add(&s, SLICE("3s"), "retry[0]", &p), OK);
	assert_int_equal(retry_add(&s, SLICE("3s"), "retry[32]", &p), ERR_INVALID);
	assert_string_equal(p.field, "retry[32]");
	assert_int_equal(s.count, RETRY_STEPS_MAX);
	s.count = 1;
	assert_int_equal(retry_add(&s, SLICE("soon"), "retry[1]", &p), ERR_INVALID);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.wait_ms[0], 3000);
}

static void test_wait_is_exhausted(void **state)
{
	(void)state;
	assert_int_not_equal(retry_wait(&RETRY_DEFAULT, 9, 0), -1);
	assert_int_equal(retry_wait(&RETRY_DEFAULT, 10, 0), -1);
	assert_int_equal(retry_wait(&RETRY_DEFAULT, UINT32_MAX, 0), -1);
	assert_int_equal(retry_wait(&(const struct retry_schedule){0}, 1, 0), -1);
}

/* All of a small range is reached, each about equally often, and nothing else. */
static void test_jitter_is_uniform(void **state)
{
	(void)state;
	const struct retry_schedule s = {.count = 2, .wait_ms = {100, 1}};
	unsigned seen[41] = {0};
	struct rnd rnd;
	rnd_seed(&rnd, 8);
	for (int i = 0; i < 41000; i++) {
		int64_t wait_ms = retry_wait(&s, 1, rnd_next(&rnd));
		assert_in_range(wait_ms, 80, 120);
		seen[wait_ms - 80]++;
	}
	for (size_t i = 0; i < 41; i++)
		assert_in_range(seen[i], 850, 1150); /* 1000 ± 4.8 standard deviations */
	assert_int_equal(retry_wait(&s, 2, 12345), 1);
}

static void test_jitter_bounds(void **state)
{
	(void)state;
	struct rnd rnd;
	rnd_seed(&rnd, 9);
	for (uint32_t attempts = 1; attempts <= RETRY_DEFAULT.count; attempts++) {
		int64_t base_ms = RETRY_DEFAULT.wait_ms[attempts - 1];
		for (int i = 0; i < 100; i++) {
			uint64_t random = rnd_next(&rnd);
			int64_t wait_ms = retry_wait(&RETRY_DEFAULT, attempts, random);
			assert_in_range(wait_ms, base_ms * 8 / 10, base_ms * 12 / 10);
			assert_int_equal(wait_ms, retry_wait(&RETRY_DEFAULT, attempts, random));
		}
	}
}

static void test_outcomes(void **state)
{
	(void)state;
	for (int status = 0; status < 1000; status++) {
		enum outcome expected = OUTCOME_RETRY;
		if (status / 100 == 2)
			expected = OUTCOME_DELIVERED;
		if (status == 410)
			expected = OUTCOME_GONE;
		bool overload = status == 429 || (status >= 502 && status <= 504);
		if (retry_outcome(status) != expected || retry_is_overload(status) != overload)
			fail_msg("status %d", status);
	}
	assert_int_equal(retry_outcome(-1), OUTCOME_RETRY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_default_is_the_contracts),
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_add_keeps_the_schedule_on_error),
	    cmocka_unit_test(test_wait_is_exhausted),
	    cmocka_unit_test(test_jitter_is_uniform),
	    cmocka_unit_test(test_jitter_bounds),
	    cmocka_unit_test(test_outcomes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
