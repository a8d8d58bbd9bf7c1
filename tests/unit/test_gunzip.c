/* gzip undone within limits: of bytes, and of work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/gunzip.h"

/* printf hello | gzip -n; its header, then its one block and sums. */
#define REST "\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00"
#define HELLO HEAD REST
#define HEAD "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
#define EMPTY_BLOCK "\x00\x00\x00\xff\xff" /* stored, not the last one */

static void test_members(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		const char *plain; /* NULL: refused */
	} ROWS[] = {
	    {SLICE_INIT(HELLO), "hello"}, {SLICE_INIT(HELLO HELLO), "hellohello"},
	    {SLICE_INIT(""), NULL}, {SLICE_INIT("{}"), NULL}, {SLICE_INIT(HEAD), NULL},
	    {SLICE_INIT(HELLO "x"), NULL}, {SLICE_INIT(HELLO HEAD), NULL},
	    {SLICE_INIT("\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15"),
		NULL}, /* zlib */
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf out = BUF_INIT(100);
		enum err err = gunzip(ROWS[i].text, &out);
		const char *plain = ROWS[i].plain;
		bool good = plain == NULL
		    ? err == ERR_SYNTAX
		    : err == OK && slice_eq(buf_view(&out), slice_of(plain));
		if (!good)
			fail_msg("row %zu: %s, %zu bytes", i, err_text(err), out.len);
		buf_fini(&out);
	}
}

/* Cut anywhere, or with any bit another one, it is never taken for another text. */
static void test_damage(void **state)
{
	(void)state;
	const struct slice whole = SLICE(HELLO);
	for (size_t cut = 0; cut < whole.len; cut++) {
		struct buf out = BUF_INIT(100);
		assert_int_equal(gunzip((struct slice){whole.ptr, cut}, &out), ERR_SYNTAX);
		buf_fini(&out);
	}
	for (size_t bit = 8 * 10; bit < 8 * whole.len; bit++) { /* behind the header */
		char text[sizeof(HELLO)];
		struct buf out = BUF_INIT(100);
		memcpy(text, whole.ptr, whole.len);
		text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
		/* some bits behind the last block's end are nobody's */
		if (gunzip((struct slice){text, whole.len}, &out) == OK)
			assert_true(slice_eq(buf_view(&out), SLICE("hello")));
		buf_fini(&out);
	}
}

static void test_limit(void **state)
{
	(void)state;
	static const struct {
		size_t limit;
		enum err err;
	} ROWS[] = {{0, ERR_TOOBIG}, {4, ERR_TOOBIG}, {5, OK}, {6, OK}};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf out = BUF_INIT(ROWS[i].limit);
		assert_int_equal(gunzip(SLICE(HELLO), &out), ROWS[i].err);
		assert_true(out.len <= ROWS[i].limit);
		buf_fini(&out);
	}
}

/* Blocks that hold nothing are work for nothing: some are taken, and not any number. */
static void test_empty_blocks(void **state)
{
	(void)state;
	for (size_t count = 500; count <= 5000; count += 4500) {
		struct buf text = BUF_INIT(1u << 20);
		struct buf out = BUF_INIT(1u << 20);
		buf_slice(&text, SLICE(HEAD));
		for (size_t i = 0; i < count; i++)
			buf_slice(&text, SLICE(EMPTY_BLOCK));
		buf_slice(&text, SLICE(REST));
		assert_int_equal(gunzip(buf_view(&text), &out),
		    count < 1000 ? OK : ERR_INVALID);
		buf_fini(&text);
		buf_fini(&out);
	}
}

/* What was packed comes back; nothing is packed that would be longer, or has no room. */
static void test_pack(void **state)
{
	(void)state;
	static const struct {
		size_t len, limit;
		bool repeats, fits;
	} ROWS[] = {{0, 100, true, false}, {1, 100, true, false}, {20, 100, false, false},
	    {100, 100, true, true}, {100, 20, true, false}, {1u << 20, 1u << 20, true, true},
	    {1u << 20, 1000, true, false}, {65536, 1u << 20, false, false}};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf text = BUF_INIT(1u << 20);
		struct buf packed = BUF_INIT(ROWS[i].limit);
		struct buf out = BUF_INIT(1u << 20);
		uint32_t n = 1;
		while (text.len < ROWS[i].len) {
			n = n * 1664525 + 1013904223;
			buf_putc(&text, ROWS[i].repeats ? 'x' : (char)(n >> 24));
		}
		if (gunzip_pack(buf_view(&text), &packed) != ROWS[i].fits)
			fail_msg("row %zu", i);
		if (ROWS[i].fits) {
			assert_true(packed.len < text.len);
			assert_true(packed.cap <= 2 * packed.len + 100);
			assert_int_equal(gunzip(buf_view(&packed), &out), OK);
			assert_true(slice_eq(buf_view(&out), buf_view(&text)));
		} else {
			assert_int_equal(packed.len, 0);
			assert_false(packed.failed);
		}
		buf_fini(&text);
		buf_fini(&packed);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_members),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_empty_blocks),
	    cmocka_unit_test(test_pack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
