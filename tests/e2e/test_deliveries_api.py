"""What was sent, when, where to, and what they said: the log beside what a receiver really did."""

import pytest
from harness import RFC3339, Hold, expect_error, hooks_path, reset, status, wait_until

ABSENT = "01a208e7-8a0e-76cd-97d8-b8f948f7bd82"


def deliveries(gateway, session, **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    answer = gateway.api("GET", f"/sessions/{session}/deliveries?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def pages(gateway, session, **filters):
    """All deliveries of a list, page by page."""
    found, cursor = [], {}
    while True:
        page = deliveries(gateway, session, **filters, **cursor)
        found += page["deliveries"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def event(gateway, event_id, session=None, **kwargs):
    path = f"/sessions/{session}" if session else ""
    return gateway.api("GET", f"{path}/events/{event_id}", **kwargs)


def as_in_lists(delivery):
    """One delivery as lists show it: without what was said on the wire beside bodies."""
    wire = {"http_version", "tls_version", "certificate", "request_headers", "response_headers"}
    return {**delivery, "attempts": [
        {name: value for name, value in attempt.items() if name not in wire}
        for attempt in delivery["attempts"]]}


def only_delivery(gateway, event_id):
    answer = event(gateway, event_id)
    assert answer.status_code == 200, answer.text
    (delivery,) = answer.json()["deliveries"]
    return delivery


def settled(gateway, event_id, status="delivered"):
    """The event's one delivery, when it has come to be `status`."""

    def look():
        delivery = only_delivery(gateway, event_id)
        return delivery if delivery["status"] == status else None

    return wait_until(look, what=f"status {status}")


# One delivery


def test_log_says_what_the_receiver_said(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms,30ms,40ms")
    receiver = make_receiver(reset(), status(500, b"out of order"), 404, status(201, b'{"ok":true}'))
    webhook = gateway.register("s1", receiver.url("/in?key=1"), secret="s3cret")
    published = gateway.publish("s1", data={"n": 1})
    delivery = settled(gateway, published["id"])
    assert delivery["event_id"] == published["id"]
    assert delivery["webhook_id"] == webhook["id"]
    assert (delivery["session_id"], delivery["event"]) == ("s1", "message")
    assert delivery["url"] == receiver.url("/in?key=1")
    assert (delivery["attempt_count"], delivery["next_attempt_at"]) == (4, None)
    assert delivery["in_flight"] is False
    requests = receiver.wait_for(4)
    assert [r.values("X-Webhook-Delivery") for r in requests] == [[delivery["id"]]] * 4
    attempts = delivery["attempts"]
    assert [a["number"] for a in attempts] == [1, 2, 3, 4]
    assert [a["status"] for a in attempts] == [None, 500, 404, 201]
    assert [a["response"] for a in attempts] == [None, "out of order", "", '{"ok":true}']
    assert [a["error"] is None for a in attempts] == [False, True, True, True]
    for attempt in attempts:
        assert RFC3339.fullmatch(attempt["at"])
        assert attempt["url"] == delivery["url"]
        assert attempt["address"] == f"127.0.0.1:{receiver.port}"
        assert attempt["tls_ms"] == 0
        assert attempt["duration_ms"] > 0
        parts = ("dns_ms", "connect_ms", "first_byte_ms")
        assert sum(attempt[part] for part in parts) <= attempt["duration_ms"] + 1
    assert [a["at"] for a in attempts] == sorted(a["at"] for a in attempts)
    alone = gateway.api("GET", f"/sessions/s1/deliveries/{delivery['id']}").json()
    assert delivery == as_in_lists(alone)


def test_kept_connection_is_told_from_a_new_one(gateway, receiver):
    gateway.register("s1", receiver.url())
    first = settled(gateway, gateway.publish("s1")["id"])["attempts"][0]
    second = settled(gateway, gateway.publish("s1")["id"])["attempts"][0]
    assert first["connect_ms"] > 0 and second["connect_ms"] == 0
    assert first["first_byte_ms"] > 0 and second["first_byte_ms"] > 0


def test_pending_delivery_says_when_it_is_tried_again(make_gateway, make_receiver):
    gateway, receiver = make_gateway(retry_schedule="1h"), make_receiver(503)
    gateway.register("s1", receiver.url())
    event_id = gateway.publish("s1")["id"]
    delivery = wait_until(
        lambda: (d := only_delivery(gateway, event_id))["attempt_count"] == 1 and d, what="a try"
    )
    assert delivery["status"] == "pending"
    assert delivery["next_attempt_at"] > delivery["attempts"][0]["at"]


def test_delivery_in_flight_says_so(gateway, make_receiver):
    hold = Hold()
    gateway.register("s1", make_receiver(hold).url())
    event_id = gateway.publish("s1")["id"]
    wait_until(lambda: only_delivery(gateway, event_id)["in_flight"], what="an attempt")
    delivery = only_delivery(gateway, event_id)
    assert (delivery["status"], delivery["attempts"]) == ("pending", [])
    hold.release()
    assert settled(gateway, event_id)["in_flight"] is False


def test_refused_address_and_timeout_are_told_in_words(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms", allow_cidr="127.0.0.1/32")
    gateway.register("s1", "http://127.0.0.2:9/", retry=["10ms"])
    refused = settled(gateway, gateway.publish("s1")["id"], "dead")["attempts"][0]
    assert refused["error"].startswith("address refused: loopback")
    assert (refused["status"], refused["response"]) == (None, None)
    assert refused["address"] == "127.0.0.2:9"
    hold = Hold()
    gateway.register("s2", make_receiver(hold).url(), timeout_ms=100, retry=["10ms"])
    late = settled(gateway, gateway.publish("s2")["id"], "dead")["attempts"]
    assert [a["error"] for a in late] == ["timeout after 100 ms"] * 2
    assert all(a["duration_ms"] > 90 for a in late)
    hold.release()


def test_answers_that_are_anything_come_as_text(gateway, make_receiver):
    hostile = b'<script>"\\\x00\x1b[31m\xff\xc3' + "é\u202e".encode() + b"x" * 2000
    gateway.register("s1", make_receiver(status(200, hostile)).url())
    (attempt,) = settled(gateway, gateway.publish("s1")["id"])["attempts"]
    assert attempt["response"] == hostile[:1024].decode("utf-8", "replace")


def test_webhook_that_is_gone_is_known_by_its_attempts(gateway, make_receiver):
    receiver = make_receiver(200)
    webhook = gateway.register("s1", receiver.url("/gone"))
    event_id = gateway.publish("s1")["id"]
    settled(gateway, event_id)
    assert gateway.api("DELETE", hooks_path("s1", webhook["id"])).ok
    gateway.stop()
    gateway.start()  # nothing of it is left in memory
    delivery = only_delivery(gateway, event_id)
    assert (delivery["webhook_id"], delivery["url"]) == (webhook["id"], receiver.url("/gone"))
    found = deliveries(gateway, "s1", webhook=webhook["id"])["deliveries"]
    assert [d["id"] for d in found] == [delivery["id"]]


def test_attempts_are_told_over_a_crash(make_gateway, make_receiver):
    gateway, receiver = make_gateway(retry_schedule="1h"), make_receiver(500)
    gateway.register("s1", receiver.url())
    event_id = gateway.publish("s1")["id"]
    wait_until(lambda: only_delivery(gateway, event_id)["attempt_count"] == 1, what="a try")
    before = only_delivery(gateway, event_id)
    gateway.kill()
    gateway.start()
    assert only_delivery(gateway, event_id) == before


# Events


def test_event_is_found_by_its_id_alone(gateway, receiver):
    gateway.register("s1", receiver.url("/a"))
    gateway.register("s1", receiver.url("/b"))
    published = gateway.publish("s1", timestamp=1767143203, data={"text": "hé"}, extra=[1])
    answer = event(gateway, published["id"])
    assert answer.status_code == 200
    found = answer.json()
    assert found["id"] == published["id"]
    assert (found["session_id"], found["event"]) == ("s1", "message")
    assert (found["timestamp"], found["deliveries_count"]) == (1767143203, 2)
    assert found["payload"].encode() == receiver.wait_for(1)[0].body
    assert {d["url"] for d in found["deliveries"]} == {receiver.url("/a"), receiver.url("/b")}
    wait_until(lambda: {d["status"] for d in event(gateway, published["id"]).json()["deliveries"]}
               == {"delivered"}, what="both delivered")
    assert event(gateway, published["id"], "s1").json() == event(gateway, published["id"]).json()


@pytest.mark.parametrize("path", ["/events/{}", "/sessions/s1/events/{}",
                                  "/sessions/s1/deliveries/{}"])
def test_what_is_not_there_is_a_404(gateway, receiver, path):
    gateway.register("s2", receiver.url())
    other = gateway.publish("s2")["id"]
    expect_error(gateway.api("GET", path.format(ABSENT)), 404)
    expect_error(gateway.api("GET", path.format("nonsense")), 404)
    if "s1" in path:
        expect_error(gateway.api("GET", path.format(other)), 404)
        delivery = only_delivery(gateway, other)["id"]
        expect_error(gateway.api("GET", path.format(delivery)), 404)


def test_event_is_gone_after_its_retention(make_gateway, receiver):
    gateway = make_gateway(retention="1ms")
    gateway.register("s1", receiver.url())
    event_id = gateway.publish("s1")["id"]
    wait_until(lambda: event(gateway, event_id).status_code == 404, what="its end")
    assert deliveries(gateway, "s1") == {"deliveries": [], "next_cursor": None}


# Lists


def publish_many(gateway, session, count, **members):
    return [gateway.publish(session, **members)["id"] for _ in range(count)]


def test_list_is_newest_first_and_paged(gateway, receiver):
    gateway.register("s1", receiver.url("/a"))
    gateway.register("s1", receiver.url("/b"))
    gateway.register("s2", receiver.url("/c"))
    ids = publish_many(gateway, "s1", 7)
    publish_many(gateway, "s2", 2)
    whole = deliveries(gateway, "s1")
    assert whole["next_cursor"] is None
    found = whole["deliveries"]
    assert [d["id"] for d in found] == sorted((d["id"] for d in found), reverse=True)
    assert [d["event_id"] for d in found] == [i for i in reversed(ids) for _ in range(2)]
    for limit in (1, 2, 3, 14):
        assert [d["id"] for d in pages(gateway, "s1", limit=limit)] == [d["id"] for d in found]
    assert deliveries(gateway, "s1", limit=14)["next_cursor"] is None
    assert deliveries(gateway, "nobody") == {"deliveries": [], "next_cursor": None}


def test_list_is_filtered(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="10ms")
    good = gateway.register("s1", make_receiver(200).url())
    bad = gateway.register("s1", make_receiver(500).url(), events=["receipt"])
    messages = publish_many(gateway, "s1", 3)
    receipts = publish_many(gateway, "s1", 2, event="receipt")
    wait_until(lambda: len(deliveries(gateway, "s1", status="dead")["deliveries"]) == 2,
               what="dead ones")
    wait_until(lambda: not deliveries(gateway, "s1", status="pending")["deliveries"],
               what="the end")

    def found(**filters):
        return [d["event_id"] for d in pages(gateway, "s1", limit=1, **filters)]

    newest_first = [*reversed(receipts), *reversed(messages)]
    assert found(status="dead") == receipts[::-1]
    assert found(webhook=bad["id"]) == receipts[::-1]
    assert found(webhook=good["id"]) == newest_first
    assert found(event="receipt", status="delivered") == receipts[::-1]
    assert found(event="message") == messages[::-1]
    assert found(event_id=receipts[0]) == [receipts[0]] * 2
    assert found(event_id=receipts[0], webhook=bad["id"]) == [receipts[0]]
    assert found(webhook="b807d7e0-f783-4252-9d6d-76f50e2e8348") == []
    assert found(event_id=ABSENT) == found(status="expired") == found(status="cancelled") == []
    created = {d["event_id"]: d["created_at"] for d in pages(gateway, "s1")}
    since = created[messages[1]]
    assert set(found(since=since)) == {i for i in created if created[i] >= since}
    assert set(found(until=since.replace(":", "%3A"))) == {i for i in created if created[i] < since}
    assert found(since="2999-01-01T00:00:00Z") == found(until=1) == []


def test_list_that_matches_little_goes_on_by_its_cursor(gateway, receiver):
    """More than one call looks at."""
    for n in range(20):
        gateway.register("s1", receiver.url(f"/{n}"), events=["message"])
    rare = gateway.register("s1", receiver.url("/rare"), events=["receipt"])
    wanted = gateway.publish("s1", event="receipt")["id"]
    envelopes = [{"session_id": "s1", "event": "message"}] * 200
    assert gateway.api("POST", "/events", json=envelopes).status_code == 202
    first = deliveries(gateway, "s1", webhook=rare["id"])
    assert first["deliveries"] == [] and first["next_cursor"]
    found = pages(gateway, "s1", webhook=rare["id"])
    assert [d["event_id"] for d in found] == [wanted]


@pytest.mark.parametrize("query, field", [
    ("webhook=x", "webhook"),
    ("event_id=1", "event_id"),
    ("status=done", "status"),
    ("event=No", "event"),
    ("since=yesterday", "since"),
    ("until=2026-13-01T00:00:00Z", "until"),
    ("limit=0", "limit"),
    ("limit=201", "limit"),
    ("cursor=1", "cursor"),
    ("status=%zz", "status"),
    ("status=" + "x" * 129, "status"),
])
def test_bad_parameter_is_refused_by_name(gateway, query, field):
    expect_error(gateway.api("GET", f"/sessions/s1/deliveries?{query}"), 400, field)


# Sessions


def sessions(gateway, token=None, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = gateway.api("GET", f"/sessions?{text}", token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_sessions_have_webhooks_or_hold_something(gateway, make_receiver):
    receiver, hold = make_receiver(200), Hold()
    assert sessions(gateway) == {"sessions": [], "next_cursor": None}
    gone = gateway.register("b~1", receiver.url())
    settled(gateway, gateway.publish("b~1")["id"])
    assert gateway.api("DELETE", hooks_path("b~1", gone["id"])).ok
    gateway.register("B", receiver.url())
    gateway.register("a", make_receiver(hold).url())
    gateway.register("a", receiver.url(), events=["receipt"])
    gateway.publish("a")
    assert gateway.publish("key", id="k")["deliveries"] == 0
    found = sessions(gateway)
    assert found["next_cursor"] is None
    assert [(s["id"], s["webhooks"], s["waiting"]) for s in found["sessions"]] == [
        ("B", 1, 0), ("a", 2, 1), ("b~1", 0, 0), ("key", 0, 0)
    ]
    empty, waiting, over, key = found["sessions"]
    assert (empty["open_bytes"], empty["history_bytes"], empty["key_bytes"]) == (0, 0, 0)
    assert waiting["open_bytes"] > 0 and waiting["history_bytes"] == 0
    assert over["open_bytes"] == 0 and over["history_bytes"] > 0
    assert key["key_bytes"] > 0 and key["history_bytes"] == 0
    assert [s["dead_letters"] for s in found["sessions"]] == [0] * 4
    names, cursor = [], {}
    while True:
        page = sessions(gateway, limit=1, **cursor)
        names += [s["id"] for s in page["sessions"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert names == ["B", "a", "b~1", "key"]
    expect_error(gateway.api("GET", "/sessions?limit=x"), 400, "limit")
    expect_error(gateway.api("GET", "/sessions?cursor=%09"), 400, "cursor")
    hold.release()


def test_many_sessions_are_paged_in_order(gateway, receiver):
    with_webhooks = {f"w{n:03}" for n in range(0, 90, 2)}
    with_events = {f"w{n:03}" for n in range(0, 90, 3)}
    for name in sorted(with_webhooks | with_events):
        webhook = gateway.register(name, receiver.url())
        if name in with_events:
            gateway.publish(name)
        if name not in with_webhooks:
            gateway.api("DELETE", hooks_path(name, webhook["id"]))
    for limit in (7, 50, 200):
        names, cursor = [], {}
        while True:
            page = sessions(gateway, limit=limit, **cursor)
            assert len(page["sessions"]) <= limit
            names += [s["id"] for s in page["sessions"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert names == sorted(with_webhooks | with_events)


def test_scoped_token_sees_its_own(make_gateway, receiver, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("scoped-token-1 s1\n")
    gateway = make_gateway(tokens_file=tokens)
    gateway.register("s1", receiver.url())
    gateway.register("s2", receiver.url())
    own, other = gateway.publish("s1")["id"], gateway.publish("s2")["id"]
    found = sessions(gateway, token="scoped-token-1")["sessions"]
    assert [s["id"] for s in found] == ["s1"]
    assert event(gateway, own, token="scoped-token-1").status_code == 200
    expect_error(event(gateway, other, token="scoped-token-1"), 404)
    for path in ("deliveries", f"deliveries/{ABSENT}", f"events/{other}"):
        expect_error(gateway.api("GET", f"/sessions/s2/{path}", token="scoped-token-1"), 403)
