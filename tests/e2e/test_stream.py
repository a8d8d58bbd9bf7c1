"""
GET /events/stream: what happens as it happens, filtered, resumed, and bounded: a reader that
does not read costs the others nothing.
"""

import json
import re
import signal
import socket

import pytest
import requests

from harness import BINARY, RFC3339, UUID7, Hold, TlsAdapter, expect_error, wait_until
from scheduling import age

RING = 4096  # happenings that are kept, docs/api.md


class Stream:
    """A reader of the stream; understands chunks and messages by itself."""

    def __init__(
        self, gateway, query="", last_id=None, token=None, rcvbuf=None, source=None
    ):
        self.sock = socket.socket()
        if source:
            self.sock.bind((source, 0))
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(20)
        self.sock.connect(gateway.address)
        head = f"GET /api/v1/events/stream{query} HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Bearer {token or gateway.token}\r\n"
        if last_id:
            head += f"Last-Event-ID: {last_id}\r\n"
        self.sock.sendall(head.encode() + b"\r\n")
        self._raw, self._text = b"", b""
        self.last_id = None
        self.head = self._until(b"\r\n\r\n").decode()

    def __enter__(self):
        assert self.head.startswith("HTTP/1.1 200 OK"), self.head
        assert self.block() == {"": "waybill", "retry": "2000", **self._id()}
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def _id(self):
        return {"id": self.last_id} if self.last_id else {}

    def _fill(self):
        data = self.sock.recv(1 << 16)
        self._raw += data
        return bool(data)

    def _until(self, mark):
        while mark not in self._raw:
            assert self._fill(), f"ended within {self._raw[:200]!r}"
        part, self._raw = self._raw.split(mark, 1)
        return part

    def _chunk(self):
        size = int(self._until(b"\r\n"), 16)
        while len(self._raw) < size + 2:
            assert self._fill(), "ended within a chunk"
        self._text += self._raw[:size]
        self._raw = self._raw[size + 2 :]
        return size > 0

    def block(self):
        """The fields of the next block, comments under ""; None at the stream's end."""
        while b"\n\n" not in self._text:
            if not self._chunk():
                return None
        block, self._text = self._text.split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if line)
        self.last_id = fields.get("id", self.last_id)
        return fields

    def message(self):
        """The next message's type and data, and its id is in last_id."""
        while True:
            fields = self.block()
            if fields is None or "event" in fields:
                return fields and (fields["event"], json.loads(fields["data"]))

    def until(self, wanted):
        """Messages up to the first one of type `wanted`."""
        seen = [self.message()]
        while seen[-1][0] != wanted:
            seen.append(self.message())
        return seen


def publish_many(gateway, session, count, data="x"):
    event = {"session_id": session, "event": "message", "data": data}
    for first in range(0, count, 1000):
        answer = gateway.api("POST", "/events", json=[event] * min(1000, count - first))
        assert answer.status_code == 202, answer.text


def test_a_delivery_from_its_event_to_its_end(gateway, make_receiver):
    receiver = make_receiver(500, 200)
    hook = gateway.register("demo", receiver.url())
    with Stream(gateway) as stream:
        published = gateway.publish("demo")
        seen = stream.until("delivered")
    assert [kind for kind, _ in seen] == ["published", "retrying", "delivered"]
    event, retry, end = (data for _, data in seen)
    for kind, data in seen:
        assert data["type"] == kind
        assert RFC3339.fullmatch(data["at"])
        assert (data["session_id"], data["event"]) == ("demo", "message")
        assert data["event_id"] == published["id"]
    assert set(event) == {"at", "type", "session_id", "event", "event_id"}
    for data in (retry, end):
        assert data["webhook_id"] == hook["id"] and data["url"] == receiver.url()
        assert UUID7.fullmatch(data["delivery_id"]) and data["duration_ms"] > 0
        assert "error" not in data
    assert retry["delivery_id"] == end["delivery_id"]
    assert (retry["attempt"], retry["status"]) == (1, 500)
    assert (end["attempt"], end["status"]) == (2, 200)
    assert RFC3339.fullmatch(retry["next_attempt_at"]) and "next_attempt_at" not in end


