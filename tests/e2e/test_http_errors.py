"""The HTTP layer: refusals are the API's JSON, what is ambiguous is refused (section 6)."""

import email.utils
import time

import pytest

from harness import event_of_size, expect_error

PUBLISH = "/api/v1/sessions/s1/events"
EVENT = b'{"event":"message"}'
JSON = {"Content-Type": "application/json"}
TYPE = b"Content-Type: application/json"
LENGTH = b"Content-Length: %d" % len(EVENT)
CHUNKED_HEAD = (TYPE, b"Transfer-Encoding: chunked")


@pytest.fixture(params=["http", "https"])
def make_gateway(request, make_gateway, tls_options):
    """All of this holds under TLS too, where a connection is closed with a close_notify."""
    given = tls_options if request.param == "https" else {}
    return lambda **options: make_gateway(**given, **options)


def request_head(gateway, *lines, target=PUBLISH, method="POST", host=b"Host: x"):
    """A head whose further lines are bytes, so that a test can spoil them."""
    return b"\r\n".join(
        [
            f"{method} {target} HTTP/1.1".encode(),
            *([host] if host else []),
            b"Authorization: Bearer " + gateway.token.encode(),
            *lines,
            b"\r\n",
        ]
    )


def good_request(gateway, body=EVENT):
    return request_head(gateway, TYPE, b"Content-Length: %d" % len(body)) + body


# Headers that may come once

SINGLE = (
    "Authorization Content-Type Idempotency-Key Last-Event-ID Origin X-Webhook-Signature "
    "X-Webhook-Signature-Version X-Webhook-Timestamp webhook-id webhook-signature webhook-timestamp"
).split()


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("values", [("a", "b"), ("a", "a"), ("", "a"), ("a", "")])
@pytest.mark.parametrize("expects", [False, True])
def test_header_given_twice_is_named(gateway, name, values, expects):
    """Which one counts differs from one program to the next; with the head alone, too."""
    token, kind = f"Bearer {gateway.token}".encode(), b"application/json"
    good = {"Authorization": token, "Content-Type": kind}
    for path in ("sessions/s1/events", "events", "sessions/s1/webhook-in"):
        lines = [f"{n}: ".encode() + v for n, v in good.items() if n != name]
        lines += [f"{n}: {v}".encode() for n, v in zip((name, name.lower()), values)]
        lines += [b"Expect: 100-continue"] if expects else []
        head = b"\r\n".join([f"POST /api/v1/{path} HTTP/1.1".encode(), b"Host: x", LENGTH, *lines])
        with gateway.connect() as client:
            client.send(head + b"\r\n\r\n" + (b"" if expects else EVENT))
            expect_error(client.reply(), 400, name, ["twice"])


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
def test_signatures_that_are_lists_may_go_over_several_lines(gateway, name):
    """Each proxy may add its own (RFC 9421)."""
    lines = [f"{name}: {label}=:YQ==:".encode() for label in ("ours", "theirs")]
    with gateway.connect() as client:
        client.send(request_head(gateway, TYPE, LENGTH, *lines) + EVENT)
        assert client.reply().status_code == 202


# Routing


@pytest.mark.parametrize(
    "path",
    [
        "/ui/nothing", "/nothing", "/api", "/api/v1", "/api/v2/sessions/s1/webhooks", "/api/v1/session",
        "/api/v1/sessions/s1", "/api/v1/sessions/s1/webhooks/", "/api/v1/sessions/s1/nothing",
        "/livez/x", "/LIVEZ",
    ],
)
def test_unknown_path_is_404(gateway, path):
    with gateway.connect() as client:  # a library would tidy some of these up
        client.send(request_head(gateway, target=path, method="GET"))
        expect_error(client.reply(), 404)


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("PUT", "/api/v1/sessions/s1/webhooks", {"GET", "POST"}),
        ("DELETE", "/api/v1/sessions/s1/webhooks", {"GET", "POST"}),
        ("DELETE", PUBLISH, {"GET", "POST"}),
        ("DELETE", "/api/v1/events", {"GET", "POST"}),
        ("POST", "/api/v1/sessions/s1/webhooks/dlq", {"GET"}),
        ("POST", "/livez", {"GET"}),
    ],
)
def test_wrong_method_is_405_and_the_right_ones_are_named(gateway, method, path, allowed):
    answer = gateway.request(method, path, json={} if method in ("POST", "PUT") else None)
    expect_error(answer, 405)
    assert allowed <= {name.strip() for name in answer.headers["Allow"].split(",")}
    assert method not in answer.headers["Allow"]


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("PATCH", "/webhooks/dlq", "GET, DELETE"),
        ("DELETE", "/webhooks/all", "GET"),
        ("GET", "/webhooks/dlq/replay", "POST"),
        ("DELETE", "/sessions/s1/webhooks/dlq/replay", "POST"),
        ("DELETE", "/dlq/replay", "POST"),
    ],
)
def test_path_that_is_named_in_full_is_no_id(gateway, method, path, allowed):
    answer = gateway.api(method, path)
    expect_error(answer, 405)
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("method", ["TRACE", "BREW", "CONNECT", "get"])
def test_unknown_method_is_501(gateway, method):
    with gateway.connect() as client:
        client.send(request_head(gateway, target="/livez", method=method))
        expect_error(client.reply(), 501)


