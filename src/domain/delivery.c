/*
 * The record of a delivery. To change it: raise VERSION, decode the old one
 * below as well, and say in docs/architecture.md what moved.
 */
#include "domain/delivery.h"

#define VERSION 2
#define VERSION_WITHOUT_LETTER 1 /* without `replays` and `letter` */

void delivery_encode(const struct delivery *d, struct buf *out)
{
	put_u8(out, VERSION);
	put_u8(out, (uint8_t)d->status);
	buf_append(out, d->event_id.bytes, UUID_SIZE);
	put_u64(out, d->webhook);
	put_i64(out, d->created_ms);
	put_i64(out, d->place_ms);
	put_i64(out, d->due_ms);
	put_i64(out, d->queued_ms);
	put_u32(out, d->attempts);
	put_u32(out, d->replayed_at);
	put_u32(out, d->replays);
	buf_append(out, d->letter.bytes, UUID_SIZE);
}

/* What version 1 does not have: only dead letters were replayed, after an attempt or more. */
static void decode_rest(struct reader *r, uint8_t version, struct delivery *d)
{
	d->replays = d->replayed_at > 0 ? 1 : 0;
	d->letter = (struct uuid){0};
	if (version == VERSION_WITHOUT_LETTER)
		return;
	d->replays = get_u32(r);
	struct slice letter = get_bytes(r, UUID_SIZE);
	memcpy(d->letter.bytes, letter.ptr, letter.len);
}

enum err delivery_decode(struct reader *r, struct delivery *d)
{
	uint8_t version = get_u8(r);
	if (version != VERSION && version != VERSION_WITHOUT_LETTER)
		return ERR_CORRUPT;
	uint8_t status = get_u8(r);
	struct slice event = get_bytes(r, UUID_SIZE);
	d->webhook = get_u64(r);
	d->created_ms = get_i64(r);
	d->place_ms = get_i64(r);
	d->due_ms = get_i64(r);
	d->queued_ms = get_i64(r);
	d->attempts = get_u32(r);
	d->replayed_at = get_u32(r);
	decode_rest(r, version, d);
	if (r->failed || r->left != 0)
		return ERR_CORRUPT;
	if (status < DELIVERY_WAITING || status > DELIVERY_CANCELLED)
		return ERR_CORRUPT;
	memcpy(d->event_id.bytes, event.ptr, UUID_SIZE);
	d->status = status;
	return OK;
}
