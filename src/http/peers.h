/*
 * What is known of each client: how many connections it has open, and how many wrong
 * tokens it has sent of late. A client is a network as address_client() makes it.
 *
 * A wrong token takes one out of a budget that refills slowly; once it is empty, answers
 * to wrong tokens are to be held back, a few at a time, and a client that has so many
 * waiting is blocked. So guessing is slow however many connections it uses, and whoever
 * mistypes a token notices nothing.
 *
 * It never: holds or answers anything itself, grows beyond what is open and PEERS_IDLE_MAX
 * clients more. All calls are O(1).
 */
#ifndef HTTP_PEERS_H
#define HTTP_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "domain/forwarded.h"

#define PEERS_TOKEN_BUDGET 10      /* wrong tokens at once that are answered at once */
#define PEERS_TOKEN_REFILL_MS 1000 /* until one more is */
#define PEERS_HELD_MAX 16          /* answers held back; with as many a client is blocked */
#define PEERS_IDLE_MAX 16384       /* clients without a connection that are remembered */

struct peers;

/*
 * `connections_max`: of one client; `proxies`, borrowed, may have any number, as they carry
 * many clients, and so may unix sockets.
 */
struct peers *peers_new(uint32_t connections_max, const struct proxies *proxies);

/* Changes how many connections a client may have; those that are open stay. */
void peers_limit(struct peers *p, uint32_t connections_max);

/* NULL is fine. */
void peers_free(struct peers *p);

/* The other end of a connection. */
struct visitor {
	struct cidr peer;   /* set by the caller; family 0: a unix socket */
	struct cidr client; /* that it is counted for */
	bool is_counted;
};

/*
 * Counts a connection. False: its client has as many as it may, which is logged once a
 * minute, and it was not counted. `p` NULL: nobody is. All times are monotonic
 * milliseconds.
 */
bool peers_enter(struct peers *p, struct visitor *v, int64_t now_ms);

/* Ends what peers_enter() began; nothing after false. */
void peers_leave(struct peers *p, const struct visitor *v, int64_t now_ms);

/*
 * Notes a wrong token. True: the answer to it is to be held back, and counts as held
 * until peers_release(); that this begins is logged once a minute.
 */
bool peers_wrong_token(struct peers *p, const struct cidr *client, int64_t now_ms);
void peers_release(struct peers *p, const struct cidr *client, int64_t now_ms);

/* Whether `client` has PEERS_HELD_MAX answers waiting: not even its tokens are looked at. */
bool peers_is_blocked(const struct peers *p, const struct cidr *client);

/* Clients that are remembered. */
size_t peers_count(const struct peers *p);

#endif
