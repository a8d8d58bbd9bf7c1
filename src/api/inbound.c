/* Secrets by session, as signing keys; see inbound.h. */
#include "api/inbound.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/sign.h"

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

/* Reads a time as v2 signs it: as JavaScript and others print it, without zeros in front. */
static bool read_timestamp(struct slice text, int64_t now_s, int64_t *out)
{
	uint64_t timestamp = 0;
	if (str_u64(text, &timestamp) != OK || text.ptr[0] == '0' || timestamp > INT64_MAX / 2)
		return false;
	int64_t off = now_s - (int64_t)timestamp;
	*out = (int64_t)timestamp;
	return off <= INBOUND_WINDOW_S && off >= -INBOUND_WINDOW_S;
}

static struct sign_key *find_key(const struct inbound *in, struct slice session)
{
	struct sign_key *key = map_get(in->by_session, session.ptr, session.len);
	return key == NULL ? in->others : key;
}

bool inbound_may_verify(const struct inbound *in, struct slice session,
    const struct inbound_claim *claim)
{
	return claim->signature.len > 0 && find_key(in, session) != NULL;
}

bool inbound_verify(const struct inbound *in, struct slice session,
    const struct inbound_claim *claim, struct slice body, int64_t now_s)
{
	char expected[SIGN_HEX_SIZE];
	int64_t timestamp_s = 0;
	struct sign_key *key = find_key(in, session);
	if (key == NULL)
		return false;
	if (!slice_eq(claim->version, SLICE("v2")))
		sign_body(key, body, expected);
	else if (read_timestamp(claim->timestamp, now_s, &timestamp_s))
		sign_timed_body(key, timestamp_s, body, expected);
	else
		return false;
	return str_same_secret(claim->signature, slice_of(expected));
}
