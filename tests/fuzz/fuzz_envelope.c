/*
 * A body that envelope_read() has made is canonical JSON and reads as an envelope
 * again, with the same members and the same bytes. Whatever is refused leaves the
 * output as it was and has a problem in words.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "domain/envelope.h"

#define OUT_MAX (1 << 24) /* bytes; above what the fuzzer's longest input can become */
#define NOW_S 1767143203

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static enum err read_text(struct slice text, struct slice session, struct buf *body,
    struct envelope *e)
{
	struct json_reader r;
	struct problem p = {.message = ""};
	struct buf scratch = BUF_INIT(OUT_MAX);
	json_init(&r, text);
	enum err err = envelope_read(&r, session, NOW_S, "", &scratch, body, e, &p);
	must((err == OK) == (p.message[0] == '\0'));
	must(err == OK || (body->len == 0 && !body->failed));
	must(r.pos <= text.len);
	json_fini(&r);
	buf_fini(&scratch);
	return err;
}

static void check_canonical(struct slice body)
{
	struct json_reader r;
	struct buf again = BUF_INIT(OUT_MAX);
	json_init(&r, body);
	must(json_read_value(&r, &again) == OK);
	must(json_read_end(&r) == OK);
	must(slice_eq(buf_view(&again), body));
	json_fini(&r);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first byte says whether the path names the session. */
	if (size == 0)
		return 0;
	struct slice session = data[0] % 2 == 0 ? SLICE("s") : SLICE("");
	struct slice text = {(const char *)data + 1, size - 1};
	struct buf once = BUF_INIT(OUT_MAX);
	struct buf twice = BUF_INIT(OUT_MAX);
	struct envelope e;
	struct envelope again;
	if (read_text(text, session, &once, &e) == OK) {
		check_canonical(e.body);
		must(read_text(e.body, SLICE(""), &twice, &again) == OK);
		must(slice_eq(e.body, again.body));
		must(again.timestamp_s == e.timestamp_s && again.id[0] == '\0');
		must(slice_eq(slice_of(e.session), slice_of(again.session)));
		must(slice_eq(slice_of(e.event), slice_of(again.event)));
	}
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
