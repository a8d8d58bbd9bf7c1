"""What other gateways send, and how they want to be answered."""

import datetime
import hashlib
import hmac
import json

import pytest

from harness import expect_error, wait_until

PATH = "/sessions/s1/webhook-in"
SECRET = "inb0und"


@pytest.fixture
def inbound(make_gateway):
    return make_gateway(inbound_secret=SECRET)


def send(gateway, value, secret=SECRET):
    body = json.dumps(value).encode()
    digits = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Webhook-Signature": f"sha256={digits}", "Content-Type": "application/json"}
    return gateway.request("POST", f"/api/v1{PATH}", data=body, headers=headers, token="")


COUNTERS = {"total": 3, "sent": 1, "failed": 0, "pending": 2}
OBJECTS = [
    ("scheduled_sent", {"schedule_id": "a", "endpoint": "/send/text", "send_at": 1767143203,
                        "message_id": "3EB0", "to": "5511@s.whatsapp.net"}),
    ("scheduled_failed", {"schedule_id": "a", "endpoint": "/send/text", "send_at": 1767143203,
                          "error": "not connected", "to": "5511@s.whatsapp.net"}),
    ("blast_progress", {"job_id": "j", "session_id": "s1", "counters": COUNTERS}),
    ("blast_completed", {"job_id": "j", "session_id": "s1", "counters": {**COUNTERS, "pending": 0}}),
    ("unknown", {}),
    ("unknown", {"hello": ["w", {"o": None}], "2": 1, "1": 2}),
    ("unknown", {"event": {"type": "message"}}),
    ("receipt", {"event": "receipt", "timestamp": "2026-01-01T00:00:00Z", "data": 1}),
]


@pytest.mark.parametrize("event, value", OBJECTS)
def test_every_object_that_is_rightly_signed_is_taken(inbound, receiver, event, value):
    inbound.register("s1", receiver.url())
    answer = send(inbound, value)
    assert answer.status_code == 200, answer.text
    assert answer.json()["event"] == event
    (request,) = receiver.wait_for(1)
    body = request.json()
    assert (body["session_id"], body["event"], body["data"]) == ("s1", event, value)
    assert request.header("X-Webhook-Event") == event
    expect_error(send(inbound, value, secret="another"), 401)


def test_envelope_passes_as_it_is(inbound, receiver):
    inbound.register("s1", receiver.url())
    value = {"session_id": "s1", "event": "message", "timestamp": 7, "offline": True, "data": {"a": 1}}
    assert send(inbound, value).status_code == 200
    (request,) = receiver.wait_for(1)
    assert request.json() == value


@pytest.mark.parametrize("value", [[], 7, "event", None, {"event": "message", "session_id": "s2"}])
def test_what_is_no_object_or_of_another_session_is_refused(inbound, value):
    expect_error(send(inbound, value), 400)


def test_publishers_of_our_own_api_still_learn_what_is_wrong(gateway):
    for value in ({}, {"schedule_id": 1}, {"event": 7}):
        expect_error(gateway.api("POST", "/sessions/s1/events", json=value), 400, "event")


def test_health_is_livez(gateway):
    one, other = (gateway.request("GET", path, token="") for path in ("/health", "/livez"))
    assert (one.status_code, one.json()) == (other.status_code, other.json()) == (200, one.json())
    assert gateway.request("HEAD", "/health", token="").status_code == 200


def test_dead_letters_say_when_in_unix_seconds(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1ms")
    gateway.register("s1", make_receiver(500).url())
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="a dead letter")
    at = datetime.datetime.fromisoformat(entry["failed_at"].replace("Z", "+00:00"))
    assert entry["failed_at_unix"] == int(at.timestamp())
