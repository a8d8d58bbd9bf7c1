"""
A receiving host, shared as platforms for webhooks are: those of other sessions there answer
after some seconds, under all names of the host, and the healthy pair's at once.
"""

import os
import socket

import pytest

from attackers import publish_batch, register_many
from harness import behaviour, delay, figure, wait_until
from name_server import NameServer
from siege import ATTACK_S, IS_FULL, full

SLOW_S = 4
PER_HOST = 128 if IS_FULL else 16


def free_host():
    """An address whose port 80 is this process's alone; None where that may not be had."""
    host = f"127.9.{os.getpid() % 250}.9"
    try:
        socket.create_server((host, 80)).close()
    except PermissionError:
        return None
    return host


class Shared:
    """A behaviour: once it is slow, the attackers' requests wait, and are counted meanwhile."""

    def __init__(self):
        self.is_slow = False
        self.under_way = self.peak = 0
        self._wait, self._answer = delay(SLOW_S), behaviour(200)

    def __call__(self, link, request, closing):
        if not self.is_slow or request.header("X-Webhook-Session") == "healthy":
            return self._answer(link, request, closing)
        self.under_way += 1  # it is watched, and need not be exact
        self.peak = max(self.peak, self.under_way)
        try:
            return self._wait(link, request, closing)
        finally:
            self.under_way -= 1


@pytest.fixture
def name_server(make_gateway):  # after it, so that no gateway waits for one
    server = NameServer(ttl=60)
    yield server
    server.close()


def spellings(host, port, names):
    """A host's URLs: the first three are one by their text, all by their address."""
    own = "" if port == 80 else f":{port}"
    yield f"http://{names[0]}{own}"
    yield f"http://{names[0]}.{own}"
    yield f"http://{names[0].upper()}:{port}"
    yield f"http://{names[1]}:{port}"
    yield f"http://{host}{own}"


ONE, SAME, ALL = 1, 3, 5  # of them
HOSTS = {ONE: 2, SAME: 2, ALL: 4}  # by text, and one by the address of who had an attempt
DELIVERED = 'waybill_deliveries_total{outcome="delivered"}'


@pytest.mark.parametrize(
    "webhooks, sessions, names, known",
    [
        (60, 1, ALL, True), (60, 2, SAME, False), full(30, 2, ONE, True),
        full(600, 8, SAME, True), full(600, 8, ALL, False), full(600, 1, ALL, True),
    ],
)
def test_a_host_is_slow_for_others(
    make_gateway, besiege, make_receiver, name_server, webhooks, sessions, names, known
):
    """`known`: the attackers' webhooks have had an attempt before."""
    host = free_host() or "127.0.0.1"
    shared = Shared()
    receiver = make_receiver(shared, host=host, port=0 if host == "127.0.0.1" else 80)
    both = ("shared.test", "also.shared.test")
    name_server.names |= {name: [host] for name in both}
    gateway = make_gateway(
        max_per_host=PER_HOST, name_servers=name_server.address, drain_timeout_ms=100
    )
    bases = list(spellings(host, receiver.port, both))[:names]
    hogs = [f"hog{n}" for n in range(sessions)]
    urls = [f"{bases[n % len(bases)]}/{n}" for n in range(webhooks)]
    register_many(gateway, urls, hogs, timeout_ms=30000)
    if known:
        publish_batch(gateway, hogs)
        wait_until(
            lambda: figure(gateway, DELIVERED) == webhooks, ATTACK_S, "their first attempts"
        )
    shared.is_slow = True
    busy = min(PER_HOST, webhooks) // 2
    with besiege(gateway, receiver, host="shared.test") as siege:
        publish_batch(gateway, hogs, times=20)
        wait_until(lambda: shared.under_way >= busy, ATTACK_S, "a busy host")
        siege.hold()
        assert shared.under_way >= busy
        assert shared.peak < PER_HOST * (1 if known else HOSTS[names])
