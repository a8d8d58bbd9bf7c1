/*
 * The renewal of webhooks' records: those that are not encrypted under the vault's first key,
 * or keep a secret that has expired, are written anew. It walks all of them, at start and once
 * an hour.
 */
#ifndef JOBS_RENEWAL_H
#define JOBS_RENEWAL_H

#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "store/registry.h"

struct renewal_conf {
	const struct vault *vault; /* all borrowed */
	struct registry *registry;
	struct dispatch *dispatch; /* hears of each webhook that was written anew */
};

/* Adds the renewal to `jobs`, which owns it. */
void renewal_add(struct jobs *jobs, const struct renewal_conf *conf);

#endif
