/*
 * The sources of the configuration: each `source` is a JSON object, as POST /api/v1/sources
 * takes one of type nats. Beside that, what of its members is a secret or long may be in a
 * file: "creds_file":"/etc/waybill/nats.creds" for "creds".
 *
 *	source = {"type":"nats","servers":["nats://n:4222"],"stream":"WA","creds_file":"…"}
 *
 * They are known by their names, and lie in no store but for how far they are.
 */
#ifndef SERVER_CONFIGURED_H
#define SERVER_CONFIGURED_H

#include "api/api.h"
#include "server/config.h"

#define CONFIGURED_MAX 64 /* of a configuration: each connects at the start */

struct configured {
	struct source *items[CONFIGURED_MAX];
	size_t count;
};

/*
 * Reads all of them, with their files. ERR_IO, ERR_SYNTAX, ERR_INVALID or ERR_TOOBIG, with the
 * problem in words that name the source. configured_free() it either way.
 */
MUST_CHECK enum err configured_load(const struct config *c, struct configured *out,
    struct problem *p);

/*
 * Makes them the configured ones of `all`: those that are there as they are stay, others are
 * removed. `api` is told of each that is new, another or gone; NULL: there is none yet.
 */
void configured_set(struct configured *now, struct sources *all, struct api *api);

void configured_free(struct configured *c);

#endif
