/* The sweep: what was revoked of portal tokens is forgotten after a day, in slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fake_time.h"
#include "jobs/sweep.h"
#include "store/portal_key.h"
#include "store/portal_series.h"
#include "support.h"

#define MANY 1200 /* several slices of 500 */
#define TURNS_MAX 20

static void revoke(struct store *s, size_t from, size_t count)
{
	const unsigned char key[PORTAL_KEY_SIZE] = {0};
	struct db_txn *txn = store_begin(s);
	assert_int_equal(portal_key_put(txn, NULL, key), OK);
	for (size_t i = from; i < from + count; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "session %zu", i);
		assert_int_equal(portal_series_begin(txn, slice_of(name), clock_wall_ms()), OK);
	}
	store_commit(txn);
}

/* Turns, as a second has them; how many rows are left. */
static size_t run(struct store *s, struct jobs *jobs, struct turn *turn)
{
	jobs_tick(jobs);
	for (int turns = 0; turn_staged(turn) > 0; turns++) {
		assert_in_range(turns, 0, TURNS_MAX);
		assert_int_equal(turn_commit(turn), OK);
		jobs_step(jobs);
	}
	return store_count(s, DB_META);
}

static void test_revocations_go_after_a_day(void **state)
{
	struct store *s = *state;
	const struct retention keep = {INT64_MAX, UINT64_MAX, INT64_MAX};
	fake_time_begin();
	struct turn *turn = turn_new(s->db);
	struct jobs *jobs = jobs_new(turn);
	(void)sweep_new(jobs, &keep);                /* is the jobs' */
	size_t others = store_count(s, DB_META) + 1; /* and the key */
	revoke(s, 0, MANY);
	assert_int_equal(run(s, jobs, turn), others + MANY);
	fake_time_pass(PORTAL_SERIES_KEEP_MS * 8 / 10); /* the wall's may go a tenth faster */
	revoke(s, MANY, 2);
	assert_int_equal(run(s, jobs, turn), others + MANY + 2);
	fake_time_pass(PORTAL_SERIES_KEEP_MS / 2); /* or slower */
	assert_int_equal(run(s, jobs, turn), others + 2);
	fake_time_pass(60 * 1000);
	assert_int_equal(run(s, jobs, turn), others + 2);
	jobs_free(jobs);
	turn_free(turn);
	fake_time_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(test_revocations_go_after_a_day),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
