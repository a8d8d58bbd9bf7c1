"""
Look-ups: names by the hundred that no name server answers for, that it answers for late, or
that it fails with; the healthy pair's receiver has a name too. There is one thread.
"""

import os

import pytest

from attackers import publish_batch, register_many
from harness import figure, wait_until
from name_server import SERVFAIL, SILENT, NameServer
from siege import ATTACK_S, IS_FULL, full

NAMES = 1000 if IS_FULL else 300
PLACES = 56  # names that are asked for at a time
END = {"silent": "displaced", "late": "displaced", "broken": "failed", "none": "none"}


@pytest.fixture
def name_server(make_gateway):  # after it, so that no gateway waits for one
    server = NameServer()
    server.names |= {".silent": SILENT, ".late": SERVFAIL, ".broken": SERVFAIL}
    server.names[".healthy"] = ["127.0.0.1"]
    server.delays[".late"] = 1
    yield server
    server.close()


def names(ending, domains):
    """So many names, each of a domain of its own, or all of one."""
    return [f"r{n}.{f'd{n}' if domains else 'one'}.{ending}" for n in range(NAMES)]


@pytest.mark.parametrize(
    "ending, domains, sessions",
    [
        ("silent", False, 1), ("silent", True, 2), full("late", True, 1),
        full("silent", True, 100), full("late", False, 2), full("broken", True, 2),
        full("none", True, 2),
    ],
)
def test_names_without_an_answer(
    make_gateway, make_receiver, besiege, name_server, ending, domains, sessions
):
    gateway = make_gateway(
        name_servers=name_server.address, drain_timeout_ms=100, circuit_failures=1000000
    )
    hogs = [f"hog{n}" for n in range(sessions)]
    urls = [f"http://{name}/hook" for name in names(ending, domains)]
    register_many(gateway, urls, hogs, timeout_ms=30000)
    receiver = make_receiver()
    fresh = iter(range(10**6))
    with besiege(gateway, receiver, host="pair.healthy") as siege:
        publish_batch(gateway, hogs, times=3)
        asked = 'waybill_lookup_names{state="asked"}'
        waiting = 'waybill_lookup_names{state="waiting"}'
        if END[ending] == "displaced":
            wait_until(
                lambda: figure(gateway, waiting) > NAMES // 2, ATTACK_S, "names that wait"
            )

        def step():
            assert len(os.listdir(f"/proc/{gateway.pid}/task")) == 1
            assert figure(gateway, asked) <= PLACES
            session = f"new{next(fresh)}"  # a name that was never asked for
            gateway.register(session, receiver.url(host=f"{session}.healthy"))
            event = gateway.publish(session)["id"]
            wait_until(lambda: event in receiver.ids, what="an event at a new name")

        siege.hold(step)
        assert figure(gateway, f'waybill_lookups_total{{result="{END[ending]}"}}') > 0
