"""Filters, names of events with a star, and what the body of a delivery is."""

import base64
import hashlib
import hmac
import json

import pytest

from harness import UUID7, expect_error, hooks_path, wait_until
from test_backup import expect_backup
from test_delivery_actions import wait_over
from test_replay import replayed

CHAT = {"path": "/data/chat", "equals": "120363@g.us"}
LEAF = {"path": "/data/n", "equals": 1}
KEY = "ab" * 32
LARGE = 300000  # bytes of a body that is read as it is sent


def chat(gateway, name, **members):
    return gateway.publish("s1", "message", data={"chat": name, **members})


def expect_filter_error(gateway, condition, field, *mentions):
    answer = gateway.api(
        "POST", hooks_path("s1"), json={"url": "http://127.0.0.1:9/", "filter": condition}
    )
    return expect_error(answer, 400, field, mentions)


def filter_test(gateway, webhook, event, session="s1"):
    return gateway.api("POST", hooks_path(session, webhook["id"], "filter-test"), json=event)


# Which events


def test_only_what_a_filter_lets_through_is_delivered(gateway, receiver, make_receiver):
    everything = make_receiver()
    webhook = gateway.register("s1", receiver.url(), filter=CHAT)
    gateway.register("s1", everything.url())
    assert webhook["filter"] == CHAT
    first = chat(gateway, "120363@g.us")
    other = chat(gateway, "491511@s.whatsapp.net")
    last = chat(gateway, "120363@g.us")
    assert [first["deliveries"], other["deliveries"], last["deliveries"]] == [2, 1, 2]
    assert {r.id for r in receiver.wait_for(2)} == {first["id"], last["id"]}
    assert len(everything.wait_for(3)) == 3


def test_an_event_that_no_filter_wants_is_not_stored(gateway, receiver):
    gateway.register("s1", receiver.url(), filter=CHAT)
    event = chat(gateway, "x")
    assert event["deliveries"] == 0
    assert gateway.api("GET", f"/events/{event['id']}").status_code == 404


@pytest.mark.parametrize("way", ["batch", "webhook-in", "alone"])
def test_every_way_in_is_filtered(gateway, receiver, way):
    gateway.register("s1", receiver.url(), filter=CHAT)
    events = [
        {"session_id": "s1", "event": "message", "data": {"chat": name}}
        for name in ["a", "120363@g.us", "b", "120363@g.us"]
    ]
    if way == "batch":
        answer = gateway.api("POST", "/events", json=events)
        assert [e["deliveries"] for e in answer.json()["events"]] == [0, 1, 0, 1]
    path = "/sessions/s1/webhook-in" if way == "webhook-in" else "/events"
    for n, event in enumerate([] if way == "batch" else events):
        answer = gateway.api("POST", path, json={**event, "n": n})
        assert answer.status_code in (200, 202), answer.text
        assert answer.json()["deliveries"] == n % 2
    assert [r.json()["data"]["chat"] for r in receiver.wait_for(2)] == ["120363@g.us"] * 2


def test_a_filter_is_changed_and_removed(gateway, receiver):
    webhook = gateway.register("s1", receiver.url(), filter=CHAT, ordering="fifo")
    path = hooks_path("s1", webhook["id"])
    assert chat(gateway, "x")["deliveries"] == 0
    changed = gateway.api("PATCH", path, json={"filter": {"not": CHAT}})
    assert changed.json()["filter"] == {"not": CHAT}
    assert gateway.webhook("s1", webhook["id"])["filter"] == {"not": CHAT}
    assert [chat(gateway, n)["deliveries"] for n in ["x", "120363@g.us"]] == [1, 0]
    bad = gateway.api("PATCH", path, json={"filter": {"not": {}}})
    expect_error(bad, 400, "filter.not")
    assert gateway.webhook("s1", webhook["id"])["filter"] == {"not": CHAT}
    assert gateway.api("PATCH", path, json={"filter": None}).json()["filter"] is None
    assert chat(gateway, "120363@g.us")["deliveries"] == 1


