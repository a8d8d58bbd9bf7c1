"""What a receiver gets, and what its answers lead to (sections 4 and 5)."""

import datetime
import email.utils
import time

import pytest

from harness import (
    UUID7, Hold, close, delay, drip, flood, head, hooks_path, interim, open_head, raw,
    redirect, reset, status, verify, version, wait_until,
)

SECRET = "s3cret"


# The request


def test_request_has_the_contracts_headers(gateway, receiver):
    gateway.register("s1", receiver.url("/hook?x=%20y"))
    before = int(time.time())
    event = gateway.publish("s1", "message", timestamp=5, data={"a": 1})
    (request,) = receiver.wait_for(1)
    after = int(time.time())
    assert (request.method, request.path) == ("POST", "/hook?x=%20y")
    assert request.body == b'{"session_id":"s1","event":"message","timestamp":5,"data":{"a":1}}'
    assert request.header("Host") == f"127.0.0.1:{receiver.port}"
    assert request.header("Content-Type") == "application/json"
    assert request.header("Content-Length") == str(len(request.body))
    assert request.header("User-Agent") == f"waybill/{version()}"
    assert request.header("X-Webhook-Event") == "message"
    assert request.header("X-Webhook-Session") == "s1"
    assert request.header("X-Webhook-Id") == event["id"]
    assert UUID7.fullmatch(request.header("X-Webhook-Delivery"))
    assert request.header("X-Webhook-Delivery") != event["id"]
    assert request.header("X-Webhook-Attempt") == "1"
    assert before <= int(request.header("X-Webhook-Timestamp")) <= after
    assert request.header("Expect") is None


@pytest.mark.parametrize("size", [900, 1024, 1025, 2000, 1_048_576, 3_000_000])
def test_no_body_waits_for_leave(gateway, receiver, size):
    """curl asks for it from a size on that depends on its version."""
    gateway.register("s1", receiver.url())
    frame = b'{"session_id":"s1","event":"message","timestamp":1700000000,"data":""}'
    gateway.publish("s1", timestamp=1700000000, data="x" * (size - len(frame)))
    (request,) = receiver.wait_for(1)
    assert len(request.body) == size
    assert request.header("Expect") is None


def test_without_a_secret_nothing_is_signed(gateway, receiver):
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    names = {name.lower() for name, _ in request.headers}
    assert not names & {
        "x-webhook-signature", "x-webhook-signature-version",
        "webhook-id", "webhook-timestamp", "webhook-signature",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "s3cret", "x", "p\u00e4ssw\u00f6rt \U0001f511", "k" * 200,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_+/+/AQ==",
    ],
)
@pytest.mark.parametrize("signature", ["v1", "v2"])
def test_signatures(gateway, receiver, signature, secret):
    gateway.register("s1", receiver.url(), secret=secret, signature=signature)
    gateway.publish("s1", data={"text": "\u00e9\U0001f600"})
    (request,) = receiver.wait_for(1)
    verify(request, secret, signature)


def test_patch_of_the_secret_changes_the_signature(gateway, receiver):
    webhook = gateway.register("s1", receiver.url(), secret=SECRET)
    for count, secret in enumerate(["another", None], 1):
        answer = gateway.api("PATCH", hooks_path("s1", webhook["id"]), json={"secret": secret})
        assert answer.status_code == 200
        gateway.publish("s1")
        request = receiver.wait_for(count)[-1]
        if secret:
            verify(request, secret)
        else:
            assert request.header("X-Webhook-Signature") is None


def test_custom_headers_are_sent(gateway, receiver):
    custom = {"Authorization": "Basic eDp5", "X-Tenant": "7; a=\"b\"", "x-odd-Case": ""}
    gateway.register("s1", receiver.url(), headers=custom)
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert {name: request.header(name) for name in custom} == custom


# Who gets what


@pytest.mark.parametrize(
    "events, expected",
    [
        (["message"], ["message"]),
        (["receipt", "presence"], ["receipt", "presence"]),
        (["all"], ["message", "receipt", "presence", "brand_new.event"]),
        ([], ["message", "receipt", "presence", "brand_new.event"]),
        (["message", "all"], ["message", "receipt", "presence", "brand_new.event"]),
    ],
)
def test_filter(gateway, receiver, events, expected):
    gateway.register("s1", receiver.url(), events=events, ordering="fifo")
    for event in ["message", "receipt", "presence", "brand_new.event"]:
        answer = gateway.publish("s1", event)
        assert answer["deliveries"] == (1 if event in expected else 0)
    assert [r.event for r in receiver.wait_for(len(expected))] == expected


