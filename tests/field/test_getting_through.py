"""The way to the receiver: names with several addresses, of which some take no connection."""

import socket
import ssl

import pytest

from harness import status, wait_until
from scheduling import publish_many, wait_for_ids


@pytest.fixture
def make_named_gateway(make_gateway, name_server):
    """Gateways that ask `name_server`; an attempt that fails is not made again."""

    def make(**options):
        return make_gateway(
            name_servers=name_server.address, **{"retry_schedule": "1h", **options}
        )

    return make


def attempt_of(gateway, event, session="s1"):
    """The first attempt of the event's one delivery, once it has ended."""
    path = f"/sessions/{session}/deliveries?event_id={event['id']}"
    (delivery,) = wait_until(
        lambda: [d for d in gateway.api("GET", path).json()["deliveries"] if d["attempts"]],
        what="attempt",
    )
    return delivery["attempts"][0]


class Hole:
    """
    An address on loopback that drops SYNs: a listener whose backlog is full, as nobody accepts.
    """

    def __init__(self, host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sockets = [socket.create_server((host, port), family=family, backlog=0)]
        for _ in range(8):
            sock = socket.socket(family)
            sock.setblocking(False)
            sock.connect_ex((host, port))
            self._sockets.append(sock)

    def close(self):
        for sock in self._sockets:
            sock.close()


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
UNREACHABLE = ["240.0.0.1", "fd5e:5e5e::1"]
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
        circuit_failures=1, allow_cidr=["127.0.0.0/8", "::1/128", "240.0.0.0/8", "fd5e::/16"]
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
    receiver = make_receiver(tls=context)
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
    proxy = make_receiver()
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
