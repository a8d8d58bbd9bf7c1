"""
The way to the receiver: names with several addresses, of which some take no connection;
connections that are kept and turn out dead, or have something on them that nobody asked for.
"""

import ctypes
import errno
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness import Hold, Receiver, figure, head, redirect, reset, status, wait_until
from holes import Hole, free_port
from name_server import NameServer
from scheduling import publish_many, wait_for_ids

CLONE_NEWNET = 0x40000000


@pytest.fixture
def make_named_gateway(make_gateway, name_server):
    """Gateways that ask `name_server`; an attempt that fails is not made again."""

    def make(**options):
        return make_gateway(
            name_servers=name_server.address, **{"retry_schedule": "1h", **options}
        )

    return make


@pytest.fixture
def receiver(make_receiver):
    """One with neighbours: its port is free at other addresses."""
    return make_receiver(port=free_port())


def attempt_of(gateway, event, session="s1"):
    """The first attempt of the event's one delivery, once it has ended."""
    path = f"/sessions/{session}/deliveries?event_id={event['id']}"
    (delivery,) = wait_until(
        lambda: [d for d in gateway.api("GET", path).json()["deliveries"] if d["attempts"]],
        what="attempt",
    )
    return delivery["attempts"][0]


@pytest.fixture
def dig():
    """Makes holes: dig("127.0.0.2", port)."""
    holes = []

    def make(*where):
        holes.append(Hole(*where))

    yield make
    for hole in holes:
        hole.close()


HOLES = [f"127.0.1.{n}" for n in range(1, 5)]
REFUSES = ["127.0.2.1", "127.0.2.2"]
UNREACHABLE = ["224.0.0.1", "fe80::1"]  # the system has no way there, and sends nothing
GOOD = "127.0.0.1"


@pytest.mark.parametrize(
    "addresses",
    [
        [*REFUSES, *(f"127.0.3.{n}" for n in range(1, 11)), "::1", GOOD],
        [HOLES[0], GOOD],
        [GOOD, HOLES[0]],
        [*HOLES, GOOD],
        ["::1", HOLES[0], GOOD],
        [*UNREACHABLE, GOOD],
        [HOLES[0], REFUSES[0], UNREACHABLE[0], GOOD, HOLES[1], REFUSES[1], UNREACHABLE[1]],
    ],
    ids=["refuse", "a hole", "behind it", "all but one", "a hole of IPv6", "unreachable", "all"],
)
def test_one_good_address_is_enough(make_named_gateway, receiver, name_server, dig, addresses):
    """Whatever the others do, and with whichever an attempt begins."""
    for address in [*HOLES, "::1"]:
        if address in addresses:
            dig(address, receiver.port)
    gateway = make_named_gateway(
        circuit_failures=1, allow_cidr=["127.0.0.0/8", "::1/128", "224.0.0.0/4", "fe80::/10"]
    )
    for n in range(8):
        name_server.names[f"r{n}.test"] = addresses
        gateway.register(f"s{n}", receiver.url(host=f"r{n}.test"), timeout_ms=5000)
    for n in range(8):
        attempt = attempt_of(gateway, gateway.publish(f"s{n}"), f"s{n}")
        assert attempt["status"] == 200, attempt
        assert attempt["address"] == f"{GOOD}:{receiver.port}"
    assert [r.attempt for r in receiver.requests] == [1] * 8


