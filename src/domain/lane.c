/* Keys and their lanes; see lane.h. */
#include "domain/lane.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "domain/json.h"
#include "domain/json_scan.h"

struct lane_key {
	struct pointer *pointer; /* among those that it was entered into */
	size_t len;
	char json[];
};

static struct slice path_of(const struct lane_key *k)
{
	return json_inside(lane_key_json(k));
}

struct lane_key *lane_key_new(struct slice json)
{
	if (json_type_of(json) != JSON_STRING || pointer_names(json_inside(json)) == 0)
		return NULL;
	struct lane_key *k = mem_new(sizeof(*k) + json.len);
	k->len = json.len;
	memcpy(k->json, json.ptr, json.len);
	return k;
}

void lane_key_free(struct lane_key *k)
{
	free(k);
}

struct slice lane_key_json(const struct lane_key *k)
{
	return (struct slice){k->json, k->len};
}

bool lane_key_same(const struct lane_key *a, const struct lane_key *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return slice_eq(lane_key_json(a), lane_key_json(b));
}

void lane_key_enter(struct lane_key *k, struct pointers *ps)
{
	k->pointer = pointers_enter(ps, path_of(k));
}

void lane_key_leave(struct lane_key *k, struct pointers *ps)
{
	pointers_leave(ps, k->pointer);
	k->pointer = NULL;
}

uint16_t lane_of(struct slice value)
{
	if (value.ptr == NULL)
		return LANE_NONE;
	size_t seen = value.len < LANE_LOOK_MAX ? value.len : LANE_LOOK_MAX;
	return (uint16_t)(1 + hash_seeded(value.len - seen, value.ptr, seen) % LANE_MAX);
}

uint16_t lane_key_ask(const struct lane_key *k, const struct pointers *ps)
{
	return lane_of(pointer_value(ps, k->pointer));
}

uint16_t lane_key_find(const struct lane_key *k, struct slice event)
{
	struct pointers *ps = pointers_new();
	struct buf unused = BUF_INIT(0); /* nothing is decoded */
	const struct pointer *p = pointers_enter(ps, path_of(k));
	pointers_look(ps, event, &unused);
	uint16_t lane = lane_of(pointer_value(ps, p));
	pointers_free(ps);
	return lane;
}
