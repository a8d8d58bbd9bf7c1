/* GET /api/v1/token: what the caller's token is, and so what it may do. */
#include "api/handlers.h"

#define ANSWER_MAX 512 /* bytes of JSON */

static const char *kind_of(const struct call *c)
{
	if (auth_link_of(c->token) != NULL)
		return "link";
	return auth_count(c->api->conf.auth) == 0 ? "none" : "token";
}

void handle_token(struct call *c)
{
	const struct auth_link *link = auth_link_of(c->token);
	struct buf text = BUF_INIT(ANSWER_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_cstr(&json, "kind", kind_of(c));
	json_write_bool(&json, "all_sessions", c->token == NULL);
	json_write_bool(&json, "read_only", link != NULL && link->only_reads);
	json_write_time_or_null(&json, "expires_at", link == NULL ? 0 : link->expires_ms);
	json_close(&json);
	http_add_header(c->http, "Cache-Control", "no-store");
	call_reply(c, 200, &json);
	buf_fini(&text);
}