# Bodies


def publish(gateway, body, headers=JSON):
    return gateway.request("POST", PUBLISH, data=body, headers=headers)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/jsonx", "application/xml", ""]
)
def test_wrong_content_type_is_415(gateway, content_type):
    expect_error(publish(gateway, EVENT, {"Content-Type": content_type}), 415)


def test_missing_content_type_is_415(gateway):
    with gateway.connect() as client:
        client.send(request_head(gateway, LENGTH) + EVENT)
        expect_error(client.reply(), 415)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"],
)
def test_content_type_may_have_a_charset_and_any_case(gateway, content_type):
    assert publish(gateway, EVENT, {"Content-Type": content_type}).status_code == 202


def test_body_without_a_length_is_411(gateway):
    with gateway.connect() as client:
        client.send(request_head(gateway, TYPE))
        expect_error(client.reply(), 411)


def chunked(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_chunked_body_is_taken(gateway, receiver):
    gateway.register("s1", receiver.url())
    with gateway.connect() as client:
        client.send(
            request_head(gateway, *CHUNKED_HEAD)
            + chunked(b'{"event":"mess', b'age","timestamp":5,"data":', b'{"a":1}', b"}")
        )
        assert client.reply().status_code == 202
    (request,) = receiver.wait_for(1)
    assert request.body == b'{"session_id":"s1","event":"message","timestamp":5,"data":{"a":1}}'


def test_expect_100_continue_is_answered(gateway):
    with gateway.connect() as client:
        client.send(request_head(gateway, TYPE, LENGTH, b"Expect: 100-continue"))
        assert client.reply().status_code == 100
        client.send(EVENT)
        assert client.reply().status_code == 202


def test_body_at_the_limit_is_taken_and_above_it_413(make_gateway):
    gateway = make_gateway(max_body_bytes=2000)
    assert publish(gateway, event_of_size(2000)).status_code == 202
    expect_error(publish(gateway, event_of_size(2001)), 413)


def test_default_limit_is_four_mebibytes(gateway):
    assert publish(gateway, event_of_size(4 << 20)).status_code == 202
    expect_error(publish(gateway, event_of_size((4 << 20) + 1)), 413)


def test_oversized_chunked_body_is_413(make_gateway):
    gateway = make_gateway(max_body_bytes=2000)
    with gateway.connect() as client:
        client.send(request_head(gateway, *CHUNKED_HEAD) + chunked(*[event_of_size(1900)] * 2))
        expect_error(client.reply(), 413)


def test_oversized_body_is_refused_before_it_came(gateway):
    with gateway.connect() as client:
        client.send(request_head(gateway, TYPE, b"Content-Length: 99999999999"))
        expect_error(client.reply(), 413)


# Heads


def test_endless_header_is_431(gateway):
    with gateway.connect() as client:
        client.send(request_head(gateway, b"X-Long: " + b"a" * 500000, method="GET"))
        expect_error(client.reply(), 431)
        assert client.is_closed()


def test_endless_target_is_414(gateway):
    with gateway.connect() as client:
        client.send(request_head(gateway, target="/" + "a" * 500000, method="GET"))
        expect_error(client.reply(), 414)
        assert client.is_closed()


def test_head_that_does_not_end_is_408(make_gateway):
    gateway = make_gateway(head_timeout_ms=1000)
    with gateway.connect() as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        expect_error(client.reply(), 408)
        assert client.is_closed()


def test_head_that_drips_is_408_too(make_gateway):
    """The deadline is the whole head's: a byte now and then does not buy time."""
    gateway = make_gateway(head_timeout_ms=1000)
    with gateway.connect() as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        client.drip(b"a", every_s=0.05)
        expect_error(client.reply(), 408)


BAD_HEADS = {
    "two lengths": (TYPE, LENGTH, b"Content-Length: 3"),
    "a list of lengths": (TYPE, b"Content-Length: 3, 4"),
    "a signed length": (TYPE, b"Content-Length: +%d" % len(EVENT)),
    "a negative length": (TYPE, b"Content-Length: -1"),
    "a hexadecimal length": (TYPE, b"Content-Length: 0x13"),
    "an empty length": (TYPE, b"Content-Length: "),
    "an overflowing length": (TYPE, b"Content-Length: 18446744073709551635"),
    "length and chunks": (TYPE, LENGTH, b"Transfer-Encoding: chunked"),
    "an unknown coding": (TYPE, b"Transfer-Encoding: xchunked"),
    "chunked twice": (TYPE, b"Transfer-Encoding: chunked, chunked"),
    "chunked not last": (TYPE, b"Transfer-Encoding: chunked, gzip"),
    "space before the colon": (TYPE, LENGTH, b"X-A : b"),
    "space before a length's colon": (TYPE, b"Content-Length : %d" % len(EVENT)),
    "no colon": (TYPE, LENGTH, b"X-A"),
    "no name": (TYPE, LENGTH, b": b"),
    "a bad byte in a name": (TYPE, LENGTH, b"X(A: b"),
    "a bare LF": (TYPE, LENGTH, b"X-A: b\nX-B: c"),
    "a bare CR": (TYPE, LENGTH, b"X-A: b\rX-B: c"),
    "a NUL": (TYPE, LENGTH, b"X-A: b\x00c"),
    "a control byte": (TYPE, LENGTH, b"X-A: b\x01c"),
    "a folded line": (TYPE, LENGTH, b"X-A: b\r\n c"),
    "a folded first line": (b" X-A: b", TYPE, LENGTH),
    "two hosts": (TYPE, LENGTH, b"Host: y"),
}


@pytest.mark.parametrize("lines", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_ambiguous_head_is_400_and_the_connection_closed(gateway, receiver, lines):
    """Closed: a request behind it, whose beginning is a matter of reading, is not looked at."""
    gateway.register("s1", receiver.url(), ordering="fifo")
    with gateway.connect() as client:
        client.send(request_head(gateway, *lines) + EVENT + good_request(gateway))
        expect_error(client.reply(), 400)
        assert client.is_closed()
    last = gateway.publish("s1", "message")
    assert receiver.wait_for(1)[0].id == last["id"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.x\r\nHost: x\r\n\r\n",
        b"GET /livez http/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.10\r\nHost: x\r\n\r\n",
        b"GET /livez\r\nHost: x\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /liv\x00ez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\n\n",
        b"G(T /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_bad_request_line_or_host_is_400_and_closed(gateway, head):
    with gateway.connect() as client:
        client.send(head)
        expect_error(client.reply(), 400)
        assert client.is_closed()


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
def test_other_version_of_http_is_505_and_closed(gateway, version):
    with gateway.connect() as client:
        client.send(f"GET /livez HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        expect_error(client.reply(), 505)
        assert client.is_closed()


@pytest.mark.parametrize(
    "body", [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n", b"2\r\n{}XX0\r\n\r\n"]
)
def test_malformed_chunks_are_400_and_closed(gateway, body):
    with gateway.connect() as client:
        client.send(request_head(gateway, *CHUNKED_HEAD) + body)
        expect_error(client.reply(), 400)
        assert client.is_closed()


# Several requests on a connection


def test_pipelined_requests_are_answered_in_their_order(gateway):
    """The first waits for the disk, the others do not; they still come behind it."""
    get = request_head(gateway, target="/livez", method="GET")
    missing = request_head(gateway, target="/nothing", method="GET")
    bad = good_request(gateway, b'{"event":"all"}')
    with gateway.connect() as client:
        client.send(good_request(gateway) + get + bad + missing + good_request(gateway) + get)
        assert [client.reply().status_code for _ in range(6)] == [202, 200, 400, 404, 202, 200]


def test_large_bodies_behind_each_other_are_all_taken(gateway):
    """Each is more than lies unread of a connection between its requests."""
    body = event_of_size(200_000)
    whole = good_request(gateway, body)
    parts = [body[at : at + 5000] for at in range(0, len(body), 5000)]
    pieces = request_head(gateway, *CHUNKED_HEAD) + chunked(*parts)
    with gateway.connect() as client:
        client.send_and_hear(whole + pieces + whole + EVENT)
        assert [client.reply().status_code for _ in range(3)] == [202] * 3
        expect_error(client.reply(), 400)  # what is left over is no request


def test_ambiguous_request_behind_a_good_one_is_refused(gateway, receiver):
    """In one segment, so that the first is being answered when the second is there already."""
    gateway.register("s1", receiver.url(), ordering="fifo")
    ambiguous = request_head(gateway, TYPE, LENGTH, b"Content-Length: 3") + EVENT
    with gateway.connect() as client:
        client.send(good_request(gateway) + ambiguous + good_request(gateway))
        assert client.reply().status_code == 202
        expect_error(client.reply(), 400)
        assert client.is_closed()
    last = gateway.publish("s1", "message")
    assert receiver.wait_for(2)[1].id == last["id"]


def test_each_answer_has_the_date_of_its_second(gateway):
    dates = []
    with gateway.connect() as client:
        for request in (good_request(gateway), good_request(gateway, b"{")):
            client.send(request)
            date = email.utils.parsedate_to_datetime(client.reply().headers["Date"]).timestamp()
            assert abs(date - time.time()) < 5
            dates.append(date)
            time.sleep(1.1)
    assert dates[0] < dates[1]


def test_connection_outlives_an_error_of_the_api(gateway):
    with gateway.connect() as client:
        for body, code in [(b'{"event":"all"}', 400), (b"{", 400), (EVENT, 202)]:
            client.send(good_request(gateway, body))
            assert client.reply().status_code == code


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_body_of_a_get_is_never_taken_for_a_request(gateway, receiver, method):
    gateway.register("s1", receiver.url(), ordering="fifo")
    smuggled = good_request(gateway)
    with gateway.connect() as client:
        client.send(
            request_head(
                gateway, b"Content-Length: %d" % len(smuggled), target="/livez", method=method
            )
            + smuggled
        )
        assert client.reply(to=method).status_code != 202
    last = gateway.publish("s1", "message")
    assert receiver.wait_for(1)[0].id == last["id"]


def test_request_in_small_pieces_is_read(gateway):
    with gateway.connect() as client:
        for byte in good_request(gateway):
            client.send(bytes([byte]))
        assert client.reply().status_code == 202


def test_other_clients_are_served_while_one_hangs(gateway):
    with gateway.connect() as slow:
        slow.send(b"POST /api/v1/events HT")
        assert gateway.request("GET", "/livez").status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_answer(gateway, path):
    assert gateway.request("GET", path).status_code == 200


@pytest.mark.parametrize("value", [None, 1, {}])
@pytest.mark.parametrize("name", ["typo", ""])
def test_member_that_nobody_knows_is_refused(gateway, name, value):
    hook = gateway.register("s1", "http://127.0.0.1:9/")["id"]
    source = gateway.api("POST", "/sources", json={"name": "n", "preset": "waha"}).json()["id"]
    of_hook = f"/sessions/s1/webhooks/{hook}"
    for method, path, known in (
        ("POST", "/sessions/s1/webhooks", {"url": "http://127.0.0.1:9/b"}),
        ("PUT", f"{of_hook}", {"url": "http://127.0.0.1:9/"}),
        ("PATCH", f"{of_hook}", {}),
        ("POST", f"{of_hook}/rotate-secret", {}),
        ("POST", f"{of_hook}/rotate-key", {}),
        ("POST", f"{of_hook}/replay", {"since": 1}),
        ("POST", "/sessions/s1/portal", {}),
        ("POST", "/sources", {"name": "m", "preset": "waha"}),
        ("PATCH", f"/sources/{source}", {}),
    ):
        answer = gateway.api(method, path, json={**known, name: value})
        assert answer.status_code == 400, (method, path, answer.text)
