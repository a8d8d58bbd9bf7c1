/* Forms and queries; see url_form.h. */
#include "domain/url_form.h"

#include <stdlib.h>
#include <uriparser/Uri.h>

#include "base/mem.h"

void url_decode(struct slice text, bool plus, struct buf *out)
{
	char *copy = mem_copy(text.ptr, text.len); /* in place: it becomes no longer */
	const char *end = uriUnescapeInPlaceExA(copy, plus, URI_BR_DONT_TOUCH);
	buf_append(out, copy, (size_t)(end - copy));
	free(copy);
}

bool url_form_next(struct slice *left, struct buf *name, struct buf *value)
{
	while (left->len > 0) {
		struct slice pair = slice_cut(left, '&');
		if (pair.len == 0)
			continue;
		struct slice key = slice_cut(&pair, '=');
		buf_reset(name);
		buf_reset(value);
		url_decode(key, true, name);
		url_decode(pair, true, value);
		return true;
	}
	return false;
}

void url_form_find(struct slice form, struct slice name, struct buf *out)
{
	struct buf key = BUF_INIT(form.len);
	struct buf value = BUF_INIT(form.len);
	while (url_form_next(&form, &key, &value)) {
		if (slice_eq(buf_view(&key), name)) {
			buf_slice(out, buf_view(&value));
			break;
		}
	}
	buf_fini(&key);
	buf_fini(&value);
}
