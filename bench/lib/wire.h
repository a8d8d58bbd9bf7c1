/* Just enough HTTP/1.1 for two ends that know each other: heads with a Content-Length. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Finds the end of a head at the start of `bytes`; false while it is not all there. */
bool wire_head(struct slice bytes, struct slice *head);

/* Returns the value of the first header `name` of `head`, empty where there is none. */
struct slice wire_header(struct slice head, const char *name);

/* Returns the head's Content-Length; 0 without one. */
uint64_t wire_length(struct slice head);

/* Returns the status of an answer's head, or 0 when it begins like no answer. */
int wire_status(struct slice head);

#endif
