"""
Slots: webhooks by the hundred whose receivers hang, drip, are slow or fail late, of one session
or of several, with small events and with those of 1 MB, whose bodies are read as they are sent.
"""

import pytest

from attackers import publish_batch, register_many
from harness import event_of_size, shares, wait_until
from siege import ATTACK_S, IS_FULL, full

SMALL, LARGE = 100, (1 << 20) - 1000  # bytes of an event
SLOTS = 1024 if IS_FULL else 128
PER_SESSION = 1000  # max_webhooks_per_session


def publish(gateway, session, size):
    answer = gateway.api("POST", f"/sessions/{session}/events", body=event_of_size(size))
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    "scheme, what, sessions, size",
    [
        ("http", "hang", 1, SMALL), ("http", "hang", 2, LARGE), ("http", "drip", 2, SMALL),
        ("http", "refuse-4", 1, SMALL), full("https", "hang", 1, SMALL),
        full("http", "take", 1, LARGE), full("http", "drip", 8, LARGE),
        full("http", "crumbs", 2, SMALL), full("http", "slow-4", 2, LARGE),
        full("http", "slow-28", 2, SMALL), full("http", "refuse-4", 2, LARGE),
    ],
)
def test_slots_are_taken(make_gateway, besiege, bad, scheme, what, sessions, size):
    """Over HTTPS no handshake comes to its end."""
    gateway = make_gateway(max_in_flight=SLOTS, drain_timeout_ms=100)
    hogs = [f"hog{n}" for n in range(sessions)]
    urls = bad.urls(what, min(2 * SLOTS, PER_SESSION * sessions), scheme=scheme)
    register_many(gateway, urls, hogs, timeout_ms=30000)
    with besiege(gateway) as siege:
        for hog in hogs * (20 if what == "crumbs" else 1):  # it is over after a second
            publish(gateway, hog, size)
        siege.expect_refused("slots", "hog")
        siege.hold()
        figures = shares(gateway)["slots"]
        assert SLOTS // 4 < figures["held"] < figures["capacity"] == SLOTS


@pytest.mark.parametrize("what", ["hang", "slow-4", full("refuse-4"), full("drip")])
def test_sessions_by_the_hundred(make_gateway, besiege, bad, what):
    """More of them than there are slots, each with one webhook and within its share."""
    gateway = make_gateway(max_in_flight=SLOTS, drain_timeout_ms=100)
    hogs = [f"hog{n}" for n in range(2 * SLOTS)]
    register_many(gateway, bad.urls(what, len(hogs)), hogs, timeout_ms=30000)
    with besiege(gateway) as siege:
        publish_batch(gateway, hogs, times=3)
        wait_until(lambda: bad.held[what] > SLOTS // 2, ATTACK_S, "attempts that last")
        siege.hold()
