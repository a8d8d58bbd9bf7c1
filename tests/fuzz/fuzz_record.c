/*
 * Records of webhooks, deliveries, dead letters and attempts, and attachments. The first byte
 * says which, the rest are the bytes that a checksum has let through. What decodes is written
 * back to the same bytes: there is one form for each record, and none that is read in part. A
 * sealed record opens; one with a bit changed does not.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/record.h"
#include "domain/attachment.h"
#include "domain/webhook.h"
#include "store/attempts.h"
#include "store/dead_letters.h"
#include "store/queue.h"

#define RECORD_BYTES_MAX (1u << 21) /* above what the fuzzer's longest input can become */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes a record and encodes what came of it; false where it is refused. */
typedef bool (*recode_fn)(struct reader *r, struct buf *out);

static bool recode_webhook(struct reader *r, struct buf *out)
{
	struct webhook *w = NULL;
	struct vault_id key;
	bool is_old = r->left > 0 && r->ptr[0] < 11;
	if (webhook_decode(r, NULL, &key, &w) != OK)
		return false;
	bool is_kept = filter_is_kept(w->filter); /* which disables it */
	webhook_encode(w, NULL, NULL, out);
	webhook_free(w);
	/* old forms are read, and not written any more */
	return !is_old && !is_kept;
}

static bool recode_delivery(struct reader *r, struct buf *out)
{
	struct delivery d;
	bool is_old = r->left > 0 && r->ptr[0] == 1;
	if (delivery_decode(r, &d) != OK)
		return false;
	delivery_encode(&d, out);
	return !is_old; /* that form is read, and not written any more */
}

static bool recode_dead_letter(struct reader *r, struct buf *out)
{
	struct dead_letter d;
	if (dead_letter_decode(r, &d) != OK)
		return false;
	dead_letter_encode(&d, out);
	return true;
}

static bool recode_attempt(struct reader *r, struct buf *out)
{
	struct attempt_record a;
	if (attempt_record_decode(r, &a) != OK)
		return false;
	attempt_record_encode(&a, out);
	return true;
}

static bool recode_attachment(struct reader *r, struct buf *out)
{
	struct attachment a;
	struct slice bytes = get_bytes(r, r->left);
	if (attachment_decode(bytes, &a) != OK)
		return false;
	attachment_encode(&a, out);
	return true;
}

static void check_seal(struct slice bytes)
{
	struct buf sealed = BUF_INIT(RECORD_BYTES_MAX);
	struct reader r;
	buf_slice(&sealed, bytes);
	record_seal(&sealed, RECORD_ANYWHERE);
	panic_if(record_open(buf_view(&sealed), RECORD_ANYWHERE, &r) != OK ||
		r.left != bytes.len,
	    "sealed");
	sealed.data[bytes.len / 2] ^= 0x10;
	panic_if(record_open(buf_view(&sealed), RECORD_ANYWHERE, &r) != ERR_CORRUPT,
	    "a bit changed");
	buf_fini(&sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const recode_fn RECORDS[] = {recode_webhook, recode_delivery, recode_dead_letter,
	    recode_attempt, recode_attachment};
	if (size == 0)
		return 0;
	struct slice bytes = {(const char *)data + 1, size - 1};
	struct buf again = BUF_INIT(RECORD_BYTES_MAX);
	struct reader r = reader_of(bytes);
	if (RECORDS[data[0] % (sizeof(RECORDS) / sizeof(RECORDS[0]))](&r, &again))
		panic_if(!slice_eq(buf_view(&again), bytes), "written back differently");
	check_seal(bytes);
	buf_fini(&again);
	return 0;
}
