/*
 * Writes Prometheus' text format, version 0.0.4: families of samples, each with its help and
 * type once. Pure: it knows the format, not what is measured. Label values that are ours need
 * no escapes; others go through exposition_label().
 */
#ifndef API_EXPOSITION_H
#define API_EXPOSITION_H

#include "base/buf.h"
#include "base/histogram.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends a label to what stands between the braces, its value, in UTF-8, escaped. */
void exposition_label(struct buf *labels, const char *name, struct slice value);

/* Begins a family: `type` is "counter", "gauge" or "histogram". */
void exposition_family(struct buf *out, const char *name, const char *type, const char *help);

/* Appends a sample of it; `labels` is what stands between the braces, "" for none. */
void exposition_whole(struct buf *out, const char *name, const char *labels, uint64_t value);

/* The same of a number with a fraction. */
void exposition_real(struct buf *out, const char *name, const char *labels, double value);

/* A family of one sample without labels. */
void exposition_counter(struct buf *out, const char *name, const char *help, uint64_t value);
void exposition_gauge(struct buf *out, const char *name, const char *help, uint64_t value);

/* Appends a histogram, in seconds, to a family of histograms; `labels` as above. */
void exposition_buckets(struct buf *out, const char *name, const char *labels,
    const struct histogram *h);

/* A family that is one histogram, in seconds: cumulative buckets, sum, count. */
void exposition_histogram(struct buf *out, const char *name, const char *help,
    const struct histogram *h);

#endif