def test_each_webhook_gets_a_delivery_of_the_same_event(gateway, make_receiver):
    receivers = [make_receiver() for _ in range(3)]
    for receiver in receivers:
        gateway.register("s1", receiver.url())
    event = gateway.publish("s1", data={"a": 1})
    assert event["deliveries"] == 3
    requests = [receiver.wait_for(1)[0] for receiver in receivers]
    assert {r.id for r in requests} == {event["id"]}
    assert len({r.body for r in requests}) == 1
    assert len({r.header("X-Webhook-Delivery") for r in requests}) == 3


def test_sessions_are_apart(gateway, make_receiver):
    mine, other = make_receiver(), make_receiver()
    gateway.register("s1", mine.url(), ordering="fifo")
    gateway.register("s2", other.url(), ordering="fifo")
    first, second = gateway.publish("s1"), gateway.publish("s2")
    assert [r.id for r in mine.wait_for(1)] == [first["id"]]
    assert [r.id for r in other.wait_for(1)] == [second["id"]]


def test_disabled_webhook_gets_what_was_queued_before_and_nothing_published_meanwhile(
    gateway, make_receiver
):
    hold = Hold(then=500)
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    queued = [gateway.publish("s1") for _ in range(3)]
    receiver.wait_for(1)
    gateway.call("s1", webhook["id"], "disable")
    hold.release()
    assert gateway.publish("s1")["deliveries"] == 0
    gateway.call("s1", webhook["id"], "enable")
    queued.append(gateway.publish("s1"))
    arrived = [r.id for r in receiver.wait_for(5)]
    assert arrived == [e["id"] for e in [queued[0], *queued]]


# Connections and order


def test_sequential_deliveries_share_one_connection(gateway, receiver):
    gateway.register("s1", receiver.url(), ordering="fifo")
    for _ in range(10):
        gateway.publish("s1")
    assert {r.connection for r in receiver.wait_for(10)} == {1}


