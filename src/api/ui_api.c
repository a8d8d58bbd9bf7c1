/*
 * The dashboard: its files, src/ui, as they were compiled in. They need no token; what they
 * show comes from the API, which does.
 */
#include "api/file_reply.h"
#include "api/handlers.h"

/*
 * What the page may do: load what lies beside it, talk to this server, and nothing else; no
 * script makes markup out of a string.
 */
#define POLICY                                                                                 \
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "        \
	"img-src 'self' data:; base-uri 'none'; form-action 'none'; "                          \
	"require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors"
#define POLICY_MAX 65536 /* bytes; the settings are shorter */

static void add_headers(struct call *c)
{
	const struct origin_conf *origins = &c->api->conf.origins;
	struct buf policy = BUF_INIT(POLICY_MAX);
	buf_puts(&policy, POLICY);
	for (size_t i = 0; i < origins->frame_count; i++)
		buf_printf(&policy, " %s", origins->frames[i]);
	if (origins->frame_count == 0 || policy.failed)
		buf_puts(&policy, " 'none'");
	http_add_header(c->http, "Content-Security-Policy", buf_cstr(&policy));
	buf_fini(&policy);
	http_add_header(c->http, "Referrer-Policy", "no-referrer");
	http_add_header(c->http, "Cross-Origin-Opener-Policy", "same-origin");
	http_add_header(c->http, "Cross-Origin-Resource-Policy", "same-origin");
}

void handle_ui(struct call *c)
{
	add_headers(c);
	/* relative, so that it also holds behind a proxy that serves this below a path */
	http_add_header(c->http, "Location", "ui/");
	http_reply(c->http, 302, NULL, SLICE(""));
	call_end(c);
}

void handle_ui_file(struct call *c)
{
	struct slice name = http_path(c->http); /* "/ui/NAME" */
	name = (struct slice){name.ptr + 1, name.len - 1};
	if (slice_eq(name, SLICE("ui/")))
		name = SLICE("ui/index.html");
	add_headers(c);
	file_reply(c, embedded_find(name));
}
