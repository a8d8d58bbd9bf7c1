/*
 * Clients in a hash map; those without a connection or a held answer in a list too, the
 * one that has been so for longest first. Each call drops at most DROPS_MAX of these: what
 * nothing is remembered of, and what is too many.
 */
#include "http/peers.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define LOG_EVERY_MS 60000 /* a line of each kind for one client */
#define DROPS_MAX 2        /* more than a call can add */

struct peer {
	TAILQ_ENTRY(peer) link; /* in `idle` while is_idle */
	struct cidr client;
	uint32_t connections;
	uint32_t held;
	bool is_idle;
	int64_t spent_until_ms;    /* when its budget will be full again */
	int64_t quiet_crowd_ms;    /* until then no line about its connections */
	int64_t quiet_guessing_ms; /* or its tokens */
};

struct peers {
	struct map *by_client;
	TAILQ_HEAD(, peer) idle;
	size_t idle_count;
	uint32_t connections_max;
	const struct proxies *proxies;
};

struct peers *peers_new(uint32_t connections_max, const struct proxies *proxies)
{
	struct peers *p = mem_new(sizeof(*p));
	p->by_client = map_new();
	p->connections_max = connections_max;
	p->proxies = proxies;
	TAILQ_INIT(&p->idle);
	return p;
}

void peers_limit(struct peers *p, uint32_t connections_max)
{
	p->connections_max = connections_max;
}

void peers_free(struct peers *p)
{
	if (p == NULL)
		return;
	map_free_all(p->by_client);
	free(p);
}

static struct peer *find(const struct peers *p, const struct cidr *client)
{
	return map_get(p->by_client, client, sizeof(*client));
}

static void unlink_idle(struct peers *p, struct peer *peer)
{
	TAILQ_REMOVE(&p->idle, peer, link);
	peer->is_idle = false;
	p->idle_count--;
}

/* Finds or makes the client, and takes it out of the idle ones until put_back(). */
static struct peer *take(struct peers *p, const struct cidr *client)
{
	struct peer *peer = find(p, client);
	if (peer == NULL) {
		peer = mem_new(sizeof(*peer));
		peer->client = *client;
		map_put(p->by_client, client, sizeof(*client), peer);
	} else if (peer->is_idle) {
		unlink_idle(p, peer);
	}
	return peer;
}

static bool is_forgotten(const struct peer *peer, int64_t now_ms)
{
	return now_ms >= peer->spent_until_ms && now_ms >= peer->quiet_crowd_ms &&
	    now_ms >= peer->quiet_guessing_ms;
}

/* Ends what take() began. */
static void put_back(struct peers *p, struct peer *peer, int64_t now_ms)
{
	if (peer->connections == 0 && peer->held == 0) {
		TAILQ_INSERT_TAIL(&p->idle, peer, link);
		peer->is_idle = true;
		p->idle_count++;
	}
	for (int i = 0; i < DROPS_MAX; i++) {
		struct peer *oldest = TAILQ_FIRST(&p->idle);
		if (oldest == NULL ||
		    (p->idle_count <= PEERS_IDLE_MAX && !is_forgotten(oldest, now_ms)))
			break;
		unlink_idle(p, oldest);
		(void)map_del(p->by_client, &oldest->client, sizeof(oldest->client));
		free(oldest);
	}
}

/* Whether a line may be logged now; if so, the next one in LOG_EVERY_MS. */
static bool may_log(int64_t *quiet_until_ms, int64_t now_ms)
{
	if (now_ms < *quiet_until_ms)
		return false;
	*quiet_until_ms = now_ms + LOG_EVERY_MS;
	return true;
}

bool peers_enter(struct peers *p, struct visitor *v, int64_t now_ms)
{
	char text[CIDR_TEXT_SIZE];
	v->is_counted = false;
	if (p == NULL || v->peer.family == 0 || proxies_trust(p->proxies, &v->peer))
		return true;
	v->client = address_client(&v->peer);
	struct peer *peer = take(p, &v->client);
	v->is_counted = peer->connections < p->connections_max;
	if (v->is_counted)
		peer->connections++;
	if (!v->is_counted && may_log(&peer->quiet_crowd_ms, now_ms)) {
		cidr_format(&v->client, text);
		log_warn("a client has too many connections", LOG_S("client", text));
	}
	put_back(p, peer, now_ms);
	return v->is_counted;
}

void peers_leave(struct peers *p, const struct visitor *v, int64_t now_ms)
{
	if (!v->is_counted)
		return;
	struct peer *peer = take(p, &v->client);
	panic_if(peer->connections == 0, "a connection that was not counted has ended");
	peer->connections--;
	put_back(p, peer, now_ms);
}

bool peers_wrong_token(struct peers *p, const struct cidr *client, int64_t now_ms)
{
	struct peer *peer = take(p, client);
	char text[CIDR_TEXT_SIZE];
	int64_t from_ms = peer->spent_until_ms > now_ms ? peer->spent_until_ms : now_ms;
	int64_t until_ms = from_ms + PEERS_TOKEN_REFILL_MS;
	bool hold = until_ms - now_ms > PEERS_TOKEN_BUDGET * PEERS_TOKEN_REFILL_MS;
	if (hold)
		peer->held++;
	else
		peer->spent_until_ms = until_ms;
	if (hold && may_log(&peer->quiet_guessing_ms, now_ms)) {
		cidr_format(client, text);
		log_warn("a client sends wrong tokens and is slowed down",
		    LOG_S("client", text));
	}
	put_back(p, peer, now_ms);
	return hold;
}

void peers_release(struct peers *p, const struct cidr *client, int64_t now_ms)
{
	struct peer *peer = take(p, client);
	panic_if(peer->held == 0, "an answer that was not held is released");
	peer->held--;
	put_back(p, peer, now_ms);
}

bool peers_is_blocked(const struct peers *p, const struct cidr *client)
{
	const struct peer *peer = find(p, client);
	return peer != NULL && peer->held >= PEERS_HELD_MAX;
}

size_t peers_count(const struct peers *p)
{
	return map_count(p->by_client);
}
