/*
 * Canonical JSON is a fixed point: what the reader makes of any text it takes, it
 * takes again and leaves as it is. So is sorted JSON, which is no longer and no shorter. An
 * error has a text and an offset in the input.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "domain/json.h"

#define OUT_MAX (1 << 24) /* bytes; above what the fuzzer's longest input can become */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static enum err canonical(struct slice text, struct buf *out)
{
	struct json_reader r;
	json_init(&r, text);
	enum err err = json_read_value(&r, out);
	if (err == OK)
		err = json_read_end(&r);
	must(r.pos <= text.len);
	must(err == OK || r.error != NULL);
	json_fini(&r);
	return err;
}

static void check_sorted(struct slice text)
{
	struct buf once = BUF_INIT(OUT_MAX);
	struct buf twice = BUF_INIT(OUT_MAX);
	must(json_sort(text, &once) == OK);
	must(once.len == text.len);
	must(json_sort(buf_view(&once), &twice) == OK);
	must(slice_eq(buf_view(&once), buf_view(&twice)));
	buf_fini(&once);
	buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = BUF_INIT(OUT_MAX);
	struct buf twice = BUF_INIT(OUT_MAX);
	if (canonical((struct slice){(const char *)data, size}, &once) == OK) {
		must(canonical(buf_view(&once), &twice) == OK);
		must(slice_eq(buf_view(&once), buf_view(&twice)));
	}
	if (once.len > 0)
		check_sorted(buf_view(&once));
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
