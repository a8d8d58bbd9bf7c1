"""
Requests that public collections for HTTP/1.1 servers ask about, in our own words: the 33 cases
of h1spec, the classes of http-desync-guardian, what the parser behind the gate would swallow,
and ways to disguise the end of a chunked body. Each row says what RFC 9112 (R) or RFC 9110 (S)
has on it; where those leave a choice the stricter one is taken.

Each is sent whole and a byte at a time, the small ones cut at each place too. Behind each comes
a second, good request: of one that is refused nothing more may be answered, of one that is
served exactly that.
"""

import contextlib
from typing import NamedTuple

import pytest

from harness import event_of_size, expect_error

LINE_MAX = 8192
HEAD_MAX = 16384
HEADERS_MAX = 64
SMALL = 48  # bytes of a request that is cut at each place

H = b"Host: x\r\n"
NEXT = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def get(*lines, target=b"/livez", version=b"HTTP/1.1", method=b"GET"):
    head = method + b" " + target + b" " + version + b"\r\nHost: x\r\n"
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


PATHS = {
    b"POST": b"/api/v1/events",
    b"PATCH": b"/api/v1/sessions/s1/webhooks/13fd2e77-918d-4596-a261-3c9a3414623c",
}


def post(*lines, body=b"", method=b"POST"):
    """A request with a body of no type, to a path that takes one: 415 says that it was read."""
    return get(*lines, method=method, target=PATHS[method]) + body


CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


class Row(NamedTuple):
    name: str
    data: bytes
    status: int  # of the answer
    source: str

    @property
    def is_served(self):
        return self.status in (200, 405, 415)


SERVED = [
    Row("GET", get(), 200, "R 3"),
    Row("HTTP/1.0", b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "R 2.3"),
    Row("query", get(target=b"/livez?a=b&b=c&%dd=%ee"), 200, "R 3.2.1"),
    Row("control bytes as %XX", get(target=b"/livez?%09%20%0d%0a%00"), 200, "R 3.2.1"),
    Row("empty line before it", b"\r\n" + get(), 200, "R 2.2"),
    Row("tab before Host's value", b"GET /livez HTTP/1.1\r\nhoSt:\tx\r\n\r\n", 200, "R 5"),
    Row("tabs around Host's value", b"GET /livez HTTP/1.1\r\nHOST: \tx\t \r\n\r\n", 200, "R 5"),
    Row("header without a value", get(b"empty:"), 200, "S 5.5"),
    Row("header of a space", get(b"X-Empty-Header: "), 200, "S 5.5"),
    Row("tab within a value", get(b"X: a\tb"), 200, "S 5.5"),
    Row("every tchar in a name", get(b"a.!#$%&'*+-^_`|~0123456789Z: 1"), 200, "S 5.6.2"),
    Row("underscores in a name", get(b"My_Custom_Header: 1"), 200, "S 5.6.2"),
    Row("coding as a value of another", get(b"X: Transfer-Encoding: chunked"), 200, "R 6.1"),
    Row("very many headers", get(*[b"N-%d: v" % n for n in range(HEADERS_MAX - 1)]), 200, "S 5.4"),
    Row("GET that expects", get(b"Expect: 100-continue"), 200, "S 10.1.1"),
    Row("GET of length 0", get(b"Content-Length: 0"), 200, "R 6.2"),
    Row("DELETE of length 0", get(b"Content-Length: 0", method=b"DELETE"), 405, "R 6.2"),
    Row("OPTIONS", get(method=b"OPTIONS"), 405, "R 3.2.4"),
    Row("POST with a length", post(b"Content-Length: 5", body=b"hello"), 415, "R 6.2"),
    Row("spaces around a length", post(b"Content-Length:  5  ", body=b"hello"), 415, "R 5"),
    Row("PATCH with a length", post(b"content-length: 5", body=b"hello", method=b"PATCH"), 415, "R 6.2"),
    Row("body that looks like a request", post(b"Content-Length: 33", body=NEXT[:33]), 415, "R 6.2"),
    Row("chunks", post(CHUNKED, body=b"5\r\nhello\r\nA\r\n0123456789\r\n" + LAST), 415, "R 7.1"),
    Row("no chunk but the last", post(CHUNKED, body=LAST), 415, "R 7.1"),
    Row("CHUNKED", post(b"TRANSFER-ENCODING: CHUNKED", body=LAST), 415, "R 6.1"),
    Row("zeros before a chunk's size", post(CHUNKED, body=b"005\r\nhello\r\n" + LAST), 415, "R 7.1"),
]

