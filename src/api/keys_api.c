/*
 * The public keys that deliveries are signed with, for everybody: no token is asked for, and
 * nothing but keys and the ids of their webhooks is told. A key pair that is replaced stays in
 * the list while it signs.
 */
#include <stdio.h>

#include "api/handlers.h"
#include "api/query.h"
#include "base/clock.h"
#include "base/str.h"
#include "store/registry.h"

#define LIMIT_DEFAULT 100 /* webhooks of a page */
#define LIMIT_MAX 1000
#define KEY_MAX 256    /* bytes of one key's JSON */
#define CURSOR_SIZE 21 /* 20 digits, a NUL */
#define PAGE_MAX (LIMIT_MAX * 2 * KEY_MAX)

static void write_key(const struct webhook *w, const struct ed25519_pair *pair,
    int64_t expires_ms, struct json_writer *json)
{
	char text[SIGN_PUBLIC_SIZE];
	sign_put_public(pair->public_key, text);
	json_open_object(json, NULL);
	uuid_write(json, "webhook_id", &w->id);
	json_write_cstr(json, "public_key", text);
	json_write_time_or_null(json, "expires_at", expires_ms);
	json_close(json);
}

static void write_keys(const struct webhook *w, struct json_writer *json)
{
	write_key(w, w->pair, 0, json);
	if (w->previous_pair != NULL && w->previous_pair_expires_ms > clock_wall_ms())
		write_key(w, w->previous_pair, w->previous_pair_expires_ms, json);
}

/* Answers with the keys of `shown` webhooks of `list`; `has_more`: others follow. */
static void answer(struct call *c, struct webhook *const *list, size_t shown, bool has_more)
{
	char cursor[CURSOR_SIZE];
	struct buf text = BUF_INIT(PAGE_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_open_array(&json, "keys");
	for (size_t i = 0; i < shown; i++)
		write_keys(list[i], &json);
	json_close(&json);
	(void)snprintf(cursor, sizeof(cursor), "%llu",
	    has_more ? (unsigned long long)list[shown - 1]->number : 0);
	json_write_cstr(&json, "next_cursor", has_more ? cursor : NULL);
	json_close(&json);
	http_add_header(c->http, "Cache-Control", "public, max-age=60");
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_keys(struct call *c)
{
	uint64_t limit = LIMIT_DEFAULT;
	uint64_t after = 0;
	char cursor[QUERY_TEXT_MAX + 1];
	struct uuid id;
	size_t count = 0;
	struct query q = {.call = c};
	(void)query_number(&q, "limit", 1, LIMIT_MAX, &limit);
	if (query_text(&q, "cursor", cursor) && str_u64(slice_of(cursor), &after) != OK)
		query_refuse(&q, "cursor", "the next_cursor of an earlier answer");
	bool is_one = query_uuid(&q, "webhook_id", &id);
	if (q.answered)
		return;
	if (is_one) {
		struct webhook *const w = registry_find_in_all(c->api->conf.registry, &id);
		answer(c, &w, w == NULL || w->pair == NULL ? 0 : 1, false);
		return;
	}
	struct webhook *const *list = registry_keyed_behind(c->api->conf.registry, after,
	    &count);
	answer(c, list, count < limit ? count : (size_t)limit, count > limit);
}
