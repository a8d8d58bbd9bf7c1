/*
 * Who has shares of the scheduler's slots: sessions; and of a host's: sessions at that host.
 * What they hold and who of theirs waits; the scheduler alone changes it (sched.h has the
 * rules).
 */
#ifndef SCHED_TENANCY_H
#define SCHED_TENANCY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct sched_endpoint;
TAILQ_HEAD(sched_list, sched_endpoint);

/* Endpoints of a session that are in line: those of one kind. */
struct sched_line {
	TAILQ_ENTRY(sched_line) link; /* in the turns of its kind, or parked */
	struct sched_list endpoints;
	struct sched_session *session;
	uint8_t kind;  /* enum sched_kind */
	uint8_t burst; /* starts in the turn that goes on */
	bool parked;
};

/* Endpoints in line: their last attempt failed; or they have a queue, or none. */
enum sched_kind { SCHED_PROMPT, SCHED_BEHIND, SCHED_TROUBLED };
#define SCHED_KINDS 3

/* A session: who has a share. Its owner embeds or keeps it. */
struct sched_session {
	struct sched_line lines[SCHED_KINDS];
	uint32_t in_flight;
	uint32_t troubled_in_flight; /* of endpoints with failures */
};

TAILQ_HEAD(sched_tenants, sched_tenant);

/* One receiving host, shared by all who send to it; its owner embeds or keeps it. */
struct sched_host {
	TAILQ_ENTRY(sched_host) link; /* while it is crowded */
	struct sched_tenants
	    newcomers;               /* have endpoints that wait, and nothing in flight here */
	struct sched_tenants others; /* have endpoints that wait */
	uint32_t in_flight;
	uint32_t takers; /* tenants with something in flight */
	bool crowded;    /* somebody waits for its slots, or did a moment ago */
};

/* The endpoints of one session at one host. */
struct sched_tenant {
	TAILQ_ENTRY(sched_tenant) link; /* in one of its host's lists, if it waits */
	struct sched_host *host;
	struct sched_session *session;
	struct sched_list blocked[SCHED_KINDS]; /* endpoints that wait for a slot of the host */
	uint32_t in_flight;
};

/* Make a session, and a host, without attempts in flight. */
void sched_session_init(struct sched_session *session);
void sched_host_init(struct sched_host *h);

/* Makes `t` that of `session` at `host`, both borrowed as long as it is used. */
void sched_tenant_init(struct sched_tenant *t, struct sched_host *host,
    struct sched_session *session);

#endif
