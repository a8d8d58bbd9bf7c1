"""
What an answer says beyond its status: which ones count as success, what a receiver asks for, and
where attempts go while the circuit is open.
"""

import time

import pytest

from harness import (
    delay, expect_error, flood, hooks_path, redirect, status, verify, wait_until,
)
from scheduling import circuit, publish_many, wait_circuit, wait_disabled, wait_for_ids

OK = {"answer": {"path": "/ok", "equals": True}}
GOOD = status(200, b'{"ok": true}')
BAD = status(200, b'{"ok": false}')
WHY = "HTTP status 200: the answer is not what success.answer wants"
SECRET = "s3cret"


def wish(word, code=500):
    return status(code, headers=[("Webhook-Delivery", word)])


def letter(gateway, session="s1"):
    wait_until(lambda: gateway.dlq(session), what="the dead letter")
    return gateway.dlq(session)[0]


def delivery(gateway, event, session="s1"):
    return gateway.api("GET", f"/sessions/{session}/events/{event['id']}").json()["deliveries"][0]


def attempts(gateway, event, session="s1"):
    found = delivery(gateway, event, session)["id"]
    return gateway.api("GET", f"/sessions/{session}/deliveries/{found}").json()["attempts"]


# Success


@pytest.mark.parametrize("bad, why", [
    (BAD, WHY),
    (status(200, b"<p>ok</p>"), "HTTP status 200: the answer is not JSON"),
    (status(204), "HTTP status 204: the answer is not JSON"),
    (status(200, b'{"ok": true, "x": "' + 65536 * b"x" + b'"}'),
     "HTTP status 200: the answer is over 65536 bytes"),
    (flood(), "HTTP status 200: the answer is over 65536 bytes"),
    (status(500, b'{"ok": true}'), "HTTP status 500"),
])
def test_answer_has_to_say_so(make_gateway, make_receiver, bad, why):
    gateway, receiver = make_gateway(retry_schedule="20ms"), make_receiver(bad)
    gateway.register("s1", receiver.url(), success=OK)
    event = gateway.publish("s1")
    assert letter(gateway)["last_error"] == why
    assert len(receiver.requests) == 2
    if ": " in why:
        assert [a["error"] for a in attempts(gateway, event)] == [why.split(": ")[1]] * 2
    receiver.answer(GOOD)
    event = gateway.publish("s1")
    wait_until(lambda: delivery(gateway, event)["status"] == "delivered", what="a success")


def test_answer_of_64_kib_is_read_whole(gateway, make_receiver):
    front, back = b'{"x":"', b'","ok":true}'
    receiver = make_receiver(
        status(200, front + (65536 - len(front) - len(back)) * b"x" + back))
    gateway.register("s1", receiver.url(), success=OK)
    event = gateway.publish("s1")
    wait_until(lambda: delivery(gateway, event)["status"] == "delivered", what="a success")
    assert len(receiver.requests) == 1


