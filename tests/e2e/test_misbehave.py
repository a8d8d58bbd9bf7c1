"""
Answers that never end, beyond those of test_delivery.py: none holds its slot past the deadline,
and the status alone decides. Each webhook here may have one attempt under way: when another
event comes through, the slot was given back.
"""

import re
import socket

import pytest

from harness import behaviour, head, interim, wait_until

HUGE = 100_000_000
BUFFERED_MAX = 32_000_000  # what both ends' sockets may take in although nobody reads
DEADLINE_MS = 500
NO_DEADLINE_MS = 30000  # longer than a test: what is refused is refused for itself


def stream(first, piece, pause_s=0):
    """Sends `first` and then `piece` again and again, for ever."""

    def act(link, _request, closing):
        link.send(first)
        while not closing.wait(pause_s):
            link.send(piece)
        return False

    return act


def then_reset(data):
    """Sends `data` and resets the connection."""

    def act(link, _request, _closing):
        link.send(data)
        link.reset()
        return False

    return act


class Huge:
    """Answers with `code` and HUGE bytes, and counts how many the peer took."""

    def __init__(self, code):
        self._code = code
        self.taken = 0

    def __call__(self, link, _request, closing):
        link.send(head(self._code, ("Content-Length", HUGE)))
        while self.taken < HUGE and not closing.is_set():
            link.send(b"x" * 65536)
            self.taken += 65536
        return False


def first_of(act):
    """Does `act` for the event whose data is {"n": 0}, and answers 200 to the others."""

    def chosen(link, request, closing):
        chosen_act = act if request.json()["data"] == {"n": 0} else 200
        return behaviour(chosen_act)(link, request, closing)

    return chosen


def publish_two(gateway, receiver, **fields):
    """Publishes two events to a webhook with one slot and waits for the second."""
    gateway.register("s1", receiver.url(), max_in_flight=1, **fields)
    first, second = (gateway.publish("s1", data={"n": n})["id"] for n in range(2))
    wait_until(lambda: second in receiver.ids, what="the second event")
    return first, second


