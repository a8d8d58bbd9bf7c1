/* The gateway itself: whether it lives, whether it takes events, what it offers. */
#include "api/file_reply.h"
#include "api/handlers.h"
#include "domain/sign.h"
#include "domain/source_preset.h"

#define CAPABILITIES_MAX (1u << 22) /* bytes; the settings, of at most 1 MiB, as JSON */

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
	else if (!db_is_there(c->api->conf.db)) /* the loop ends in a second at the latest */
		call_fail(c, 503, "", "the store is lost or damaged; waybill fsck says more");
	else if (!health->stores)
		call_fail(c, 503, "", "the store cannot be written");
	else if (health->waits)
		call_fail(c, 503, "", health->why_waits);
	else if (!health->has_room)
		call_fail(c, 503, "", "the store has no room for new events");
	else
		handle_livez(c);
}

static void write_events(const struct webhook_rules *rules, struct json_writer *json)
{
	json_open_array(json, "events");
	for (size_t i = 0; i < NAME_EVENTS_COUNT; i++)
		json_write_cstr(json, NULL, NAME_EVENTS[i]);
	for (size_t i = 0; i < rules->extra_event_count; i++)
		json_write_cstr(json, NULL, rules->extra_events[i]);
	json_close(json);
}

/* Writes a scheme with all headers that it makes an attempt have. */
static void write_signature(const struct sign_scheme *s, struct json_writer *json)
{
	json_open_object(json, NULL);
	json_write_cstr(json, "name", s->name);
	json_write_cstr(json, "summary", s->summary);
	json_open_array(json, "headers");
	for (; s != NULL; s = s->beside) {
		for (size_t i = 0; s->headers[i] != NULL; i++)
			json_write_cstr(json, NULL, s->headers[i]);
	}
	json_close(json);
	json_close(json);
}

static void write_presets(struct json_writer *json)
{
	struct buf names = BUF_INIT(CAPABILITIES_MAX);
	source_preset_names(&names);
	struct slice left = buf_view(&names);
	json_open_array(json, "presets");
	while (left.len > 0)
		json_write_text(json, NULL, slice_cut(&left, ' '));
	json_close(json);
	buf_fini(&names);
}

void handle_capabilities(struct call *c)
{
	struct buf text = BUF_INIT(CAPABILITIES_MAX);
	struct json_writer json = JSON_WRITER(&text);
	json_open_object(&json, NULL);
	write_events(&c->api->conf.rules, &json);
	write_presets(&json);
	json_open_array(&json, "signatures");
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++)
		write_signature(&SIGN_SCHEMES[i], &json);
	json_close(&json);
	sign_write_set(c->api->conf.rules.signature, "default_signature", &json);
	json_close(&json);
	call_reply(c, 200, &json);
	buf_fini(&text);
}

void handle_openapi(struct call *c)
{
	file_reply(c, embedded_find(SLICE("openapi.yaml")));
}