def test_a_filter_outlives_a_restart_with_all_its_digits(make_gateway, receiver):
    condition = '{"path":"/data/id","in":[12345678901234567890,9007199254740993]}'
    gateway = make_gateway()
    answer = gateway.api(
        "POST",
        hooks_path("s1"),
        body=f'{{"url":"{receiver.url()}","filter": {condition}}}'.encode(),
    )
    assert answer.status_code == 200 and f'"filter":{condition}' in answer.text
    gateway.kill()
    gateway.start()
    listed = gateway.api("GET", hooks_path("s1"))
    assert f'"filter":{condition}' in listed.text
    for n, wanted in [("9007199254740993", 1), ("9007199254740992", 0)]:
        text = f'{{"event":"message","data":{{"id":{n}}}}}'
        answer = gateway.api("POST", "/sessions/s1/events", body=text.encode())
        assert answer.json()["deliveries"] == wanted, n


def test_a_backup_has_filter_and_payload(make_gateway, tmp_path):
    """In a store whose secrets are encrypted, to which both are bound."""
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    gateway = make_gateway(secret_key_file=key)
    fields = {"filter": {"not": CHAT}, "payload": "cloudevents", "secret": "s3cret"}
    made = gateway.register("s1", "http://127.0.0.1:9/", **fields)
    expect_backup(gateway, tmp_path / "copy")
    other = make_gateway(secret_key_file=key, data=tmp_path / "copy")
    kept = other.webhook("s1", made["id"])
    assert (kept["filter"], kept["payload"]) == ({"not": CHAT}, "cloudevents")
    assert chat(other, "120363@g.us")["deliveries"] == 0


def test_a_replay_sends_what_there_was(gateway, receiver):
    """What a filter kept back has no delivery; what was delivered is, whatever it says now."""
    webhook = gateway.register("s1", receiver.url(), filter=CHAT)
    sent = chat(gateway, "120363@g.us")
    chat(gateway, "x")
    receiver.wait_for(1)
    wait_over(gateway, webhook)
    path = hooks_path("s1", webhook["id"])
    assert gateway.api("PATCH", path, json={"filter": {"not": CHAT}}).status_code == 200
    assert replayed(gateway, webhook, status="delivered") == 1
    assert [r.id for r in receiver.wait_for(2)] == [sent["id"]] * 2


def test_what_is_wrong_with_a_filter_is_named(gateway):
    expect_filter_error(gateway, 7, "filter", "all, any or not")
    expect_filter_error(
        gateway, {"all": [LEAF, LEAF, {"path": "data", "equals": 1}]}, "filter.all[2].path", "/data"
    )
    expect_filter_error(gateway, {"any": [{"not": {"path": "/a", "gt": "1"}}]}, "filter.any[0].not.gt")
    expect_filter_error(gateway, {"all": [LEAF] * 65}, "filter.all", "64")


def test_filters_of_a_session_have_a_bound_together(gateway):
    """1000 webhooks with 64 leaves each are within it, 8 with 8127 steps each are nearly all of it."""
    dear = {"all": [{"path": "/data/text", "contains": "x"}] * 63}  # 129 steps each
    registered = [
        gateway.register("s1", f"http://127.0.0.1:9/{n}", filter=dear) for n in range(8)
    ]
    little = [{"path": "/a", "contains": "x"}] * 5
    body = {"url": "http://127.0.0.1:9/one-more", "filter": {"all": little}}
    answer = gateway.api("POST", hooks_path("s1"), json=body)
    expect_error(answer, 409, "filter", ["65536", "65016", "adds 645"])
    assert gateway.api("POST", hooks_path("s2"), json=body).status_code == 200
    plain = gateway.register("s1", "http://127.0.0.1:9/plain", filter={"all": [LEAF] * 16})
    path = hooks_path("s1", plain["id"])
    expect_error(gateway.api("PATCH", path, json={"filter": body["filter"]}), 409, "filter")
    assert gateway.api("PATCH", path, json={"filter": LEAF}).status_code == 200
    first = hooks_path("s1", registered[0]["id"])
    assert gateway.api("PATCH", first, json={"filter": None}).status_code == 200
    assert gateway.api("POST", hooks_path("s1"), json=body).status_code == 200


