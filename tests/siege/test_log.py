"""The log: webhooks by the hundred that fail over and over have a session's lines together."""

import re
import time

import pytest

from attackers import publish_batch, register_many
from harness import figure, wait_until
from siege import ATTACK_S, IS_FULL, full

WEBHOOKS = 1000 if IS_FULL else 200
RATE = 2  # log_rate
SESSION_KINDS, BURST_S = 4, 10  # docs/operations.md, section 9
LINE = re.compile(r'msg="delivery deferred".* session=(\w+)')
DEFERRED = 'waybill_deliveries_total{outcome="retried"}'


@pytest.mark.parametrize(
    "what, sessions, per_session", [("fail", 1, 1), ("chat", 2, 2), full("fail", 8, 4)]
)
def test_failures_flood_the_log(make_gateway, besiege, bad, what, sessions, per_session):
    gateway = make_gateway(
        log_rate=RATE, circuit_failures=1000000, retry_schedule=",".join(["50ms"] * 32)
    )
    began = time.monotonic()
    hogs = [f"hog{n}" for n in range(sessions)]
    register_many(gateway, bad.urls(what, WEBHOOKS), hogs)
    with besiege(gateway) as siege:
        publish_batch(gateway, hogs, times=per_session)
        siege.hold(lambda: publish_batch(gateway, hogs))
        wait_until(lambda: figure(gateway, DEFERRED) > 10 * WEBHOOKS, ATTACK_S, "failures")
        text = gateway.log_text()
        most = RATE * SESSION_KINDS * (BURST_S + time.monotonic() - began)
        lines = LINE.findall(text)
        for hog in hogs:
            assert 0 < lines.count(hog) <= most
        assert "held_back=" in text
