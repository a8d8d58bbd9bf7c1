/*
 * Whether the engine below a cluster may be trusted with what is acknowledged, looked at by
 * each start: its streams are as they have to be (jetstream/js_streams.h), and its servers sync
 * each message before they acknowledge it, where their monitoring is known (`cluster_monitor`).
 *
 * It waits for answers by the loop: nobody else may need that meanwhile but probes.
 */
#ifndef SERVER_ENGINE_H
#define SERVER_ENGINE_H

#include "courier/client.h"
#include "jetstream/js_journal.h"
#include "server/config.h"
#include "server/membership.h"

struct engine;

struct engine_conf {
	struct reactor *reactor; /* all borrowed */
	const struct config *config;
	const struct membership *membership;
	bool may_make; /* streams that are not there: `waybill cluster init` */
};

/*
 * Begins to look. `fn` is told once, from the loop: OK; ERR_REFUSED and ERR_NOTFOUND for an
 * engine that will not do, ERR_BUSY where it could not be asked, with the problem in words.
 */
struct engine *engine_look(const struct engine_conf *conf,
    void (*fn)(void *arg, enum err result, const struct problem *p), void *arg);

/* To be called behind each pass of the loop; may call `fn`. */
void engine_reap(struct engine *e);

/* At any moment but from within `fn`. NULL is fine. */
void engine_free(struct engine *e);

/* How the journal is reached, and as whom; borrowed from all of them. */
struct js_journal_conf engine_journal_conf(struct reactor *reactor, struct lookup *lookup,
    const struct config *config, const struct membership *membership);

/* Reads what /varz says. OK; ERR_REFUSED: it does not sync each message; ERR_SYNTAX. */
MUST_CHECK enum err engine_read_monitor(struct slice json);

#endif
