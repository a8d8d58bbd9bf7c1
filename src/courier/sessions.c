/* TLS sessions that are kept; see sessions.h. */
#include "courier/sessions.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/handshake.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define TAKER_PART 4 /* one of so many is the most of one taker */

struct kept_session {
	TAILQ_ENTRY(kept_session) link;
	SSL_SESSION *session; /* a copy: nothing that a connection does to its own touches it */
	int64_t since_ms;     /* monotonic; when its receiver's certificate was checked */
	uint64_t taker;
	size_t len;
	char *name;
};
TAILQ_HEAD(order, kept_session);

struct sessions {
	struct map *by_name;
	struct map *counts; /* taker -> how many are of it, in a size_t of its own */
	struct order order; /* the one that came last is the last */
	size_t count;
	size_t most;
};

/* What a context knows of the one connection that is made with it. */
struct tie {
	struct sessions *sessions;
	int64_t made_ms;
	int64_t since_ms; /* of the session that it offers */
	uint64_t taker;
	size_t len;
	char name[];
};

static void free_tie(void *parent, void *tie, CRYPTO_EX_DATA *data, int index, long number,
    void *arg)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	free(tie);
}

static int tie_slot(void)
{
	static int slot = -1; /* made once, for good */
	if (slot < 0)
		slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_tie);
	return slot;
}

struct sessions *sessions_new(size_t most)
{
	struct sessions *s = mem_new(sizeof(*s));
	s->by_name = map_new();
	s->counts = map_new();
	TAILQ_INIT(&s->order);
	s->most = most;
	return s;
}

static size_t *count_of(const struct sessions *s, uint64_t taker)
{
	return map_get(s->counts, &taker, sizeof(taker));
}

static void count_one(struct sessions *s, uint64_t taker)
{
	size_t *n = count_of(s, taker);
	if (n == NULL) {
		n = mem_new(sizeof(*n));
		map_put(s->counts, &taker, sizeof(taker), n);
	}
	++*n;
	s->count++;
}

static void drop(struct sessions *s, struct kept_session *k)
{
	size_t *n = count_of(s, k->taker);
	if (--*n == 0)
		free(map_del(s->counts, &k->taker, sizeof(k->taker)));
	s->count--;
	(void)map_del(s->by_name, k->name, k->len); /* is `k` */
	TAILQ_REMOVE(&s->order, k, link);
	SSL_SESSION_free(k->session);
	free(k->name);
	free(k);
}

void sessions_free(struct sessions *s)
{
	if (s == NULL)
		return;
	while (!TAILQ_EMPTY(&s->order))
		drop(s, TAILQ_FIRST(&s->order));
	map_free(s->by_name);
	map_free(s->counts);
	free(s);
}

/* Makes room for one more of a taker: of its own, where it has its part. */
static void make_room(struct sessions *s, uint64_t taker)
{
	const size_t *n = count_of(s, taker);
	struct kept_session *k = TAILQ_FIRST(&s->order);
	if (n != NULL && *n * TAKER_PART >= s->most) {
		while (k->taker != taker)
			k = TAILQ_NEXT(k, link);
		drop(s, k);
	} else if (s->count >= s->most) {
		drop(s, k);
	}
}

/* Whether a session is worth its room. */
static bool may_keep(const SSL_SESSION *session)
{
	const unsigned char *ticket = NULL;
	size_t len = 0;
	SSL_SESSION_get0_ticket(session, &ticket, &len);
	return SSL_SESSION_is_resumable(session) == 1 && len <= SESSION_TICKET_MAX;
}

/* libssl has a session that may be resumed; 0: it goes on to own it. */
static int on_session(SSL *connection, SSL_SESSION *session)
{
	const struct tie *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), tie_slot());
	struct sessions *s = t->sessions;
	struct kept_session *k = map_get(s->by_name, t->name, t->len);
	if (k != NULL)
		drop(s, k);
	SSL_SESSION *copy = may_keep(session) ? SSL_SESSION_dup(session) : NULL;
	if (copy == NULL)
		return 0;
	make_room(s, t->taker);
	k = mem_new(sizeof(*k));
	k->session = copy;
	k->since_ms = SSL_session_reused(connection) == 1 ? t->since_ms : t->made_ms;
	k->taker = t->taker;
	k->len = t->len;
	k->name = mem_copy(t->name, t->len);
	map_put(s->by_name, k->name, k->len, k);
	TAILQ_INSERT_TAIL(&s->order, k, link);
	count_one(s, k->taker);
	return 0;
}

void sessions_resume(struct sessions *s, SSL_CTX *ctx, struct slice name, uint64_t taker,
    int64_t now_ms)
{
	struct tie *t = mem_new(sizeof(*t) + name.len);
	t->sessions = s;
	t->taker = taker;
	t->made_ms = now_ms;
	t->len = name.len;
	memcpy(t->name, name.ptr, name.len);
	panic_if(SSL_CTX_set_ex_data(ctx, tie_slot(), t) != 1, "no room in a context");
	(void)SSL_CTX_set_session_cache_mode(ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	(void)SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET); /* most know no other, in TLS 1.2 */
	struct kept_session *k = map_get(s->by_name, name.ptr, name.len);
	if (k == NULL)
		return;
	if (now_ms - k->since_ms > SESSION_MAX_S * INT64_C(1000)) {
		drop(s, k);
		return;
	}
	t->since_ms = k->since_ms;
	handshake_offer(ctx, SSL_SESSION_dup(k->session));
}

size_t sessions_count(const struct sessions *s)
{
	return s->count;
}