def test_tls_begins_on_the_connection_that_stood_first(
    make_named_gateway, make_receiver, name_server, dig, authority, tmp_path
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("receiver.test").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    receiver = make_receiver(tls=context, port=free_port())
    for address in HOLES:
        dig(address, receiver.port)
    gateway = make_named_gateway(ca_file=tmp_path / "ca.pem")
    name_server.names["receiver.test"] = [*HOLES, GOOD]
    gateway.register("s1", receiver.url(host="receiver.test"), ordering="fifo")
    for _ in range(3):
        attempt = attempt_of(gateway, gateway.publish("s1"))
        assert attempt["address"] == f"{GOOD}:{receiver.port}"
    assert [r.attempt for r in receiver.requests] == [1] * 3


def test_proxy_has_addresses_too(make_named_gateway, make_receiver, name_server, dig):
    proxy = make_receiver(port=free_port())
    for address in HOLES:
        dig(address, proxy.port)
    gateway = make_named_gateway(proxy=f"http://proxy.test:{proxy.port}")
    name_server.names["proxy.test"] = [*HOLES, GOOD]
    for n in range(4):
        gateway.register(f"s{n}", "http://receiver.test/hook")
        gateway.publish(f"s{n}")
    assert [r.attempt for r in proxy.wait_for(4)] == [1] * 4


def test_no_good_address_fails_at_the_deadline(make_named_gateway, receiver, name_server, dig):
    for address in HOLES:
        dig(address, receiver.port)
    gateway = make_named_gateway()
    name_server.names["receiver.test"] = HOLES
    gateway.register("s1", receiver.url(host="receiver.test"), timeout_ms=2000)
    attempt = attempt_of(gateway, gateway.publish("s1"))
    assert attempt["error"] == "timeout after 2000 ms"
    assert attempt["address"].split(":")[0] in HOLES


def test_all_refuse_fails_at_once(make_named_gateway, receiver, name_server):
    gateway = make_named_gateway()
    name_server.names["receiver.test"] = REFUSES
    gateway.register("s1", receiver.url(host="receiver.test"), timeout_ms=30000)
    attempt = attempt_of(gateway, gateway.publish("s1"))
    assert "connect" in attempt["error"]


def test_what_failed_lately_is_tried_last(make_named_gateway, receiver, name_server, dig):
    """Where it has cost one attempt 250 ms it costs the next ones nothing."""
    dig(HOLES[0], receiver.port)
    dig(HOLES[1], receiver.port)
    gateway = make_named_gateway()
    name_server.names["receiver.test"] = [*HOLES[:2], GOOD]
    close = {"Connection": "close"}
    receiver.answer(status(200, headers=close.items()))
    gateway.register("s1", receiver.url(host="receiver.test"), ordering="fifo")
    attempts = [attempt_of(gateway, gateway.publish("s1")) for _ in range(12)]
    slow = [a for a in attempts if a["duration_ms"] > 240]
    assert len(slow) <= 2, attempts


def test_many_holes_do_not_keep_others_from_getting_through(
    make_named_gateway, receiver, name_server, dig
):
    """More attempts hang in all of their addresses than there are places for them to race in."""
    for address in HOLES:
        dig(address, receiver.port)
    gateway = make_named_gateway(drain_timeout_ms=100, allow_cidr="127.0.0.0/8")
    name_server.names |= {".hole": HOLES, "receiver.test": [HOLES[0], GOOD]}
    for n in range(60):
        gateway.register(f"h{n}", receiver.url(host=f"r{n}.hole"), timeout_ms=30000)
    events = [gateway.publish(f"h{n}") for n in range(60)]
    assert len(events) == 60
    gateway.register("s1", receiver.url(host="receiver.test"), timeout_ms=10000)
    wait_for_ids(receiver, publish_many(gateway, "s1", 5))
    assert {r.attempt for r in receiver.requests} == {1}


def established(receiver):
    """How many connections to it stand, at their other end."""
    there = f"0100007F:{receiver.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return sum(row[2:4] == [there, "01"] for row in rows)


def test_won_connection_that_is_not_needed_is_closed(
    make_named_gateway, receiver, name_server, dig
):
    """As one to the same address is kept, which the request goes to."""
    dig("::1", receiver.port)
    gateway = make_named_gateway()
    name_server.names["receiver.test"] = [GOOD]
    gateway.register("s1", receiver.url(host="receiver.test"), timeout_ms=30000)
    assert attempt_of(gateway, gateway.publish("s1"))["status"] == 200
    name_server.names["receiver.test"] = ["::1", GOOD]  # which are tried in this order
    while receiver.connections == 1:  # the first answer may count for a while
        hold = Hold()
        receiver.answer(hold)
        event = gateway.publish("s1")
        wait_until(lambda: event["id"] in receiver.ids, what="the request")
        if receiver.connections == 1:
            hold.release()
            assert attempt_of(gateway, event)["status"] == 200
    wait_until(lambda: established(receiver) == 1, what="the end of the one that was won")
    hold.release()
    assert attempt_of(gateway, event)["status"] == 200


# Addresses that change


def test_load_is_spread_over_the_addresses(make_named_gateway, make_receiver, name_server):
    gateway = make_named_gateway()
    first = make_receiver(port=free_port())
    others = [make_receiver(host=f"127.0.0.{n}", port=first.port) for n in (2, 3)]
    name_server.names["receiver.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    gateway.register("s1", first.url(host="receiver.test"), ordering="fifo")

    def is_spread():
        publish_many(gateway, "s1", 5)
        return all(len(r.requests) >= 5 for r in [first, *others])

    wait_until(is_spread, what="five requests at each address")
    assert [r.connections for r in [first, *others]] == [1, 1, 1]  # each is used again


@pytest.mark.parametrize("ordering", ["fifo", "none"])
def test_name_that_moves_is_followed_under_load(
    make_named_gateway, make_receiver, name_server, ordering
):
    """The old address answers on; its connection is never idle for long."""
    gateway = make_named_gateway()
    old = make_receiver(port=free_port())
    new = make_receiver(host="127.0.0.2", port=old.port)
    name_server.names["receiver.test"] = ["127.0.0.1"]
    gateway.register("s1", old.url(host="receiver.test"), ordering=ordering)
    publish_many(gateway, "s1", 5)
    old.wait_for(5)
    name_server.names["receiver.test"] = ["127.0.0.2"]
    wait_until(
        lambda: publish_many(gateway, "s1", 1) and len(new.requests) > 2,
        timeout=20,
        what="events at the new address",
    )
    before = len(old.requests)
    ids = publish_many(gateway, "s1", 20)
    wait_until(lambda: set(ids) <= new.ids, what="the rest at the new address")
    assert len(old.requests) == before


def test_busy_connection_ends_at_its_greatest_age(make_gateway, receiver):
    gateway = make_gateway(connection_max_age="1s")
    gateway.register("s1", receiver.url(), ordering="fifo")
    wait_until(
        lambda: publish_many(gateway, "s1", 1) and receiver.connections > 2,
        what="a third connection",
    )
    assert {r.attempt for r in receiver.requests} == {1}


# Connections that are kept


class Then:
    """
    Answers 200 and then does something else to the connection: when act() is called, which waits
    until it is done, or when the next request has begun to come.
    """

    def __init__(self, sends=b"", ends="stays", reads=0, answer=head(200, ("Content-Length", 0))):
        self._sends, self._ends, self._reads, self._answer = sends, ends, reads, answer
        self._due, self._done = threading.Event(), threading.Event()

    def act(self):
        self._due.set()
        assert self._done.wait(10)

    def __call__(self, link, _request, _closing):
        link.send(self._answer + (self._sends if self._ends == "glued" else b""))
        if self._reads and not link.sock.recv(self._reads):
            return False  # the gateway has closed it
        if not self._reads:
            self._due.wait(10)  # or the answer could be read together with what is behind it
        if self._ends != "glued":
            link.send(self._sends)
        if self._ends == "reset":
            link.reset()
        elif self._ends == "closed":
            link.sock.shutdown(socket.SHUT_WR)
        self._done.set()
        return self._ends in ("stays", "glued")


NO_BODY = ("Content-Length", 0)
FAREWELL = head(408, NO_BODY, ("Connection", "close"))
DEAD = {
    "end": lambda: Then(ends="closed"),
    "reset": lambda: Then(ends="reset"),
    "408": lambda: Then(FAREWELL, ends="closed"),
    "408, open": lambda: Then(head(408, NO_BODY)),
    "second answer": lambda: Then(head(200, NO_BODY)),
    "answer glued on": lambda: Then(head(200, NO_BODY), ends="glued"),
    "half an answer": lambda: Then(b"HTTP/1.1 200 OK\r\nContent-"),
    "500": lambda: Then(head(500, NO_BODY), ends="closed"),
    "not HTTP": lambda: Then(b"\0\1\2"),
    "a line break": lambda: Then(b"\r\n"),
    "no body": lambda: Then(head(204), answer=head(204)),
    "chunked": lambda: Then(
        head(200, NO_BODY),
        answer=head(200, ("Transfer-Encoding", "chunked")) + b"2\r\nok\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize(
    "kind, tls",
    [*((kind, False) for kind in DEAD), *((k, True) for k in ("end", "408", "second answer"))],
)
def test_what_lies_on_a_kept_connection_is_no_answer(
    make_gateway, make_receiver, authority, kind, tls
):
    """
    Each event but the first finds a dead connection, or one with something on it that nobody
    asked for; more of them than libcurl would try again over all requests of a handle.
    """
    count = 16
    acts = [DEAD[kind]() for _ in range(count)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    if tls:
        authority.issue_cert("127.0.0.1").configure_cert(context)
    receiver = make_receiver(*acts, 200, tls=context)
    gateway = make_gateway(retry_schedule="1h", circuit_failures=1)
    gateway.register("s1", receiver.url(), ordering="fifo", tls_verify=not tls)
    for act in acts:
        attempt = attempt_of(gateway, gateway.publish("s1"))
        assert attempt["status"] in (200, 204), attempt
        act.act()
    assert [r.attempt for r in receiver.requests] == [1] * count
    if kind != "answer glued on":  # curl drops that with the answer that it came with
        assert receiver.connections == count
    assert figure(gateway, 'waybill_attempts_total{class="4xx"}') == 0


def test_unasked_answer_is_not_the_next_events(make_gateway, make_receiver):
    """Its receiver fails, whatever came before the request did."""
    act = Then(head(200, NO_BODY))
    receiver = make_receiver(act, 503, 200)
    gateway = make_gateway(retry_schedule="20ms")
    gateway.register("s1", receiver.url(), ordering="fifo")
    attempt_of(gateway, gateway.publish("s1"))
    act.act()
    second = gateway.publish("s1")
    receiver.wait_for(3)
    assert attempt_of(gateway, second)["status"] == 503
    assert [r.id for r in receiver.requests[1:]] == [second["id"]] * 2


@pytest.mark.parametrize("size", [100, 60_000, 900_000])
@pytest.mark.parametrize(
    "sends, ends", [(b"", "reset"), (b"", "closed"), (FAREWELL, "closed"), (FAREWELL, "reset")],
    ids=["reset", "end", "408", "408 and reset"],
)
def test_connection_that_dies_under_a_request(make_gateway, make_receiver, size, sends, ends):
    """The same while a request is on its way, half of a large one."""
    count = 8
    gateway = make_gateway(retry_schedule="1h", circuit_failures=1)
    receiver = make_receiver(Then(sends, ends, reads=50))
    gateway.register("s1", receiver.url(), ordering="fifo", timeout_ms=30000)
    for _ in range(count):
        attempt = attempt_of(gateway, gateway.publish("s1", data="x" * size))
        assert attempt["status"] == 200, attempt
    assert [r.attempt for r in receiver.requests] == [1] * count
    assert {len(r.json()["data"]) for r in receiver.requests} == {size}


@pytest.mark.parametrize("size", [70_000, 200_000])
def test_many_connections_die_under_requests_at_once(make_gateway, make_receiver, size):
    """
    So that one that was taken in place of another dies as well: at any moment, also where a part of
    the body is in curl's hands, and none of it sent. Each body is sent from its first byte.
    """
    gateway = make_gateway(retry_schedule="1h", circuit_failures=1)
    receiver = make_receiver(Then(ends="reset", reads=1000))
    gateway.register("s1", receiver.url(), max_in_flight=64, timeout_ms=30000)
    event = {"session_id": "s1", "event": "message", "data": "x" * size}
    for _ in range(30):
        answer = gateway.api("POST", "/events", json=[event] * 16)
        wait_for_ids(receiver, {e["id"] for e in answer.json()["events"]})
    assert {r.attempt for r in receiver.requests} == {1}
    assert {len(r.json()["data"]) for r in receiver.requests} == {size}


@pytest.mark.parametrize("down", ["ended", "reset"])
def test_restarted_receiver_costs_no_attempt(make_gateway, down):
    """All connections that were kept are dead at once; each event finds another one of them."""
    count = 16
    hold = Hold()
    gateway = make_gateway(retry_schedule="1h", circuit_failures=1)
    receiver = Receiver(hold, port=free_port())
    for n in range(count):
        gateway.register(f"s{n}", receiver.url(), timeout_ms=30000)
        gateway.publish(f"s{n}")
    receiver.wait_for(count)
    hold.release()
    wait_until(
        lambda: figure(gateway, 'waybill_attempts_total{class="2xx"}') == count, what="answers"
    )
    port = receiver.port
    if down == "reset":
        receiver.linger(0)
    receiver.close()
    receiver = Receiver(port=port)
    try:
        for n in range(count):
            attempt = attempt_of(gateway, gateway.publish(f"s{n}"), f"s{n}")
            assert attempt["status"] == 200, attempt
        assert [r.attempt for r in receiver.requests] == [1] * count
    finally:
        receiver.close()


def test_new_connection_that_dies_is_an_attempt(make_gateway, make_receiver):
    """Only one that was used before says nothing of the receiver."""
    receiver = make_receiver(reset())
    gateway = make_gateway(retry_schedule="20ms,20ms")
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 3
    assert [r.attempt for r in receiver.requests] == [1, 2, 3]


def test_late_farewell_counts_on_a_new_connection(make_gateway, make_receiver):
    receiver = make_receiver(408)
    gateway = make_gateway(retry_schedule="20ms")
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert "408" in entry["last_error"]
    assert entry["attempts"] == 2


# What is said of an answer


@pytest.mark.parametrize(
    "location, said",
    [
        ("https://other.test/hook", "https://other.test/hook"),
        ("/there", "/there"),
        ("/\x1b[31mred\xff", "/?[31mred?"),
        ("/" + "x" * 9000, "/" + "x" * 299),
        ("https://other.test/?key=s3cret-of-the-hook", "https://other.test/?key=********"),
    ],
    ids=["absolute", "relative", "not printable", "long", "a secret"],
)
def test_redirect_says_where_to(make_gateway, make_receiver, location, said):
    """In the attempt, the dead letter and the log."""
    receiver = make_receiver(redirect(location, 301))
    gateway = make_gateway(retry_schedule="10ms")
    gateway.register("s1", receiver.url(), secret="s3cret-of-the-hook")
    event = gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    words = f"redirect not followed, to {said}"
    assert entry["last_error"] == f"HTTP status 301: {words}"
    attempt = attempt_of(gateway, event)
    assert (attempt["status"], attempt["error"]) == (301, words)
    assert words in gateway.log_text()


@pytest.mark.parametrize("code", [300, 304, 307, 200, 404])
def test_no_redirect_no_words(make_gateway, make_receiver, code):
    """A 3xx without Location, and a Location on what is no redirect."""
    headers = [("Location", "/x")] if code // 100 != 3 else []
    receiver = make_receiver(status(code, headers=headers))
    gateway = make_gateway(retry_schedule="1h")
    gateway.register("s1", receiver.url())
    assert attempt_of(gateway, gateway.publish("s1"))["error"] is None


@pytest.mark.parametrize(
    "lines",
    [[("X-Long", "x" * 110_000)], [(f"X-{n}", "x" * 900) for n in range(80)], [("A", "")] * 20_000],
    ids=["one line", "many", "very many"],
)
def test_headers_without_end_are_named(make_gateway, make_receiver, lines):
    receiver = make_receiver(status(200, headers=lines))
    gateway = make_gateway(retry_schedule="1h", circuit_failures=1)
    gateway.register("s1", receiver.url())
    attempt = attempt_of(gateway, gateway.publish("s1"))
    # the second: curl's own limit, since 8.6
    assert re.fullmatch(
        r"answer's headers are over 65536 bytes|Too many response headers, \d+ is max",
        attempt["error"],
    )


# What is lacking here


@pytest.fixture
def few_ports():
    """A network of its own, with nothing but a loopback that has 300 ports to connect from."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as outside:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip("needs the right to make a network of its own")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as ports:
                ports.write("40000 40299")
            yield
        finally:
            libc.setns(outside.fileno(), CLONE_NEWNET)


def take_ports(receiver):
    """All that could lead to it; the connections that have them."""
    taken = []
    try:
        while True:
            taken.append(socket.create_connection((receiver.host, receiver.port)))
    except OSError as error:
        assert error.errno == errno.EADDRNOTAVAIL
    return taken


def test_no_port_to_connect_from_is_nobodys_fault(few_ports, make_gateway, make_receiver):
    """All that could lead to the receiver are taken: it is delivered to when one is free."""
    receiver = make_receiver(port=9000)
    gateway = make_gateway(retry_schedule="1h", circuit_failures=1, listen="127.0.0.1:9001")
    gateway.register("s1", receiver.url())
    taken = take_ports(receiver)
    event = gateway.publish("s1")
    wait_until(lambda: figure(gateway, 'waybill_shortage_total{of="ports"}') > 1, what="two tries")
    assert gateway.dlq("s1") == []
    taken.pop().close()
    assert attempt_of(gateway, event)["status"] == 200
    assert [r.attempt for r in receiver.requests] == [1]
    for sock in taken:
        sock.close()


def test_no_port_to_one_address_of_two(few_ports, make_gateway, make_receiver, name_server, dig):
    """Nobody's fault either where the other takes no connection, whichever is tried first."""
    receiver = make_receiver(port=9000)
    dig(HOLES[0], receiver.port)
    name_server.names[".test"] = [HOLES[0], receiver.host]
    gateway = make_gateway(
        retry_schedule="1h", listen="127.0.0.1:9001", name_servers=name_server.address
    )
    sessions = [f"s{n}" for n in range(6)]
    for session in sessions:
        gateway.register(session, receiver.url(host=f"{session}.test"), timeout_ms=1000)
    taken = take_ports(receiver)
    for session in sessions:
        gateway.publish(session)
    ports = 'waybill_shortage_total{of="ports"}'
    wait_until(lambda: figure(gateway, ports) > len(sessions), what="tries of each")
    for sock in taken:
        sock.close()
    assert [r.attempt for r in receiver.wait_for(len(sessions))] == [1] * len(sessions)


@pytest.mark.parametrize("answer", ["127.0.0.1", None], ids=["known", "unknown"])
def test_no_way_to_a_name_server_is_nobodys_fault(make_gateway, receiver, answer):
    """Once there is one again the event arrives, by its first attempt."""
    port = free_port()
    gateway = make_gateway(
        name_servers=f"127.0.0.1:{port}", circuit_failures=1, retry_schedule="1h"
    )
    gateway.register("s1", receiver.url(host="receiver.test"))
    event = gateway.publish("s1")
    wait_until(
        lambda: figure(gateway, 'waybill_shortage_total{of="resolver"}') > 1, what="two tries"
    )
    server = NameServer(port=port)
    try:
        if answer:
            server.names["receiver.test"] = [answer]
        attempt = attempt_of(gateway, event)
    finally:
        server.close()
    assert attempt["number"] == 1
    assert (attempt["status"] == 200) == bool(answer)
