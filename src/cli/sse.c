/* Server-sent events; see sse.h. */
#include "cli/sse.h"

void sse_init(struct sse *s, void (*event)(void *arg, const char *type, struct slice data),
    void *arg)
{
	*s = (struct sse){.event = event,
	    .arg = arg,
	    .line = BUF_INIT(SSE_LINE_MAX),
	    .data = BUF_INIT(SSE_LINE_MAX)};
}

void sse_fini(struct sse *s)
{
	buf_fini(&s->line);
	buf_fini(&s->data);
}

static void begin_block(struct sse *s)
{
	buf_reset(&s->data);
	s->has_data = false;
	s->type[0] = '\0';
}

void sse_begin(struct sse *s)
{
	buf_reset(&s->line);
	begin_block(s);
	memcpy(s->next_id, s->last_id, sizeof(s->next_id));
}

/* Keeps a field's value; one that is too long is as good as none. */
static void keep(char *out, size_t max, struct slice value)
{
	size_t len = value.len <= max ? value.len : 0;
	if (len > 0)
		memcpy(out, value.ptr, len);
	out[len] = '\0';
}

static void read_field(struct sse *s, struct slice name, struct slice value)
{
	if (slice_eq(name, SLICE("event"))) {
		keep(s->type, SSE_TYPE_MAX, value);
	} else if (slice_eq(name, SLICE("id"))) {
		keep(s->next_id, SSE_ID_MAX, value);
	} else if (slice_eq(name, SLICE("data"))) {
		if (s->has_data)
			buf_putc(&s->data, '\n');
		buf_slice(&s->data, value);
		s->has_data = true;
	}
}

static void end_block(struct sse *s)
{
	memcpy(s->last_id, s->next_id, sizeof(s->last_id));
	if (s->has_data)
		s->event(s->arg, s->type[0] == '\0' ? "message" : s->type, buf_view(&s->data));
	begin_block(s);
}

static void read_line(struct sse *s)
{
	struct slice rest = buf_view(&s->line);
	if (rest.len > 0 && rest.ptr[rest.len - 1] == '\r')
		rest.len--;
	if (rest.len == 0) {
		end_block(s);
	} else {
		struct slice name = slice_cut(&rest, ':'); /* empty: a comment */
		if (rest.len > 0 && rest.ptr[0] == ' ')
			rest = (struct slice){rest.ptr + 1, rest.len - 1};
		read_field(s, name, rest);
	}
	buf_reset(&s->line);
}

bool sse_read(struct sse *s, struct slice bytes)
{
	while (bytes.len > 0 && !s->line.failed && !s->data.failed) {
		size_t before = bytes.len;
		struct slice part = slice_cut(&bytes, '\n');
		buf_slice(&s->line, part);
		if (before > part.len && !s->line.failed) /* the line feed was there */
			read_line(s);
	}
	return !s->line.failed && !s->data.failed;
}
