/* What NATS servers send: all kinds, cut at every byte, at the limits, and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nats/nats_parse.h"
#include "support.h"

#define MESSAGE_MAX 64
#define SEEN_MAX 4096

static const char EVERYTHING[] =
    "INFO {\"server_id\":\"X\",\"max_payload\":1048576} \r\n"
    "+OK\r\n"
    "ping\r\n"
    "PONG\r\n"
    "MSG wa.events.a.b 1 5\r\nhello\r\n"
    "MSG\twa.events  1\t_INBOX.1  0\r\n\r\n"
    "MSG crlf 2 4\r\n\r\n\r\n\r\n"
    "HMSG s 9 r 12 15\r\nNATS/1.0\r\n\r\nabc\r\n"
    "HMSG s 9 32 32\r\nNATS/1.0 408 Request Timeout\r\n\r\n\r\n"
    "HMSG s 9 r 36 40\r\nNATS/1.0\r\nNats-Msg-Id: 7\r\nEmpty:\r\n\r\nbody\r\n"
    "HMSG bad 9 4 6\r\nnonexy\r\n"
    "HMSG bad 9 18 18\r\nNATS/1.0 4\r\nA: B\r\n\r\n"
    "MSG long 1 65\r\n"
    "01234567890123456789012345678901234567890123456789012345678901234\r\n"
    "MSG longest 1 64\r\n"
    "0123456789012345678901234567890123456789012345678901234567890123\r\n"
    "-ERR 'Authorization Violation'\r\n"
    "-err plain\r\n";

static const char SEEN[] = "INFO {\"server_id\":\"X\",\"max_payload\":1048576}\n"
			   "OK\n"
			   "PING\n"
			   "PONG\n"
			   "MSG wa.events.a.b 1 <> 5 0 <> [] hello\n"
			   "MSG wa.events 1 <_INBOX.1> 0 0 <> [] \n"
			   "MSG crlf 2 <> 4 0 <> [] \r\n\r\n\n"
			   "MSG s 9 <r> 15 0 <> [] abc\n"
			   "MSG s 9 <> 32 408 <Request Timeout> [] \n"
			   "MSG s 9 <r> 40 0 <> [Nats-Msg-Id: 7\r\nEmpty:\r\n] body\n"
			   "MSG bad 9 <> 6 0 <> [] xy\n"
			   "MSG bad 9 <> 18 0 <> [] \n"
			   "MSG long 1 <> 65 0 <> [] skipped\n"
			   "MSG longest 1 <> 64 0 <> [] "
			   "0123456789012345678901234567890123456789012345678901234567890123\n"
			   "ERR Authorization Violation\n"
			   "ERR plain\n";

static void note(struct buf *seen, enum nats_op op, const struct nats_parser *p)
{
	static const char *const NAMES[] = {"", "INFO ", "MSG", "PING", "PONG", "OK", "ERR ",
	    "BROKEN "};
	const struct nats_message *m = &p->message;
	buf_puts(seen, NAMES[op]);
	if (op == NATS_BROKEN)
		buf_puts(seen, p->error);
	if (op == NATS_INFO || op == NATS_ERR)
		buf_slice(seen, p->text);
	if (op == NATS_MSG) {
		buf_printf(seen, " %.*s %d <%.*s> %zu %d <%.*s> [", (int)m->subject.len,
		    m->subject.ptr, (int)m->sid, (int)m->reply.len, m->reply.ptr, m->size,
		    m->status, (int)m->status_text.len, m->status_text.ptr);
		buf_slice(seen, m->headers);
		buf_puts(seen, "] ");
		if (m->is_skipped)
			buf_puts(seen, "skipped");
		buf_slice(seen, m->payload);
	}
	buf_puts(seen, "\n");
}

/* Feeds `bytes` in pieces, of `first` bytes and then of `others`, each in memory of its own. */
static void run(struct buf *seen, struct slice bytes, size_t first, size_t others)
{
	struct nats_parser p;
	size_t piece = first;
	enum nats_op op = NATS_MORE;
	nats_parser_init(&p, MESSAGE_MAX);
	while (bytes.len > 0 && op != NATS_BROKEN) {
		size_t n = piece < bytes.len ? piece : bytes.len;
		char *copy = mem_copy(bytes.ptr, n);
		size_t at = 0;
		while (at < n && op != NATS_BROKEN) {
			size_t used = 0;
			op = nats_parse(&p, (struct slice){copy + at, n - at}, &used);
			assert_true(used > 0 && used <= n - at);
			assert_true(op != NATS_MORE || used == n - at);
			if (op != NATS_MORE)
				note(seen, op, &p);
			at += used;
		}
		free(copy);
		bytes = (struct slice){bytes.ptr + n, bytes.len - n};
		piece = others;
	}
	nats_parser_fini(&p);
}

static void expect(struct slice bytes, size_t first, size_t others, const char *wanted)
{
	struct buf seen = BUF_INIT(SEEN_MAX);
	run(&seen, bytes, first, others);
	assert_string_equal(buf_cstr(&seen), wanted);
	buf_fini(&seen);
}

static void test_all_kinds_are_read(void **state)
{
	(void)state;
	expect(SLICE(EVERYTHING), sizeof(EVERYTHING), 1, SEEN);
}

static void test_cuts_change_nothing(void **state)
{
	(void)state;
	for (size_t cut = 1; cut < sizeof(EVERYTHING); cut++) {
		expect(SLICE(EVERYTHING), cut, sizeof(EVERYTHING), SEEN);
		expect(SLICE(EVERYTHING), cut, 1, SEEN);
		expect(SLICE(EVERYTHING), cut, cut, SEEN);
	}
}

