/* Moments as clients write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "domain/instant.h"
#include "support.h"

static void test_good(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} ROWS[] = {
	    {"0", 0},
	    {"1767143203", 1767143203000},
	    {"253402300799", 253402300799000},
	    {"1970-01-01T00:00:00Z", 0},
	    {"2025-12-31T01:06:43Z", 1767143203000},
	    {"2025-12-31t01:06:43.5z", 1767143203500},
	    {"2025-12-31 01:06:43.0789999Z", 1767143203078},
	    {"2025-12-31T02:36:43+01:30", 1767143203000},
	    {"2025-12-30T20:06:43-05:00", 1767143203000},
	    {"2024-02-29T00:00:00Z", 1709164800000},
	    {"2000-02-29T00:00:00Z", 951782400000},
	    {"9999-12-31T23:59:59.999Z", 253402300799999},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		int64_t ms = -1;
		if (instant_parse(slice_of(ROWS[i].text), &ms) != OK || ms != ROWS[i].ms)
			fail_msg("%s: %lld", ROWS[i].text, (long long)ms);
	}
}

static void test_bad(void **state)
{
	static const char *const TEXTS[] = {"", "-1", "+1", "1.5", " 1", "253402300800",
	    "99999999999999999999", "2025-12-31", "2025-12-31T01:06:43", "2025-12-31T01:06Z",
	    "2025-13-01T00:00:00Z", "2025-00-01T00:00:00Z", "2025-02-29T00:00:00Z",
	    "2100-02-29T00:00:00Z", "2025-04-31T00:00:00Z", "2025-01-00T00:00:00Z",
	    "2025-01-01T24:00:00Z", "2025-01-01T00:60:00Z", "2025-01-01T00:00:61Z",
	    "2025-01-01T00:00:00.Z", "2025-01-01T00:00:00Zx", "2025-01-01T00:00:00+0100",
	    "2025-01-01T00:00:00+24:00", "2025-1-01T00:00:00Z", "1969-12-31T23:59:59Z",
	    "1970-01-01T00:00:00+00:01", "10000-01-01T00:00:00Z", "2025-01-01T00:00:00."};
	(void)state;
	for (size_t i = 0; i < COUNT(TEXTS); i++) {
		int64_t ms = -7;
		if (instant_parse(slice_of(TEXTS[i]), &ms) != ERR_SYNTAX || ms != -7)
			fail_msg("%s: %lld", TEXTS[i], (long long)ms);
	}
}

/* Every day to the year 9999 is what the formatter makes of it. */
static void test_every_day(void **state)
{
	(void)state;
	for (int64_t ms = 1; ms < 253402300800000; ms += 86400000) {
		char text[STR_TIME_SIZE];
		int64_t got = 0;
		str_time(ms, text);
		if (instant_parse(slice_of(text), &got) != OK || got != ms)
			fail_msg("%s: %lld", text, (long long)got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_every_day),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
