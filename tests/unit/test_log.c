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
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/log_out.h"
#include "domain/json.h"
#include "support.h"

#define LINE_MAX_BYTES LOG_LINE_MAX
#define STAMP_BYTES 24 /* 2026-01-01T00:00:00.000Z */

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
    {{.key = "k", .str = SLICE_INIT("\303\244 \377 \177 \302\205")},
	"k=\"\303\244 \357\277\275 \\u007f \\u0085\"",
	"\"k\":\"\303\244 \357\277\275 \\u007f \\u0085\""},
    {{.key = "k", .str = SLICE_INIT("a\342\200\256b\360\237\223\261")},
	"k=\"a\\u202eb\360\237\223\261\"", "\"k\":\"a\\u202eb\360\237\223\261\""},
    {{.key = "k", .str = SLICE_INIT("\377\377\302\255\1")},
	"k=\"\357\277\275\357\277\275\\u00ad\\u0001\"",
	"\"k\":\"\357\277\275\357\277\275\\u00ad\\u0001\""},
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

static size_t count_lines(const struct buf *text, const char *with)
{
	size_t lines = 0;
	for (const char *at = text->data; (at = strstr(at, with)) != NULL; at++)
		lines++;
	return lines;
}

/* The sum of a field's numbers over all lines. */
static uint64_t sum_of(const struct buf *text, const char *field)
{
	uint64_t sum = 0;
	for (const char *at = text->data; (at = strstr(at, field)) != NULL; at++)
		sum += strtoull(at + strlen(field), NULL, 10);
	return sum;
}

/* A flood of one webhook is cut and counted; lines of another and of debugging are not. */
static void test_flood(void **state)
{
	(void)state;
	const size_t flood = 10000;
	struct buf got = BUF_INIT(16u << 20);
	log_setup(LOG_DEBUG, LOG_TEXT);
	log_limit(1);
	struct capture c = begin_capture();
	int64_t begun_us = clock_now_us();
	for (size_t i = 0; i < flood; i++)
		log_info("failed", LOG_S("webhook", "one"));
	for (int i = 0; i < 5; i++)
		log_info("failed", LOG_S("webhook", "two"));
	for (int i = 0; i < 30; i++)
		log_debug("failed", LOG_S("webhook", "one"));
	int64_t passed_s = (clock_now_us() - begun_us) / 1000000;
	log_setup(LOG_INFO, LOG_TEXT);
	log_limit(0);
	log_info("failed", LOG_S("webhook", "one"));
	end_capture(&c, &got);
	(void)buf_cstr(&got);
	size_t written = count_lines(&got, "level=info msg=failed") - 5;
	assert_true(written >= 10 && written <= 10 + (size_t)passed_s + 2);
	assert_int_equal(written + sum_of(&got, "held_back="), flood + 1);
	assert_int_equal(count_lines(&got, "webhook=two\n"), 5);
	assert_int_equal(count_lines(&got, "level=debug"), 30);
	buf_fini(&got);
}

/* A session with very many webhooks is cut and counted too; another one's lines are not. */
static void test_flood_of_a_session(void **state)
{
	(void)state;
	struct buf got = BUF_INIT(16u << 20);
	char webhook[16];
	log_setup(LOG_INFO, LOG_TEXT);
	log_limit(1);
	struct capture c = begin_capture();
	int64_t begun_us = clock_now_us();
	for (int i = 0; i < 100; i++) {
		(void)snprintf(webhook, sizeof(webhook), "w%d", i);
		log_info("flooded", LOG_S("session", "many"), LOG_S("webhook", webhook));
	}
	for (int i = 0; i < 5; i++)
		log_info("flooded", LOG_S("session", "other"), LOG_S("webhook", "one"));
	size_t passed_s = (size_t)((clock_now_us() - begun_us) / 1000000);
	log_limit(0);
	end_capture(&c, &got);
	(void)buf_cstr(&got);
	size_t written = count_lines(&got, "session=many");
	assert_true(written >= 40 && written <= 40 + 4 * (passed_s + 1));
	assert_int_equal(count_lines(&got, "session=other"), 5);
	buf_fini(&got);
}

/* Who does not read what we write holds nothing up, and learns how much is missing. */
static void test_nobody_reads(void **state)
{
	(void)state;
	int ends[2];
	char piece[65536];
	uint64_t lines = 0;
	int saved = dup(STDERR_FILENO);
	struct buf got = BUF_INIT(16u << 20);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_setup(LOG_INFO, LOG_TEXT);
	for (int i = 0; i < 20000; i++)
		log_info("nobody reads", LOG_N("line", i)); /* a pipe holds far less */
	ssize_t n = read(ends[0], piece, sizeof(piece));
	assert_true(n > 0);
	buf_append(&got, piece, (size_t)n);
	log_info("somebody reads", LOG_N("line", 20000));
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(saved), 0);
	assert_int_equal(close(ends[1]), 0);
	for (n = 1; n > 0; n = read(ends[0], piece, sizeof(piece))) {
		if (n > 1)
			buf_append(&got, piece, (size_t)n);
	}
	assert_int_equal(close(ends[0]), 0);
	(void)buf_cstr(&got);
	lines = count_lines(&got, "msg=\"nobody reads\"");
	assert_true(lines > 0 && lines < 20000);
	assert_int_equal(count_lines(&got, "msg=\"somebody reads\""), 1);
	assert_int_equal(lines + sum_of(&got, "lost="), 20000);
	buf_fini(&got);
}

static int listen_as_syslog(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	(void)unlink(path); /* of a daemon before */
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void expect_datagram(int fd, const char *start, const char *end)
{
	char got[8192];
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	got[n] = '\0';
	if (strncmp(got, start, strlen(start)) != 0 || strcmp(got + n - strlen(end), end) != 0)
		fail_msg("%s", got);
}

/* Lines go to the system's log, to the next daemon when it restarts, to stderr without one. */
static void test_syslog(void **state)
{
	(void)state;
	char path[] = "/tmp/waybill-log-XXXXXX";
	struct buf got = BUF_INIT(10000);
	assert_true(mkdtemp(path) != NULL);
	char at[64];
	(void)snprintf(at, sizeof(at), "%s/log", path);
	int fd = listen_as_syslog(at);
	log_setup(LOG_INFO, LOG_TEXT);
	log_out_open(at);
	log_warn("first", LOG_S("k", "v"));
	log_error("second", LOG_S("k", "v"));
	expect_datagram(fd, "<28>waybill[", "level=warn msg=first k=v");
	expect_datagram(fd, "<27>waybill[", "level=error msg=second k=v");
	assert_int_equal(close(fd), 0);
	struct capture c = begin_capture();
	log_info("third", LOG_S("k", "v"));
	end_capture(&c, &got);
	assert_non_null(strstr(buf_cstr(&got), "level=info msg=third k=v\n"));
	fd = listen_as_syslog(at);
	log_info("fourth", LOG_S("k", "v"));
	expect_datagram(fd, "<30>waybill[", "level=info msg=fourth k=v");
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(at), 0);
	assert_int_equal(rmdir(path), 0);
	log_out_open(NULL);
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
	    cmocka_unit_test(test_flood),
	    cmocka_unit_test(test_flood_of_a_session),
	    cmocka_unit_test(test_nobody_reads),
	    cmocka_unit_test(test_syslog),
	    cmocka_unit_test(test_panic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
