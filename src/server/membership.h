/*
 * What the settings of a cluster come to: whom this member connects to and as whom
 * (docs/cluster.md). Secrets lie in files and are wiped when they are freed.
 */
#ifndef SERVER_MEMBERSHIP_H
#define SERVER_MEMBERSHIP_H

#include "nats/nats.h"
#include "server/config.h"

struct membership { /* its own but for what is said to be the configuration's */
	struct nats_server *servers;
	size_t server_count;
	char *user; /* the configuration's; NULL: none, so the next four */
	char *password;
	char *nats_token;
	char *creds; /* the text of the file, of which `jwt` is a part */
	char *jwt;
	struct nats_key key; /* goes with jwt */
	char *ca_pem;
	char *token; /* that the other members' APIs take; NULL: none */
};

/*
 * Whether the settings of a cluster go together: all of them, or none. ERR_INVALID with the
 * problem in words.
 */
MUST_CHECK enum err membership_check(const struct config *c, struct problem *p);

/*
 * Reads what they name. Nothing where there is no cluster. ERR_INVALID, ERR_IO, ERR_TOOBIG with
 * the problem in words; membership_fini() it either way.
 */
MUST_CHECK enum err membership_load(struct membership *m, const struct config *c,
    struct problem *p);
void membership_fini(struct membership *m);

/* How to connect; the caller adds reactor, lookup and the limits. Borrowed from both. */
struct nats_conf membership_nats(const struct membership *m, const struct config *c);

#endif
