"""OAuth 2.0 client credentials: one token for many deliveries, and endpoints that have none."""

import base64
import json
import time
from urllib.parse import parse_qs

import pytest

from harness import delay, expect_error, figure, hooks_path, redirect, status, wait_until

MASK = "********"


def token(text="t1", **members):
    body = {"access_token": text, "token_type": "Bearer", "expires_in": 3600, **members}
    body = {name: value for name, value in body.items() if value is not None}
    return status(200, json.dumps(body).encode(), [("Content-Type", "application/json")])


def credentials(endpoint, **members):
    return {"type": "oauth2", "token_url": endpoint.url("/token"), "client_id": "me",
            "client_secret": "s3cr et", **members}


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(retry_schedule="100ms,100ms,100ms,100ms")


def sent(receiver, count):
    return [request.header("Authorization") for request in receiver.wait_for(count)]


def held_reason(gateway, hook):
    return wait_until(lambda: gateway.webhook("s1", hook["id"])["held_reason"], what="a reason")


def counted(gateway):
    """Attempts that were counted, of all deliveries."""
    deliveries = gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]
    return sum(delivery["attempt_count"] for delivery in deliveries)


@pytest.mark.parametrize("style", ["basic", "post", None])
def test_one_token_for_many_deliveries(gateway, make_receiver, style):
    endpoint, receiver = make_receiver(token("tok.en-1")), make_receiver()
    auth = credentials(endpoint, scope="a b", audience="https://x/", style=style)
    hook = gateway.register("s1", receiver.url(), auth=auth)
    shown = {**auth, "client_secret": MASK, "style": style or "basic"}
    assert hook["auth"] == shown
    for _ in range(20):
        gateway.publish("s1")
    assert set(sent(receiver, 20)) == {"Bearer tok.en-1"}
    (asked,) = endpoint.requests
    form = {name: value for name, (value,) in parse_qs(asked.body.decode()).items()}
    expected = {"grant_type": "client_credentials", "scope": "a b", "audience": "https://x/"}
    if style == "post":
        expected.update(client_id="me", client_secret="s3cr et")
        assert asked.values("Authorization") == []
    else:
        pair = base64.b64encode(b"me:s3cr%20et").decode()
        assert asked.header("Authorization") == "Basic " + pair
    assert form == expected
    assert asked.header("Content-Type") == "application/x-www-form-urlencoded"
    assert figure(gateway, 'waybill_token_requests_total{result="ok"}') == 1
    assert gateway.webhook("s1", hook["id"])["held_reason"] is None
    gateway.stop()
    gateway.start()
    gateway.publish("s1")
    assert sent(receiver, 21)[-1] == "Bearer tok.en-1"
    assert len(endpoint.requests) == 2


def test_token_is_asked_for_again_when_it_expires(gateway, make_receiver):
    endpoint = make_receiver(token("t1", expires_in=1), token("t2", expires_in="3600"))
    receiver = make_receiver()
    gateway.register("s1", receiver.url(), auth=credentials(endpoint))
    gateway.publish("s1")
    receiver.wait_for(1)
    time.sleep(1)
    for _ in range(2):
        gateway.publish("s1")
    assert sent(receiver, 3) == ["Bearer t1", "Bearer t2", "Bearer t2"]
    assert len(endpoint.requests) == 2


def test_refused_token_is_renewed_once_without_an_attempt(gateway, make_receiver):
    endpoint = make_receiver(token("old"), token("new"))
    receiver = make_receiver(200, 401, 200)
    gateway.register("s1", receiver.url(), auth=credentials(endpoint), ordering="fifo")
    for _ in range(2):
        gateway.publish("s1")
    assert sent(receiver, 3) == ["Bearer old", "Bearer old", "Bearer new"]
    assert [request.attempt for request in receiver.requests] == [1, 1, 1]
    assert len(endpoint.requests) == 2


def test_receiver_that_takes_no_token_fails_as_ever(gateway, make_receiver):
    endpoint, receiver = make_receiver(token()), make_receiver(401)
    gateway.register("s1", receiver.url(), auth=credentials(endpoint))
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 5 and "401" in entry["last_error"]
    assert len(receiver.requests) == 6 and len(endpoint.requests) == 2


