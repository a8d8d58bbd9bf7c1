/* Lines of the text format; see exposition.h. */
#include "api/exposition.h"

#include <stdio.h>

void exposition_label(struct buf *labels, const char *name, struct slice value)
{
	buf_printf(labels, "%s%s=\"", labels->len > 0 ? "," : "", name);
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];
		if (c == '\\' || c == '"' || c == '\n')
			buf_putc(labels, '\\');
		buf_putc(labels, c == '\n' ? 'n' : c);
	}
	buf_putc(labels, '"');
}

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

/* Puts the bucket of what is at most `bound`. */
static void put_bucket(struct buf *out, const char *name, const char *labels, const char *bound,
    uint64_t count)
{
	buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, labels,
	    labels[0] == '\0' ? "" : ",", bound, (unsigned long long)count);
}

/* Puts the name of a sample that goes with the buckets. */
static void put_beside(struct buf *out, const char *name, const char *suffix,
    const char *labels)
{
	buf_printf(out, "%s%s", name, suffix);
	if (labels[0] != '\0')
		buf_printf(out, "{%s}", labels);
}

void exposition_buckets(struct buf *out, const char *name, const char *labels,
    const struct histogram *h)
{
	uint64_t so_far = 0;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		char bound[32];
		so_far += h->counts[i];
		(void)snprintf(bound, sizeof(bound), "%.15g",
		    (double)HISTOGRAM_BOUNDS_US[i] / 1e6);
		put_bucket(out, name, labels, bound, so_far);
	}
	so_far += h->counts[HISTOGRAM_BOUNDS];
	put_bucket(out, name, labels, "+Inf", so_far);
	put_beside(out, name, "_sum", labels);
	buf_printf(out, " %.15g\n", (double)h->sum_us / 1e6);
	put_beside(out, name, "_count", labels);
	buf_printf(out, " %llu\n", (unsigned long long)so_far);
}

void exposition_histogram(struct buf *out, const char *name, const char *help,
    const struct histogram *h)
{
	exposition_family(out, name, "histogram", help);
	exposition_buckets(out, name, "", h);
}
