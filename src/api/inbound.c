/* Secrets by session, as signing keys; see inbound.h. */
#include "api/inbound.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

struct inbound {
	struct map *by_session; /* session -> sign_key */
	struct sign_key *others;
};

struct inbound *inbound_new(void)
{
	struct inbound *in = mem_new(sizeof(*in));
	in->by_session = map_new();
	return in;
}

static void free_key(void *key, void *arg)
{
	(void)arg;
	sign_key_free(key);
}

void inbound_free(struct inbound *in)
{
	if (in == NULL)
		return;
	map_each(in->by_session, free_key, NULL);
	map_free(in->by_session);
	sign_key_free(in->others);
	free(in);
}

void inbound_add(struct inbound *in, struct slice session, struct slice secret)
{
	struct sign_key *key = sign_key_new(secret);
	if (session.len == 0) {
		sign_key_free(in->others);
		in->others = key;
		return;
	}
	sign_key_free(map_get(in->by_session, session.ptr, session.len));
	map_put(in->by_session, session.ptr, session.len, key);
}

static struct sign_key *find_key(const struct inbound *in, struct slice session)
{
	struct sign_key *key = map_get(in->by_session, session.ptr, session.len);
	return key == NULL ? in->others : key;
}

bool inbound_may_verify(const struct inbound *in, struct slice session, bool is_signed)
{
	return is_signed && find_key(in, session) != NULL;
}

bool inbound_verify(const struct inbound *in, struct slice session,
    const struct sign_claim *claim)
{
	struct sign_key *key = find_key(in, session);
	return key != NULL && sign_verify(key, claim);
}
