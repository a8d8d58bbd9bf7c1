/*
 * The forgetter: deletes whole sessions, a slice of one, then of the next: their sources and
 * webhooks, dead letters, events with their deliveries and attempts, idempotency keys. Each
 * slice looks what there is left, so that nothing but the walk over the keys has a position;
 * the row (store/tasks.h) has that and what was removed. The records of retired webhooks are
 * the purge's.
 *
 * While a session is being deleted nothing is written to it: it is closed (usage_close()). For
 * a day its row says how it went. Portal links are the call's, which makes them void at once.
 *
 * It leaves: sources of the configuration; idempotency keys of requests with events of several
 * sessions, of which another was the first (they hold ids alone, and expire).
 */
#ifndef JOBS_FORGETTER_H
#define JOBS_FORGETTER_H

#include "dispatch/dispatch.h"
#include "jobs/job.h"
#include "jobs/ownership.h"
#include "store/registry.h"
#include "store/sources.h"
#include "store/tasks.h"

#define FORGETTER_KEEP_MS (24LL * 60 * 60 * 1000) /* how long it is known what was deleted */

/* What those hear who would write meanwhile. */
#define FORGETTER_REFUSAL                                                                      \
	"the session is being deleted: GET /api/v1/sessions/{session} says when that is done"

struct forgetter_conf {
	struct db *db; /* all borrowed */
	struct registry *registry;
	struct usage *usage;
	struct sources *sources;
	const struct vault *vault;
	struct dispatch *dispatch;
	struct asker *asker; /* NULL: no endpoint is asked */
};

struct forgetter;

/* Makes it; `jobs` owns it. */
struct forgetter *forgetter_new(struct jobs *jobs, const struct forgetter_conf *conf);

/* Calls `fn` behind the commit that removed a source. */
void forgetter_tell_sources(struct forgetter *f, void (*fn)(void *arg, const struct uuid *id),
    void *arg);

/* Learns from the store what runs, and what has run lately. The store's error. */
MUST_CHECK enum err forgetter_load(struct forgetter *f);

/* A deletion was started, after the commit that wrote its row. */
void forgetter_add(struct forgetter *f, const struct task *r);

/* How many sessions are being deleted. O(1). */
size_t forgetter_running(const struct forgetter *f);

/* Deliveries that waited and were cancelled so, since the start. */
uint64_t forgetter_cancelled(const struct forgetter *f);

#endif
