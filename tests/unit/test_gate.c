/*
 * The request gate: a table of requests and what becomes of each, whole and cut
 * at every place; the limits to the byte; the byte classes against lists spelled
 * out here; what it tells its caller; requests one after another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"
#include "http/gate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct gate_limits LIMITS = {
    .line_max = 128,
    .head_max = 512,
    .headers_max = 8,
    .body_max = 1000,
};

struct outcome {
	enum gate_state state;
	size_t used;
	struct gate gate;
};

static void feed(struct outcome *o, const char *bytes, size_t n)
{
	size_t used = 0;
	o->state = gate_feed(&o->gate, bytes, n, &used);
	o->used += used;
	assert_true(used <= n);
	assert_true(used == n || o->state == GATE_DONE || o->state == GATE_REFUSED);
}

static struct outcome run_whole(struct slice text)
{
	struct outcome o = {.state = GATE_HEAD};
	gate_init(&o.gate, &LIMITS);
	feed(&o, text.ptr, text.len);
	return o;
}

static struct outcome run_cut(struct slice text, size_t cut)
{
	struct outcome o = {.state = GATE_HEAD};
	gate_init(&o.gate, &LIMITS);
	feed(&o, text.ptr, cut);
	feed(&o, text.ptr + cut, text.len - cut);
	return o;
}

static struct outcome run_bytewise(struct slice text)
{
	struct outcome o = {.state = GATE_HEAD};
	gate_init(&o.gate, &LIMITS);
	for (size_t i = 0; i < text.len; i++)
		feed(&o, text.ptr + i, 1);
	return o;
}

static const char *or_none(const char *s)
{
	return s == NULL ? "none" : s;
}

struct row {
	int status; /* 0: not refused */
	enum gate_state state;
	const char *reason; /* a part of it */
	struct slice text;
};

