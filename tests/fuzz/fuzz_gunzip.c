/*
 * gunzip(): never more than the limit, and the limit alone says when it is too much; a text
 * that lacks its last byte is none; two texts, one behind the other, hold what both hold.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/gunzip.h"
#include "base/log.h"

#define OUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err unpack(struct slice text, size_t limit, struct buf *out)
{
	*out = BUF_INIT(limit);
	enum err err = gunzip(text, out);
	panic_if(out->len > limit, "over the limit");
	panic_if((err == ERR_TOOBIG) != out->failed, "the limit is not what refused it");
	return err;
}

/* Asserts that with another limit, or of a part, it is an error; which one is no matter. */
static void must_fail(struct slice text, size_t limit)
{
	struct buf out;
	panic_if(unpack(text, limit, &out) == OK, "it has become less, and is good");
	buf_fini(&out);
}

static void check_twice(struct slice text, struct slice once)
{
	struct buf both = BUF_INIT(2 * text.len);
	struct buf out;
	buf_slice(&both, text);
	buf_slice(&both, text);
	enum err err = unpack(buf_view(&both), 2 * OUT_MAX, &out);
	panic_if(err != OK && err != ERR_INVALID, "one behind the other is none");
	panic_if(err == OK &&
		(out.len != 2 * once.len || !slice_starts(buf_view(&out), once) ||
		    memcmp(out.data + once.len, once.ptr, once.len) != 0),
	    "one behind the other is another");
	buf_fini(&both);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *)data, size};
	struct buf out;
	if (unpack(text, OUT_MAX, &out) == OK) {
		must_fail((struct slice){text.ptr, text.len - 1}, OUT_MAX);
		if (out.len > 0) {
			must_fail(text, out.len - 1);
			check_twice(text, buf_view(&out));
		}
	}
	buf_fini(&out);
	return 0;
}
