"""Repeats: what is the same JSON is the same, however a publisher's maps print it."""

import json
import random

import pytest

from harness import expect_error

SOURCE = random.Random(7)


def shuffled(value):
    """The same value with the members of all its objects in some other order."""
    if isinstance(value, dict):
        members = [(key, shuffled(member)) for key, member in value.items()]
        SOURCE.shuffle(members)
        return dict(members)
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    return value


def spelled(value):
    """The same again in other bytes: order, white space, escapes."""
    return json.dumps(
        shuffled(value), indent=SOURCE.choice([None, 1, "\t"]), ensure_ascii=SOURCE.random() < 0.5
    ).encode()


DATA = [
    {"b": 1, "a": {"z": [{"y": 1, "x": 2}, {"x": 1}], "\u00e9": "\U0001f600", "10": 1, "9": 2}},
    {f"k{n}": {f"m{m}": [m, {"q": n, "p": m}] for m in range(5)} for n in range(40)},
    [[{"a": 1, "b": {"d": 1, "c": {"f": None, "e": True}}}]],
]
OTHERS = [
    lambda e: {**e, "data": [e["data"]]},
    lambda e: {**e, "event": "receipt"},
    lambda e: {**e, "more": {}},
    lambda e: {key: value for key, value in e.items() if key != "data"},
]


def publish(gateway, body, path="/sessions/s1/events", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.api("POST", path, body=body, headers=named)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("headers", [{}, {"Idempotency_Key": "k"}], ids=["id", "key"])
def test_order_of_members_does_not_matter(gateway, receiver, data, headers):
    gateway.register("s1", receiver.url())
    event = {"event": "message", "data": data, "context": {"a": 1, "b": [2]}}
    if not headers:
        event["id"] = "k"
    first = publish(gateway, json.dumps(event).encode(), **headers)
    assert first.status_code == 202, first.text
    for _ in range(10):
        again = publish(gateway, spelled(event), **headers)
        assert (again.status_code, again.text) == (202, first.text)
        assert again.headers["Idempotent-Replayed"] == "true"
    for other in OTHERS:
        expect_error(publish(gateway, spelled(other(event)), **headers), 409)
    receiver.wait_for(1)
    assert receiver.requests[0].json()["data"] == data
    assert len(receiver.ids) == 1


def test_order_of_items_does_matter(gateway):
    """Of an array, and of a batch: an event is delivered before the one behind it."""
    for path, one, two in [
        ("/sessions/s1/events", {"event": "message", "data": [1, 2]},
         {"event": "message", "data": [2, 1]}),
        ("/events", [{"session_id": "s1", "event": e} for e in ("message", "receipt")],
         [{"session_id": "s1", "event": e} for e in ("receipt", "message")]),
    ]:
        headers = {"Idempotency_Key": path}
        assert publish(gateway, json.dumps(one).encode(), path, **headers).status_code == 202
        expect_error(publish(gateway, json.dumps(two).encode(), path, **headers), 409)
        assert publish(gateway, spelled(one), path, **headers).status_code == 202


def test_twice_in_a_batch_in_another_order_is_one_event(gateway, receiver):
    gateway.register("s1", receiver.url())
    event = {"session_id": "s1", "event": "message", "id": "k", "data": DATA[0]}
    lines = b"\n".join(json.dumps(shuffled(event)).encode() for _ in range(5))
    answer = publish(gateway, lines, "/events", Content_Type="application/x-ndjson")
    assert answer.status_code == 202, answer.text
    assert len({e["id"] for e in answer.json()["events"]}) == 1


def test_delivered_bytes_keep_the_publishers_order(gateway, receiver):
    """Signatures are over them, and receivers may have compared them for years."""
    gateway.register("s1", receiver.url())
    body = b'{"id":"k","event":"message","data":{"b":1,"a":{"d":1,"c":2}}}'
    assert publish(gateway, body).status_code == 202
    (request,) = receiver.wait_for(1)
    assert b'"data":{"b":1,"a":{"d":1,"c":2}}' in request.body


@pytest.mark.parametrize(
    "lines, code",
    [("a\r\nIdempotency-Key: b", 400), ("a\r\nidempotency-key: a", 400),
     ("a\r\nIdempotency-Key:", 400), ("a, b", 202), (" a ", 202), ("\ta\t", 202),
     ("k" * 128, 202), ("k" * 128 + "\r\nIdempotency-Key: " + "k" * 128, 400)],
    ids=["two", "the same", "and an empty one", "a comma", "spaces", "tabs", "longest", "longest two"],
)
def test_two_keys_are_none(gateway, lines, code):
    """A client that changes their order, or a proxy that joins them, would make it two events."""
    body = b'{"event":"message"}'
    with gateway.connect() as client:
        client.send(
            f"POST /api/v1/sessions/s1/events HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {lines}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        answer = client.reply("POST")
    assert answer.status_code == code, answer.content
    if code == 400:
        expect_error(answer, 400, "Idempotency-Key", ["twice"])
