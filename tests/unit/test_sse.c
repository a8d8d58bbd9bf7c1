/* Server-sent events, in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sse.h"
#include "support.h"

static void keep_event(void *arg, const char *type, struct slice data)
{
	buf_printf(arg, "%s(%.*s)", type, (int)data.len, data.ptr);
}

/* Reads `text` in pieces of `size` bytes; the events that came are in `seen`. */
static bool read_in_pieces(struct sse *s, struct slice text, size_t size)
{
	bool good = true;
	for (size_t at = 0; good && at < text.len; at += size) {
		size_t left = text.len - at;
		good = sse_read(s, (struct slice){text.ptr + at, left < size ? left : size});
	}
	return good;
}

static void test_pieces(void **state)
{
	(void)state;
	const struct slice text = SLICE(": comment\nretry: 5\nid: 1\n\n"
					"id: 2\nevent: a\ndata: one\n\n"
					"data:two\r\ndata:  three\r\n\r\n"
					"data\n\n"
					"event: unused\n\n"
					"data: after\n\n"
					"id: 3\ndata: cut");
	for (size_t size = 1; size <= text.len; size++) {
		struct buf seen = BUF_INIT(1000);
		struct sse s;
		sse_init(&s, keep_event, &seen);
		sse_begin(&s);
		assert_true(read_in_pieces(&s, text, size));
		assert_string_equal(buf_cstr(&seen),
		    "a(one)message(two\n three)message()message(after)");
		assert_string_equal(s.last_id, "2"); /* the block of 3 is not complete */
		sse_begin(&s);
		assert_true(read_in_pieces(&s, SLICE("data: x\n\n"), size));
		assert_string_equal(buf_cstr(&seen),
		    "a(one)message(two\n three)message()message(after)message(x)");
		assert_string_equal(s.last_id, "2");
		sse_fini(&s);
		buf_fini(&seen);
	}
}

static void test_limits(void **state)
{
	(void)state;
	char *long_text = repeat('x', SSE_LINE_MAX + 1);
	struct buf seen = BUF_INIT(1000);
	struct sse s;
	sse_init(&s, keep_event, &seen);
	sse_begin(&s);
	assert_false(read_in_pieces(&s, slice_of(long_text), 1000));
	assert_false(sse_read(&s, SLICE("\n")));
	sse_begin(&s);
	long_text[SSE_LINE_MAX / 2] = '\0';
	assert_true(sse_read(&s, SLICE("data: ")));
	assert_true(sse_read(&s, slice_of(long_text)));
	assert_true(sse_read(&s, SLICE("\ndata: ")));
	assert_true(sse_read(&s, slice_of(long_text)));
	assert_false(sse_read(&s, SLICE("\n")));
	sse_begin(&s);
	long_text[SSE_ID_MAX + 1] = '\0';
	assert_true(sse_read(&s, SLICE("id: ")));
	assert_true(sse_read(&s, slice_of(long_text)));
	assert_true(sse_read(&s, SLICE("\ndata: x\n\n")));
	assert_string_equal(s.last_id, "");
	assert_string_equal(buf_cstr(&seen), "message(x)");
	sse_fini(&s);
	buf_fini(&seen);
	free(long_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