static void test_what_is_no_nats_is_named(void **state)
{
	static const struct {
		const char *bytes;
		const char *error;
	} CASES[] = {
	    {"HTTP/1.1 400 Bad Request\r\n", "a word that is not of the protocol"},
	    {"\r\n", "an empty line"},
	    {"PING\n", "a line over 64 KiB, or one that ends without a CR"},
	    {"\n", "a line over 64 KiB, or one that ends without a CR"},
	    {"PI\x01NG\r\n", "a line with a control byte"},
	    {"PING\r\r\n", "a line with a control byte"},
	    {"PINGS\r\n", "a word that is not of the protocol"},
	    {"MSG a 1\r\n", "a message with too few or too many words"},
	    {"MSG a 1 b 2 3\r\n", "a message with too few or too many words"},
	    {"HMSG a 1 3\r\n", "a message with too few or too many words"},
	    {"HMSG a 1 b 2 3 4\r\n", "a message with too few or too many words"},
	    {"MSG a x 3\r\n", "a message with a number that is none"},
	    {"MSG a 1 -3\r\n", "a message with a number that is none"},
	    {"MSG a 1 99999999999999999999\r\n", "a message with a number that is none"},
	    {"HMSG a 1 4 3\r\n", "a message with a number that is none"},
	    {"MSG a 1 67108865\r\n", "a message over 64 MiB"},
	    {"MSG a 1 18446744073709551615\r\n", "a message over 64 MiB"},
	    {"MSG a 1 3\r\nabcd\r\n", "a message that does not end where it said"},
	    {"MSG a 1 3\r\nab\r\n\r\n", "a message that does not end where it said"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		char wanted[128];
		(void)snprintf(wanted, sizeof(wanted), "BROKEN %s\n", CASES[i].error);
		expect(slice_of(CASES[i].bytes), 1, 1, wanted);
		expect(slice_of(CASES[i].bytes), 1000, 1, wanted);
	}
}

static void test_nothing_is_read_after_what_is_broken(void **state)
{
	struct nats_parser p;
	size_t used = 0;
	(void)state;
	nats_parser_init(&p, MESSAGE_MAX);
	assert_int_equal(nats_parse(&p, SLICE("NO\r\nPING\r\n"), &used), NATS_BROKEN);
	assert_int_equal(nats_parse(&p, SLICE("PING\r\n"), &used), NATS_BROKEN);
	assert_int_equal(used, 0);
	nats_parser_fini(&p);
}

/* Whatever comes, no more memory is held than a line and a message may have. */
static void test_memory_has_its_limits(void **state)
{
	struct nats_parser p;
	size_t used = 0;
	char many[1024];
	size_t fed = 0;
	(void)state;
	memset(many, 'x', sizeof(many));
	nats_parser_init(&p, MESSAGE_MAX);
	enum nats_op op = nats_parse(&p, SLICE("MSG a 1 67108864\r\n"), &used);
	while (op == NATS_MORE && fed < NATS_SIZE_MAX) {
		op = nats_parse(&p, (struct slice){many, sizeof(many)}, &used);
		fed += used;
		assert_true(p.body.cap <= MESSAGE_MAX + 2);
	}
	assert_int_equal(op, NATS_MORE);
	assert_int_equal(nats_parse(&p, SLICE("\r\n"), &used), NATS_MSG);
	assert_true(p.message.is_skipped);
	op = NATS_MORE;
	for (fed = 0; op == NATS_MORE; fed += used)
		op = nats_parse(&p, (struct slice){many, sizeof(many)}, &used);
	assert_int_equal(op, NATS_BROKEN);
	assert_true(fed <= NATS_LINE_MAX + sizeof(many) && p.line.cap <= NATS_LINE_MAX);
	nats_parser_fini(&p);
}

static void test_a_large_message_leaves_no_memory_behind(void **state)
{
	static char large[200000];
	struct nats_parser p;
	size_t used = 0;
	(void)state;
	nats_parser_init(&p, sizeof(large));
	assert_int_equal(nats_parse(&p, SLICE("MSG a 1 200000\r\n"), &used), NATS_MORE);
	assert_int_equal(nats_parse(&p, (struct slice){large, sizeof(large)}, &used),
	    NATS_MORE);
	assert_int_equal(nats_parse(&p, SLICE("\r\n"), &used), NATS_MSG);
	assert_int_equal(p.message.payload.len, sizeof(large));
	assert_int_equal(nats_parse(&p, SLICE("PING\r\n"), &used), NATS_PING);
	assert_true(p.body.cap <= 64 << 10);
	nats_parser_fini(&p);
}

static void test_headers_are_found(void **state)
{
	struct nats_message m = {
	    .headers = SLICE(
		"Nats-Msg-Id:  7 \r\nNats-Msg-Identity: 8\r\nEmpty:\r\nb: c:d\r\n")};
	(void)state;
	assert_true(slice_eq(nats_header(&m, "nats-msg-id"), SLICE("7")));
	assert_true(slice_eq(nats_header(&m, "Nats-Msg-Identity"), SLICE("8")));
	assert_true(slice_eq(nats_header(&m, "b"), SLICE("c:d")));
	assert_true(nats_header(&m, "Empty").len == 0 && nats_header(&m, "Empty").ptr != NULL);
	assert_null(nats_header(&m, "Nats").ptr);
	m.headers = (struct slice){.ptr = NULL, .len = 0};
	assert_null(nats_header(&m, "b").ptr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_kinds_are_read),
	    cmocka_unit_test(test_cuts_change_nothing),
	    cmocka_unit_test(test_what_is_no_nats_is_named),
	    cmocka_unit_test(test_nothing_is_read_after_what_is_broken),
	    cmocka_unit_test(test_memory_has_its_limits),
	    cmocka_unit_test(test_a_large_message_leaves_no_memory_behind),
	    cmocka_unit_test(test_headers_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
