/* The last hour: differences between samples, and the ring when it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/samples.h"

static void give(void *arg, struct samples_totals *out)
{
	*out = *(const struct samples_totals *)arg;
}

static void test_samples_are_differences(void **state)
{
	(void)state;
	struct reactor *r = reactor_new();
	struct samples_totals t = {.published = 5, .delivered = 3, .waiting = 2};
	struct samples *h = samples_new(r, give, &t);
	assert_int_equal(samples_count(h), 0);
	samples_take(h, 1000);
	t.published = 9;
	t.failed = 1;
	t.dead = 1;
	t.waiting = 7;
	histogram_record(&t.receipt, 400);
	samples_take(h, 11000);
	samples_take(h, 21000);
	assert_int_equal(samples_count(h), 3);
	const struct samples_entry *s = samples_get(h, 0);
	assert_int_equal(s->at_ms, 1000);
	assert_int_equal(s->published, 5);
	assert_int_equal(s->delivered, 3);
	s = samples_get(h, 1);
	assert_int_equal(s->published, 4);
	assert_int_equal(s->delivered, 0);
	assert_int_equal(s->failed, 1);
	assert_int_equal(s->dead, 1);
	assert_int_equal(s->waiting, 7);
	assert_true(s->receipt_p50_us == 375);
	s = samples_get(h, 2);
	assert_int_equal(s->published, 0);
	assert_int_equal(s->waiting, 7);
	assert_true(s->receipt_p99_us == 0);
	samples_free(h);
	reactor_free(r);
}

static void test_only_the_last_hour_stays(void **state)
{
	(void)state;
	struct reactor *r = reactor_new();
	struct samples_totals t = {0};
	struct samples *h = samples_new(r, give, &t);
	for (int i = 0; i < SAMPLES_MAX + 2; i++)
		samples_take(h, i);
	assert_int_equal(samples_count(h), SAMPLES_MAX);
	assert_int_equal(samples_get(h, 0)->at_ms, 2);
	assert_int_equal(samples_get(h, SAMPLES_MAX - 1)->at_ms, SAMPLES_MAX + 1);
	samples_free(h);
	reactor_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_samples_are_differences),
	    cmocka_unit_test(test_only_the_last_hour_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