def test_a_batch_has_a_bound_of_steps(gateway, receiver):
    for n in range(8):
        leaves = [{"path": "/data/n", "gt": k} for k in range(64)]
        gateway.register("s1", receiver.url(f"/{n}"), filter={"all": [*leaves, LEAF][1:]})
    event = {"session_id": "s1", "event": "message", "data": {"n": 70}}
    fits = 131072 // (8 * 64)
    answer = gateway.api("POST", "/events", json=[event] * (fits + 1))
    expect_error(answer, 413, None, ["split the batch", f"first {fits + 1} events"])
    answer = gateway.api("POST", "/events", json=[event] * fits)
    assert answer.status_code == 202 and answer.json()["accepted"] == fits


# Names


def test_a_star_stands_for_all_and_for_all_that_begin_so(gateway, receiver):
    assert gateway.register("s1", receiver.url("/a"), events=["*"])["events"] == ["all"]
    group = gateway.register("s2", receiver.url("/g"), events=["group_*", "group_update"])
    assert group["events"] == ["group_*", "group_update"]
    for name, deliveries in [("group_update", 1), ("group_call", 1), ("groups", 0)]:
        assert gateway.publish("s2", name)["deliveries"] == deliveries, name


def test_unknown_names_are_taken_when_told_to(gateway, receiver):
    body = {"url": receiver.url(), "events": ["messages.upsert", "order*"]}
    answer = gateway.api("POST", hooks_path("s1"), json=body)
    expect_error(answer, 400, "events[0]", ["events_strict false"])
    answer = gateway.api("POST", hooks_path("s1"), json={**body, "events_strict": False})
    assert answer.status_code == 200 and answer.json()["events"] == body["events"]
    assert "events_strict" not in answer.json()
    assert gateway.publish("s1", "messages.upsert")["deliveries"] == 1
    assert gateway.publish("s1", "order.paid")["deliveries"] == 1
    path = hooks_path("s1", answer.json()["id"])
    kept = gateway.api("PATCH", path, json={"events": ["order*", "message"]})
    assert kept.status_code == 200, kept.text
    expect_error(gateway.api("PATCH", path, json={"events": ["nobody"]}), 400, "events[0]")


# Why


def test_filter_test_says_why_of_a_given_event(gateway):
    webhook = gateway.register(
        "s1",
        "http://127.0.0.1:9/",
        events=["message"],
        filter={"all": [CHAT, {"not": {"path": "/data/text", "matches": "*spam*"}}]},
    )
    event = {"event": "message", "data": {"chat": "120363@g.us", "text": "x" * 300}}
    answer = filter_test(gateway, webhook, event)
    assert answer.status_code == 200
    assert answer.json() == {
        "matches": True,
        "enabled": True,
        "why": [
            {"field": "events", "event": "message", "matches": True},
            {
                "field": "filter.all[0]",
                "path": "/data/chat",
                "operator": "equals",
                "exists": True,
                "found": "120363@g.us",
                "matches": True,
            },
            {
                "field": "filter.all[1].not",
                "path": "/data/text",
                "operator": "matches",
                "exists": True,
                "found": "x" * 256,
                "matches": False,
            },
        ],
    }
    other = filter_test(gateway, webhook, {"event": "receipt"}).json()
    assert not other["matches"] and not other["why"][0]["matches"]
    assert other["why"][1] == {
        "field": "filter.all[0]",
        "path": "/data/chat",
        "operator": "equals",
        "exists": False,
        "found": None,
        "matches": False,
    }


def test_filter_test_of_an_event_that_is_kept(gateway, receiver, make_receiver):
    gateway.register("s1", receiver.url())
    webhook = gateway.register("s1", make_receiver().url(), filter=CHAT)
    event = chat(gateway, "x")
    answer = filter_test(gateway, webhook, {"event_id": event["id"]}).json()
    assert not answer["matches"] and answer["why"][1]["found"] == "x"
    elsewhere = gateway.register("s2", receiver.url())
    expect_error(
        filter_test(gateway, elsewhere, {"event_id": event["id"]}, "s2"), 404, "event_id"
    )


