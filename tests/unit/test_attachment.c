/* Attachments: the round trip, the front alone, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "domain/attachment.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LARGE_MAX (1u << 20) /* bytes */

static void assert_slice(struct slice got, struct slice want)
{
	assert_int_equal(got.len, want.len);
	assert_true(slice_eq(got, want));
}

static struct attachment make(size_t headers, struct slice value, struct slice body)
{
	struct attachment a = {.type = value, .body = body, .header_count = headers};
	for (size_t i = 0; i < headers; i++)
		a.headers[i] = (struct attachment_header){SLICE("X-Name"), value, i % 2 == 1};
	return a;
}

static void assert_same(const struct attachment *got, const struct attachment *want)
{
	assert_slice(got->type, want->type);
	assert_int_equal(got->header_count, want->header_count);
	for (size_t i = 0; i < want->header_count; i++) {
		assert_slice(got->headers[i].name, want->headers[i].name);
		assert_slice(got->headers[i].value, want->headers[i].value);
		assert_int_equal(got->headers[i].is_secret, want->headers[i].is_secret);
	}
}

static void test_round_trip(void **state)
{
	static char value[HEADER_VALUE_MAX];
	static char body[LARGE_MAX / 2];
	(void)state;
	memset(value, 'v', sizeof(value));
	const struct slice values[] = {SLICE_INIT("v"), {value, sizeof(value)}};
	const struct slice bodies[] = {SLICE_INIT(""), SLICE_INIT("a\0b"),
	    {body, sizeof(body)}};
	for (size_t i = 0; i < COUNT(values) * COUNT(bodies) * 17; i++) {
		struct buf out = BUF_INIT(LARGE_MAX);
		struct attachment got;
		struct attachment a = make(i % 17, values[i / 17 % 2], bodies[i / 34]);
		attachment_encode(&a, &out);
		assert_false(out.failed);
		assert_true(out.len - a.body.len <= ATTACHMENT_FRONT_MAX);
		assert_int_equal(attachment_decode(buf_view(&out), &got), OK);
		assert_same(&got, &a);
		assert_slice(got.body, a.body);
		/* the body is the end: the front tells all the rest */
		struct slice front = buf_view(&out);
		if (front.len > ATTACHMENT_FRONT_MAX)
			front.len = ATTACHMENT_FRONT_MAX;
		assert_int_equal(attachment_decode(front, &got), OK);
		assert_same(&got, &a);
		assert_int_equal(front.len - got.body.len, out.len - a.body.len);
		buf_fini(&out);
	}
}

/* Each beginning that lacks a part of the front is refused, and leaves the result alone. */
static void test_cut_off(void **state)
{
	struct buf out = BUF_INIT(LARGE_MAX);
	struct attachment a = make(3, SLICE("value"), SLICE(""));
	(void)state;
	attachment_encode(&a, &out);
	for (size_t n = 0; n < out.len; n++) {
		struct attachment got = {.header_count = 99};
		/* bytes of its own, for the sanitizer to see a read behind them */
		char *copy = malloc(n + 1);
		assert_non_null(copy);
		memcpy(copy, out.data, n);
		assert_int_equal(attachment_decode((struct slice){copy, n}, &got), ERR_CORRUPT);
		assert_int_equal(got.header_count, 99);
		free(copy);
	}
	out.data[0] = 1; /* another version */
	assert_int_equal(attachment_decode(buf_view(&out), &a), ERR_CORRUPT);
	buf_fini(&out);
	struct buf many = BUF_INIT(LARGE_MAX);
	buf_append(&many, "\2\0\0\21", 4); /* 17 headers */
	for (int i = 0; i < 17; i++)
		buf_append(&many, "\0\0\1n\0\1v", 7);
	assert_int_equal(attachment_decode(buf_view(&many), &a), ERR_CORRUPT);
	many.data[3] = 16;
	assert_int_equal(attachment_decode(buf_view(&many), &a), OK);
	assert_slice(a.body, SLICE("\0\0\1n\0\1v"));
	many.data[4] = 2; /* neither a secret nor none */
	assert_int_equal(attachment_decode(buf_view(&many), &a), ERR_CORRUPT);
	buf_fini(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_cut_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
