/* Durations in buckets: the bounds, the sums, differences and estimates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/histogram.h"

static void test_bounds_rise(void **state)
{
	(void)state;
	assert_int_equal(HISTOGRAM_BOUNDS_US[0], 100);
	assert_int_equal(HISTOGRAM_BOUNDS_US[HISTOGRAM_BOUNDS - 1], 100000000000LL);
	for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
		assert_true(HISTOGRAM_BOUNDS_US[i] > HISTOGRAM_BOUNDS_US[i - 1]);
}

/* A bound belongs to its bucket, as "le" says; one more does not. */
static void test_each_bound_is_in_its_bucket(void **state)
{
	(void)state;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		struct histogram h = {0};
		histogram_record(&h, HISTOGRAM_BOUNDS_US[i]);
		assert_int_equal(h.counts[i], 1);
		histogram_record(&h, HISTOGRAM_BOUNDS_US[i] + 1);
		assert_int_equal(h.counts[i + 1], 1);
		assert_int_equal(histogram_count(&h), 2);
		assert_int_equal(h.sum_us, 2 * HISTOGRAM_BOUNDS_US[i] + 1);
	}
}

static void test_extremes(void **state)
{
	(void)state;
	struct histogram h = {0};
	histogram_record(&h, -5);
	histogram_record(&h, 0);
	histogram_record(&h, INT64_MAX);
	assert_int_equal(h.counts[0], 2);
	assert_int_equal(h.counts[HISTOGRAM_BOUNDS], 1);
	assert_int_equal(h.sum_us, INT64_MAX);
}

static void test_since(void **state)
{
	(void)state;
	struct histogram before = {0};
	histogram_record(&before, 50);
	struct histogram now = before;
	histogram_record(&now, 50);
	histogram_record(&now, 2000);
	struct histogram d;
	histogram_since(&now, &before, &d);
	assert_int_equal(histogram_count(&d), 2);
	assert_int_equal(d.counts[0], 1);
	assert_int_equal(d.sum_us, 2050);
}

static void test_quantiles(void **state)
{
	(void)state;
	struct histogram h = {0};
	assert_true(histogram_quantile(&h, 0.5) == 0);
	for (int i = 0; i < 100; i++)
		histogram_record(&h, 300); /* in 250 … 500 */
	assert_true(histogram_quantile(&h, 0.5) == 375);
	assert_true(histogram_quantile(&h, 1) == 500);
	for (int i = 0; i < 100; i++)
		histogram_record(&h, 30000); /* in 25000 … 50000 */
	assert_true(histogram_quantile(&h, 0.5) == 500);
	assert_true(histogram_quantile(&h, 0.75) == 37500);
	for (int i = 0; i < 1000; i++)
		histogram_record(&h, INT64_MAX / 2000);
	assert_true(histogram_quantile(&h, 0.99) == 100000000000.0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bounds_rise),
	    cmocka_unit_test(test_each_bound_is_in_its_bucket),
	    cmocka_unit_test(test_extremes),
	    cmocka_unit_test(test_since),
	    cmocka_unit_test(test_quantiles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