def test_deaths_and_disabling(make_gateway, make_receiver):
    gateway, gone = make_gateway(retry_schedule="10ms"), make_receiver(503, 503, 410)
    hook = gateway.register("demo", gone.url())
    with Stream(gateway, "?status=dead%2Cdisabled") as stream:
        gateway.publish("demo")
        kind, dead = stream.message()
        assert (kind, dead["status"], dead["attempt"]) == ("dead", 503, 2)
        gateway.publish("demo")
        seen = dict(stream.until("disabled"))
        assert "410" in seen["disabled"]["error"]
        assert seen["disabled"]["webhook_id"] == hook["id"]
        other = gateway.register("other", gone.url())
        gateway.call("other", other["id"], "disable")
        kind, by_hand = stream.message()
        assert (kind, by_hand["error"]) == ("disabled", "disabled by request")


def test_an_attempt_without_an_answer_says_why(gateway, make_receiver):
    receiver = make_receiver()
    gateway.register("demo", receiver.url())
    receiver.close()
    with Stream(gateway, "?status=retrying") as stream:
        gateway.publish("demo")
        _, data = stream.message()
    assert data["error"] and "status" not in data


def test_filters(gateway, make_receiver):
    receiver = make_receiver()
    one = gateway.register("one", receiver.url("/a"))
    gateway.register("one", receiver.url("/b"))
    gateway.register("two", receiver.url("/c"))
    with (
        Stream(gateway, "?session=one") as by_session,
        Stream(gateway, "?webhook=" + one["id"]) as by_webhook,
        Stream(gateway, "?status=published") as by_status,
        Stream(gateway, "?status=delivered&session=one&webhook=" + one["id"]) as by_all,
    ):
        for session in ("two", "one", "two"):
            gateway.publish(session)
        seen = [by_session.message() for _ in range(3)]
        assert sorted(kind for kind, _ in seen) == ["delivered", "delivered", "published"]
        assert {data["session_id"] for _, data in seen} == {"one"}
        assert by_webhook.message()[1]["webhook_id"] == one["id"]
        assert [by_status.message()[1]["session_id"] for _ in range(3)] == ["two", "one", "two"]
        kind, data = by_all.message()
        assert (kind, data["webhook_id"]) == ("delivered", one["id"])


@pytest.mark.parametrize(
    "query, field",
    [
        ("?session=a%0Ab", "session"),
        ("?session=%2A", "session"),
        ("?session=", "session"),
        ("?webhook=1", "webhook"),
        ("?status=lost", "status"),
        ("?status=", "status"),
        ("?status=dead,,", "status"),
    ],
)
def test_wrong_filters(gateway, query, field):
    expect_error(gateway.api("GET", "/events/stream" + query), 400, field)