FAULTS = {
    "500": (status(500), "no token: HTTP status 500"),
    "invalid_client": (
        status(400, b'{"error":"invalid_client","error_description":"SECRET"}'),
        "no token: HTTP status 400: invalid_client",
    ),
    "unknown code": (status(400, b'{"error":"SECRET"}'), "no token: HTTP status 400"),
    "not JSON": (status(200, b"<html>"), "no token: its answer has no access_token"),
    "no token": (status(200, b'{"token":"x"}'), "no token: its answer has no access_token"),
    "bad token": (token("a\r\nX: b"), "no token: its access_token cannot be sent in a header"),
    "mac": (token(token_type="mac"), "no token: its token_type is not Bearer"),
    "huge": (status(200, b'{"access_token":"' + b"x" * 70000 + b'"}'),
             "no token: its answer is over 65536 bytes"),
    "redirect": (redirect("http://127.0.0.1:9/"),
                 "no token: HTTP status 302: redirect not followed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_without_a_token_deliveries_wait_uncounted(gateway, make_receiver, fault):
    """Others go on; once there is one, all that waited is sent, each at its first attempt."""
    behaviour, reason = FAULTS[fault]
    endpoint, receiver, other = make_receiver(behaviour), make_receiver(), make_receiver()
    hook = gateway.register("s1", receiver.url(), auth=credentials(endpoint))
    gateway.register("s1", other.url())
    for _ in range(3):
        gateway.publish("s1")
    other.wait_for(3)
    assert held_reason(gateway, hook) == reason
    wait_until(lambda: counted(gateway) == 3, what="the outcomes of the other's")
    pending = gateway.api("GET", "/sessions/s1/deliveries?status=pending").json()["deliveries"]
    assert [delivery["held_reason"] for delivery in pending] == [reason] * 3
    assert receiver.requests == []
    assert figure(gateway, 'waybill_token_requests_total{result="failed"}') >= 1
    assert "webhooks wait for a token" in gateway.log_text()
    assert "SECRET" not in gateway.log_text()
    endpoint.answer(token())
    assert {request.attempt for request in receiver.wait_for(3)} == {1}
    assert gateway.webhook("s1", hook["id"])["held_reason"] is None


def test_slow_endpoint_holds_its_own_webhooks_alone(gateway, make_receiver):
    endpoint, receiver, other = make_receiver(delay(1, token())), make_receiver(), make_receiver()
    gateway.register("s1", receiver.url(), auth=credentials(endpoint))
    gateway.register("s1", other.url())
    for _ in range(5):
        gateway.publish("s1")
    other.wait_for(5, timeout=1)
    assert receiver.requests == []
    receiver.wait_for(5)
    assert len(endpoint.requests) == 1


def test_address_policy_holds_for_token_endpoints(gateway, make_receiver):
    receiver = make_receiver()
    auth = {**credentials(receiver), "token_url": "http://10.0.0.1/token"}
    hook = gateway.register("s1", receiver.url(), auth=auth)
    gateway.publish("s1")
    assert "address refused" in held_reason(gateway, hook)
    assert receiver.requests == []


def test_patch_of_the_credentials_asks_at_once(gateway, make_receiver):
    endpoint, receiver = make_receiver(status(401)), make_receiver()
    hook = gateway.register("s1", receiver.url(), auth=credentials(endpoint))
    gateway.publish("s1")
    held_reason(gateway, hook)
    good = make_receiver(token("good"))
    answer = gateway.api("PATCH", hooks_path("s1", hook["id"]), json={"auth": credentials(good)})
    assert answer.status_code == 200
    assert sent(receiver, 1) == ["Bearer good"]
    count = len(endpoint.requests)
    answer = gateway.api("PATCH", hooks_path("s1", hook["id"]), json={"auth": None})
    gateway.publish("s1")
    assert receiver.wait_for(2)[1].values("Authorization") == []
    assert len(endpoint.requests) == count and len(good.requests) == 1


@pytest.mark.parametrize(
    "change, field",
    [
        ({"token_url": None}, "auth.token_url"),
        ({"token_url": "ftp://a/"}, "auth.token_url"),
        ({"client_id": ""}, "auth.client_id"),
        ({"client_secret": ""}, "auth.client_secret"),
        ({"client_secret": MASK}, "auth.client_secret"),
        ({"scope": 7}, "auth.scope"),
        ({"audience": "\n"}, "auth.audience"),
        ({"style": "jwt"}, "auth.style"),
        ({"grant_type": "password"}, "auth"),
    ],
)
def test_bad_credentials_are_refused_and_named(gateway, make_receiver, change, field):
    auth = {**credentials(make_receiver()), **change}
    answer = gateway.api("POST", hooks_path("s1"), json={"url": "http://127.0.0.1:9/", "auth": auth})
    expect_error(answer, 400, field)


def test_share_of_one_session_leaves_tokens_for_others(gateway, make_receiver):
    """Forty webhooks whose endpoint is silent, and one of another session."""
    silent, good = make_receiver(delay(30)), make_receiver(token())
    silent.linger(0)
    receiver = make_receiver()
    for n in range(40):
        auth = credentials(silent, scope=str(n))
        gateway.register("greedy", f"http://127.0.0.1:9/{n}", auth=auth)
    gateway.publish("greedy")
    # of 32 places a session alone has 28; more only when these have timed out, after 10 s
    wait_until(lambda: len(silent.requests) >= 28, what="questions")
    gateway.register("modest", receiver.url(), auth=credentials(good))
    gateway.publish("modest")
    receiver.wait_for(1, timeout=2)
