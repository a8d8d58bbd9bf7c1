/*
 * Writes what is counted of webhooks' attempts (store/trends.h) into the table: of each webhook
 * some seconds after it was counted, and of so many a second that this costs next to nothing,
 * however many webhooks there are.
 */
#ifndef JOBS_TREND_WRITER_H
#define JOBS_TREND_WRITER_H

#include "jobs/job.h"
#include "store/trends.h"

/* Adds it to `jobs`, which own it. The others are borrowed. */
void trend_writer_add(struct jobs *jobs, struct trends *trends,
    const struct registry *registry);

#endif