REFUSED = [
    # The request line
    Row("no version", b"GET / \r\n\r\n", 400, "R 3"),
    Row("HTTP/0.9 by leaving it out", b"GET /livez\r\n\r\n", 400, "R 3"),
    Row("HTTP/0.9", get(version=b"HTTP/0.9"), 505, "R 2.3"),
    Row("HTTP/1.2", get(version=b"HTTP/1.2"), 505, "R 2.3"),
    Row("HTTP/9.9", get(version=b"HTTP/9.9"), 505, "R 2.3"),
    Row("two digits of a version", get(version=b"HTTP/1.10"), 400, "R 2.3"),
    Row("lower-case version", get(version=b"http/1.1"), 400, "R 2.3"),
    Row("space behind the version", get(version=b"HTTP/1.1 "), 400, "R 3"),
    Row("version twice", get(version=b"HTTP/1.1 HTTP/1.1"), 400, "R 3"),
    Row("words before the method", b"Extra line" + get(), 501, "R 3.1"),
    Row("lower-case method", get(method=b"get"), 501, "S 9.1"),
    Row("unknown method", get(method=b"BREW"), 501, "S 9.1"),
    Row("CONNECT", get(method=b"CONNECT", target=b"x:443"), 501, "S 9.3.6"),
    Row("TRACE", get(method=b"TRACE"), 501, "S 9.3.8"),
    Row("control byte in the method", get(method=b"GE\x01T"), 400, "R 3.1"),
    Row("NUL in the method", get(method=b"GE\x00T"), 400, "R 3.1"),
    Row("space before the method", b" " + get(), 400, "R 3"),
    Row("tab for a space", b"GET\t/livez HTTP/1.1\r\n" + H + b"\r\n", 400, "R 3"),
    Row("two spaces", get(target=b" /livez"), 400, "R 3"),
    Row("space in the target", get(target=b"/livez?a=not escaped"), 400, "R 3.2"),
    Row("tab in the target", get(target=b"/livez\tHTTP/1.1"), 400, "R 3.2"),
    Row("control byte in the target", get(target=b"/livez\x01HTTP/1.1"), 400, "R 3.2"),
    Row("NUL in the target", get(target=b"/livez\x00"), 400, "R 3.2"),
    Row("NUL before the target", get(target=b"\x00/livez"), 400, "R 3.2"),
    Row("CR in the target", get(target=b"/livez\rHTTP/1.1"), 400, "R 2.2"),
    Row("LF in the target", get(target=b"/livez\nHTTP/1.1"), 400, "R 2.2"),
    Row("request in the target", get(target=b"/a\tHTTP/1.1\r\nHost:x\r\n\r\nGET\t/b\t"), 400, "R 11.2"),
    Row("no target", get(target=b""), 400, "R 3.2"),
    Row("fragment in the target", get(target=b"/livez#a"), 400, "R 3.2.1"),
    Row("bytes over ASCII in the target", get(target="/жизнь".encode()), 400, "R 3.2"),
    Row("absolute target", get(target=b"http://x/livez"), 400, "R 3.2.2, stricter"),
    Row("target of another host", get(target=b"//evil/livez"), 400, "R 3.2.1"),
    Row("asterisk for a GET", get(target=b"*"), 400, "R 3.2.4"),
    Row("endless target", b"GET /" + b"a" * 2 * LINE_MAX, 414, "R 3"),
    Row("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "R 3"),
    Row("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501, "R 3.1"),
    # Line ends
    Row("LF alone", b"GET /livez HTTP/1.1\nHost: x\n\n", 400, "R 2.2"),
    Row("CR alone", b"GET /livez HTTP/1.1\rHost: x\r\r", 400, "R 2.2"),
    Row("LF behind a header", b"GET /livez HTTP/1.1\r\nHost: x\n\r\n", 400, "R 2.2"),
    Row("CR behind the head", get()[:-2] + b"\rX: a\r\n\r\n", 400, "R 2.2"),
    Row("LF behind the head", get()[:-2] + b"\n", 400, "R 2.2"),
    Row("two empty lines before it", b"\r\n\r\n" + get(), 400, "R 2.2"),
    Row("LF before it", b"\n" + get(), 400, "R 2.2"),
    # Host
    Row("no Host", b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400, "R 3.2"),
    Row("two Hosts", get(b"Host: y"), 400, "R 3.2"),
    Row("the same Host twice", get(b"Host: x"), 400, "R 3.2"),
    Row("empty Host", b"GET /livez HTTP/1.1\r\nHost: \r\n\r\n", 400, "R 3.2, stricter"),
    Row("two names in Host", b"GET /livez HTTP/1.1\r\nHost: x y\r\n\r\n", 400, "R 3.2"),
    Row("path in Host", b"GET /livez HTTP/1.1\r\nHost: x/livez\r\n\r\n", 400, "R 3.2"),
    # Names and values
    Row("brackets in a name", get(b"X-Invalid[]: test"), 400, "S 5.1"),
    Row("no colon", get(b"X"), 400, "R 5"),
    Row("no name", get(b": chunked"), 400, "R 5"),
    Row("name that begins with a colon", get(b":X:Transfer-Encoding: chunked"), 400, "R 5"),
    Row("name of blanks", get(b" \t : chunked"), 400, "R 5.2"),
    Row("CR in a name", get(b"X\r: 1"), 400, "R 2.2"),
    Row("LF in a name", get(b"X\n: Content-Length:1000"), 400, "R 2.2"),
    Row("NUL in a name", get(b"X\x00: 1"), 400, "S 5.1"),
    Row("NUL before a name", get(b"\x00X: 1"), 400, "S 5.1"),
    Row("byte over ASCII in a name", get(b"X\xe9: 1"), 400, "S 5.1"),
    Row("control byte in a value", get(b"X: test\x07"), 400, "S 5.5"),
    Row("DEL in a value", get(b"X: test\x7f"), 400, "S 5.5"),
    Row("NUL in a value", get(b"X: a\x00content-length: 1000"), 400, "S 5.5"),
    Row("NUL before a value", get(b"X: \x00a"), 400, "S 5.5"),
    Row("NUL behind a value", get(b"X: a\x00"), 400, "S 5.5"),
    Row("CR in a value", get(b"X: a\rcontent-length: 1000"), 400, "R 2.2"),
    Row("LF in a value", get(b"X: a\n content-length: 1000"), 400, "R 2.2"),
    Row("byte over ASCII in a value", get(b"X: \xa0"), 400, "S 5.5, stricter"),
    Row("folded value", post(b"Content-Length: 5", b"X: a", b" b", body=b"hello"), 400, "R 5.2"),
    Row("folded by a tab", get(b"X: a", b"\tTransfer-Encoding: chunked"), 400, "R 5.2"),
    Row("fold before the first", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, "R 2.2"),
    Row("endless header", get(b"X: " + b"a" * 2 * HEAD_MAX), 431, "S 5.4"),
    Row("too many headers", get(*[b"N-%d: v" % n for n in range(HEADERS_MAX)]), 431, "S 5.4"),
    # Content-Length
    Row("two lengths", post(b"Content-Length: 3", b"Content-Length: 4"), 400, "R 6.3"),
    Row("one length twice", post(b"Content-Length: 4", b"Content-Length: 4"), 400, "R 6.3"),
    Row("list of lengths", post(b"Content-Length: 4,4"), 400, "R 6.3"),
    Row("lengths with a space", post(b"Content-Length: 4 4"), 400, "R 6.3"),
    Row("fraction", post(b"Content-Length: 4.4"), 400, "R 6.3"),
    Row("over 64 bits", post(b"Content-Length: 18446744073709551616"), 400, "R 6.3"),
    Row("below zero", get(b"Content-Length: -1234"), 400, "R 6.3"),
    Row("far below zero", get(b"Content-Length: -123456789123456789123456789"), 400, "R 6.3"),
    Row("plus sign", post(b"Content-Length: +5", body=b"hello"), 400, "R 6.3"),
    Row("hexadecimal", post(b"Content-Length: 0x5", body=b"hello"), 400, "R 6.3"),
    Row("letters", get(b"Content-Length: abc"), 400, "R 6.3"),
    Row("dollar", post(b"Content-Length: $5"), 400, "R 6.3"),
    Row("no number", post(b"Content-Length:"), 400, "R 6.3"),
    Row("control byte in a length", post(b"Content-Length: 5\x11"), 400, "R 6.3"),
    Row("control byte before a length", post(b"Content-Length: \x015"), 400, "R 6.3"),
    Row("byte over ASCII in a length", post(b"Content-Length: 5\xa0"), 400, "R 6.3"),
    Row("tab before a length", post(b"Content-Length:\t5"), 400, "R 5, stricter"),
    Row("length of a GET", get(b"Content-Length: 33") + NEXT[:33], 400, "S 9.3.1"),
    Row("length of a HEAD", get(b"Content-Length: 33", method=b"HEAD"), 400, "S 9.3.2"),
    Row("length of a DELETE", get(b"Content-Length: 5", method=b"DELETE"), 400, "S 9.3.5"),
    Row("length over every limit", post(b"Content-Length: 9999999999"), 413, "S 15.5.14"),
    # Transfer-Encoding
    Row("coding and length", post(CHUNKED, b"Content-Length: 5"), 400, "R 6.3"),
    Row("length and coding", post(b"Content-Length: 5", CHUNKED), 400, "R 6.3"),
    Row("other coding and length", post(b"Transfer-Encoding: gzip", b"Content-Length: 5"), 400, "R 6.3"),
    Row("GET with both", get(CHUNKED, b"Content-Length: 5"), 400, "R 6.3"),
    Row("coding of a GET", get(CHUNKED) + LAST, 400, "S 9.3.1"),
    Row("coding of a HEAD", get(CHUNKED, method=b"HEAD") + LAST, 400, "S 9.3.2"),
    Row("coding of HTTP/1.0", get(CHUNKED, method=b"POST", version=b"HTTP/1.0"), 400, "R 6.1"),
    Row("coding of HTTP/0.9", get(CHUNKED, method=b"POST", version=b"HTTP/0.9"), 505, "R 6.1"),
    Row("xchunked", post(b"Transfer-Encoding: xchunked"), 400, "R 6.3"),
    Row("chunk", post(b"Transfer-Encoding: chunk"), 400, "R 6.3"),
    Row("identity", post(b"Transfer-Encoding: identity"), 400, "R 6.3"),
    Row("empty coding", post(b"Transfer-Encoding:"), 400, "R 6.3"),
    Row("gzip, chunked", post(b"Transfer-Encoding: gzip, chunked"), 400, "R 6.1, stricter"),
    Row("chunked, identity", post(b"Transfer-Encoding: chunked, identity"), 400, "R 6.3"),
    Row("chunked,chunked", post(b"Transfer-Encoding: chunked,chunked"), 400, "R 6.1"),
    Row("chunked twice", post(CHUNKED, CHUNKED), 400, "R 6.1"),
    Row("gzip, then chunked", post(b"Transfer-Encoding: gzip", CHUNKED), 400, "R 6.1, stricter"),
    Row("chunked;a=b", post(b"Transfer-Encoding: chunked;a=b"), 400, "R 7"),
    Row('"chunked"', post(b'Transfer-Encoding: "chunked"'), 400, "R 7"),
    Row("tab before chunked", post(b"Transfer-Encoding:\tchunked"), 400, "R 5, stricter"),
    Row("tab behind chunked", post(b"Transfer-Encoding: chunked\t"), 400, "R 5, stricter"),
    Row("vertical tab before chunked", post(b"Transfer-Encoding: \x0bchunked"), 400, "S 5.5"),
    Row("control byte behind chunked", post(b"Transfer-Encoding: chunked\x11"), 400, "S 5.5"),
    Row("byte over ASCII before chunked", post(b"Transfer-Encoding: \xa0chunked"), 400, "S 5.5"),
    Row("chunked on the next line", post(b"Transfer-Encoding:", b" chunked"), 400, "R 5.2"),
    Row("coding behind a CR", post(b"Content-Length: 5", b"X: x\r" + CHUNKED), 400, "R 2.2"),
    Row("coding behind an LF", post(b"Content-Length: 5", b"X: x\n" + CHUNKED), 400, "R 2.2"),
    # Chunks
    Row("chunk of no size", post(CHUNKED, body=b"\r\nhello"), 400, "R 7.1"),
    Row("chunk of a size in words", post(CHUNKED, body=b"five\r\nhello"), 400, "R 7.1"),
    Row("chunk below zero", post(CHUNKED, body=b"-1\r\n"), 400, "R 7.1"),
    Row("chunk of 0x5", post(CHUNKED, body=b"0x5\r\nhello\r\n"), 400, "R 7.1"),
    Row("chunk over 64 bits", post(CHUNKED, body=b"1" + b"0" * 16 + b"\r\n"), 400, "R 7.1"),
    Row("chunk over every limit", post(CHUNKED, body=b"ffffffff\r\n"), 413, "S 15.5.14"),
    Row("space before a size", post(CHUNKED, body=b" 5\r\nhello\r\n"), 400, "R 7.1"),
    Row("space behind a size", post(CHUNKED, body=b"5 \r\nhello\r\n"), 400, "R 7.1"),
    Row("extension", post(CHUNKED, body=b"5;a=b\r\nhello\r\n"), 400, "R 7.1.1, stricter"),
    Row("extension with an LF", post(CHUNKED, body=b"5;\nhello\r\n"), 400, "R 7.1.1"),
    Row("LF behind a size", post(CHUNKED, body=b"5\nhello\r\n"), 400, "R 7.1"),
    Row("CR behind a size", post(CHUNKED, body=b"5\r\rhello\r\n"), 400, "R 7.1"),
    Row("chunk longer than it says", post(CHUNKED, body=b"4\r\nhello\r\n"), 400, "R 7.1"),
    Row("chunk shorter than it says", post(CHUNKED, body=b"6\r\nhello\r\n0\r\n"), 400, "R 7.1"),
    Row("LF behind a chunk", post(CHUNKED, body=b"5\r\nhello\n"), 400, "R 7.1"),
    Row("bytes for a chunk's CR LF", post(CHUNKED, body=b"5\r\nhelloxx0\r\n\r\n"), 400, "R 7.1"),
    Row("trailer", post(CHUNKED, body=b"0\r\nX: a\r\n\r\n"), 400, "R 7.1.2, stricter"),
    Row("length in a trailer", post(CHUNKED, body=b"0\r\nContent-Length: 5\r\n\r\n"), 400, "R 7.1.2"),
    Row("LF behind the last chunk", post(CHUNKED, body=b"0\r\n\n"), 400, "R 7.1"),
    # Expect
    Row("other expectation", post(b"Expect: 200-ok"), 417, "S 10.1.1"),
]

# Names that somebody may take for the two that frame a request
DISGUISES = [
    b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"\x01Transfer-Encoding",
    b"\x01\x01Transfer-Encoding", b"Transfer-Encoding\x01", b"\x00Transfer-Encoding",
    b"\rTransfer-Encoding", b"Transfer- Encoding", b"Transfer_Encoding", b"Transfer---Encoding",
    b"Transfer___Encoding", b"Transfer.Encoding", b"TransferEncoding", b"Transfer-Encoding x",
    b"Transfer-Encoding \x01", b"Transfer-Encoding\x88", "Tran\u017ffer-Encoding".encode(),
    "Transfer-Encod\u0131ng".encode(), "\u2003Transfer-Encoding".encode(),
    "Transfer\u2015Encoding".encode(), b"Content-Length ", b" Content-Length",
    b"\x01Content-Length", b"\x01\x01Content-Length", b"Content-Length\x01", b"\rContent-Length",
    b"Content_Length", b"Content--Length", "Content-Length\u2003".encode(), b"\xa0Content-Length",
]  # fmt: skip


def disguised(name):
    value = b": 5" if b"ontent" in name else b": chunked"
    return Row(repr(name), post(name + value, b"Content-Length: 5"), 400, "R 5.1")


ROWS = [*SERVED, *REFUSED, *map(disguised, DISGUISES)]

@pytest.fixture
def gateway(make_gateway):
    """Without a token everybody is let in: none of the rows has one."""
    return make_gateway(token=None)


# A request that has only begun is waited for, wherever it stops
WHOLE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def pieces(data):
    """The ways in which a request is cut."""
    yield [data]
    if len(data) < LINE_MAX:
        yield [data[i : i + 1] for i in range(len(data))]
    if len(data) <= SMALL:
        yield from ([data[:i], data[i:]] for i in range(1, len(data)))


def check(gateway, row, parts):
    with gateway.connect() as client:
        for part in parts:
            client.send(part)
        client.send(NEXT)
        answer = client.reply()
        if row.status != 200:
            expect_error(answer, row.status)
        assert answer.status_code == row.status
        if row.is_served:
            assert client.reply().status_code == 200
        else:
            assert answer.headers["Connection"] == "close"
            assert client.is_closed()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_request_is_handled_as_the_standard_says(gateway, row):
    for parts in pieces(row.data):
        check(gateway, row, parts)


def test_request_that_has_begun_is_waited_for(gateway):
    """At each byte: nothing is said while another client is served, and the rest is taken."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in WHOLE]
        for n, client in enumerate(clients):
            client.send(WHOLE[:n])
        assert gateway.request("GET", "/readyz").status_code == 200
        for n, client in enumerate(clients):
            assert not client.has_answer()
            client.send(WHOLE[n:])
            assert client.reply().status_code == 200


# Limits are named


@pytest.mark.parametrize(
    "data, status, allowed",
    [
        (get(target=b"/" + b"a" * LINE_MAX), 414, LINE_MAX),
        (get(b"X: " + b"a" * HEAD_MAX), 431, HEAD_MAX),
        (get(*[b"X: a"] * HEADERS_MAX), 431, HEADERS_MAX),
        (post(b"Content-Length: 4001"), 413, 4000),
        (post(CHUNKED, body=b"fa1\r\n"), 413, 4000),
    ],
    ids=["request line", "head", "headers", "length", "chunks"],
)
def test_limit_is_named_in_the_error(make_gateway, data, status, allowed):
    gateway = make_gateway(max_body_bytes=2000, max_batch_bytes=4000)
    with gateway.connect() as client:
        client.send(data)
        expect_error(client.reply(), status, mentions=[f"At most {allowed} are allowed"])
        assert client.is_closed()


@pytest.mark.parametrize(
    "data",
    [
        get(target=b"/livez?" + b"a" * (LINE_MAX - len(b"GET /livez? HTTP/1.1"))),
        get(*[b"X: a"] * (HEADERS_MAX - 1)),
        get(b"X: " + b"a" * (HEAD_MAX - len(get(b"X: ")))),
    ],
    ids=["request line", "headers", "head"],
)
def test_request_at_a_limit_is_served(gateway, data):
    with gateway.connect() as client:
        client.send(data)
        assert client.reply().status_code == 200


def test_connection_that_is_refused_is_not_reset_under_a_client_that_still_sends(gateway):
    """It sends its body, then looks: the answer is there."""
    with gateway.connect() as client:
        client.send(post(b"Content-Length: 5", CHUNKED))
        client.send(event_of_size(1 << 16))
        client.finish()
        expect_error(client.reply(), 400)
        assert client.is_closed()
