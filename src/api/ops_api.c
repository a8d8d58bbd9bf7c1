/* The gateway itself: whether it lives, whether it takes events, what it can be asked. */
#include "api/embedded.h"
#include "api/handlers.h"

void handle_livez(struct call *c)
{
	struct buf text = BUF_INIT(256);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	json_write_cstr(&json, "status", "ok");
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_readyz(struct call *c)
{
	const struct api_health *health = c->api->conf.health;
	if (health->stopping)
		call_fail(c, 503, "", "stopping");
	else if (!health->stores)
		call_fail(c, 503, "", "the store cannot be written");
	else if (!health->has_room)
		call_fail(c, 503, "", "the store has no room for new events");
	else
		handle_livez(c);
}

void handle_openapi(struct call *c)
{
	embedded_reply(c, embedded_find(SLICE("openapi.yaml")));
}
