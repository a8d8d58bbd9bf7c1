/* Addresses that failed of late; see failures.h. */
#include "courier/failures.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"

/* An address as the map knows it; without gaps. */
struct failure_key {
	uint8_t bytes[16]; /* of IPv4 the first four */
	uint32_t scope;
	uint16_t family;
	uint16_t port;
};

struct failure {
	TAILQ_ENTRY(failure) link;
	struct failure_key key;
	int64_t until_ms; /* monotonic */
};

struct failures {
	struct map *by_address;
	TAILQ_HEAD(, failure) list; /* the oldest first */
};

static struct failure_key key_of(const union lookup_address *a, uint16_t port)
{
	struct failure_key key = {.family = a->any.sa_family, .port = port};
	if (a->any.sa_family == AF_INET) {
		memcpy(key.bytes, &a->in.sin_addr, sizeof(a->in.sin_addr));
	} else {
		memcpy(key.bytes, &a->in6.sin6_addr, sizeof(a->in6.sin6_addr));
		key.scope = a->in6.sin6_scope_id;
	}
	return key;
}

struct failures *failures_new(void)
{
	struct failures *f = mem_new(sizeof(*f));
	f->by_address = map_new();
	TAILQ_INIT(&f->list);
	return f;
}

void failures_free(struct failures *f)
{
	if (f == NULL)
		return;
	map_free_all(f->by_address);
	free(f);
}

static void forget(struct failures *f, struct failure *one)
{
	(void)map_del(f->by_address, &one->key, sizeof(one->key)); /* is `one` */
	TAILQ_REMOVE(&f->list, one, link);
	free(one);
}

void failures_note(struct failures *f, const union lookup_address *a, uint16_t port)
{
	struct failure_key key = key_of(a, port);
	struct failure *one = map_get(f->by_address, &key, sizeof(key));
	if (one != NULL) {
		TAILQ_REMOVE(&f->list, one, link);
	} else {
		if (failures_count(f) >= FAILURES_MAX)
			forget(f, TAILQ_FIRST(&f->list));
		one = mem_new(sizeof(*one));
		one->key = key;
		map_put(f->by_address, &key, sizeof(key), one);
	}
	one->until_ms = clock_mono_ms() + FAILURES_KEPT_MS;
	TAILQ_INSERT_TAIL(&f->list, one, link);
}

void failures_forget(struct failures *f, const union lookup_address *a, uint16_t port)
{
	if (TAILQ_EMPTY(&f->list))
		return;
	struct failure_key key = key_of(a, port);
	struct failure *one = map_get(f->by_address, &key, sizeof(key));
	if (one != NULL)
		forget(f, one);
}

bool failures_has(const struct failures *f, const union lookup_address *a, uint16_t port)
{
	if (TAILQ_EMPTY(&f->list))
		return false;
	struct failure_key key = key_of(a, port);
	const struct failure *one = map_get(f->by_address, &key, sizeof(key));
	return one != NULL && clock_mono_ms() < one->until_ms;
}

size_t failures_count(const struct failures *f)
{
	return map_count(f->by_address);
}
