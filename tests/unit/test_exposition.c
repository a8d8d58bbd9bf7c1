/* Prometheus' text format: the very bytes of families, samples and histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/exposition.h"

static void test_families_and_samples(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(4096);
	exposition_counter(&out, "a_total", "Some.", UINT64_MAX);
	exposition_gauge(&out, "b", "More.", 0);
	exposition_family(&out, "c", "gauge", "By kind.");
	exposition_whole(&out, "c", "kind=\"x\"", 1);
	exposition_real(&out, "c", "kind=\"y\"", 0.125);
	assert_string_equal(buf_cstr(&out),
	    "# HELP a_total Some.\n# TYPE a_total counter\na_total 18446744073709551615\n"
	    "# HELP b More.\n# TYPE b gauge\nb 0\n"
	    "# HELP c By kind.\n# TYPE c gauge\nc{kind=\"x\"} 1\nc{kind=\"y\"} 0.125\n");
	buf_fini(&out);
}

/* Values that others choose cannot end their label, nor their line. */
static void test_labels(void **state)
{
	(void)state;
	struct buf labels = BUF_INIT(256);
	struct buf out = BUF_INIT(256);
	exposition_label(&labels, "id", SLICE("7"));
	exposition_label(&labels, "name", SLICE("a\"} 1\nb\\n\u00e9"));
	exposition_whole(&out, "c", buf_cstr(&labels), 1);
	assert_string_equal(buf_cstr(&out), "c{id=\"7\",name=\"a\\\"} 1\\nb\\\\n\u00e9\"} 1\n");
	buf_fini(&labels);
	buf_fini(&out);
}

/* Buckets are cumulative, and the last, the count and what was recorded are the same. */
static void test_histogram(void **state)
{
	(void)state;
	struct histogram h = {0};
	struct buf out = BUF_INIT(8192);
	histogram_record(&h, 100);
	histogram_record(&h, 3000000);
	histogram_record(&h, 400000000000LL);
	exposition_histogram(&out, "d_seconds", "Time.", &h);
	const char *text = buf_cstr(&out);
	assert_ptr_equal(strstr(text, "# HELP d_seconds Time.\n# TYPE d_seconds histogram\n"),
	    text);
	assert_non_null(strstr(text, "d_seconds_bucket{le=\"0.0001\"} 1\n"));
	assert_non_null(strstr(text, "d_seconds_bucket{le=\"2.5\"} 1\n"));
	assert_non_null(strstr(text, "d_seconds_bucket{le=\"5\"} 2\n"));
	assert_non_null(strstr(text, "d_seconds_bucket{le=\"100000\"} 2\n"));
	assert_non_null(strstr(text,
	    "d_seconds_bucket{le=\"+Inf\"} 3\nd_seconds_sum 400003.0001\nd_seconds_count 3\n"));
	buf_fini(&out);
}

/* The same with labels, for families of several. */
static void test_histograms_of_a_family(void **state)
{
	(void)state;
	struct histogram h = {0};
	struct buf out = BUF_INIT(8192);
	histogram_record(&h, 3000000);
	exposition_family(&out, "d", "histogram", "Time.");
	exposition_buckets(&out, "d", "part=\"x\"", &h);
	exposition_buckets(&out, "d", "part=\"y\"", &h);
	const char *text = buf_cstr(&out);
	assert_ptr_equal(strstr(text, "# HELP d Time.\n# TYPE d histogram\n"), text);
	assert_non_null(strstr(text, "d_bucket{part=\"x\",le=\"2.5\"} 0\n"));
	assert_non_null(strstr(text, "d_bucket{part=\"x\",le=\"5\"} 1\n"));
	assert_non_null(strstr(text,
	    "d_bucket{part=\"y\",le=\"+Inf\"} 1\nd_sum{part=\"y\"} 3\n"
	    "d_count{part=\"y\"} 1\n"));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_families_and_samples),
	    cmocka_unit_test(test_labels),
	    cmocka_unit_test(test_histogram),
	    cmocka_unit_test(test_histograms_of_a_family),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