def test_fifo_keeps_the_order_over_failures(gateway, make_receiver):
    receiver = make_receiver(500, 200, reset(), 503, 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    ids = [gateway.publish("s1")["id"] for _ in range(4)]
    expected = [ids[0], ids[0], ids[1], ids[1], ids[1], ids[2], ids[3]]
    assert [r.id for r in receiver.wait_for(7)] == expected


@pytest.mark.parametrize("max_in_flight", [1, 3])
def test_max_in_flight_bounds_what_runs_at_once(gateway, make_receiver, max_in_flight):
    receiver = make_receiver(delay(0.02))
    gateway.register("s1", receiver.url(), max_in_flight=max_in_flight)
    for _ in range(20):
        gateway.publish("s1")
    receiver.wait_for(20)
    assert receiver.peak <= max_in_flight


# Answers that deliver, and answers that don't


@pytest.mark.parametrize("code", [200, 201, 202, 204, 206, 299])
def test_2xx_delivers(gateway, make_receiver, code):
    receiver = make_receiver(code)
    gateway.register("s1", receiver.url(), ordering="fifo")
    ids = [gateway.publish("s1")["id"] for _ in range(2)]
    assert [r.id for r in receiver.wait_for(2)] == ids


def expect_retry(gateway, receiver, **fields):
    """Publishes an event that the receiver takes at the second attempt."""
    gateway.register("s1", receiver.url(), secret=SECRET, **fields)
    event = gateway.publish("s1", data={"n": 1})
    requests = receiver.wait_for(2)
    assert [r.attempt for r in requests] == [1, 2]
    assert {r.id for r in requests} == {event["id"]}
    assert len({r.header("X-Webhook-Delivery") for r in requests}) == 1
    assert len({r.body for r in requests}) == 1
    for request in requests:
        verify(request, SECRET)
    return requests


@pytest.mark.parametrize(
    "code", [400, 401, 403, 404, 409, 422, 429, 500, 501, 502, 503, 504, 599]
)
def test_other_statuses_are_retried(gateway, make_receiver, code):
    expect_retry(gateway, make_receiver(code, 200))


@pytest.mark.parametrize("code", [300, 301, 302, 303, 307, 308, 304])
def test_redirects_are_retried_and_not_followed(gateway, make_receiver, code):
    target = make_receiver()
    expect_retry(gateway, make_receiver(redirect(target.url(), code), 200))
    assert target.connections == 0


BROKEN = {
    "reset": reset(),
    "closed": close(),
    "no http": raw(b"220 mail.example ESMTP\r\n\r\n"),
    "cut in the status line": raw(b"HTTP/1.1 20"),
    "cut in the head": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no byte": Hold(),
    "a head without end": open_head(),
    "nothing but 1xx": raw(head(103), then_hold=True),
}


@pytest.mark.parametrize("act", BROKEN.values(), ids=BROKEN.keys())
def test_broken_answers_are_retried(gateway, make_receiver, act):
    expect_retry(gateway, make_receiver(act, 200), timeout_ms=300)


def test_attempts_are_counted_over_many_failures(gateway, make_receiver):
    # refused and broken connections do not come on a kept-alive one here: on such a one curl
    # sends the same attempt again by itself (test_stale_connection_is_the_same_attempt)
    receiver = make_receiver(reset(), 500, 404, redirect("/x"), 503, 200)
    gateway.register("s1", receiver.url())
    event = gateway.publish("s1")
    requests = receiver.wait_for(6)
    assert [r.attempt for r in requests] == [1, 2, 3, 4, 5, 6]
    assert {r.id for r in requests} == {event["id"]}


def test_stale_connection_is_the_same_attempt(gateway, make_receiver):
    receiver = make_receiver(200, close(), 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    gateway.publish("s1")
    receiver.wait_for(1)
    event = gateway.publish("s1")
    again = receiver.wait_for(3)[1:]
    assert [(r.id, r.attempt) for r in again] == [(event["id"], 1)] * 2


def test_stale_connection_is_tried_again_at_its_own_url(gateway, make_receiver):
    """What sends the attempts, one after the other, has sent others elsewhere before."""
    one, other = make_receiver(), make_receiver(200, close(), 200)
    gateway.register("s1", one.url("/one?a=1"))
    gateway.register("s2", other.url("/other?b=2"))
    for session, receiver, count in (("s1", one, 1), ("s2", other, 1), ("s1", one, 2),
                                     ("s2", other, 3)):
        gateway.publish(session)
        receiver.wait_for(count)
    assert [r.path for r in one.wait_for(2)] == ["/one?a=1"] * 2
    assert [r.path for r in other.wait_for(3)] == ["/other?b=2"] * 3
    assert (len(one.requests), len(other.requests)) == (2, 3)


@pytest.mark.parametrize("then, attempts", [(200, 1), (500, 2)])
def test_1xx_is_skipped_and_the_final_status_counts(gateway, make_receiver, then, attempts):
    receiver = make_receiver(interim(100, 102, 103, then=then), 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    first, second = gateway.publish("s1"), gateway.publish("s1")
    expected = [first["id"]] * attempts + [second["id"]]
    assert [r.id for r in receiver.wait_for(len(expected))] == expected


BODIES = {
    "a drip": lambda code: drip(code),
    "a drip of a known length": lambda code: drip(code, [("Content-Length", 10**12)]),
    "a flood": lambda code: flood(code),
    "a flood of a known length": lambda code: flood(code, [("Content-Length", 10**12)]),
    "a cut": lambda code: raw(head(code, ("Content-Length", 100)) + b"half"),
    "a wait": lambda code: raw(head(code, ("Content-Length", 100)), then_hold=True),
    "bad chunks": lambda code: raw(head(code, ("Transfer-Encoding", "chunked")) + b"zz\r\n"),
}


@pytest.mark.parametrize("code, attempts", [(200, 1), (500, 2)])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_status_decides_and_no_body_holds_a_delivery(
    gateway, make_receiver, body, code, attempts
):
    receiver = make_receiver(body(code), 200)
    gateway.register("s1", receiver.url(), ordering="fifo", timeout_ms=30000)
    first, second = gateway.publish("s1"), gateway.publish("s1")
    expected = [first["id"]] * attempts + [second["id"]]
    requests = receiver.wait_for(len(expected))
    assert [r.id for r in requests] == expected
    assert requests[0].connection != requests[1].connection


# Answers that say more


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_moves_the_next_attempt(make_gateway, make_receiver, form, code):
    gateway = make_gateway(retry_schedule="10ms,10ms")
    not_before = time.time() + 2
    value = "1" if form == "seconds" else email.utils.formatdate(not_before, usegmt=True)
    receiver = make_receiver(status(code, headers=[("Retry-After", value)]), 200)
    first, second = expect_retry(gateway, receiver)
    if form == "seconds":
        assert second.at - first.at >= 0.95  # the rest is for the clocks' coarseness
    else:
        waited = second.at - time.monotonic() + time.time()
        assert waited >= int(not_before) - 0.05


DATES = {
    "IMF-fixdate": "%a, %d %b %Y %H:%M:%S GMT",
    "RFC 850": "%A, %d-%b-%y %H:%M:%S GMT",
    "asctime": "%a %b %e %H:%M:%S %Y",
}


def put_off(gateway, make_receiver, *headers):
    """When the second attempt is due, as Unix time, of a delivery that is answered with 503."""
    receiver = make_receiver(status(503, headers=headers))
    gateway.register("s1", receiver.url(), retry=["10ms"])
    event = gateway.publish("s1")
    path = f"/sessions/s1/events/{event['id']}"
    deliveries = wait_until(
        lambda: (found := gateway.api("GET", path).json()["deliveries"])
        and found[0]["attempt_count"] == 1 and found,
        what="an attempt that is put off",
    )
    return datetime.datetime.fromisoformat(deliveries[0]["next_attempt_at"]).timestamp()


@pytest.mark.parametrize("form", DATES.values(), ids=DATES.keys())
def test_retry_after_is_a_date_in_any_form(gateway, make_receiver, form):
    date = int(time.time()) + 3600
    value = time.strftime(form, time.gmtime(date))
    assert put_off(gateway, make_receiver, ("Retry-After", value)) == date


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("3600", 3600),
        ("1000000000", 86400),
        ("20991231", 86400),
        ("9" * 40, 86400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
    ],
)
def test_retry_after_is_clamped_to_a_day(gateway, make_receiver, value, seconds):
    before = int(time.time() * 1000) / 1000
    due = put_off(gateway, make_receiver, ("Retry-After", value))
    assert before + seconds <= due <= time.time() + seconds


def test_last_retry_after_counts(gateway, make_receiver):
    before = int(time.time() * 1000) / 1000
    headers = [("Retry-After", "60"), ("retry-after", "3600")]
    due = put_off(gateway, make_receiver, *headers)
    assert before + 3600 <= due <= time.time() + 3600


@pytest.mark.parametrize(
    "value",
    ["soon", "-5", "-20991231", "1.5", "", "3600, 3600", "3600s", "Wed, 99 Foo 2026 00:00:00 GMT"],
)
def test_unreadable_retry_after_leaves_the_schedule(gateway, make_receiver, value):
    expect_retry(gateway, make_receiver(status(503, headers=[("Retry-After", value)]), 200))


def test_retry_after_of_an_interim_head_does_not_count(gateway, make_receiver):
    first = head(103, ("Retry-After", 3600)) + head(503, ("Content-Length", 0))
    expect_retry(gateway, make_receiver(raw(first), 200))


def test_410_disables_the_webhook_and_says_why(gateway, make_receiver):
    receiver = make_receiver(410, 200)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    gateway.publish("s1")
    receiver.wait_for(1)
    after = wait_until(
        lambda: (w := gateway.webhook("s1", webhook["id"]))["enabled"] is False and w,
        what="webhook disabled",
    )
    assert "410" in after["disabled_reason"]
    assert gateway.publish("s1")["deliveries"] == 0
    gateway.call("s1", webhook["id"], "enable")
    assert gateway.webhook("s1", webhook["id"])["disabled_reason"] is None
    last = gateway.publish("s1")
    wait_until(lambda: receiver.requests[-1].id == last["id"], what="delivery after enable")
