/* The presets; see source_preset.h. The file is brought into canonical form once. */
#include "domain/source_preset.h"

#include "base/embedded.h"
#include "base/log.h"
#include "domain/json.h"
#include "domain/json_walk.h"

#define FILE_MAX 65536

/* The whole file: an object of presets. */
static struct slice presets(void)
{
	static struct buf canonical = {.max = FILE_MAX};
	const struct embedded *f = embedded_find(SLICE("presets.json"));
	struct json_reader r;
	if (canonical.len > 0 || f == NULL) /* it is always there: the Makefile lists it */
		return buf_view(&canonical);
	json_init(&r, (struct slice){(const char *)f->bytes, f->len});
	panic_if(json_read_value(&r, &canonical) != OK, "presets.json is no JSON");
	json_fini(&r);
	return buf_view(&canonical);
}

bool source_preset_find(struct slice name, struct source_preset *out)
{
	struct slice preset = json_walk_find(presets(), name);
	out->settings = json_walk_find(preset, SLICE("settings"));
	out->makes_secret = slice_eq(json_walk_find(preset, SLICE("makes_secret")),
	    SLICE("true"));
	return preset.ptr != NULL;
}

void source_preset_names(struct buf *out)
{
	struct json_walk w = json_walk_in(presets());
	for (bool first = true; json_walk_next(&w); first = false)
		buf_printf(out, "%s%.*s", first ? "" : " ", (int)w.key.len, w.key.ptr);
}
