/*
 * A simulation of receivers around the scheduler, in virtual time, without disk or network.
 *
 * To make a scenario: describe its receivers with sim_add(), let time pass with sim_run(),
 * and look at what they have counted. What happens depends on the seed alone.
 */
#ifndef TESTS_UNIT_SIM_H
#define TESTS_UNIT_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rnd.h"
#include "sched/sched.h"

#define SIM_PENDING_MAX 256 /* deliveries that wait for one receiver */
#define SIM_SESSIONS 64     /* that several receivers may share */

/* A receiver: how it behaves, what waits for it, what it has counted. */
struct receiver {
	struct sched_endpoint sched; /* first */
	struct sched_session own;    /* its session, and that at its host, if it shares none */
	struct sched_tenant tenant;
	int64_t interval_ms; /* between deliveries; 0: there is always one due */
	int64_t latency_ms;  /* of an attempt, give or take a half */
	unsigned fails_percent;
	size_t session;                   /* its number from 1 on; 0: one of its own */
	int64_t pending[SIM_PENDING_MAX]; /* due times, a ring */
	size_t first, count;
	uint64_t starts;
	int64_t worst_wait_ms; /* from due to start */
	uint64_t ready_at;     /* starts of all when it was first seen ready; for a scenario */
	bool ready;
};

struct moment;

struct sim {
	struct sched_conf conf;
	struct sched *sched;
	struct sched_host *hosts;
	struct sched_session sessions[SIM_SESSIONS]; /* that receivers share */
	struct sched_tenant *tenants;                /* of each of these, at each host */
	struct receiver *receivers;
	size_t host_count, count;
	struct moment *heap; /* the earliest first */
	size_t moments, room;
	uint64_t made;   /* moments so far */
	uint64_t starts; /* of all receivers */
	int64_t now_ms;
	struct rnd rnd;
	void (
	    *on_start)(struct sim *m, struct receiver *r); /* before each start; may be NULL */
	struct receiver *
	    *log; /* for a scenario to keep who started; freed with the simulation */
};

/*
 * Makes a simulation with room for so many receivers and hosts, and for SIM_SESSIONS that
 * several receivers share; prints its seed.
 */
struct sim *sim_new(const struct sched_conf *conf, size_t receivers, size_t hosts,
    uint64_t seed);
void sim_free(struct sim *m);

/* A number from 0 to n - 1. */
uint64_t sim_pick(struct sim *m, uint64_t n);

/* Adds a receiver that is as `kind` says, whose counters are zero, at host `host`. */
void sim_add(struct sim *m, const struct receiver *kind, size_t host,
    const struct sched_limits *limits);

/* The session that a receiver shares, at host `host`. */
struct sched_tenant *sim_tenant(struct sim *m, const struct receiver *r, size_t host);

/* Lets `ms` milliseconds pass. The limits are checked at every start. */
void sim_run(struct sim *m, int64_t ms);

/* When `e` may start something as far as time has a say: its delivery, its rate, its probe. */
int64_t sim_ready_ms(const struct sched_endpoint *e);

/* Whether `e` may start something once it is ready: a naive reading of sched.h. */
bool sim_may_start(const struct sim *m, const struct sched_endpoint *e);

#endif