def test_answer_that_does_not_end_is_a_failure(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")

    def stall(link, _request, closing):
        link.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok": true}')
        closing.wait(5)
        return False

    gateway.register("s1", make_receiver(stall).url(), success=OK)
    gateway.publish("s1")
    assert letter(gateway)["last_error"] == \
        "HTTP status 200: the answer broke off, or took too long"


def test_statuses(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    target = make_receiver()
    receiver = make_receiver(redirect(target.url()))
    gateway.register("s1", receiver.url(), success={"statuses": [302, "4xx"]})
    event = gateway.publish("s1")
    wait_until(lambda: delivery(gateway, event)["status"] == "delivered", what="a success")
    receiver.answer(404)
    event = gateway.publish("s1")
    wait_until(lambda: delivery(gateway, event)["status"] == "delivered", what="a success")
    receiver.answer(200)
    gateway.publish("s1")
    assert letter(gateway)["last_error"] == \
        "HTTP status 200: not a status that success.statuses has"
    assert target.requests == []  # no redirect is followed


def test_410_disables_whatever_counts(gateway, make_receiver):
    webhook = gateway.register("s1", make_receiver(410).url(), success={"statuses": ["4xx"]})
    gateway.publish("s1")
    wait_disabled(gateway, webhook)


def test_success_goes_when_it_is_reset(gateway, make_receiver):
    receiver = make_receiver(BAD)
    webhook = gateway.register("s1", receiver.url(), success=OK)
    assert webhook["success"] == OK
    changed = gateway.api("PATCH", hooks_path("s1", webhook["id"]), json={"success": None})
    assert changed.json()["success"] is None
    event = gateway.publish("s1")
    wait_until(lambda: delivery(gateway, event)["status"] == "delivered", what="a success")


def test_success_and_fallback_stay_over_a_restart(gateway, make_receiver):
    webhook = gateway.register("s1", make_receiver().url(), success=OK,
                               fallback_url="http://127.0.0.1:1/")
    gateway.stop()
    gateway.start()
    kept = gateway.webhook("s1", webhook["id"])
    assert (kept["success"], kept["fallback_url"]) == (OK, "http://127.0.0.1:1/")


@pytest.mark.parametrize("body, field", [
    ({"success": {"statuses": [410]}}, "success.statuses"),
    ({"success": {"answer": {"path": "ok", "equals": 1}}}, "success.answer.path"),
    ({"success": {"member": 1}}, "success.member"),
    ({"fallback_url": "ftp://a/"}, "fallback_url"),
    ({"fallback_url": "http://127.0.0.1:9000/"}, "fallback_url"),
])
def test_refused(gateway, body, field):
    answer = gateway.api("POST", hooks_path("s1"), json={"url": "http://127.0.0.1:9000/", **body})
    expect_error(answer, 400, field)


# What a receiver asks for


@pytest.mark.parametrize("code", [500, 404, 302])
def test_abort_gives_the_delivery_up(gateway, make_receiver, code):
    receiver = make_receiver(wish("abort", code), 200)
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1")
    dead = letter(gateway)
    assert dead["last_error"] == \
        f"HTTP status {code}: the receiver answered webhook-delivery: abort"
    assert dead["attempts"] == len(receiver.requests) == 1
    wait_for_ids(receiver, publish_many(gateway, "s1", 1))
    assert gateway.webhook("s1", webhook["id"])["enabled"] is True


def test_abort_of_what_was_taken_is_nothing(gateway, make_receiver):
    gateway.register("s1", make_receiver(wish("abort", 200)).url())
    event = gateway.publish("s1")
    wait_until(lambda: delivery(gateway, event)["status"] == "delivered", what="a success")


@pytest.mark.parametrize("code, state", [(200, "delivered"), (500, "pending")])
def test_disable(gateway, make_receiver, code, state):
    others = make_receiver()
    receiver = make_receiver(wish("disable", code), 200)
    webhook = gateway.register("s1", receiver.url(), events=["message"])
    gateway.register("s1", others.url())
    event = gateway.publish("s1", event="message")
    wait_disabled(gateway, webhook)
    reason = "the receiver answered webhook-delivery: disable"
    assert gateway.webhook("s1", webhook["id"])["disabled_reason"] == reason
    told = [r.json()["data"] for r in others.wait_for(2) if r.header("X-Webhook-Event") != "message"]
    assert [data["reason"] for data in told] == [reason]
    shown = gateway.api("GET", f"/sessions/s1/events/{event['id']}").json()["deliveries"]
    assert [d["status"] for d in shown if d["webhook_id"] == webhook["id"]] == [state]


@pytest.mark.parametrize("code", [302, 400, 500])
def test_retry_after_of_any_failure(make_gateway, make_receiver, code):
    gateway = make_gateway(retry_schedule="10ms,10ms")
    receiver = make_receiver(status(code, headers=[("Retry-After", "1")]), 200)
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    first, second = receiver.wait_for(2)
    assert second.at - first.at >= 0.95


def test_retry_after_of_a_2xx(make_gateway, make_receiver):
    """Where that is no success it counts; where it is one it delays nothing."""
    gateway = make_gateway(retry_schedule="10ms,10ms")
    later = [("Retry-After", "1")]
    receiver = make_receiver(status(200, b"{}", later), status(200, b'{"ok":true}', later), GOOD)
    gateway.register("s1", receiver.url(), success=OK)
    gateway.publish("s1")
    first, second = receiver.wait_for(2)
    assert second.at - first.at >= 0.95
    gateway.publish("s1")
    assert receiver.wait_for(3)[2].at - second.at < 0.9


# The fallback


def slow(seconds):
    return delay(seconds, 200)


@pytest.fixture
def make_failing(make_gateway, make_receiver):
    """A gateway whose circuits open after 2 failures, and a webhook whose circuit is."""

    def make(circuit_open, fallback, **fields):
        gateway = make_gateway(retry_schedule=",".join(["20ms"] * 30), circuit_failures=2,
                               circuit_open=circuit_open)
        own = make_receiver(500)
        webhook = gateway.register("s1", own.url(), fallback_url=fallback.url("/spare?a=1"),
                                   secret=SECRET, **fields)
        gateway.publish("s1")
        wait_circuit(gateway, webhook, "open")
        return gateway, own, webhook

    return make


def test_fallback_is_used_while_the_circuit_is_open(make_failing, make_receiver):
    fallback = make_receiver()
    gateway, own, webhook = make_failing("1h", fallback, auth={"type": "bearer", "token": "t0ken"})
    first = fallback.wait_for(1)[0]
    assert first.path == "/spare?a=1" and first.attempt == 3
    assert first.id == own.requests[0].id
    assert first.header("Authorization") == "Bearer t0ken"
    verify(first, SECRET)
    events = publish_many(gateway, "s1", 20)
    wait_for_ids(fallback, events)
    assert len(own.requests) == 2
    assert circuit(gateway, webhook)["state"] == "open"
    urls = [own.url(), own.url(), fallback.url("/spare?a=1")]
    for event_id, want in ((first.id, urls), (events[-1], urls[2:])):
        wait_until(lambda i=event_id: attempts(gateway, {"id": i}), what="the outcome")
        assert [a["url"] for a in attempts(gateway, {"id": event_id})] == want


def test_probes_go_to_the_webhooks_own_url(make_failing, make_receiver):
    """One event now and then: what is due while a probe is due is the probe."""
    fallback = make_receiver()
    gateway, own, webhook = make_failing("300ms", fallback)
    fallback.wait_for(1)
    for n in range(3):
        time.sleep(0.4)
        event = gateway.publish("s1")
        wait_until(lambda e=event: e["id"] in fallback.ids, what="the fallback")
        assert event["id"] in own.ids  # was the probe
        assert len(own.requests) == 3 + n
    own.answer(200)
    time.sleep(0.4)
    event = gateway.publish("s1")
    wait_circuit(gateway, webhook, "closed")
    assert event["id"] in own.ids and event["id"] not in fallback.ids
    later = publish_many(gateway, "s1", 10)
    wait_for_ids(own, later)
    assert not set(later) & fallback.ids


def test_probes_go_on_beside_a_backlog(make_failing, make_receiver):
    fallback = make_receiver(slow(0.01))
    gateway, own, webhook = make_failing("200ms", fallback, max_in_flight=1)
    publish_many(gateway, "s1", 150)
    wait_until(lambda: len(own.requests) >= 4, what="probes")
    own.answer(200)
    wait_circuit(gateway, webhook, "closed")


def test_both_failing_burns_no_more_attempts(make_failing, make_receiver):
    """The fallback has a circuit too: once both are open there are probes alone."""
    fallback = make_receiver(500)
    gateway, own, webhook = make_failing("1h", fallback)
    fallback.wait_for(2)
    publish_many(gateway, "s1", 20)
    time.sleep(0.5)
    assert (len(own.requests), len(fallback.requests)) == (2, 2)
    assert gateway.dlq("s1") == []


@pytest.mark.parametrize("ordering", ["fifo", {"key": "/data/chat"}])
def test_order_is_kept_over_both(make_failing, make_receiver, ordering):
    fallback = make_receiver(slow(0.005))
    gateway, own, webhook = make_failing("50ms", fallback, ordering=ordering)
    ids = [gateway.publish("s1", data={"chat": "a"})["id"] for _ in range(40)]
    wait_for_ids(fallback, ids[:20])
    own.answer(slow(0.005))
    wait_circuit(gateway, webhook, "closed")
    wait_until(lambda: ids[-1] in own.ids | fallback.ids, what="the last")
    done = sorted([r for r in fallback.requests] + [r for r in own.requests], key=lambda r: r.at)
    order = list(dict.fromkeys(r.id for r in done if r.id in set(ids)))
    assert order == ids


def test_410_of_the_fallback_is_a_failure(make_failing, make_receiver):
    fallback = make_receiver(410, 200)
    gateway, own, webhook = make_failing("1h", fallback)
    fallback.wait_for(2)
    assert gateway.webhook("s1", webhook["id"])["enabled"] is True


def test_fallback_that_is_taken_away(make_failing, make_receiver):
    fallback = make_receiver()
    gateway, own, webhook = make_failing("1h", fallback)
    fallback.wait_for(1)
    gateway.api("PATCH", hooks_path("s1", webhook["id"]), json={"fallback_url": None})
    publish_many(gateway, "s1", 5)
    other = make_receiver()
    gateway.api("PATCH", hooks_path("s1", webhook["id"]), json={"fallback_url": other.url()})
    other.wait_for(5)
    assert len(fallback.requests) == 1 and len(own.requests) == 2


def test_fallback_is_under_the_address_policy(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms,20ms,20ms", circuit_failures=2,
                           circuit_open="1h", allow_cidr="127.0.0.1/32")
    gateway.register("s1", make_receiver(500).url(), fallback_url="http://127.0.0.2:9/")
    gateway.publish("s1")
    assert letter(gateway)["last_error"].startswith("address refused: loopback")
