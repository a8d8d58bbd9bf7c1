/*
 * The sessions and receiving hosts of webhooks with work, for the scheduler: one tenant for
 * each session at each host. A host is the address and port that attempts went to last, where
 * that is known, else the name and port of the URL; so all names of one machine are one host.
 * Made when the first of its endpoints comes, gone with the last.
 */
#ifndef DISPATCH_TENANTS_H
#define DISPATCH_TENANTS_H

#include "base/slice.h"
#include "sched/sched.h"

struct tenants;

/* `sched` is borrowed, and outlives it. */
struct tenants *tenants_new(struct sched *sched);

/* Frees it; no tenant may be taken. NULL is fine. */
void tenants_free(struct tenants *t);

/*
 * Takes the tenant of `session` at the host of a webhook's URL: name in lower case, without a
 * dot at its end, and port, given or not. Give it back.
 */
struct sched_tenant *tenants_take(struct tenants *t, struct slice session, const char *url);

/* Takes the tenant of the same session at the host of an address, "127.0.0.1:9000". */
struct sched_tenant *tenants_take_at(struct tenants *t, const struct sched_tenant *of,
    const char *address);

void tenants_give_back(struct tenants *t, struct sched_tenant *tenant);

/* Whether the tenant's host is that of `address`. */
bool tenants_is_at(const struct sched_tenant *tenant, const char *address);

/* Borrows the name of the session that the scheduler knows so. */
const char *tenants_session(const struct sched_session *session);

#endif
