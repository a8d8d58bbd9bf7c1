/* Answers with files; see file_reply.h. */
#include "api/file_reply.h"

#define TAGS_MAX 4096 /* bytes of If-None-Match that are looked at */

static bool ends_with(const char *name, const char *ending)
{
	size_t len = strlen(name);
	size_t tail = strlen(ending);
	return len >= tail && strcmp(name + len - tail, ending) == 0;
}

static const char *type_of(const char *name)
{
	static const struct {
		const char *ending;
		const char *type;
	} TYPES[] = {
	    {".html", "text/html; charset=utf-8"},
	    {".css", "text/css; charset=utf-8"},
	    {".js", "text/javascript; charset=utf-8"},
	    {".svg", "image/svg+xml"},
	    {".yaml", "application/yaml"},
	};
	for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
		if (ends_with(name, TYPES[i].ending))
			return TYPES[i].type;
	}
	return "application/octet-stream";
}

/* Whether the client has the file: `*`, or one of its tags is the file's, weak or not. */
static bool is_known(const struct call *c, const struct embedded *f)
{
	struct buf tags = BUF_INIT(TAGS_MAX);
	http_header_list(c->http, "If-None-Match", &tags);
	struct slice rest = buf_view(&tags);
	bool known = false;
	while (rest.len > 0 && !known) {
		struct slice tag = slice_trim(slice_cut(&rest, ','));
		if (slice_starts(tag, SLICE("W/")))
			tag = (struct slice){tag.ptr + 2, tag.len - 2};
		known = slice_eq(tag, SLICE("*")) || slice_eq(tag, slice_of(f->etag));
	}
	buf_fini(&tags);
	return known;
}

void file_reply(struct call *c, const struct embedded *f)
{
	if (f == NULL) {
		call_fail(c, 404, "", "there is no such file");
		return;
	}
	http_add_header(c->http, "ETag", f->etag);
	http_add_header(c->http, "Cache-Control", "no-cache");
	http_add_header(c->http, "X-Content-Type-Options", "nosniff");
	if (is_known(c, f))
		http_reply(c->http, 304, NULL, SLICE(""));
	else
		http_reply(c->http, 200, type_of(f->name),
		    (struct slice){(const char *)f->bytes, f->len});
	call_end(c);
}
