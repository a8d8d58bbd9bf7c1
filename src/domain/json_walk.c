/* Steps over canonical JSON; see json_walk.h. json_scan.h knows where values end. */
#include "domain/json_walk.h"

struct json_walk json_walk_in(struct slice value)
{
	struct json_walk w = {.in_object = json_is_object(value)};
	w.scan.text = value;
	w.has_more = w.in_object || json_is_array(value);
	if (w.has_more)
		json_scan_enter(&w.scan);
	return w;
}

bool json_walk_next(struct json_walk *w)
{
	if (w->has_more && w->in_object)
		w->has_more = json_scan_member(&w->scan, &w->key);
	else if (w->has_more)
		w->has_more = json_scan_item(&w->scan);
	if (w->has_more)
		w->value = json_scan_value(&w->scan);
	return w->has_more;
}

struct slice json_walk_find(struct slice object, struct slice key)
{
	struct json_walk w = json_walk_in(object);
	while (w.in_object && json_walk_next(&w)) {
		if (slice_eq(w.key, key))
			return w.value;
	}
	return (struct slice){0};
}

bool json_text_of(struct slice value, struct buf *out)
{
	if (!json_is_string(value))
		return false;
	json_decode(json_inside(value), out);
	return true;
}
