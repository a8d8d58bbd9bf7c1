/* The gateway itself: whether it lives, whether it takes events, what it offers. */
#include "api/embedded.h"
#include "api/handlers.h"
#include "domain/sign.h"

#define CAPABILITIES_MAX (1u << 22) /* bytes; the settings, of at most 1 MiB, as JSON */

void handle_livez(struct call *c)
{
	struct buf json = BUF_INIT(256);
	buf_puts(&json, "{\"status\":\"ok\"}");
	call_reply(c, 200, &json);
	buf_fini(&json);
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

static void write_events(const struct webhook_rules *rules, struct buf *out)
{
	for (size_t i = 0; i < NAME_EVENTS_COUNT; i++)
		buf_printf(out, "%s\"%s\"", i == 0 ? "" : ",", NAME_EVENTS[i]);
	for (size_t i = 0; i < rules->extra_event_count; i++)
		buf_printf(out, ",\"%s\"", rules->extra_events[i]);
}

/* Writes a scheme with all headers that it makes an attempt have. */
static void write_signature(const struct sign_scheme *s, struct buf *out)
{
	const char *comma = "";
	buf_printf(out, "{\"name\":\"%s\",\"summary\":\"%s\",\"headers\":[", s->name,
	    s->summary);
	for (; s != NULL; s = s->beside) {
		for (size_t i = 0; s->headers[i] != NULL; i++) {
			buf_printf(out, "%s\"%s\"", comma, s->headers[i]);
			comma = ",";
		}
	}
	buf_puts(out, "]}");
}

void handle_capabilities(struct call *c)
{
	struct buf json = BUF_INIT(CAPABILITIES_MAX);
	buf_puts(&json, "{\"events\":[");
	write_events(&c->api->conf.rules, &json);
	buf_puts(&json, "],\"signatures\":[");
	for (size_t i = 0; i < SIGN_SCHEMES_COUNT; i++) {
		buf_puts(&json, i == 0 ? "" : ",");
		write_signature(&SIGN_SCHEMES[i], &json);
	}
	buf_puts(&json, "]}");
	call_reply(c, 200, &json);
	buf_fini(&json);
}

void handle_openapi(struct call *c)
{
	embedded_reply(c, embedded_find(SLICE("openapi.yaml")));
}
