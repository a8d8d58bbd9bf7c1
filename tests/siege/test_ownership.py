"""
A stranger registers one URL after the other, at hosts that never answer and at a victim that
answers what it likes: the victim is asked no more than a minute allows, other sessions have
their endpoints verified, and the healthy pair notices nothing.
"""

from urllib.parse import parse_qs, urlsplit

import pytest

from harness import hooks_path, shares, status, wait_until
from siege import full

EACH = 40  # webhooks of a session
MINUTE = 60  # questions of a session


def silent(link, _request, closing):
    closing.wait()
    return False


def repeats(link, request, closing):
    text = parse_qs(urlsplit(request.path).query).get("hub.challenge", [""])[0]
    return status(200, text.encode())(link, request, closing)


@pytest.mark.parametrize("hogs", [3, full(20), 40])  # there are 32 slots
def test_endpoints_of_strangers(make_gateway, make_receiver, besiege, hogs):
    gateway = make_gateway(drain_timeout_ms=100)
    hanging, victim, verified = make_receiver(silent), make_receiver(404), make_receiver(repeats)
    receiver = make_receiver()
    fresh = iter(range(10**6))

    def knock(session):
        """Registers at the victim, and takes it back at once."""
        hook = gateway.register(session, victim.url(f"/{next(fresh)}"), verify="get")
        gateway.api("DELETE", hooks_path(session, hook["id"]))

    with besiege(gateway, receiver) as siege:
        for hog in range(hogs):
            for n in range(EACH if hogs < 32 else 2):
                gateway.register(f"hog{hog}", hanging.url(f"/{n}"), verify="get", timeout_ms=30000)
        wait_until(lambda: shares(gateway)["challenges"]["held"] >= 24, what="questions")

        def step():
            assert shares(gateway)["challenges"]["held"] <= 32
            for _ in range(20):
                knock("stranger")
            session = f"new{next(fresh)}"
            hook = gateway.register(session, verified.url(), verify="get")
            event = gateway.publish(session)["id"]
            wait_until(lambda: event in verified.ids, what="an event to a verified endpoint")
            assert gateway.webhook(session, hook["id"])["ownership"]["state"] == "verified"

        siege.hold(step)
        assert len(victim.requests) <= 2 * MINUTE  # it takes less than that
