/* The form of attachments; see attachment.h. */
#include "domain/attachment.h"

#include "base/codec.h"

#define VERSION 2

void attachment_encode(const struct attachment *a, struct buf *out)
{
	put_u8(out, VERSION);
	put_text(out, a->type);
	put_u8(out, (uint8_t)a->header_count);
	for (size_t i = 0; i < a->header_count; i++) {
		put_u8(out, a->headers[i].is_secret ? 1 : 0);
		put_text(out, a->headers[i].name);
		put_text(out, a->headers[i].value);
	}
	buf_slice(out, a->body);
}

enum err attachment_decode(struct slice bytes, struct attachment *out)
{
	struct reader r = reader_of(bytes);
	struct attachment a = {0};
	uint8_t version = get_u8(&r);
	a.type = get_text(&r);
	a.header_count = get_u8(&r);
	if (r.failed || version != VERSION || a.header_count > ATTACHMENT_HEADERS_MAX)
		return ERR_CORRUPT;
	for (size_t i = 0; i < a.header_count; i++) {
		uint8_t secret = get_u8(&r);
		if (secret > 1)
			return ERR_CORRUPT;
		a.headers[i].is_secret = secret == 1;
		a.headers[i].name = get_text(&r);
		a.headers[i].value = get_text(&r);
	}
	if (r.failed)
		return ERR_CORRUPT;
	a.body = get_bytes(&r, r.left);
	*out = a;
	return OK;
}
