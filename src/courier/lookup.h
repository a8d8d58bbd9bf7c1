/*
 * Where hosts are: their addresses, as the name servers say, asked for on the loop and
 * without a thread. The one owner of look-ups: all who ask for a name at the same time share
 * one query, and the answer is kept as long as its TTL says, within LOOKUP_TTL_….
 *
 * Nobody holds up anybody. A name whose last query was answered, one that was never asked
 * for and one whose last query was not answered wait in three lines, each with slots of its
 * own; within a line, turns go from taker to taker (lookup_queue.h). While others wait for
 * its slot, a query gives it up after LOOKUP_TURN_MS; its name waits once more, as what was
 * asked for may have come to the resolver meanwhile, and then in the last line. So a name
 * server that does not answer costs the names that it is asked for, however many they are.
 *
 * It never waits, never calls back from within lookup_ask() or lookup_cancel(), and does not
 * judge addresses: whether one may be connected to is asked for each attempt
 * (domain/address.h).
 */
#ifndef COURIER_LOOKUP_H
#define COURIER_LOOKUP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/reactor.h"
#include "base/slice.h"

#define LOOKUP_HOST_MAX 254      /* bytes of a name in the DNS, with its last dot */
#define LOOKUP_ADDRESSES_MAX 32  /* that are kept of an answer, half of them of each family */
#define LOOKUP_NAMES_MAX 4096    /* that are remembered while nobody asks for them */
#define LOOKUP_TTL_MIN_MS 5000   /* of an answer, whatever the name server says */
#define LOOKUP_TTL_MAX_MS 300000 /* the same */
#define LOOKUP_NONE_MS 5000      /* for so long a name that does not exist is not asked for */
#define LOOKUP_QUERY_MS 15000    /* what a query takes at most */
#define LOOKUP_TURN_MS 250       /* what it takes at most while others wait */
#define LOOKUP_LATE_TURN_MS 2000 /* the same for names whose last query was not answered */

/*
 * Queries under way: for names that were answered, for new ones, for those that were not. Each
 * asks two questions at once, and small resolvers take 150 at a time (dnsmasq).
 */
#define LOOKUP_SLOTS_KNOWN 24
#define LOOKUP_SLOTS_NEW 24
#define LOOKUP_SLOTS_LATE 8
#define LOOKUP_SLOTS (LOOKUP_SLOTS_KNOWN + LOOKUP_SLOTS_NEW + LOOKUP_SLOTS_LATE)

/* Descriptors that all of them may need: a socket for each name server, of which three are
 * usual (resolv.conf(5)). */
#define LOOKUP_DESCRIPTORS (3 * LOOKUP_SLOTS)

enum lookup_status {
	LOOKUP_OK,
	LOOKUP_NONE,    /* there is no such name, or it has no address */
	LOOKUP_TIMEOUT, /* no name server has answered */
	LOOKUP_FAILED,  /* name servers have answered that they cannot tell, or nonsense */
	LOOKUP_OURS, /* not the name's fault: no descriptor, no memory, no way to any server */
};
#define LOOKUP_STATUSES (LOOKUP_OURS + 1)
extern const char *const LOOKUP_STATUS_NAMES[LOOKUP_STATUSES]; /* "found", "none", … */

/* An address to connect to; its port is 0. */
union lookup_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct lookup_answer {
	enum lookup_status status;
	const union lookup_address *addresses; /* the best first; LOOKUP_OK: at least one */
	size_t count;
	bool is_direct; /* the host itself is this one address */
};

struct lookup_name;
typedef void (*lookup_fn)(void *arg, const struct lookup_answer *answer);

/* Who asks; zeroed but for the first three. */
struct lookup_asker {
	lookup_fn fn; /* who is to be told */
	void *arg;
	uint64_t taker; /* for whom, a number that is only compared */
	LIST_ENTRY(lookup_asker) link;
	struct lookup_name *name; /* what is waited for; NULL: nothing */
};

/* For tests: how long things take, in milliseconds. */
struct lookup_times {
	int64_t ttl_min_ms;
	int64_t none_ms;
	int64_t query_ms;
};

struct lookup_conf {
	char *const *name_servers; /* "192.0.2.1", "192.0.2.1:53", "[2001:db8::1]:53"; in this
	                              order, instead of those of resolv.conf */
	size_t name_server_count;  /* 0: those of resolv.conf */
	const char *resolv_conf;   /* NULL: /etc/resolv.conf; it is read anew for each query */
	const struct lookup_times *times; /* NULL: those above */
};

struct lookup;

/* What `conf` points to is copied, but for `times`. */
struct lookup *lookup_new(struct reactor *r, const struct lookup_conf *conf);

/* Forgets all who wait, then frees. NULL is fine. */
void lookup_free(struct lookup *l);

/*
 * Returns the addresses of `host` where they are known: it is an address itself, in any
 * spelling that the system takes and perhaps in brackets, or localhost or a name below that
 * (RFC 6761), or was asked for of late. The answer is borrowed until the next call.
 * Else returns NULL, and `asker` is told once, from the loop, unless it is cancelled before.
 */
const struct lookup_answer *lookup_ask(struct lookup *l, struct slice host,
    struct lookup_asker *asker);

/* `asker` is not to be told any more; nothing where it is not waiting. */
void lookup_cancel(struct lookup *l, struct lookup_asker *asker);

/* How the queries stand, and what has come of them. */
struct lookup_figures {
	uint64_t ended[LOOKUP_STATUSES]; /* queries, by what they have found */
	uint64_t displaced;              /* that gave up their slot, as others waited for it */
	size_t asked;                    /* names that have a query under way */
	size_t waiting;                  /* names that wait for a slot */
};

void lookup_figures(const struct lookup *l, struct lookup_figures *out);

/* Says in words what failed, "no name server answered"; "" for LOOKUP_OK and LOOKUP_NONE. */
const char *lookup_text(enum lookup_status status);

#endif
