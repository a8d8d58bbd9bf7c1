/*
 * What a NATS server sends is read the same however it is cut: whole, byte by byte, and in
 * pieces whose size the input's first byte chooses. The rest of the input are the bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "nats/nats_parse.h"

#define MESSAGE_MAX 64 /* small enough for the fuzzer to pass it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void add(struct hash_sum *sum, struct slice s)
{
	uint64_t len = s.len;
	hash_sum_add(sum, &len, sizeof(len));
	if (s.len > 0)
		hash_sum_add(sum, s.ptr, s.len);
}

/* What a message can't be. */
static void check_message(const struct nats_message *m)
{
	must(m->subject.len > 0 && m->size <= NATS_SIZE_MAX);
	must(m->is_skipped == (m->size > MESSAGE_MAX));
	must(m->payload.len + m->headers.len <= m->size);
	must(m->status == 0 || (m->status >= 100 && m->status <= 999));
	must(
	    m->headers.len == 0 || memcmp(m->headers.ptr + m->headers.len - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < m->subject.len; i++)
		must((unsigned char)m->subject.ptr[i] > ' ');
	must(nats_header(m, "A").len <= m->headers.len);
}

/* All operations that `bytes` are, as a number; *broken_at: where they could not be read. */
static uint64_t run(const char *bytes, size_t n, size_t piece, size_t *broken_at)
{
	struct nats_parser p;
	struct hash_sum *sum = hash_sum_new();
	enum nats_op op = NATS_MORE;
	*broken_at = 0;
	nats_parser_init(&p, MESSAGE_MAX);
	for (size_t at = 0; at < n && op != NATS_BROKEN;) {
		struct slice left = {bytes + at, n - at < piece ? n - at : piece};
		size_t used = 0;
		op = nats_parse(&p, left, &used);
		must(used <= left.len && (used > 0 || op == NATS_BROKEN));
		must(op != NATS_MORE || used == left.len);
		must(p.body.cap <= MESSAGE_MAX + 2 && p.line.cap <= NATS_LINE_MAX);
		at += used;
		if (op == NATS_MORE)
			continue;
		add(sum, (struct slice){(const char *)&op, sizeof(op)});
		if (op == NATS_INFO || op == NATS_ERR)
			add(sum, p.text);
		if (op == NATS_BROKEN)
			add(sum, slice_of(p.error));
		*broken_at = op == NATS_BROKEN ? at : 0;
		if (op != NATS_MSG)
			continue;
		check_message(&p.message);
		add(sum, p.message.subject);
		add(sum, p.message.reply);
		add(sum, p.message.headers);
		add(sum, p.message.status_text);
		add(sum, p.message.payload);
		hash_sum_add(sum, &p.message.sid, sizeof(p.message.sid));
	}
	uint64_t seen = hash_sum_get(sum);
	hash_sum_free(sum);
	nats_parser_fini(&p);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const char *bytes = (const char *)data + 1;
	size_t broken_at[3];
	uint64_t whole = run(bytes, size - 1, size, &broken_at[0]);
	must(run(bytes, size - 1, 1, &broken_at[1]) == whole);
	must(run(bytes, size - 1, 1 + (size_t)data[0] % 16, &broken_at[2]) == whole);
	must(broken_at[0] == broken_at[1] && broken_at[0] == broken_at[2]);
	return 0;
}