def test_tokens(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-one one\ntoken-of-both one two\n")
    gateway = make_gateway(tokens_file=tokens)
    expect_error(gateway.api("GET", "/events/stream", token="wrong-token"), 401)
    expect_error(
        gateway.api("GET", "/events/stream?session=two", token="token-of-one"), 403
    )
    with (
        Stream(gateway, token="token-of-one") as of_one,
        Stream(gateway, token="token-of-both") as of_both,
        Stream(gateway, "?session=one", token="token-of-one") as asked,
    ):
        for session in ("three", "two", "one"):
            gateway.publish(session)
        assert of_one.message()[1]["session_id"] == "one"
        assert [of_both.message()[1]["session_id"] for _ in range(2)] == ["two", "one"]
        assert asked.message()[1]["session_id"] == "one"


def test_head_and_old_http(gateway):
    assert gateway.api("HEAD", "/events/stream").status_code == 405
    with gateway.connect() as client:
        client.send(
            f"GET /api/v1/events/stream HTTP/1.0\r\nAuthorization: Bearer {gateway.token}\r\n"
            "Host: x\r\n\r\n".encode()
        )
        assert client._link.read_until(b"\r\n\r\n").startswith(b"HTTP/1.0 505 ")


def test_a_reconnecting_reader_misses_nothing(gateway):
    with Stream(gateway) as stream:
        gateway.publish("s1")
        stream.message()
        last = stream.last_id
    for n in (2, 3):
        gateway.publish(f"s{n}")
    with Stream(gateway, last_id=last) as stream:
        assert [stream.message()[1]["session_id"] for _ in range(2)] == ["s2", "s3"]
        gateway.publish("s4")
        assert stream.message()[1]["session_id"] == "s4"
        last = stream.last_id
    with Stream(gateway, last_id=last) as stream:  # nothing has happened: nothing comes twice
        gateway.publish("s5")
        assert stream.message()[1]["session_id"] == "s5"


def test_one_that_saw_no_message_can_resume_too(gateway):
    with Stream(gateway) as stream:
        last = stream.last_id
    gateway.publish("s1")
    with Stream(gateway, last_id=last) as stream:
        assert stream.message()[1]["session_id"] == "s1"


def test_a_gap_where_too_much_has_happened(gateway):
    with Stream(gateway) as stream:
        gateway.publish("first")
        stream.message()
        last = stream.last_id
    publish_many(gateway, "many", RING + 100)
    with Stream(gateway, last_id=last) as stream:
        assert stream.message() == ("gap", {"dropped": 100})
        for _ in range(RING):
            assert stream.message()[0] == "published"
        gateway.publish("last")
        assert stream.message()[1]["session_id"] == "last"


@pytest.mark.parametrize("last", ["1-5", "x", "1-", "-", "99999999999999999999-1"])
def test_a_gap_after_another_run(gateway, last):
    gateway.publish("here")
    with Stream(gateway, last_id=last) as stream:
        assert stream.message() == ("gap", {"dropped": None})
        assert stream.message()[1]["session_id"] == "here"


def test_a_restart_is_a_gap(gateway):
    with Stream(gateway) as stream:
        gateway.publish("old")
        stream.message()
        last = stream.last_id
    gateway.stop()
    gateway.start()
    with Stream(gateway, last_id=last) as stream:
        assert stream.message() == ("gap", {"dropped": None})
        gateway.publish("new")
        assert stream.message()[1]["session_id"] == "new"


def private_memory(gateway):
    """Bytes of memory that are not of the store's file."""
    with open(f"/proc/{gateway.pid}/status", encoding="ascii") as status:
        return int(re.search(r"^RssAnon:\s+(\d+) kB$", status.read(), re.M).group(1)) << 10


@pytest.mark.timeout(120)
def test_a_slow_reader_slows_nobody_and_costs_little(gateway):
    """Of 50 000 messages, 9 MB, it reads nothing; it is told of the gap, and goes on."""

    def publish_and_read(thousands):
        for _ in range(thousands):
            publish_many(gateway, "many", 1000)
            assert all(fast.message()[0] == "published" for _ in range(1000))

    with Stream(gateway, rcvbuf=4096) as slow, Stream(gateway) as fast:
        publish_and_read(10)
        before = private_memory(gateway)
        publish_and_read(40)
        grown = private_memory(gateway) - before
        gateway.publish("last")
        assert fast.message()[1]["session_id"] == "last"
        dropped = 0  # in one gap, or in several: the kernel takes more now and then
        while (seen := slow.message())[1].get("session_id") != "last":
            assert seen[0] == "gap" or seen[1]["session_id"] == "many"
            dropped += seen[1]["dropped"] if seen[0] == "gap" else 0
        assert dropped > 1000
    if "asan" not in BINARY:  # which keeps what was freed for a while
        assert grown < 2 << 20


def test_one_that_does_not_read_is_cut(make_gateway):
    gateway = make_gateway(send_timeout_ms=100)
    slow = Stream(gateway, rcvbuf=4096)
    descriptors = gateway.process.descriptors()
    wait_until(
        lambda: publish_many(gateway, "many", 1000)
        or gateway.process.descriptors() < descriptors,
        timeout=20,
        what="the end of the reader",
    )
    slow.close()


def test_limit_of_readers(make_gateway):
    gateway = make_gateway(stream_readers_max=3)  # one alone gets two of them
    with Stream(gateway) as one:
        with Stream(gateway):
            answer = gateway.api("GET", "/events/stream")
            expect_error(answer, 503, mentions=["stream_readers_max"])
            assert answer.headers["Retry-After"]

        def has_place():
            stream = Stream(gateway)
            found = "200 OK" in stream.head
            stream.close()
            return found

        wait_until(has_place, what="the place of the one that has left")
        gateway.publish("demo")
        assert one.message()[1]["session_id"] == "demo"


def figures_of_streams(gateway):
    text = gateway.request("GET", "/metrics").text
    return [
        int(re.search(rf'^waybill_share_{name}{{resource="streams"}} (\d+)$', text, re.M)[1])
        for name in ("capacity", "held", "refused_total")
    ]


def test_a_token_with_all_it_can_get_leaves_some_to_the_others(make_gateway, tmp_path):
    """By default: 28 of 32 are one's alone, and each other one still finds a place."""
    tokens = tmp_path / "tokens"
    tokens.write_text("first-token\nsecond-token s1\n")
    gateway = make_gateway(tokens_file=str(tokens))
    taken = []
    while "200 OK" in (stream := Stream(gateway, token="first-token")).head:
        taken.append(stream)
    assert "503 " in stream.head and "Retry-After: " in stream.head
    stream.close()
    assert len(taken) == 28
    assert figures_of_streams(gateway) == [32, 28, 1]
    for token in ("second-token", gateway.token):
        with Stream(gateway, "?session=s1", token=token):
            pass
    answer = gateway.api("GET", "/events/stream", token="first-token")
    expect_error(answer, 503, mentions=["share", "stream_readers_max"])
    lines = [line for line in gateway.log_text().splitlines() if "resource=streams" in line]
    assert lines and all('taker="token 2"' in line for line in lines)
    assert "first-token" not in gateway.log_text()
    for stream in taken:
        stream.close()
    wait_until(
        lambda: gateway.publish("s1") and figures_of_streams(gateway)[1] == 0,
        what="the places of those who have left",
    )


def test_clients_share_streams_where_there_are_no_tokens(make_gateway):
    gateway = make_gateway(token=None, stream_readers_max=3)
    with Stream(gateway), Stream(gateway):
        expect_error(gateway.api("GET", "/events/stream"), 503, mentions=["share"])
        with Stream(gateway, source="127.0.0.2"):
            pass
    assert "taker=127.0.0.1" in gateway.log_text()


def test_no_reader_is_allowed(make_gateway):
    expect_error(make_gateway(stream_readers_max=0).api("GET", "/events/stream"), 503)


def test_a_stop_ends_streams(gateway):
    with Stream(gateway) as stream:
        gateway.stop()
        with pytest.raises((AssertionError, ConnectionResetError)):
            stream.message()  # cut, without HTTP's end


def test_a_reload_ends_streams_whose_readers_come_back(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-one one\n")
    gateway = make_gateway(tokens_file=tokens)
    with Stream(gateway, token="token-of-one") as stream, Stream(gateway) as full:
        gateway.publish("one")
        stream.message()
        full.message()
        tokens.write_text("token-of-two two\n")
        gateway.process.signal(signal.SIGHUP)
        assert stream.message() is None and full.message() is None
    expect_error(gateway.api("GET", "/events/stream", token="token-of-one"), 401)
    gateway.publish("two")
    with Stream(gateway, last_id=full.last_id) as full:
        assert full.message()[1]["session_id"] == "two"


def test_repeats_are_not_told(gateway):
    with Stream(gateway) as stream:
        for _ in range(2):
            gateway.publish("demo", id="x")
        gateway.publish("other")
        assert [stream.message()[1]["session_id"] for _ in range(2)] == ["demo", "other"]


def test_over_tls(make_gateway, tls_options):
    """The library's own client reads it, over TLS."""
    gateway = make_gateway(**tls_options)
    with requests.Session() as session:
        session.mount("https://", TlsAdapter(gateway.tls))
        with session.get(
            gateway.url + "/api/v1/events/stream",
            headers={"Authorization": "Bearer " + gateway.token},
            stream=True,
            timeout=20,
        ) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert answer.headers["Cache-Control"] == "no-store"
            publish_many(gateway, "many", 1000)
            lines = (line for line in answer.iter_lines() if line.startswith(b"data: "))
            for _ in range(1000):
                assert json.loads(next(lines)[6:])["session_id"] == "many"


@pytest.mark.timeout(60)
def test_keep_alive(gateway):
    with Stream(gateway) as stream:
        stream.sock.settimeout(40)
        assert stream.block() == {"": "keep-alive", "id": stream.last_id}


def test_one_that_expired_unsent_is_told_with_its_event(make_gateway, make_receiver):
    gateway, hold = make_gateway(expire="presence=100ms"), Hold()
    receiver = make_receiver(hold, 200)
    gateway.register("demo", receiver.url(), max_in_flight=1)
    gateway.publish("demo")
    receiver.wait_for(1)
    with Stream(gateway, "?session=demo&status=expired") as stream:
        expired = gateway.publish("demo", "presence")["id"]
        age(0.1)
        hold.release()
        kind, data = stream.message()
    assert (kind, data["event"], data["event_id"]) == ("expired", "presence", expired)
    assert "attempt" not in data and "duration_ms" not in data
