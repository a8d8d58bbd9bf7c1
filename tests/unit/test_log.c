/*
 * Log lines as they come out of standard error: text and JSON, what is quoted and what is
 * masked, levels, lines that would be too long; and panics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "domain/json.h"
#include "support.h"

#define LINE_MAX_BYTES 8192
#define STAMP_BYTES 24 /* 2026-01-01T00:00:00.000Z */

/* Standard error while it goes to a file. */
struct capture {
	FILE *file;
	int saved;
};

static struct capture begin_capture(void)
{
	struct capture c = {.file = tmpfile(), .saved = dup(STDERR_FILENO)};
	assert_non_null(c.file);
	assert_true(c.saved >= 0);
	assert_int_equal(dup2(fileno(c.file), STDERR_FILENO), STDERR_FILENO);
	return c;
}

/* Ends it, and appends what was written to `out`. */
static void end_capture(struct capture *c, struct buf *out)
{
	char piece[4096];
	assert_int_equal(dup2(c->saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(c->saved), 0);
	rewind(c->file);
	size_t n = fread(piece, 1, sizeof(piece), c->file);
	for (; n > 0; n = fread(piece, 1, sizeof(piece), c->file))
		buf_append(out, piece, n);
	assert_int_equal(fclose(c->file), 0);
}

/* Writes one line and takes its time out, which is checked to look like one. */
static void write_line(enum log_level level, const struct log_field *fields, struct buf *out)
{
	struct capture c = begin_capture();
	log_write(level, "a message", fields);
	buf_reset(out);
	end_capture(&c, out);
	const char *start = strstr(buf_cstr(out), "20");
	if (start == NULL)
		return;
	assert_true(out->len > (size_t)(start - out->data) + STAMP_BYTES);
	assert_int_equal(start[10], 'T');
	assert_int_equal(start[STAMP_BYTES - 1], 'Z');
	size_t at = (size_t)(start - out->data);
	memmove(out->data + at, start + STAMP_BYTES, out->len - at - STAMP_BYTES);
	out->len -= STAMP_BYTES;
}

static const struct row {
	struct log_field field;
	const char *text, *json;
} ROWS[] = {
    {{.key = "k", .str = SLICE_INIT("plain-value_1/2:3,[x]")}, "k=plain-value_1/2:3,[x]",
	"\"k\":\"plain-value_1/2:3,[x]\""},
    {{.key = "k", .str = SLICE_INIT("")}, "k=\"\"", "\"k\":\"\""},
    {{.key = "k"}, "k=\"\"", "\"k\":\"\""},
    {{.key = "k", .str = SLICE_INIT("two words")}, "k=\"two words\"", "\"k\":\"two words\""},
    {{.key = "k", .str = SLICE_INIT("a=b")}, "k=\"a=b\"", "\"k\":\"a=b\""},
    {{.key = "k", .str = SLICE_INIT("say \"hi\"")}, "k=\"say \\\"hi\\\"\"",
	"\"k\":\"say \\\"hi\\\"\""},
    {{.key = "k", .str = SLICE_INIT("back\\slash")}, "k=\"back\\\\slash\"",
	"\"k\":\"back\\\\slash\""},
    {{.key = "k", .str = SLICE_INIT("a\nlevel=error\r\t\0\33[2J")},
	"k=\"a\\nlevel=error\\r\\t\\u0000\\u001b[2J\"",
	"\"k\":\"a\\nlevel=error\\r\\t\\u0000\\u001b[2J\""},
    {{.key = "k", .str = SLICE_INIT("\303\244 \377 \177 \302\205")}, "k=\"?? ? ? ??\"",
	"\"k\":\"?? ? ? ??\""},
    {{.key = "k", .num = 0, .is_num = true}, "k=0", "\"k\":0"},
    {{.key = "k", .num = INT64_MIN, .is_num = true}, "k=-9223372036854775808",
	"\"k\":-9223372036854775808"},
    {{.key = "k", .num = INT64_MAX, .is_num = true}, "k=9223372036854775807",
	"\"k\":9223372036854775807"},
};

static void test_values(void **state)
{
	(void)state;
	for (int json = 0; json <= 1; json++) {
		log_setup(LOG_INFO, json ? LOG_JSON : LOG_TEXT);
		for (size_t i = 0; i < COUNT(ROWS); i++) {
			struct buf got = BUF_INIT(10000);
			struct buf want = BUF_INIT(10000);
			write_line(LOG_WARN, LOG_FIELDS(ROWS[i].field), &got);
			if (json)
				buf_printf(&want,
				    "{\"time\":\"\",\"level\":\"warn\",\"msg\":\"a message\","
				    "%s}\n",
				    ROWS[i].json);
			else
				buf_printf(&want, "time= level=warn msg=\"a message\" %s\n",
				    ROWS[i].text);
			if (!slice_eq(buf_view(&got), buf_view(&want)))
				fail_msg("row %zu: %s", i, buf_cstr(&got));
			buf_fini(&want);
			buf_fini(&got);
		}
	}
}

static void test_several_fields(void **state)
{
	(void)state;
	struct buf got = BUF_INIT(10000);
	log_setup(LOG_DEBUG, LOG_TEXT);
	struct capture c = begin_capture();
	log_info("first", LOG_S("a", "1"), LOG_N("b", 2), LOG_V("c", SLICE("3 4")));
	log_error("second", LOG_S("a", "1"));
	end_capture(&c, &got);
	assert_non_null(strstr(buf_cstr(&got), " level=info msg=first a=1 b=2 c=\"3 4\"\n"));
	assert_non_null(strstr(buf_cstr(&got), " level=error msg=second a=1\n"));
	buf_fini(&got);
}

static void test_levels(void **state)
{
	(void)state;
	static const enum log_level LEVELS[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};
	static const char *const NAMES[] = {"debug", "info", "warn", "error"};
	struct buf got = BUF_INIT(10000);
	for (size_t least = 0; least < COUNT(LEVELS); least++) {
		log_setup(LEVELS[least], LOG_TEXT);
		for (size_t i = 0; i < COUNT(LEVELS); i++) {
			write_line(LEVELS[i], LOG_FIELDS(LOG_S("k", "v")), &got);
			assert_int_equal(got.len > 0, i >= least);
			assert_int_equal(log_enabled(LEVELS[i]), i >= least);
			if (got.len > 0)
				assert_non_null(strstr(buf_cstr(&got), NAMES[i]));
		}
	}
	buf_fini(&got);
}

/* A field that makes the line too long is left out; those around it are there, and the end. */
static void test_too_long(void **state)
{
	(void)state;
	char value[LINE_MAX_BYTES + 1];
	memset(value, 'x', sizeof(value));
	for (size_t cut = 0; cut < 120; cut++) {
		for (int json = 0; json <= 1; json++) {
			struct buf got = BUF_INIT(2 * LINE_MAX_BYTES);
			struct json_reader r;
			struct buf canonical = BUF_INIT(2 * LINE_MAX_BYTES);
			log_setup(LOG_INFO, json ? LOG_JSON : LOG_TEXT);
			struct capture c = begin_capture();
			log_info("m", LOG_S("a", "1"),
			    LOG_V("b", ((struct slice){value, LINE_MAX_BYTES - cut})),
			    LOG_S("c", "3"));
			end_capture(&c, &got);
			assert_true(got.len > 0 && got.len <= LINE_MAX_BYTES);
			assert_int_equal(got.data[got.len - 1], '\n');
			assert_ptr_equal(memchr(got.data, '\n', got.len),
			    got.data + got.len - 1);
			bool long_is_in = got.len > LINE_MAX_BYTES / 2;
			if (cut == 0)
				assert_false(long_is_in);
			if (cut == 119)
				assert_true(long_is_in);
			json_init(&r, buf_view(&got));
			if (json && json_read_value(&r, &canonical) != OK)
				fail_msg("cut %zu: %s", cut, r.error);
			json_fini(&r);
			if (!long_is_in)
				assert_non_null(
				    strstr(buf_cstr(&got), json ? "\"c\":" : " c=3"));
			buf_fini(&canonical);
			buf_fini(&got);
		}
	}
}

static void test_errno_stays(void **state)
{
	(void)state;
	struct buf got = BUF_INIT(10000);
	int closed = dup(STDERR_FILENO);
	log_setup(LOG_INFO, LOG_TEXT);
	struct capture c = begin_capture();
	errno = ENOSPC;
	log_info("m", LOG_S("k", "v"));
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(close(STDERR_FILENO), 0);
	errno = ENOSPC;
	log_info("m", LOG_S("k", "v")); /* nowhere to */
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(dup2(closed, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(closed), 0);
	end_capture(&c, &got);
	buf_fini(&got);
}

static void panic_now(void *arg)
{
	panic_if(arg == NULL, "never");
	panic_if(arg != NULL, "number %d", 7);
}

static void test_panic(void **state)
{
	(void)state;
	struct buf got = BUF_INIT(10000);
	assert_true(panics(panic_now, &got));
	panic_if(got.len > 0, "a condition that does not hold");
	buf_fini(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_several_fields),
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_too_long),
	    cmocka_unit_test(test_errno_stays),
	    cmocka_unit_test(test_panic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
