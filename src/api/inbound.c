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

bool inbound_verify(const struct inbound *in, struct slice session, struct http_request *q,
    int64_t now_s)
{
	char expected[SIGN_HEX_SIZE];
	uint64_t timestamp = 0;
	struct sign_key *key = map_get(in->by_session, session.ptr, session.len);
	if (key == NULL)
		key = in->others;
	if (key == NULL)
		return false;
	if (slice_eq(http_header(q, "X-Webhook-Signature-Version"), SLICE("v2"))) {
		if (str_u64(http_header(q, "X-Webhook-Timestamp"), &timestamp) != OK ||
		    timestamp > INT64_MAX / 2)
			return false;
		int64_t off = now_s - (int64_t)timestamp;
		if (off > INBOUND_WINDOW_S || off < -INBOUND_WINDOW_S)
			return false;
		sign_timed_body(key, (int64_t)timestamp, http_body(q), expected);
	} else {
		sign_body(key, http_body(q), expected);
	}
	return str_same_secret(http_header(q, "X-Webhook-Signature"), slice_of(expected));
}
