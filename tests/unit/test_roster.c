/* What members tell: who of them is the active. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/roster.h"
#include "support.h"

/* Whoever said so last, wherever it stands: one that has died goes on saying it. */
static void test_active(void **state)
{
	const struct journal_member m[] = {
	    {.name = "dead", .told_ms = 1000, .is_active = true},
	    {.name = "standby", .told_ms = 9000},
	    {.name = "owner", .told_ms = 8000, .is_active = true},
	    {.name = "older", .told_ms = 7000, .is_active = true},
	};
	(void)state;
	assert_ptr_equal(roster_active(m, COUNT(m)), &m[2]);
	assert_ptr_equal(roster_active(m, 2), &m[0]);
	assert_null(roster_active(m + 1, 1));
	assert_null(roster_active(NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_active),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
