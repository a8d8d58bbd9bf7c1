/*
 * Who may have a connection; see http.h. Clients have shares of max_connections; proxies that
 * are trusted and unix sockets, which carry many clients, have as many as there are. Where all
 * are taken, a client within its guarantee, or without a share, gets the slot of another
 * connection: of the one that has been for longest at what matters least (enum standing).
 * Where that is nothing but requests that are being answered, this machine's own clients have
 * HTTP_SLOTS_KEPT more.
 */
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/http_inner.h"

#define FEW 4 /* connections of a client */

void http_stand(struct connection *c, enum standing standing)
{
	struct connections *lists = c->server->standing;
	if (c->has_slot)
		TAILQ_REMOVE(&lists[c->standing], c, link);
	c->standing = standing;
	if (c->has_slot)
		TAILQ_INSERT_TAIL(&lists[standing], c, link);
}

static void displace(struct connection *c)
{
	struct http_server *s = c->server;
	s->figures.displaced++;
	if (c->standing >= STANDING_HEAD && c->state < GATE_DONE && !gate_is_idle(&c->gate)) {
		http_note_refusal(s, HTTP_CONNECTIONS, c->client);
		http_send_error(c, 503, "This took long, and others need the connection.");
		s->figures.answers[5]++;
	}
	http_end(c);
}

/* Closes the connection that can best be done without. False: all are at work. */
static bool make_slot(struct http_server *s)
{
	for (int i = 0; i < STANDING_BUSY; i++) {
		struct connection *c = NULL;
		TAILQ_FOREACH(c, &s->standing[i], link) {
			if (c->is_kept) /* there are few */
				continue;
			displace(c);
			return true;
		}
	}
	return false;
}

static void take_slot(struct connection *c, struct shares *from)
{
	shares_force(from, slice_of(c->client), 1);
	c->has_slot = true;
	TAILQ_INSERT_TAIL(&c->server->standing[c->standing], c, link);
}

static bool refuse_slot(struct connection *c, int status, const char *message)
{
	http_note_refusal(c->server, HTTP_CONNECTIONS, c->client);
	c->server->figures.answers[status / 100]++;
	http_send_error(c, status, message);
	return false;
}

static bool find_kept_slot(struct connection *c)
{
	struct shares *kept = c->server->kept;
	if (shares_room(kept, slice_of(c->client)) == 0)
		return false;
	take_slot(c, kept);
	c->is_kept = true;
	return true;
}

/*
 * How many connections a client may have at others' cost: as many as it is guaranteed. Where
 * these are very few, twice as many, an equal part; a connection at work is never displaced.
 */
static uint64_t claim_of(const struct share *share, uint64_t held)
{
	uint64_t guarantee = share_guarantee(share, held);
	if (guarantee >= FEW)
		return guarantee;
	return 2 * guarantee < FEW ? 2 * guarantee : FEW;
}

static bool find_slot(struct connection *c, bool is_local)
{
	struct http_server *s = c->server;
	struct shares *all = s->resources[HTTP_CONNECTIONS].shares;
	const struct share *share = &shares_figures(all)->share;
	struct slice client = slice_of(c->client);
	bool is_bound = c->visitor.is_counted;
	uint64_t held = shares_held(all, client);
	bool is_free = is_bound ? shares_room(all, client) > 0 : share->held < share->capacity;
	bool has_claim = !is_bound || held < claim_of(share, held);
	if (is_free || (has_claim && make_slot(s))) {
		take_slot(c, all);
		return true;
	}
	if (is_local && find_kept_slot(c))
		return true;
	return has_claim ? refuse_slot(c, 503, "All connections are in use.")
			 : refuse_slot(c, 429, "This client has its share of all connections.");
}

bool http_admit(struct connection *c)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	const struct sockaddr *peer = (const struct sockaddr *)&sa;
	if (getpeername(bufferevent_getfd(c->bev), (struct sockaddr *)&sa, &len) != 0)
		return false; /* gone again */
	address_of_peer(peer, &c->visitor.peer);
	struct cidr client = address_client(&c->visitor.peer);
	cidr_format(&client, c->client);
	http_charge_to(c, slice_of(c->client));
	bool is_local = address_is_loopback(peer);
	if (peers_enter(c->server->conf.peers, &c->visitor, clock_mono_ms()))
		return find_slot(c, is_local);
	return (is_local && find_kept_slot(c)) ||
	    refuse_slot(c, 429, "This client has too many connections.");
}
_Static_assert(CIDR_TEXT_SIZE <= HTTP_TAKER_SIZE, "a client's address is a taker's name");

void http_leave(struct connection *c)
{
	struct http_server *s = c->server;
	peers_leave(s->conf.peers, &c->visitor, clock_mono_ms());
	if (!c->has_slot)
		return;
	TAILQ_REMOVE(&s->standing[c->standing], c, link);
	shares_give(c->is_kept ? s->kept : s->resources[HTTP_CONNECTIONS].shares,
	    slice_of(c->client), 1);
	c->has_slot = false;
}
