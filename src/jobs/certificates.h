/*
 * The certificates by which webhooks show their receivers who they are: who looks when they
 * expire. Each webhook whose certificate has 30 days left or less is told of once a day, and at
 * the start: a line of the log, and an event `webhook.certificate_expiring` in its session.
 */
#ifndef JOBS_CERTIFICATES_H
#define JOBS_CERTIFICATES_H

#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "store/registry.h"

struct certificates_conf {
	const struct registry *registry; /* all borrowed */
	struct dispatch *dispatch;       /* hears of the events */
	struct idgen *ids;               /* of the events */
};

struct certificates;

/* Makes it; `jobs` owns it. It walks the webhooks in memory once an hour. */
struct certificates *certificates_new(struct jobs *jobs, const struct certificates_conf *conf);

/* How many webhooks' certificates there were when it last looked. Each is in one of these. */
struct certificates_figures {
	uint64_t valid;
	uint64_t expiring; /* have 30 days left or less */
	uint64_t expired;
};

const struct certificates_figures *certificates_figures(const struct certificates *c);

#endif
