/* Makes sessions, hosts and tenants; see tenancy.h. */
#include "sched/tenancy.h"

#include <stddef.h>

void sched_session_init(struct sched_session *session)
{
	*session = (struct sched_session){0};
	for (int kind = 0; kind < SCHED_KINDS; kind++) {
		session->lines[kind].session = session;
		session->lines[kind].kind = (uint8_t)kind;
		TAILQ_INIT(&session->lines[kind].endpoints);
	}
}

void sched_host_init(struct sched_host *h)
{
	*h = (struct sched_host){0};
	TAILQ_INIT(&h->newcomers);
	TAILQ_INIT(&h->others);
}

void sched_tenant_init(struct sched_tenant *t, struct sched_host *host,
    struct sched_session *session)
{
	*t = (struct sched_tenant){.host = host, .session = session};
	for (int kind = 0; kind < SCHED_KINDS; kind++)
		TAILQ_INIT(&t->blocked[kind]);
}
