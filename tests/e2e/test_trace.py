"""A publisher's traceparent and tracestate stay with the event, and go on to its receivers."""

import json

import pytest
from harness import hooks_path, wait_until

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
TRACE = {"traceparent": PARENT, "tracestate": STATE}


def publish(gateway, headers, body=None, path="/events"):
    body = body or {"session_id": "s1", "event": "message"}
    answer = gateway.api("POST", path, json=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def traces(receiver):
    return [(r.header("traceparent"), r.header("tracestate")) for r in receiver.requests]


def wait_for(receiver, count):
    wait_until(lambda: len(receiver.requests) >= count, what="requests")
    return traces(receiver)


@pytest.mark.parametrize("payload", ["envelope", "data", "cloudevents"])
def test_it_goes_to_the_receiver_and_is_shown(gateway, make_receiver, payload):
    receiver = make_receiver(200)
    gateway.register("s1", receiver.url(), payload=payload, secret="s3cret")
    event = publish(gateway, TRACE)
    assert wait_for(receiver, 1) == [(PARENT, STATE)]
    assert gateway.api("GET", f"/events/{event['id']}").json()["trace"] == TRACE


def test_a_batch_has_one_for_all(gateway, make_receiver):
    receiver = make_receiver(200)
    gateway.register("s1", receiver.url())
    publish(gateway, TRACE, [{"session_id": "s1", "event": "message", "data": n} for n in range(3)])
    assert wait_for(receiver, 3) == [(PARENT, STATE)] * 3


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({}, None),
        ({"tracestate": STATE}, None),
        ({"traceparent": "00-0-0-00", "tracestate": STATE}, None),
        ({"traceparent": "ff" + PARENT[2:]}, None),
        ({"traceparent": PARENT}, {"traceparent": PARENT}),
        ({"traceparent": PARENT, "tracestate": "no member"}, {"traceparent": PARENT}),
        ({"traceparent": PARENT, "tracestate": "a=" + "b" * 600}, {"traceparent": PARENT}),
    ],
)
def test_what_is_none_is_no_reason_to_refuse(gateway, make_receiver, headers, kept):
    receiver = make_receiver(200)
    gateway.register("s1", receiver.url())
    event = publish(gateway, headers)
    expected = kept or {}
    assert wait_for(receiver, 1) == [(expected.get("traceparent"), expected.get("tracestate"))]
    assert gateway.api("GET", f"/events/{event['id']}").json().get("trace") == kept


@pytest.mark.parametrize("size", [10, 3700, 3999, 50_000])
def test_it_outlasts_restart_retry_and_replay(gateway, make_receiver, size):
    """Sizes around those of a piece of the store."""
    receiver = make_receiver(500)
    made = gateway.register("s1", receiver.url(), retry=["1ms"])
    body = {"session_id": "s1", "event": "message", "data": "x" * size}
    publish(gateway, TRACE, body)
    listed = hooks_path("s1") + "/dlq"
    letters = wait_until(lambda: gateway.api("GET", listed).json()["entries"], what="dead letter")
    assert json.loads(letters[0]["payload"])["data"] == body["data"]
    gateway.stop()
    gateway.start()
    assert gateway.api("POST", f"{listed}/{letters[0]['id']}/replay").ok
    wait_for(receiver, 4)
    replay = {"since": 0, "status": "all"}
    path = f"{hooks_path('s1')}/{made['id']}/replay"
    wait_until(lambda: gateway.api("GET", listed).json()["count"] == 1, what="dead again")
    assert gateway.api("POST", path, json=replay).status_code == 202
    assert set(wait_for(receiver, 5)) == {(PARENT, STATE)}
    for request in receiver.requests:
        assert json.loads(request.body)["data"] == body["data"]


def test_a_webhooks_own_header_stands_above_it(gateway, make_receiver):
    receiver = make_receiver(200)
    own = "00-11111111111111111111111111111111-2222222222222222-00"
    gateway.register("s1", receiver.url(), headers={"Traceparent": own})
    publish(gateway, TRACE)
    assert wait_for(receiver, 1) == [(own, None)]


@pytest.mark.parametrize("settings", [{}, {"body": "raw"}, {"body": "raw", "raw_headers": ["traceparent"]}])
def test_a_sources_sender_has_one_too(gateway, make_receiver, settings):
    receiver = make_receiver(200)
    gateway.register("s1", receiver.url())
    source = {"name": "n", "session": "s1", "event": "message", "verify": {"type": "none"}}
    made = gateway.api("POST", "/sources", json={**source, **settings}).json()
    answer = gateway.request("POST", made["path"], token="", headers={
        **TRACE, "Content-Type": "application/json"}, data=b'{"a":1}')
    assert answer.status_code == 200, answer.text
    event = answer.json()["id"]
    state = None if "raw_headers" in settings else STATE
    assert wait_for(receiver, 1) == [(PARENT, state)]
    assert receiver.requests[0].body.endswith(b'{"a":1}' if settings else b'"data":{"a":1}}')
    assert gateway.api("GET", f"/events/{event}").json()["trace"] == TRACE
