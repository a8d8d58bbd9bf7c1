/*
 * What watches over the process, where that is systemd or speaks as it does: the one user of
 * libsystemd. Takes the sockets that were opened for us, says when we are ready, reload and
 * stop, and that the loop still turns (sd_listen_fds(3), sd_notify(3)).
 *
 * It never: says anything where the environment does not ask for it, listens, or closes.
 */
#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

#include "domain/problem.h"
#include "server/config.h"

struct supervisor {
	struct config_list sockets; /* that were passed to us: addresses as `listen` has them */
	int first;                  /* descriptor of the first; the others follow it */
	int64_t ping_ms;            /* between signs of life; 0: nobody waits for them */
	int64_t next_ping_ms;       /* monotonic */
};

/*
 * Reads what the environment says: LISTEN_FDS, whose variables are gone then, and
 * WATCHDOG_USEC, each only where it is for this process. A socket whose name
 * (FileDescriptorName=) begins with "tls" is for HTTPS. supervisor_fini() it, also after an
 * error: ERR_INVALID for a descriptor that is no listening stream socket of IP or unix.
 */
MUST_CHECK enum err supervisor_init(struct supervisor *v, struct problem *p);

/* Frees the addresses; the descriptors are whose they were given to. */
void supervisor_fini(struct supervisor *v);

/* Says that all is ready: after the start, and after each supervisor_reloading(). */
void supervisor_ready(void);

/* Says that the configuration is being read again. */
void supervisor_reloading(void);

/* Says that the stop has begun. */
void supervisor_stopping(void);

/*
 * Says that we live, where somebody waits for it and it is time: four times within the limit.
 * To be called at the end of every turn, so that a loop that hangs says nothing.
 */
void supervisor_alive(struct supervisor *v);

#endif
