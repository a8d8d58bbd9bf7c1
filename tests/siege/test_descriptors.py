"""Descriptors: a limit that is far below what webhooks want, whose receivers are well or hang."""

import contextlib
import re

import pytest

from attackers import publish_batch, register_many
from harness import figure, wait_until
from siege import ATTACK_S, full

LIMIT = 256
HEALTHY = 500  # webhooks, each at an address of its own
ATTEMPTS = re.compile(r'^waybill_attempts_total\{class="(\w+)"\} (\d+)$', re.MULTILINE)


def expect_nobody_blamed(gateway):
    """No attempt has failed: what was not there of the gateway's own is no receiver's fault."""
    text = gateway.request("GET", "/metrics", token="").text
    failed = {name: int(n) for name, n in ATTEMPTS.findall(text) if name != "2xx"}
    assert set(failed.values()) == {0}, failed
    assert figure(gateway, 'waybill_circuits{state="open"}') == 0


@pytest.mark.parametrize(
    "what, hanging, sessions",
    [
        (None, 0, 1), ("drip", 300, 300), full("hang", 300, 2), full("hang", 2000, 2),
        full("take", 1000, 1000), full("slow-4", 500, 4),
    ],
)
def test_more_webhooks_than_descriptors(
    make_gateway, make_receiver, besiege, bad, what, hanging, sessions
):
    gateway = make_gateway(
        prefix=["prlimit", f"--nofile={LIMIT}:{LIMIT}"], drain_timeout_ms=100
    )
    assert "fewer descriptors than max_connections" in gateway.log_text()
    well = make_receiver(host="0.0.0.0")
    urls = [
        well.url(f"/{n}", host=f"127.0.{1 + n // 250}.{1 + n % 250}") for n in range(HEALTHY)
    ]
    many = [f"s{n}" for n in range(50)]
    register_many(gateway, urls, many)
    hogs = [f"hog{n}" for n in range(sessions)]
    if what:
        register_many(gateway, bad.urls(what, hanging), hogs, timeout_ms=30000)
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        for _ in range(LIMIT // 4):  # of clients, which have their own
            stack.enter_context(gateway.connect("127.0.0.2"))
        publish_batch(gateway, many)  # each has a connection for a while
        well.wait_for(HEALTHY, ATTACK_S)
        if what:
            publish_batch(gateway, hogs)
            wait_until(lambda: bad.held[what] > LIMIT // 16, ATTACK_S, "attempts that last")
        siege.hold(lambda: publish_batch(gateway, many[:2]))
        well.wait_for(HEALTHY + 2 * HEALTHY // len(many), ATTACK_S)
        expect_nobody_blamed(gateway)