ENDLESS_HEADS = {
    "headers": stream(b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n" * 1000),
    "1xx": stream(b"", head(103, ("X-Interim", "yes")) * 1000),
    "1xx without headers": stream(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
}


@pytest.mark.parametrize("act", ENDLESS_HEADS.values(), ids=ENDLESS_HEADS.keys())
def test_flood_before_the_body_is_cut_off_and_fails(make_gateway, make_receiver, act):
    gateway, receiver = make_gateway(), make_receiver(first_of(act))
    publish_two(gateway, receiver, timeout_ms=NO_DEADLINE_MS, retry=["10ms"])
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 2
    # the second: curl's own limit, since 8.6
    assert re.fullmatch(
        r"answer's headers are over 65536 bytes|Too many response headers, \d+ is max",
        entry["last_error"],
    )


ENDLESS_LINES = {
    "header": stream(b"HTTP/1.1 200 OK\r\nX-More: ", b"x" * 65536),
    "reason phrase": stream(b"HTTP/1.1 200 ", b"K" * 65536),
}


@pytest.mark.parametrize("act", ENDLESS_LINES.values(), ids=ENDLESS_LINES.keys())
def test_line_without_end_fails(make_gateway, make_receiver, act):
    gateway, receiver = make_gateway(), make_receiver(first_of(act))
    publish_two(gateway, receiver, timeout_ms=NO_DEADLINE_MS, retry=["10ms"])
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 2
    assert "timeout" not in entry["last_error"]


DRIPPING_HEADS = {
    "headers": stream(b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n", 0.02),
    "1xx": stream(b"", head(103, ("X-Interim", "yes")), 0.02),
    "status line": stream(b"HTTP/1.1 200 ", b"K", 0.02),
    "nothing that is HTTP": stream(b"", b"\r\n", 0.02),
}


@pytest.mark.parametrize("act", DRIPPING_HEADS.values(), ids=DRIPPING_HEADS.keys())
def test_drip_before_the_body_ends_at_the_deadline(make_gateway, make_receiver, act):
    gateway, receiver = make_gateway(), make_receiver(first_of(act))
    publish_two(gateway, receiver, timeout_ms=DEADLINE_MS, retry=["10ms"])
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 2


@pytest.mark.parametrize("code, attempts", [(200, 1), (500, 2)])
def test_hundred_megabytes_are_not_read(make_gateway, make_receiver, code, attempts):
    huge = Huge(code)
    gateway, receiver = make_gateway(), make_receiver(huge, 200)
    gateway.register("s1", receiver.url(), ordering="fifo", timeout_ms=NO_DEADLINE_MS)
    first, second = gateway.publish("s1")["id"], gateway.publish("s1")["id"]
    expected = [first] * attempts + [second]
    assert [r.id for r in receiver.wait_for(len(expected))] == expected
    assert huge.taken < BUFFERED_MAX


ENDS = {
    "in the body": b"Content-Length: 100\r\n\r\nhalf",
    "in a chunk": b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf",
    "before the body": b"Content-Length: 100\r\n\r\n",
}


@pytest.mark.parametrize("code, attempts", [(200, 1), (500, 2)])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_reset_behind_the_head_leaves_the_status(
    make_gateway, make_receiver, end, code, attempts
):
    answer = f"HTTP/1.1 {code} Status\r\n".encode() + end
    gateway, receiver = make_gateway(), make_receiver(then_reset(answer), 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    first, second = gateway.publish("s1")["id"], gateway.publish("s1")["id"]
    expected = [first] * attempts + [second]
    assert [r.id for r in receiver.wait_for(len(expected))] == expected


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nX-A: b", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["in the status line", "in a header", "behind a 1xx"],
)
def test_reset_before_the_end_of_the_head_fails(make_gateway, make_receiver, data):
    gateway, receiver = make_gateway(), make_receiver(first_of(then_reset(data)))
    publish_two(gateway, receiver, timeout_ms=NO_DEADLINE_MS, retry=["10ms"])
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 2


def test_switching_protocols_is_no_success(make_gateway, make_receiver):
    act = interim(101, then=200)
    gateway, receiver = make_gateway(), make_receiver(first_of(act))
    publish_two(gateway, receiver, timeout_ms=DEADLINE_MS, retry=["10ms"])
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 2


def test_second_answer_in_the_same_packet_settles_nothing(make_gateway, make_receiver):
    def twice(link, _request, _closing):
        link.send(head(200, ("Content-Length", 0)) * 2)
        return True

    gateway, receiver = make_gateway(), make_receiver(twice, 500, 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    first, second = gateway.publish("s1")["id"], gateway.publish("s1")["id"]
    assert [r.id for r in receiver.wait_for(3)] == [first, second, second]


def test_connection_that_nobody_accepts_ends_at_the_deadline(make_gateway):
    """The kernel takes the connection and the request; no program ever reads it."""
    gateway = make_gateway()
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        port = listener.getsockname()[1]
        webhook = gateway.register(
            "s1", f"http://127.0.0.1:{port}/", timeout_ms=DEADLINE_MS, retry=["10ms"]
        )
        gateway.publish("s1", data={"text": "x" * 900_000})
        (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
        assert "timeout" in entry["last_error"]
        assert gateway.webhook("s1", webhook["id"])["in_flight"] == 0


def fill_backlog(listener):
    """Takes the places of a listener's queue: the kernel answers no further SYN."""
    held = []
    while True:
        sock = socket.socket()
        held.append(sock)
        sock.settimeout(0.3)  # of a handshake over loopback, which takes no time
        try:
            sock.connect(listener.getsockname())
        except TimeoutError:
            return held


def test_connection_that_does_not_come_about_ends_at_the_deadline(make_gateway, make_receiver):
    """As when a firewall drops what is sent; others, on the same descriptors, go on."""
    gateway, receiver = make_gateway(), make_receiver()
    gateway.register("s2", receiver.url())
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        held = fill_backlog(listener)
        port = listener.getsockname()[1]
        gateway.register(
            "s1", f"http://127.0.0.1:{port}/", timeout_ms=DEADLINE_MS, retry=["10ms", "10ms"]
        )
        for _ in range(3):
            gateway.publish("s1")
        wait_until(lambda: len(gateway.dlq("s1")) == 3, what="dead letters")
        assert {entry["last_error"] for entry in gateway.dlq("s1")} == {
            f"timeout after {DEADLINE_MS} ms"
        }
        ids = [gateway.publish("s2")["id"] for _ in range(20)]
        assert sorted(r.id for r in receiver.wait_for(20)) == ids
        for sock in held:
            sock.close()