def test_a_filter_is_tried_before_it_is_set(gateway, receiver):
    webhook = gateway.register("s1", receiver.url(), filter={"not": CHAT})
    kept = chat(gateway, "x")["id"]
    for condition, matches in [(CHAT, False), ({"not": CHAT}, True), (None, True)]:
        answer = filter_test(gateway, webhook, {"event_id": kept, "filter": condition})
        assert answer.status_code == 200 and answer.json()["matches"] == matches, condition
    bad = {"event_id": kept, "filter": {"any": [{"path": "x", "gt": 1}]}}
    expect_error(filter_test(gateway, webhook, bad), 400, "filter.any[0].path")
    expect_error(
        filter_test(gateway, webhook, {"event_id": kept, "event": "message"}), 400, "event_id"
    )
    given = {"event": "message", "filter": CHAT}  # a member of the event's own
    assert filter_test(gateway, webhook, given).json()["matches"]
    assert gateway.webhook("s1", webhook["id"])["filter"] == {"not": CHAT}


def test_filter_test_refuses_what_is_no_event(gateway):
    webhook = gateway.register("s1", "http://127.0.0.1:9/")
    expect_error(filter_test(gateway, webhook, {"event_id": "x"}), 400, "event_id")
    expect_error(filter_test(gateway, webhook, {"event_id": 7}), 400, "event_id")
    expect_error(filter_test(gateway, webhook, {"data": {}}), 400, "event")
    expect_error(filter_test(gateway, webhook, []), 400)
    expect_error(filter_test(gateway, {"id": webhook["id"]}, {}, "s2"), 404)
    path = hooks_path("s1", webhook["id"], "filter-test")
    expect_error(gateway.api("POST", path, body=b'{"event":'), 400)
    expect_error(gateway.api("POST", path, body=b'{"event":"message"} x'), 400)


# The body


def expect_signed(request, secret):
    digest = hmac.new(secret, request.body, hashlib.sha256).hexdigest()
    assert request.header("X-Webhook-Signature") == "sha256=" + digest
    text = f"{request.id}.{request.header('webhook-timestamp')}.".encode() + request.body
    standard = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
    assert request.header("webhook-signature") == "v1," + standard


@pytest.mark.parametrize("size", [1, LARGE])
def test_the_body_is_the_data(gateway, receiver, size):
    gateway.register("s1", receiver.url(), payload="data", secret="s3cret")
    gateway.publish("s1", "message", data={"text": "é" * size, "n": [1]}, offline=True)
    [request] = receiver.wait_for(1)
    assert request.body.decode() == '{"text":"' + "é" * size + '","n":[1]}'
    assert request.header("Content-Type") == "application/json"
    assert request.header("Content-Length") == str(len(request.body))
    expect_signed(request, b"s3cret")


@pytest.mark.parametrize("size", [1, LARGE])
def test_the_body_is_a_cloudevent(gateway, receiver, size):
    gateway.register("s.1", receiver.url(), payload="cloudevents", secret="s3cret")
    event = gateway.publish("s.1", "message", timestamp=1767143203, data={"text": "x" * size})
    [request] = receiver.wait_for(1)
    assert UUID7.fullmatch(event["id"])
    assert list(request.json().items()) == [
        ("specversion", "1.0"),
        ("id", event["id"]),
        ("source", "/sessions/s.1"),
        ("type", "message"),
        ("subject", "s.1"),
        ("time", "2025-12-31T01:06:43.000Z"),
        ("datacontenttype", "application/json"),
        ("data", {"text": "x" * size}),
    ]
    assert request.header("Content-Type") == "application/cloudevents+json"
    expect_signed(request, b"s3cret")


def test_every_attempt_has_the_form_of_its_time(gateway, receiver):
    """
    A PATCH changes what is sent of what waits, and what fails is tried with that at once; a dead
    letter is the envelope.
    """
    receiver.answer(500, 500)
    webhook = gateway.register("s1", receiver.url(), payload="data", retry=["1h"])
    event = gateway.publish("s1", "message", data=7)

    def attempts():
        found = gateway.api("GET", f"/sessions/s1/deliveries?event_id={event['id']}").json()
        return found["deliveries"][0]["attempt_count"]

    wait_until(lambda: attempts() == 1, what="the first outcome")
    answer = gateway.api("PATCH", hooks_path("s1", webhook["id"]), json={"payload": "envelope"})
    assert answer.json()["payload"] == "envelope"
    first, second = receiver.wait_for(2)
    assert first.body == b"7"
    assert second.json()["data"] == 7
    [letter] = wait_until(lambda: gateway.dlq("s1"), what="the dead letter")
    assert json.loads(letter["payload"])["session_id"] == "s1"