/* clang-format off */
#define GOOD(text)                 {0, GATE_DONE, NULL, SLICE_INIT(text)}
#define HEAD(text)                 {0, GATE_HEAD, NULL, SLICE_INIT(text)}
#define BODY(text)                 {0, GATE_BODY, NULL, SLICE_INIT(text)}
#define BAD(status, reason, text)  {status, GATE_REFUSED, reason, SLICE_INIT(text)}
#define H "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" H
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct row ROWS[] = {
    /* Requests as clients send them. */
    GOOD("GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"),
    GOOD("GET /a/b?c=d%20e&f[]=*:~ HTTP/1.1\r\nHost: [::1]:80\r\nAccept: */*\r\n\r\n"),
    GOOD("HEAD / HTTP/1.1\r\n" H "\r\n"),
    GOOD("DELETE /x HTTP/1.1\r\n" H "\r\n"),
    GOOD("DELETE /x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
    GOOD("OPTIONS * HTTP/1.1\r\n" H "\r\n"),
    GOOD("OPTIONS /x HTTP/1.1\r\n" H "\r\n"),
    GOOD("GET / HTTP/1.0\r\n\r\n"),
    GOOD("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab"),
    GOOD(POST "Content-Length: 5\r\n\r\nhello"),
    GOOD(POST "content-length:5\r\n\r\nhello"),
    GOOD(POST "Content-Length:   5   \r\n\r\nhello"),
    GOOD(POST "Content-Length: 005\r\n\r\nhello"),
    GOOD(POST "Content-Length: 4\r\n\r\n\0\r\n\xff"),
    GOOD(POST "Content-Length: 0\r\n\r\n"),
    GOOD(POST "\r\n"),
    GOOD(POST "Connection: keep-alive\r\n\r\n"),
    GOOD("PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n."),
    GOOD("PATCH / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n."),
    GOOD(CHUNKED "5\r\nhello\r\n0\r\n\r\n"),
    GOOD(CHUNKED "0\r\n\r\n"),
    GOOD(CHUNKED "00000000\r\n\r\n"),
    GOOD(CHUNKED "a\r\n0123456789\r\nF\r\n012345678901234\r\n0\r\n\r\n"),
    GOOD(CHUNKED "0A\r\n0123456789\r\n00b\r\n\r\n\r\n\0\0\0\0\0\0\0\r\n0\r\n\r\n"),
    GOOD(POST "TRANSFER-ENCODING:CHUNKED\r\n\r\n0\r\n\r\n"),
    GOOD(POST "Transfer-Encoding: chunked  \r\n\r\n0\r\n\r\n"),
    GOOD(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n."),
    GOOD("\r\nGET / HTTP/1.1\r\n" H "\r\n"),
    GOOD("GET / HTTP/1.1\r\nHOST:a\r\nEmpty:\r\nX: a\tb \r\nX: c\r\n\r\n"),
    GOOD("GET / HTTP/1.1\r\nA-Name-Longer-Than-Any-That-Matters: 1\r\n" H "\r\n"),
    GOOD("GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n"),

    /* Not yet complete. */
    HEAD(""), HEAD("\r"), HEAD("\r\n"), HEAD("P"), HEAD("GET /"), HEAD("GET / HTTP/1.1"),
    HEAD("GET / HTTP/1.1\r"), HEAD("GET / HTTP/1.1\r\n"), HEAD(POST), HEAD(POST "\r"),
    HEAD(POST "Content-Length: 1"),
    BODY(POST "Content-Length: 5\r\n\r\n"), BODY(POST "Content-Length: 5\r\n\r\nhell"),
    BODY(CHUNKED), BODY(CHUNKED "5"), BODY(CHUNKED "5\r\nhello"), BODY(CHUNKED "0\r\n\r"),

    /* Request lines. */
    BAD(400, "request line", " GET / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request line", "GET\t/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request line", "G\xc3\x89T / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request line", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
    BAD(400, "request line", "GET\r\n\r\n"),
    BAD(400, "request line", "GET /\r\n\r\n"),
    BAD(400, "request line", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request line", "\nGET / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "CR LF", "\rGET / HTTP/1.1\r\n" H "\r\n"),
    BAD(501, "method", "get / HTTP/1.1\r\n" H "\r\n"),
    BAD(501, "method", "TRACE / HTTP/1.1\r\n" H "\r\n"),
    BAD(501, "method", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n"),
    BAD(501, "method", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BAD(501, "method", "GETT / HTTP/1.1\r\n" H "\r\n"),
    BAD(501, "method", "A-METHOD-OF-MORE-THAN-TWENTY-BYTES / HTTP/1.1\r\n"),
    BAD(400, "begins with /", "GET  / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "begins with /", "GET http://a/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "begins with /", "GET a:80 HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "begins with /", "GET * HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "begins with /", "GET ?a HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "begin with //", "GET //a/b HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "target", "OPTIONS *x HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "target", "GET /a\tb HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "target", "GET /a#b HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "target", "GET /\0 HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "target", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "version", "GET /a b HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "version", "GET /  HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "version", "GET / HTTP/1.1 \r\n" H "\r\n"),
    BAD(400, "version", "GET / http/1.1\r\n" H "\r\n"),
    BAD(400, "version", "GET / HTTP/1\r\n" H "\r\n"),
    BAD(400, "version", "GET / HTTP/01.1\r\n" H "\r\n"),
    BAD(400, "version", "GET / HTTP/1.1HTTP/1.1HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "version", "GET / ICY/1.1\r\n" H "\r\n"),
    BAD(400, "version", "GET / HTTP/1,1\r\n" H "\r\n"),
    BAD(505, "HTTP/1.1", "GET / HTTP/2.0\r\n" H "\r\n"),
    BAD(505, "HTTP/1.1", "GET / HTTP/1.2\r\n" H "\r\n"),
    BAD(505, "HTTP/1.1", "GET / HTTP/0.9\r\n" H "\r\n"),
    BAD(400, "CR LF", "GET / HTTP/1.1\nHost: a\n\n"),
    BAD(400, "CR LF", "GET / HTTP/1.1\rHost: a\r\r"),

    /* Header lines. */
    BAD(400, "begin with a space", "GET / HTTP/1.1\r\n " H "\r\n"),
    BAD(400, "begin with a space", POST "X: a\r\n b\r\n\r\n"),
    BAD(400, "begin with a space", POST "X: a\r\n\tb\r\n\r\n"),
    BAD(400, "begin with a space", POST "Content-Length: 1\r\n 0\r\n\r\n."),
    BAD(400, "hold no space", POST "X : a\r\n\r\n"),
    BAD(400, "hold no space", POST "X\t: a\r\n\r\n"),
    BAD(400, "hold no space", POST "X Y: a\r\n\r\n"),
    BAD(400, "have a name", POST ": a\r\n\r\n"),
    BAD(400, "hold no space", POST "no colon\r\n\r\n"),
    BAD(400, "token", POST "X\r\n\r\n"),
    BAD(400, "token", POST "X\0Y: a\r\n\r\n"),
    BAD(400, "token", POST "X(Y): a\r\n\r\n"),
    BAD(400, "token", POST "\xc3\x84: a\r\n\r\n"),
    BAD(400, "printable", POST "X: a\0b\r\n\r\n"),
    BAD(400, "printable", POST "X: a\x0b\r\n\r\n"),
    BAD(400, "printable", POST "X: \x7f\r\n\r\n"),
    BAD(400, "printable", POST "X: \xe9\r\n\r\n"),
    BAD(400, "CR LF", POST "X: a\nY: b\r\n\r\n"),
    BAD(400, "CR LF", POST "X: a\rY: b\r\n\r\n"),
    BAD(400, "CR LF", POST "X: a\r\r\n\r\n"),
    BAD(400, "CR LF", POST "\r\r\n"),
    BAD(400, "token", POST "\n"),

    /* Host. */
    BAD(400, "Host", "GET / HTTP/1.1\r\n\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\nX-Host: a\r\n\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\n" H H "\r\n"),
    BAD(400, "Host", "GET / HTTP/1.0\r\n" H H "\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\nHost:\t \r\n\r\n"),
    BAD(400, "Host", "GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n"),
    GOOD("GET / HTTP/1.1\r\nHost:\ta\t \r\n\r\n"),

    /* Content-Length. */
    BAD(400, "Content-Length", POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    BAD(400, "Content-Length", POST "Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 3, 3\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 3 4\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: +3\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: -3\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 0x3\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 3.0\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 3;\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: abc\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length:\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length:\t3\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 3\t\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 18446744073709551619\r\n\r\nabc"),
    BAD(400, "Content-Length", POST "Content-Length: 00000000000000000000000000003\r\n\r\nabc"),
    BAD(400, "printable", POST "Content-Length: 3\0\r\n\r\nabc"),
    BAD(413, "too many bytes", POST "Content-Length: 9223372036854775807\r\n\r\n"),
    BAD(413, "too many bytes", POST "Content-Length: 9999999999999999999\r\n\r\n"),
    BAD(400, "no body", "GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"),
    BAD(400, "no body", "HEAD / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"),
    BAD(400, "no body", "DELETE / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"),
    BAD(400, "no body", "OPTIONS * HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"),
    BAD(400, "no body", "GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),

    /* Transfer-Encoding, alone, disguised, and together with a length. */
    BAD(400, "excludes", POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r"),
    BAD(400, "excludes", POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0"),
    BAD(400, "HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: xchunked\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: chunkedx\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: identity\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: ,chunked\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding:\tchunked\r\n\r\n"),
    BAD(400, "Transfer-Encoding", POST "Transfer-Encoding:\r\n\r\n"),
    BAD(400, "Transfer-Encoding",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
    BAD(400, "Transfer-Encoding",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD(400, "printable", POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n"),
    BAD(400, "printable", POST "Transfer-Encoding: chunked\0\r\n\r\n"),
    BAD(400, "CR LF", POST "X: y\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD(400, "hold no space", POST "Transfer-Encoding : chunked\r\n\r\n"),
    BAD(400, "chunked, once", POST "Transfer-Encoding:\r\n chunked\r\n\r\n"),
    BAD(400, "with one -", POST "Transfer_Encoding: chunked\r\n\r\n"),
    BAD(400, "with one -", POST "content_length: 3\r\n\r\n"),
    BAD(400, "with one -", POST "Transfer---Encoding: chunked\r\n\r\n"),
    BAD(400, "with one -", POST "-transfer.encoding-: chunked\r\n\r\n"),
    BAD(400, "with one -", POST "TransferEncoding: chunked\r\n\r\n"),
    BAD(400, "with one -", POST "Content'Length: 3\r\n\r\n"),
    GOOD(POST "X-Content-Length: 3\r\nContent-Lengths: 3\r\nTransfer-Encodin: a\r\n\r\n"),
    GOOD(POST "Content-Length-Of-Nothing-At-All-Here: 3\r\n--: a\r\n\r\n"),

    /* Expect. */
    BAD(417, "100-continue", POST "Expect: 200-ok\r\n\r\n"),
    BAD(417, "100-continue", POST "Expect:\r\n\r\n"),
    BAD(417, "100-continue", POST "Expect: 100-continue, x\r\n\r\n"),

    /* Chunks. */
    BAD(400, "hex digits", CHUNKED "\r\n"),
    BAD(400, "hex digits", CHUNKED "x\r\n"),
    BAD(400, "hex digits", CHUNKED "0x5\r\nhello\r\n"),
    BAD(400, "hex digits", CHUNKED "+5\r\nhello\r\n"),
    BAD(400, "hex digits", CHUNKED "-1\r\n"),
    BAD(400, "hex digits", CHUNKED " 5\r\nhello\r\n"),
    BAD(400, "hex digits", CHUNKED "5 \r\nhello\r\n"),
    BAD(400, "hex digits", CHUNKED "5;a=b\r\nhello\r\n"),
    BAD(400, "hex digits", CHUNKED "5\nhello\r\n"),
    BAD(400, "hex digits", CHUNKED "000000005\r\nhello\r\n"),
    BAD(400, "hex digits", CHUNKED "10000000000000005\r\nhello\r\n"),
    BAD(400, "CR LF", CHUNKED "5\r\rhello\r\n"),
    BAD(400, "long as it says", CHUNKED "4\r\nhello\r\n"),
    BAD(400, "long as it says", CHUNKED "5\r\nhello\n0\r\n\r\n"),
    BAD(400, "long as it says", CHUNKED "5\r\nhello\r0\r\n\r\n"),
    BAD(400, "long as it says", CHUNKED "6\r\nhello\r\n0\r\n\r\n"),
    BAD(400, "trailers", CHUNKED "0\r\nX: a\r\n\r\n"),
    BAD(400, "trailers", CHUNKED "0\r\n\n"),
    BAD(400, "CR LF", CHUNKED "0\r\n\rG"),
    BAD(413, "too many bytes", CHUNKED "ffffffff\r\n"),
};
/* clang-format on */

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct row *row = &ROWS[i];
		struct outcome o = run_whole(row->text);
		if (o.state != row->state || o.gate.status != row->status)
			fail_msg("row %zu (%.70s): state %d, status %d, reason %s", i,
			    row->text.ptr, o.state, o.gate.status, or_none(o.gate.reason));
		if (row->reason != NULL && strstr(or_none(o.gate.reason), row->reason) == NULL)
			fail_msg("row %zu (%.70s): %s", i, row->text.ptr,
			    or_none(o.gate.reason));
		if (row->state == GATE_DONE && o.used != row->text.len)
			fail_msg("row %zu (%.70s): used %zu", i, row->text.ptr, o.used);
	}
}

static void check_same(size_t row, size_t cut, const struct outcome *a, const struct outcome *b)
{
	if (a->state != b->state || a->used != b->used || a->gate.status != b->gate.status ||
	    a->gate.reason != b->gate.reason)
		fail_msg("row %zu cut at %zu: state %d used %zu status %d, whole %d %zu %d",
		    row, cut, b->state, b->used, b->gate.status, a->state, a->used,
		    a->gate.status);
}

/* The answer is the same wherever the bytes are cut. */
static void test_cuts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct outcome whole = run_whole(ROWS[i].text);
		for (size_t cut = 0; cut <= ROWS[i].text.len; cut++) {
			struct outcome o = run_cut(ROWS[i].text, cut);
			check_same(i, cut, &whole, &o);
		}
		struct outcome o = run_bytewise(ROWS[i].text);
		check_same(i, SIZE_MAX, &whole, &o);
	}
}

/* `used` says where the next request begins; what is over stays unread. */
static void test_pipeline(void **state)
{
	(void)state;
	static const struct slice PARTS[] = {
	    SLICE_INIT(POST "Content-Length: 5\r\n\r\nhello"),
	    SLICE_INIT(CHUNKED "5\r\nhello\r\n0\r\n\r\n"),
	    SLICE_INIT("GET / HTTP/1.1\r\n" H "\r\n"),
	    SLICE_INIT("\r\n" POST "\r\n"),
	    SLICE_INIT("GET / HTTP/1.0\r\n\r\n"),
	};
	char text[1024];
	size_t len = 0;
	for (size_t i = 0; i < COUNT(PARTS); i++) {
		memcpy(text + len, PARTS[i].ptr, PARTS[i].len);
		len += PARTS[i].len;
	}
	size_t at = 0;
	for (size_t i = 0; i < COUNT(PARTS); i++) {
		struct outcome o = run_whole((struct slice){text + at, len - at});
		assert_int_equal(o.state, GATE_DONE);
		assert_int_equal(o.used, PARTS[i].len);
		at += o.used;
	}
	assert_int_equal(at, len);
}

/* A request hidden in a body is the body's; what a wrong length leaves over is judged anew. */
static void test_smuggled(void **state)
{
	(void)state;
	struct slice hidden = SLICE(
	    POST "Content-Length: 25\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n\n");
	struct outcome o = run_whole(hidden);
	assert_int_equal(o.state, GATE_DONE);
	assert_int_equal(o.used, hidden.len);
	struct slice left_over = SLICE(
	    POST "Content-Length: 2\r\n\r\nabxGET / HTTP/1.1\r\n" H "\r\n");
	o = run_whole(left_over);
	assert_int_equal(o.state, GATE_DONE);
	o = run_whole((struct slice){left_over.ptr + o.used, left_over.len - o.used});
	assert_int_equal(o.gate.status, 501);
}

static void test_ends_stay(void **state)
{
	(void)state;
	struct outcome done = run_whole(SLICE("GET / HTTP/1.1\r\n" H "\r\n"));
	struct outcome refused = run_whole(SLICE("GET / HTTP/3.0\r\n\r\n"));
	size_t used_done = done.used;
	size_t used_refused = refused.used;
	feed(&done, "GET", 3);
	feed(&refused, "GET", 3);
	assert_int_equal(done.state, GATE_DONE);
	assert_int_equal(done.used, used_done);
	assert_int_equal(refused.state, GATE_REFUSED);
	assert_int_equal(refused.used, used_refused);
	assert_int_equal(refused.gate.status, 505);
}

static void test_facts(void **state)
{
	(void)state;
	struct outcome o = run_whole(
	    SLICE(POST "Expect: 100-continue\r\nContent-Length: 900\r\n\r\n"));
	assert_int_equal(o.state, GATE_BODY);
	assert_int_equal(o.gate.length, 900);
	assert_false(o.gate.is_chunked);
	assert_true(o.gate.wants_continue);

	o = run_whole(SLICE(POST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"));
	assert_int_equal(o.gate.length, 0);
	assert_true(o.gate.is_chunked);
	assert_true(o.gate.wants_continue);

	o = run_whole(
	    SLICE("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"));
	assert_false(o.gate.wants_continue);
	o = run_whole(SLICE(POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"));
	assert_false(o.gate.wants_continue);

	o = run_whole(SLICE(""));
	assert_true(gate_is_idle(&o.gate));
	assert_int_equal(o.gate.leading, 0);
	o = run_whole(SLICE("\r"));
	assert_false(gate_is_idle(&o.gate));
	assert_int_equal(o.gate.leading, 1);
	o = run_whole(SLICE("\r\nG"));
	assert_int_equal(o.gate.leading, 2);
	o = run_whole(SLICE("\r"));
	o.gate.leading = 0; /* the caller took the CR out */
	feed(&o, "\nG", 2);
	assert_int_equal(o.gate.leading, 1);
	o = run_whole(SLICE("G"));
	assert_false(gate_is_idle(&o.gate));
	assert_int_equal(o.gate.leading, 0);
}

/* Runs `before`, `fill` bytes of 'a', `after`. */
static struct outcome run_filled(const char *before, size_t fill, const char *after)
{
	char text[2048];
	assert_true(strlen(before) + fill + strlen(after) < sizeof(text));
	int n = snprintf(text, sizeof(text), "%s", before);
	memset(text + n, 'a', fill);
	int m = snprintf(text + (size_t)n + fill, sizeof(text) - (size_t)n - fill, "%s", after);
	struct slice all = {text, (size_t)n + fill + (size_t)m};
	struct outcome whole = run_whole(all);
	struct outcome bytewise = run_bytewise(all);
	check_same(0, fill, &whole, &bytewise);
	return whole;
}

static void test_limits(void **state)
{
	(void)state;
	static const struct {
		const char *before;
		const char *after;
		size_t fits; /* bytes between them; one more is refused */
		int status;
		uint64_t allowed;
	} LIMIT_ROWS[] = {
	    {"GET /", " HTTP/1.1\r\n" H "\r\n", 128 - 14, 414, 128},
	    {"\r\nGET /", " HTTP/1.1\r\n" H "\r\n", 128 - 14, 414, 128},
	    {"GET / HTTP/1.1\r\n" H "X: ", "\r\n\r\n", 512 - 16 - 9 - 3 - 4, 431, 512},
	    {"GET / HTTP/1.1\r\n" H, ": \r\n\r\n", 512 - 16 - 9 - 6, 431, 512},
	};
	for (size_t i = 0; i < COUNT(LIMIT_ROWS); i++) {
		const char *before = LIMIT_ROWS[i].before;
		const char *after = LIMIT_ROWS[i].after;
		struct outcome o = run_filled(before, LIMIT_ROWS[i].fits, after);
		if (o.state != GATE_DONE)
			fail_msg("row %zu: %s", i, or_none(o.gate.reason));
		o = run_filled(before, LIMIT_ROWS[i].fits + 1, after);
		if (o.gate.status != LIMIT_ROWS[i].status)
			fail_msg("row %zu, one more: status %d", i, o.gate.status);
		assert_int_equal(o.gate.allowed, LIMIT_ROWS[i].allowed);
		o = run_filled(before, 1000, ""); /* long before any end of line */
		if (o.gate.status != LIMIT_ROWS[i].status)
			fail_msg("row %zu, endless: status %d", i, o.gate.status);
	}
}

static void test_header_count(void **state)
{
	(void)state;
	struct outcome o = run_whole(
	    SLICE("GET / HTTP/1.1\r\n" H "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n\r\n"));
	assert_int_equal(o.state, GATE_DONE);
	o = run_whole(SLICE(
	    "GET / HTTP/1.1\r\n" H "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n\r\n"));
	assert_int_equal(o.gate.status, 431);
	assert_int_equal(o.gate.allowed, 8);
	assert_non_null(strstr(o.gate.reason, "too many"));
}

static void test_body_limit(void **state)
{
	(void)state;
	struct outcome o = run_filled(POST "Content-Length: 1000\r\n\r\n", 1000, "");
	assert_int_equal(o.state, GATE_DONE);
	o = run_whole(SLICE(POST "Content-Length: 1001\r\n\r\n"));
	assert_int_equal(o.gate.status, 413);
	assert_int_equal(o.gate.allowed, 1000);
	o = run_filled(CHUNKED "3e7\r\n", 999, "\r\n1\r\n.\r\n0\r\n\r\n");
	assert_int_equal(o.state, GATE_DONE);
	o = run_filled(CHUNKED "3e7\r\n", 999, "\r\n2\r\n");
	assert_int_equal(o.gate.status, 413);
}

/* Every byte in every kind of place, against the letters the RFCs name. */
static void test_bytes(void **state)
{
	(void)state;
	static const char ALNUM[] =
	    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const struct {
		const char *before, *after, *besides;
	} PLACES[] = {
	    {"GET / HTTP/1.1\r\n" H "x", "x: 1\r\n\r\n", ":!#$%&'*+-.^_`|~"},
	    {"GET /x", "x HTTP/1.1\r\n" H "\r\n", "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
	    {"GET / HTTP/1.1\r\n" H "X: x", "x\r\n\r\n",
		"\t !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
	    {"GET / HTTP/1.1\r\nHost: x", "x\r\n\r\n", "!$%&'()*+,-.:;=[]_~"},
	};
	for (size_t i = 0; i < COUNT(PLACES); i++) {
		for (int byte = 0; byte < 256; byte++) {
			char text[128];
			int n = snprintf(text, sizeof(text), "%s%c%s", PLACES[i].before, byte,
			    PLACES[i].after);
			struct outcome o = run_whole((struct slice){text, (size_t)n});
			bool is_allowed = byte != 0 &&
			    (strchr(ALNUM, byte) != NULL ||
				strchr(PLACES[i].besides, byte) != NULL);
			if ((o.state == GATE_DONE) != is_allowed)
				fail_msg("place %zu, byte 0x%02x: state %d", i, (unsigned)byte,
				    o.state);
		}
	}
}

/* What is a body's data can be passed unseen, in pieces of any size, and nothing else can. */
static void test_skip(void **state)
{
	(void)state;
	static const struct {
		struct slice text;
		uint64_t data; /* bytes that need not be shown, over all */
	} BODIES[] = {
	    {SLICE_INIT("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0},
	    {SLICE_INIT("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), 0},
	    {SLICE_INIT("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n?????"), 5},
	    {SLICE_INIT("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			"5\r\n?????\r\n2\r\n??\r\n0\r\n\r\n"),
		7},
	};
	for (size_t i = 0; i < COUNT(BODIES); i++) {
		for (size_t piece = 1; piece < 8; piece++) {
			struct outcome o = {.state = GATE_HEAD};
			struct slice text = BODIES[i].text;
			uint64_t skipped = 0;
			gate_init(&o.gate, &LIMITS);
			while (o.used < text.len && o.state < GATE_DONE) {
				uint64_t data = gate_data(&o.gate);
				size_t n = data < piece ? (size_t)data : piece;
				for (size_t j = 0; j < n; j++)
					assert_int_equal(text.ptr[o.used + j], '?');
				o.state = gate_skip(&o.gate, n);
				o.used += n;
				skipped += n;
				if (n == 0)
					feed(&o, text.ptr + o.used, 1);
			}
			assert_int_equal(o.state, GATE_DONE);
			assert_int_equal(o.used, text.len);
			assert_int_equal(skipped, BODIES[i].data);
			assert_int_equal(gate_data(&o.gate), 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_cuts),
	    cmocka_unit_test(test_pipeline),
	    cmocka_unit_test(test_smuggled),
	    cmocka_unit_test(test_ends_stay),
	    cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_header_count),
	    cmocka_unit_test(test_body_limit),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_skip),
	};
	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
