/* The record of a dead letter. To change it: raise VERSION and decode the old form as well. */
#include "domain/dead_letter.h"

#define VERSION 1

void dead_letter_encode(const struct dead_letter *d, struct buf *out)
{
	put_u8(out, VERSION);
	buf_append(out, d->delivery_id.bytes, UUID_SIZE);
	buf_append(out, d->event_id.bytes, UUID_SIZE);
	buf_append(out, d->webhook_id.bytes, UUID_SIZE);
	put_u32(out, d->attempts);
	put_i64(out, d->failed_ms);
	put_text(out, slice_of(d->webhook_url));
	put_text(out, slice_of(d->event));
	put_text(out, slice_of(d->last_error));
}

static void decode_id(struct reader *r, struct uuid *id)
{
	struct slice s = get_bytes(r, UUID_SIZE);
	memcpy(id->bytes, s.ptr, s.len);
}

enum err dead_letter_decode(struct reader *r, struct dead_letter *d)
{
	if (get_u8(r) != VERSION)
		return ERR_CORRUPT;
	decode_id(r, &d->delivery_id);
	decode_id(r, &d->event_id);
	decode_id(r, &d->webhook_id);
	d->attempts = get_u32(r);
	d->failed_ms = get_i64(r);
	get_cstr(r, d->webhook_url, URL_MAX);
	get_cstr(r, d->event, EVENT_MAX);
	get_cstr(r, d->last_error, DEAD_ERROR_MAX);
	return r->failed || r->left != 0 ? ERR_CORRUPT : OK;
}
