"""Connections: idle ones, heads that do not end, many from few addresses; also under TLS."""

import contextlib
import itertools

import pytest

from siege import ATTACKERS, full, shares

PER_ADDRESS = 256  # max_connections_per_address: as many as one of them may have


@pytest.fixture(params=["http", full("https")])
def gateway(request, make_gateway, tls_options):
    """With more of what clients need time for under TLS, on a machine that is busy."""
    options = tls_options if request.param == "https" else {}
    return make_gateway(head_timeout_ms=60000, **options)


def crowd(stack, gateway, sources, each, begin=b""):
    """
    `each` connections from each source, which send `begin` and then nothing; those that are
    refused or closed are left as they are.
    """
    clients = []
    for source in itertools.chain.from_iterable([sources] * each):
        with contextlib.suppress(OSError):  # under TLS a refused one has no handshake
            clients.append(stack.enter_context(gateway.connect(source)))
            clients[-1].send(begin)
    return clients


BEGIN = {"idle": b"", "head": b"GET /livez HTTP/1.1\r\nX-Slow: "}


@pytest.mark.parametrize("begin", BEGIN.values(), ids=BEGIN)
def test_four_addresses_take_all_they_get(gateway, besiege, begin):
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        crowd(stack, gateway, ATTACKERS, PER_ADDRESS + 8, begin)
        siege.expect_refused("connections", "127.0.0.")
        siege.hold()


@pytest.mark.parametrize("begin", BEGIN.values(), ids=BEGIN)
def test_many_addresses_take_all_they_get(gateway, besiege, begin):
    """Each has less than its share, and all together more than there is."""
    sources = [f"127.0.1.{n}" for n in range(1, 251)]
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        crowd(stack, gateway, sources, 5, begin)
        siege.hold()
        figures = shares(gateway)["connections"]
        assert figures["held"] <= figures["capacity"]


def test_one_address_comes_again_and_again(gateway, besiege):
    """It is told 429 each time, beside the connections that it has."""
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        crowd(stack, gateway, ATTACKERS[:1], PER_ADDRESS + 32)

        def knock():
            with contextlib.ExitStack() as brief:
                crowd(brief, gateway, ATTACKERS[:1], 20)

        siege.hold(knock)
        siege.expect_refused("connections", ATTACKERS[0])


OF_ADDRESS = 96  # connections that a proxy lets an address have


@pytest.mark.parametrize(
    "kind, begin, addresses",
    [
        ("nginx", "head", 2), ("haproxy", "idle", 2), full("nginx", "idle", 8),
        full("haproxy", "head", 8), full("haproxy", "whole", 8), full("nginx", "whole", 4),
    ],
)
def test_connections_to_a_proxy(front, besiege, kind, begin, addresses):
    """
    Each address has all that the proxy lets it have, and comes for more: idle, with heads that do
    not end, or with requests that the gateway answers and whose answers are not read.
    """
    proxy, gateway = front(kind)
    begins = BEGIN | {"whole": b"GET /livez HTTP/1.1\r\nHost: waybill.example\r\n\r\n" * 20}
    sources = [f"127.0.0.{n + 2}" for n in range(addresses)]
    with besiege(gateway, front=proxy) as siege, contextlib.ExitStack() as stack:
        crowd(stack, proxy, sources, OF_ADDRESS + 8, begins[begin])

        def knock():
            with contextlib.ExitStack() as brief:
                crowd(brief, proxy, sources[:1], 5)

        siege.hold(knock)
