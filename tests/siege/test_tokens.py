"""
Token endpoints that never answer, of more webhooks than may ask at a time: other sessions get
their tokens, and the healthy pair notices nothing.
"""

import json

import pytest

from attackers import publish_batch
from harness import shares, status, wait_until
from siege import full

EACH = 40  # webhooks, each with credentials of its own
GRANTED = status(200, json.dumps({"access_token": "t", "expires_in": 3600}).encode())


def silent(link, _request, closing):
    closing.wait()
    return False


def credentials(endpoint, scope):
    return {"type": "oauth2", "token_url": endpoint.url(), "client_id": "c",
            "client_secret": "s", "scope": scope}


@pytest.mark.parametrize("hogs", [3, full(20), 40])  # there are 32 slots
def test_token_endpoints_that_hang(make_gateway, make_receiver, besiege, hogs):
    gateway = make_gateway(drain_timeout_ms=100)
    hanging, granting = make_receiver(silent), make_receiver(GRANTED)
    hogging = [f"hog{n}" for n in range(hogs)]
    for hog in hogging:
        for n in range(EACH if hogs < 32 else 2):
            gateway.register(hog, f"http://127.0.0.1:9/{n}", auth=credentials(hanging, str(n)))
    receiver = make_receiver()
    fresh = iter(range(10**6))
    with besiege(gateway, receiver) as siege:
        publish_batch(gateway, hogging, times=3)
        wait_until(lambda: shares(gateway)["tokens"]["held"] >= 24, what="questions")

        def step():
            assert shares(gateway)["tokens"]["held"] <= 32
            session = f"new{next(fresh)}"  # with credentials that were never used
            gateway.register(session, receiver.url(), auth=credentials(granting, session))
            event = gateway.publish(session)["id"]
            wait_until(lambda: event in receiver.ids, what="an event with a token")

        siege.hold(step)
