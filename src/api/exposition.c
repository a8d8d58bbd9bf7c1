/* Lines of the text format; see exposition.h. */
#include "api/exposition.h"

void exposition_family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_name(struct buf *out, const char *name, const char *labels)
{
	if (labels[0] == '\0')
		buf_printf(out, "%s ", name);
	else
		buf_printf(out, "%s{%s} ", name, labels);
}

void exposition_whole(struct buf *out, const char *name, const char *labels, uint64_t value)
{
	put_name(out, name, labels);
	buf_printf(out, "%llu\n", (unsigned long long)value);
}

void exposition_real(struct buf *out, const char *name, const char *labels, double value)
{
	put_name(out, name, labels);
	buf_printf(out, "%.15g\n", value);
}

void exposition_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	exposition_family(out, name, "counter", help);
	exposition_whole(out, name, "", value);
}

void exposition_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
	exposition_family(out, name, "gauge", help);
	exposition_whole(out, name, "", value);
}

void exposition_histogram(struct buf *out, const char *name, const char *help,
    const struct histogram *h)
{
	uint64_t so_far = 0;
	exposition_family(out, name, "histogram", help);
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		so_far += h->counts[i];
		buf_printf(out, "%s_bucket{le=\"%.15g\"} %llu\n", name,
		    (double)HISTOGRAM_BOUNDS_US[i] / 1e6, (unsigned long long)so_far);
	}
	so_far += h->counts[HISTOGRAM_BOUNDS];
	buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)so_far);
	buf_printf(out, "%s_sum %.15g\n", name, (double)h->sum_us / 1e6);
	buf_printf(out, "%s_count %llu\n", name, (unsigned long long)so_far);
}
