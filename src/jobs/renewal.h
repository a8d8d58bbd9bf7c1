/*
 * The renewal of webhooks' records: those that are not encrypted under the vault's first key,
 * or keep a secret that has expired, are written anew, a slice a turn. It walks all of them
 * when it is begun, at start and now and then.
 */
#ifndef JOBS_RENEWAL_H
#define JOBS_RENEWAL_H

#include "store/registry.h"
#include "store/turn.h"

struct renewal;

struct renewal_conf {
	struct turn *turn; /* all borrowed */
	const struct vault *vault;
	struct registry *registry;
	/* told after the commit of each webhook that was written anew */
	void (*changed)(void *arg, uint64_t webhook);
	void *arg;
};

struct renewal *renewal_new(const struct renewal_conf *conf);

/* Frees it, after the turn where it is staged. NULL is fine. */
void renewal_free(struct renewal *r);

/* Begins a walk, unless one is under way. */
void renewal_begin(struct renewal *r);

/* Stages the next slice of a walk. The loop calls it once a turn. */
void renewal_step(struct renewal *r);

#endif
