"""
Names whose addresses drop what comes, by the hundred: attempts that try one address after the
other until their time is up. The healthy pair's receiver has such an address too.
"""

import pytest

from attackers import publish_batch, register_many
from harness import figure, wait_until
from holes import Hole, free_port
from name_server import NameServer
from siege import ATTACK_S, full

HOLES = [f"127.0.1.{n}" for n in range(1, 17)]  # as many of a name's as are kept
FIRST_MS, ENDS = 500, 60


@pytest.fixture
def name_server(make_gateway):  # after it, so that no gateway waits for one
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def port():
    """A port at which each of HOLES drops SYNs."""
    port = free_port()
    holes = [Hole(host, port) for host in HOLES]
    yield port
    for hole in holes:
        hole.close()


@pytest.mark.parametrize(
    "names, sessions, last_ms",
    [(600, 1, 7000), (600, 2, 7000), full(600, 1, 1000), full(1000, 2, 7000), full(600, 8, 7000)],
)
def test_names_of_many_holes(
    make_gateway, make_receiver, besiege, name_server, port, names, sessions, last_ms
):
    """Their attempts end one after the other, from `FIRST_MS` to `last_ms`."""
    gateway = make_gateway(
        name_servers=name_server.address, drain_timeout_ms=100, circuit_failures=1000000
    )
    receiver = make_receiver(port=port)
    name_server.names |= {".hole": HOLES, "pair.test": [HOLES[0], receiver.host]}
    hogs = [f"hog{n}" for n in range(sessions)]
    urls = [f"http://r{n}.hole:{port}/hook" for n in range(names)]
    for n in range(ENDS):
        timeout_ms = FIRST_MS + n * (last_ms - FIRST_MS) // ENDS
        register_many(gateway, urls[n::ENDS], hogs, timeout_ms=timeout_ms)
    with besiege(gateway, receiver, host="pair.test") as siege:
        publish_batch(gateway, hogs, times=10)
        failed = 'waybill_attempts_total{class="none"}'
        wait_until(lambda: figure(gateway, failed) > names // 2, ATTACK_S, "attempts in holes")
        siege.hold()
        assert figure(gateway, "waybill_attempts_in_flight") > 0
    assert figure(gateway, 'waybill_shortage_total{of="descriptors"}') == 0
