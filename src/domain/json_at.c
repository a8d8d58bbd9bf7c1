/* Members of JSON; see json_at.h. */
#include "domain/json_at.h"

#include "base/str.h"
#include "domain/json.h"

void json_at_fini(struct json_at *j)
{
	buf_fini(&j->buffers[0]);
	buf_fini(&j->buffers[1]);
}

static struct slice member(struct slice object, struct slice key, struct buf *out)
{
	struct json_reader r;
	const struct json_member *members = NULL;
	struct slice value = {.ptr = NULL, .len = 0};
	size_t count = 0;
	buf_reset(out);
	json_init(&r, object);
	if (json_read_members(&r, out, &members, &count) != OK)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		if (slice_eq(members[i].key, key))
			value = members[i].value;
	}
	json_fini(&r);
	return value;
}

struct slice json_at(struct json_at *j, const char *path)
{
	struct slice keys = slice_of(path);
	struct slice value = j->text;
	for (size_t i = 0; keys.len > 0 && value.len > 0; i++)
		value = member(value, slice_cut(&keys, '/'), &j->buffers[i % 2]);
	return value;
}

struct slice json_at_text(struct json_at *j, const char *path)
{
	struct slice value = json_at(j, path);
	if (value.len < 2 || value.ptr[0] != '"')
		return (struct slice){.ptr = NULL, .len = 0};
	return (struct slice){value.ptr + 1, value.len - 2};
}

uint64_t json_at_u64(struct json_at *j, const char *path)
{
	uint64_t n = 0;
	return str_u64(json_at(j, path), &n) == OK ? n : 0;
}
