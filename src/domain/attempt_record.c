/* The record of an attempt. To change it: raise VERSION and decode the old form as well. */
#include "domain/attempt_record.h"

#define VERSION 1

/* A duration as 32 bits have it. */
static void put_us(struct buf *out, int64_t us)
{
	put_u32(out, us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us);
}

static void put_cut(struct buf *out, struct slice s, size_t max)
{
	put_text(out, (struct slice){s.ptr, s.len < max ? s.len : max});
}

void attempt_record_encode(const struct attempt_record *a, struct buf *out)
{
	put_u8(out, VERSION);
	put_i64(out, a->at_ms);
	put_us(out, a->duration_us);
	put_us(out, a->dns_us);
	put_us(out, a->connect_us);
	put_us(out, a->tls_us);
	put_us(out, a->first_byte_us);
	put_u16(out, (uint16_t)a->status);
	buf_append(out, a->webhook_id.bytes, UUID_SIZE);
	put_cut(out, a->url, URL_MAX);
	put_cut(out, a->address, ATTEMPT_ADDRESS_MAX);
	put_cut(out, a->error, ATTEMPT_ERROR_MAX);
	put_cut(out, a->answer, ATTEMPT_ANSWER_MAX);
}

static struct slice get_cut(struct reader *r, size_t max)
{
	struct slice s = get_text(r);
	if (s.len > max)
		r->failed = true;
	return s;
}

enum err attempt_record_decode(struct reader *r, struct attempt_record *a)
{
	if (get_u8(r) != VERSION)
		return ERR_CORRUPT;
	a->at_ms = get_i64(r);
	a->duration_us = get_u32(r);
	a->dns_us = get_u32(r);
	a->connect_us = get_u32(r);
	a->tls_us = get_u32(r);
	a->first_byte_us = get_u32(r);
	a->status = get_u16(r);
	struct slice id = get_bytes(r, UUID_SIZE);
	memcpy(a->webhook_id.bytes, id.ptr, id.len);
	a->url = get_cut(r, URL_MAX);
	a->address = get_cut(r, ATTEMPT_ADDRESS_MAX);
	a->error = get_cut(r, ATTEMPT_ERROR_MAX);
	a->answer = get_cut(r, ATTEMPT_ANSWER_MAX);
	return r->failed || r->left != 0 ? ERR_CORRUPT : OK;
}
