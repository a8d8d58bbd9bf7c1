"""Secret rotation: for a time receivers may check with the old secret or with the new one."""

import base64
import datetime
import json
import re
import time

import pytest

from harness import MASK, RFC3339, as_listed, expect_error, hooks_path, sign_standard, sign_v1, sign_v2
from harness import verify, wait_until

HOOK = "http://127.0.0.1:9/hook"  # no event is published for it: it is never contacted
OLD, NEW = "old-secret", "new-secret"
DAY_S = 86400
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
MADE = re.compile(r"whsec_[A-Za-z0-9+/]{32}")


def rotate(gateway, webhook, session="s1", **body):
    return gateway.api("POST", rotation_path(webhook, session), json=body)


def rotation_path(webhook, session="s1"):
    return hooks_path(session, webhook["id"], "rotate-secret")


def rotated(answer):
    """The new secret and the end of the overlap, None or in unix seconds."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["success", "secret", "previous_secret_expires_at"]
    assert body["success"] is True
    until = body["previous_secret_expires_at"]
    return body["secret"], until and in_seconds(until)


def in_seconds(stamp):
    assert RFC3339.fullmatch(stamp)
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def check(request, *secrets, signature="v1"):
    """
    Asserts that X-Webhook-Signature is the first secret's, and that there is one Standard
    signature of each, in that order.
    """
    timestamp = request.header("X-Webhook-Timestamp")
    expected = sign_v1(secrets[0], request.body)
    if signature == "v2":
        expected = sign_v2(secrets[0], timestamp, request.body)
    assert request.header("X-Webhook-Signature") == expected
    assert request.header("webhook-signature").split(" ") == [
        sign_standard(secret, request.id, timestamp, request.body) for secret in secrets
    ]


@pytest.fixture
def deliver(gateway, receiver):
    """Publishes an event and returns the request that comes of it."""

    def publish_one():
        event = gateway.publish("s1", data={"text": "\u00e9"})
        wait_until(lambda: event["id"] in receiver.ids, what="the event")
        return next(r for r in receiver.requests if r.id == event["id"])

    return publish_one


# New secrets


def test_given_secret_is_taken_and_shown_once(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    assert rotated(rotate(gateway, webhook, secret=NEW))[0] == NEW
    check(deliver(), NEW, OLD)


@pytest.mark.parametrize("body", [b"{}", b'{"overlap_seconds":60}', b""])
def test_secret_is_made_where_none_is_given(gateway, receiver, deliver, body):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    made, _ = rotated(gateway.api("POST", rotation_path(webhook), body=body))
    assert MADE.fullmatch(made)
    assert len(base64.b64decode(made[len("whsec_"):])) == 24
    check(deliver(), made, OLD)
    again, _ = rotated(gateway.api("POST", rotation_path(webhook), body=body))
    assert again != made
    check(deliver(), again, made)


def test_rotation_needs_no_body_and_no_length(gateway):
    webhook = gateway.register("s1", HOOK)
    with gateway.connect() as client:  # as `curl -X POST` sends it
        client.send(
            f"POST /api/v1{rotation_path(webhook)} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {gateway.token}\r\n\r\n".encode()
        )
        assert MADE.fullmatch(rotated(client.reply())[0])


@pytest.mark.parametrize(
    "secret", ["x", "\u00e9\U0001f511", "k" * 1024, "whsec_bm90IGEgc2VjcmV0"]
)
def test_any_secret_that_may_be_registered_may_be_given(gateway, receiver, deliver, secret):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    assert rotated(rotate(gateway, webhook, secret=secret))[0] == secret
    check(deliver(), secret, OLD)


def test_first_secret_has_nothing_to_overlap_with(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url())
    secret, until = rotated(rotate(gateway, webhook))
    assert until is None
    verify(deliver(), secret)


# The overlap


@pytest.mark.parametrize("signature", ["v1", "v2"])
def test_both_secrets_sign_during_the_overlap(gateway, receiver, deliver, signature):
    webhook = gateway.register("s1", receiver.url(), secret=OLD, signature=signature)
    verify(deliver(), OLD, signature)
    rotate(gateway, webhook, secret=NEW)
    check(deliver(), NEW, OLD, signature=signature)


@pytest.mark.parametrize("given, length_s", [({}, DAY_S), ({"overlap_seconds": 60}, 60)])
def test_end_of_the_overlap_is_shown(gateway, given, length_s):
    webhook = gateway.register("s1", HOOK, secret=OLD)
    assert webhook["previous_secret_expires_at"] is None
    before = time.time()
    _, until = rotated(rotate(gateway, webhook, **given))
    after = time.time()
    assert before - 1 <= until - length_s <= after + 1  # the rest is for the clock's steps
    shown = gateway.webhook("s1", webhook["id"])
    assert in_seconds(shown["previous_secret_expires_at"]) == until
    assert gateway.api("GET", hooks_path("s1")).json()["webhooks"] == [as_listed(shown)]
    assert shown["updated_at"] >= webhook["updated_at"]


def test_without_an_overlap_only_the_new_secret_signs(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    assert rotated(rotate(gateway, webhook, secret=NEW, overlap_seconds=0)) == (NEW, None)
    verify(deliver(), NEW)


def test_old_secret_stops_signing_when_the_overlap_ends(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    rotate(gateway, webhook, secret=NEW, overlap_seconds=1)
    latest = wait_until(
        lambda: (r := deliver()) and " " not in r.header("webhook-signature") and r,
        what="a delivery with one signature",
    )
    verify(latest, NEW)
    for request in receiver.requests:
        both = " " in request.header("webhook-signature")
        check(request, *((NEW, OLD) if both else (NEW,)))


def test_second_rotation_overlaps_with_the_first_ones_secret(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    rotate(gateway, webhook, secret="between")
    rotate(gateway, webhook, secret=NEW)
    check(deliver(), NEW, "between")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_overlap_outlives_a_restart(gateway, receiver, deliver, end):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    rotate(gateway, webhook, secret=NEW)
    shown = gateway.webhook("s1", webhook["id"])
    getattr(gateway, end)()
    gateway.start()
    assert gateway.webhook("s1", webhook["id"]) == shown
    check(deliver(), NEW, OLD)


@pytest.mark.parametrize("patched", ["patched-secret", None])
def test_patch_of_the_secret_ends_the_overlap(gateway, receiver, deliver, patched):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    rotate(gateway, webhook, secret=NEW)
    path = hooks_path("s1", webhook["id"])
    after = gateway.api("PATCH", path, json={"secret": patched}).json()
    assert after["previous_secret_expires_at"] is None
    request = deliver()
    if patched:
        verify(request, patched)
    else:
        assert request.header("X-Webhook-Signature") is None
        assert request.header("webhook-signature") is None


def test_patch_of_something_else_leaves_the_overlap(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    rotate(gateway, webhook, secret=NEW)
    before = gateway.webhook("s1", webhook["id"])
    after = gateway.api("PATCH", hooks_path("s1", webhook["id"]), json={"description": "x"})
    until = before["previous_secret_expires_at"]
    assert after.json()["previous_secret_expires_at"] == until
    check(deliver(), NEW, OLD)


def test_rotation_changes_only_that_webhook(gateway, make_receiver):
    first, second = make_receiver(), make_receiver()
    webhook = gateway.register("s1", first.url(), secret=OLD)
    other = gateway.register("s1", second.url(), secret=OLD)
    rotate(gateway, webhook, secret=NEW)
    assert gateway.webhook("s1", other["id"]) == other
    gateway.publish("s1")
    check(first.wait_for(1)[0], NEW, OLD)
    verify(second.wait_for(1)[0], OLD)


def test_rotation_of_a_disabled_webhook_leaves_it_so(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    gateway.call("s1", webhook["id"], "disable")
    rotate(gateway, webhook, secret=NEW)
    assert gateway.webhook("s1", webhook["id"])["enabled"] is False
    gateway.call("s1", webhook["id"], "enable")
    check(deliver(), NEW, OLD)


# What is shown, and refused


def test_secrets_are_shown_nowhere_else(gateway, receiver, deliver):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    made, _ = rotated(rotate(gateway, webhook))
    deliver()
    path = hooks_path("s1", webhook["id"])
    answers = [
        gateway.api("GET", path), gateway.api("GET", hooks_path("s1")),
        gateway.api("PATCH", path, json={"description": "x"}), rotate(gateway, webhook, more=1),
    ]
    for answer in answers[:3]:
        assert MASK in answer.text
    shown = json.dumps([answer.text for answer in answers]) + gateway.log_text()
    assert made not in shown and OLD not in shown


BAD_BODIES = [
    ({"secret": ""}, "secret"),
    ({"secret": 5}, "secret"),
    ({"secret": "k" * 1025}, "secret"),
    ({"secret": MASK}, "secret"),
    *(
        ({"overlap_seconds": value}, "overlap_seconds")
        for value in [-1, 1.5, "60", True, 30 * DAY_S + 1]
    ),
    ({"overlap_seconds": 60, "secret": ""}, "secret"),
    ({"Secret": NEW}, None),
    ({"secret": NEW, "overlap": 60}, None),
    ([], None),
    ("x", None),
]


@pytest.mark.parametrize("body, field", BAD_BODIES)
def test_bad_rotation_is_refused_and_changes_nothing(gateway, receiver, deliver, body, field):
    webhook = gateway.register("s1", receiver.url(), secret=OLD)
    path = rotation_path(webhook)
    answer = gateway.api("POST", path, body=json.dumps(body).encode())
    expect_error(answer, 400, field)
    assert gateway.webhook("s1", webhook["id"]) == webhook
    verify(deliver(), OLD)


@pytest.mark.parametrize("body, offset", [(b"{", 1), (b'{"secret":}', 10), (b"{} {}", 3)])
def test_malformed_rotation_is_refused_with_the_offset(gateway, body, offset):
    webhook = gateway.register("s1", HOOK)
    answer = gateway.api("POST", rotation_path(webhook), body=body)
    expect_error(answer, 400, mentions=[f"at byte {offset}"])


def test_rotation_of_another_type_or_size_is_refused(gateway):
    path = rotation_path(gateway.register("s1", HOOK))
    answer = gateway.api("POST", path, body=b"{}", headers={"Content-Type": "text/plain"})
    expect_error(answer, 415)
    expect_error(gateway.api("POST", path, body=b"{}" + b" " * 65536), 413)


def test_rotation_of_what_is_not_there_is_404(gateway):
    webhook = gateway.register("s2", HOOK)
    for webhook_id in (webhook["id"], UNKNOWN_ID, "not-an-id"):
        expect_error(rotate(gateway, {"id": webhook_id}, secret=NEW), 404)
    assert gateway.webhook("s2", webhook["id"]) == webhook


def test_longest_overlap(gateway):
    webhook = gateway.register("s1", HOOK, secret=OLD)
    _, until = rotated(rotate(gateway, webhook, overlap_seconds=30 * DAY_S))
    assert abs(until - time.time() - 30 * DAY_S) < 60
